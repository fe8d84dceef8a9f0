"""Whether this process was asked to stop: it serves who is there, and tells balancers to send nobody more."""

from __future__ import annotations

from threading import Event

leaving = Event()
