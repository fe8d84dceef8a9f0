"""Prometheus metrics. With several server processes they meet in the directory of PROMETHEUS_MULTIPROC_DIR."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from datetime import datetime

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import REGISTRY, Collector

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

REQUESTS = Histogram(
    "deskplane_request_duration_seconds",
    "Time to answer a request, by operation.",
    ["operation"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0),
)
ANSWERS = Counter("deskplane_requests_total", "Requests answered, by operation and status.", ["operation", "status"])
REFUSED = Counter("deskplane_requests_over_limit_total", "Requests refused as one too many, by whose limit.", ["of"])

LAST_SCRAPE = Gauge(
    "deskplane_metrics_last_access_timestamp_seconds",
    "When the metrics were last read from this server with success; 0 for never.",
    multiprocess_mode="mostrecent",
)
LAST_OUTCOME = Gauge(
    "deskplane_metrics_last_access_success",
    "How the last attempt to read the metrics ended: 1 with success, 0 without, -1 where there was none.",
    multiprocess_mode="mostrecent",
)
_NEVER = 1
"""The outcome is kept higher by this: of several processes the one that wrote last is believed, and a process that was
just begun must write nothing, and is zero."""


def note_scrape(success: bool, at: datetime) -> None:
    """Remembers how an attempt to read the metrics ended, for the one that follows."""
    LAST_OUTCOME.set(_NEVER + success)
    if success:
        LAST_SCRAPE.set(at.timestamp())


class _Counters(Collector):
    """What the processes counted."""

    def __init__(self, inner: Collector) -> None:
        self._inner = inner

    def collect(self) -> Iterable[Metric]:
        # of several processes that never wrote one of these there is no sample
        missing = {gauge._name: (gauge, value) for gauge, value in ((LAST_SCRAPE, 0.0), (LAST_OUTCOME, -1.0))}
        for family in self._inner.collect():
            if family.samples:
                missing.pop(family.name, None)
                if family.name == LAST_OUTCOME._name:
                    family.samples = [sample._replace(value=sample.value - _NEVER) for sample in family.samples]
                yield family
        for gauge, value in missing.values():
            yield GaugeMetricFamily(gauge._name, gauge._documentation, value=value)


class Readings(Collector):
    """Gauges that are read at the moment of the scrape."""

    def __init__(self, families: Iterable[GaugeMetricFamily]) -> None:
        self._families = list(families)

    def collect(self) -> Iterable[GaugeMetricFamily]:
        return self._families


def exposition(read: Callable[[], Iterable[GaugeMetricFamily]]) -> bytes:
    """What Prometheus scrapes: the counters of all processes, and the gauges that `read` finds."""
    counters: Collector = REGISTRY
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        counters = MultiProcessCollector(CollectorRegistry())  # type: ignore[no-untyped-call]
    registry = CollectorRegistry()
    registry.register(_Counters(counters))
    registry.register(Readings(read()))
    return generate_latest(registry)
