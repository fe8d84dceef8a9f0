"""Tickets: opening, changing, closing and finding them."""
