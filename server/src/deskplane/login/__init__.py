"""Logging in: sessions, passwords, and the links in mails by which somebody proves that an address is his."""
