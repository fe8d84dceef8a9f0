"""Rules that settings of the desk lay upon lower rooms' kinds."""

from __future__ import annotations

from deskplane.desks.settings import setting
from deskplane.kernel.kind import Check


def check_password(found: Check) -> None:
    """A new password has the least length that the desk asks for."""
    password = found.given.get("password")
    least = setting(found.work, "password.min_length")
    if password is not None and len(password) < least:
        found.refuse("password", "too_short", f"must have at least {least} characters", least)
