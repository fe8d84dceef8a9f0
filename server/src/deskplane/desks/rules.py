"""Rules that settings of the desk lay upon lower rooms' kinds."""

from __future__ import annotations

from deskplane.desks.settings import setting
from deskplane.kernel.kind import Check


def check_password(found: Check) -> None:
    """A new password has the least length that the desk asks for."""
    password = found.given.get("password")
    if password is None or found.after.get("password") == (found.before or {}).get("password"):
        return  # the stored one stays, also where the desk has come to ask for more
    least = setting(found.work, "password.min_length")
    if len(password) < least:
        found.refuse("password", "too_short", f"must have at least {least} characters", least)
