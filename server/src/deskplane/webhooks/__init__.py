"""Webhooks: whom the desk tells what."""
