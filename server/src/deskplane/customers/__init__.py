"""Customers: the companies that tickets are about, and the boundary of isolation."""
