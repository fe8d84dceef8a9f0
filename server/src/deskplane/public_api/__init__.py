"""The public ticket API: what customers' own programs use, counted and limited."""
