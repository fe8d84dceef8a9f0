"""What is measured at the moment of a scrape: each by a statement that costs the same on a desk of any size."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from prometheus_client.core import GaugeMetricFamily

from deskplane.alerts import service as alerts
from deskplane.kernel.words import STATUSES
from deskplane.kernel.work import Work
from deskplane.mail import sending
from deskplane.outbox import schedules
from deskplane.outbox import service as outbox
from deskplane.tickets import counts, sla_counts
from deskplane.webhooks import deliveries


def readings(work: Work) -> Iterable[GaugeMetricFamily]:
    """Every gauge that is read from the database."""
    now = work.clock.now()
    yield _labelled(
        "deskplane_tickets", "Tickets, by status.", ["status"], dict.fromkeys(STATUSES, 0) | counts.totals(work.session)
    )
    yield from _service_levels(work)
    yield from _outbox(work, now)
    made = deliveries.counts(work.session, now - timedelta(hours=1))
    text = "Deliveries of webhooks that were made in the last hour, by state."
    yield _labelled("deskplane_webhook_deliveries", text, ["state"], made)
    text = "Mails that were not sent yet, or will not be, by state."
    yield _labelled("deskplane_mails", text, ["state"], sending.counts(work.session))
    alive = outbox.workers_alive(work.session, now)
    yield GaugeMetricFamily("deskplane_workers", "Workers seen in the last half minute.", value=alive)
    yield _labelled("deskplane_alerts", "Open alerts, by kind.", ["kind"], alerts.open_counts(work.session))
    jobs = schedules.readings(work.session, now)
    late = {job.name: job.late_seconds for job in jobs}
    yield _labelled("deskplane_job_late_seconds", "For how long a periodic job has been due.", ["job"], late)
    failing = {job.name: float(job.is_failing) for job in jobs}
    yield _labelled("deskplane_job_failing", "Whether a periodic job's last run failed.", ["job"], failing)


def _labelled(
    name: str, text: str, labels: Sequence[str], values: dict[str, float] | dict[str, int]
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=labels)
    for label, value in values.items():
        family.add_metric([label], value)
    return family


def _service_levels(work: Work) -> Iterable[GaugeMetricFamily]:
    counted_at, numbers = sla_counts.read(work.session)
    clocks = GaugeMetricFamily(
        "deskplane_sla_clocks", "Clocks of open tickets, by state, as a worker last counted.", labels=["clock", "state"]
    )
    for (clock, state), number in numbers.items():
        clocks.add_metric([clock, state], number)
    yield clocks
    yield GaugeMetricFamily(
        "deskplane_sla_counted_timestamp_seconds",
        "When a worker last counted the clocks of open tickets; 0 for never.",
        value=counted_at.timestamp() if counted_at else 0.0,
    )


def _outbox(work: Work, now: datetime) -> Iterable[GaugeMetricFamily]:
    waits = outbox.backlogs(work.session, now)
    waiting = {backlog.topic: backlog.messages for backlog in waits}
    yield _labelled("deskplane_outbox_messages", "Messages in the outbox, by topic.", ["topic"], waiting)
    failing = {backlog.topic: backlog.failing for backlog in waits}
    text = "Messages that failed and are tried again, by topic."
    yield _labelled("deskplane_outbox_failing_messages", text, ["topic"], failing)
    yield GaugeMetricFamily(
        "deskplane_outbox_oldest_seconds",
        "Age of the oldest message in the outbox that should be done by now.",
        value=oldest_seconds(waits, now),
    )


def oldest_seconds(waits: Iterable[outbox.Backlog], now: datetime) -> float:
    """The age of the oldest message that should be done by now."""
    oldest = min((backlog.oldest for backlog in waits if backlog.oldest), default=now)
    return (now - oldest).total_seconds()
