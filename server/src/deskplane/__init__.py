"""Deskplane: a helpdesk whose whole configuration lives in Git."""

__version__ = "0.1.0"
