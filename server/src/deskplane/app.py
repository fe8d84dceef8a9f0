"""Where the parts are wired together, and the only place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from flask import Flask
from sqlalchemy.orm import Session
from werkzeug.middleware.proxy_fix import ProxyFix

from deskplane import migrations, system
from deskplane.alerts import api as alerts_api
from deskplane.alerts import service as alerts
from deskplane.audit import api as audit_api
from deskplane.audit import older
from deskplane.audit import triggers as audit_triggers
from deskplane.audit.service import local_address
from deskplane.backup import api as backup_api
from deskplane.backup import offsite, schedule
from deskplane.backup.offsite import Copies
from deskplane.backup.schedule import Backups
from deskplane.configuration import api as configuration_api
from deskplane.configuration import by_hand, history
from deskplane.configuration.resealing import sealed_claims
from deskplane.customers import quotas
from deskplane.customers.assets import ASSET, require_one_customer
from deskplane.customers.contacts import CONTACT
from deskplane.customers.contracts import CONTRACT
from deskplane.customers.portals import closed_to_members
from deskplane.customers.projects import PROJECT, keep_common_projects
from deskplane.customers.schemas import CUSTOMER
from deskplane.desks import rules as desk_rules
from deskplane.desks.queries import departments_of
from deskplane.desks.schemas import DEPARTMENT, LABEL, SETTING, TICKET_TYPE
from deskplane.desks.service import ship_settings, ship_workflows
from deskplane.desks.templates import EMAIL_TEMPLATE, TEMPLATE
from deskplane.desks.workflows import WORKFLOW, keep_shipped_workflows
from deskplane.factors import api as factors_api
from deskplane.factors import passkeys_api
from deskplane.factors import tasks as factors_tasks
from deskplane.factors.models import OFFERS, TOTP
from deskplane.kernel import headers, http, idempotency, limits
from deskplane.kernel.actor import Actor
from deskplane.kernel.breached import BreachedPasswords
from deskplane.kernel.clock import Clock, SystemClock
from deskplane.kernel.crypto import Vault
from deskplane.kernel.db import Database
from deskplane.kernel.kind import Registry
from deskplane.kernel.operation import Operation
from deskplane.kernel.permissions import PERMISSIONS
from deskplane.kernel.revision import Kept, current, raise_revision
from deskplane.kernel.safe_http import Client
from deskplane.kernel.throttle import Throttle
from deskplane.kernel.work import Work
from deskplane.login import account_api, accounts, asking, history_api, registration_api
from deskplane.login import api as login_api
from deskplane.login import tasks as login_tasks
from deskplane.login.models import LoginSession
from deskplane.login.sessions import Sessions
from deskplane.mail import api as mail_api
from deskplane.mail import fetching, incoming, incoming_api, notifications
from deskplane.mail import tasks as mail_tasks
from deskplane.mail.fetching import Fetching
from deskplane.mail.intake import Intake
from deskplane.oidc import api as oidc_api
from deskplane.oidc import identities as oidc_identities
from deskplane.oidc import rules as oidc_rules
from deskplane.oidc.schemas import PROVIDER
from deskplane.outbox.schedules import AnyJob, Job, LongJob, ReadingJob
from deskplane.outbox.service import Claimed
from deskplane.outbox.worker import Finish, Handler, Worker
from deskplane.people import keys_api, rules
from deskplane.people.groups import GROUP
from deskplane.people.keys import LastUse
from deskplane.people.keys import end_all as end_all_keys
from deskplane.people.schemas import ROLE, USER
from deskplane.people.service import Authenticator, note_password, ship_roles
from deskplane.public_api import api as public_api
from deskplane.public_api import service as public_api_service
from deskplane.service_levels.calendars import CALENDAR
from deskplane.service_levels.schemas import SLA_POLICY
from deskplane.settings import Settings
from deskplane.tickets import api as tickets_api
from deskplane.tickets import cleanup, feed, recalculation, sla_counts, sweep
from deskplane.tickets import tasks as tickets_tasks
from deskplane.tickets.announcements import TOPIC
from deskplane.webhooks import deliveries, deliveries_api, health
from deskplane.webhooks.schemas import WEBHOOK

KINDS = (
    SETTING,
    CALENDAR,
    SLA_POLICY,
    CUSTOMER,
    ROLE,
    USER,
    GROUP,
    PROVIDER,
    WORKFLOW,
    DEPARTMENT,
    LABEL,
    TICKET_TYPE,
    TEMPLATE,
    EMAIL_TEMPLATE,
    ASSET,  # before contacts, which go along with a customer when no asset lists them any more
    CONTACT,
    CONTRACT,
    PROJECT,
    WEBHOOK,
)


def make_registry() -> Registry:
    """All kinds, and what the rooms want to be asked or told about them."""
    registry = Registry(KINDS)
    registry.on_written["user"].append(note_password)
    registry.deleting["user"] += [rules.keep_those_beyond, end_all_keys]
    registry.settled["user"].append(rules.keep_an_administrator)
    accounts.register(registry)
    oidc_rules.register(registry)
    registry.made.append(history.note_made)
    registry.deleting["group"].append(rules.keep_groups_beyond)
    registry.deleting["role"].append(rules.keep_shipped_roles)
    for kind in ("user", "group", "role"):
        registry.checks[kind].append(quotas.note_agents)
        registry.settled[kind].append(quotas.keep_within_quotas)
    for kind in ("asset", "contact"):
        registry.settled[kind].append(require_one_customer)
    registry.deleting["project"].append(keep_common_projects)
    registry.deleting["workflow"].append(keep_shipped_workflows)
    desk_rules.register(registry)
    tickets_tasks.register(registry)
    health.register(registry, deliveries.cancel_of)
    registry.sealed += [sealed_claims(), health.S.previous_secret, TOTP.secret, OFFERS.secret]
    return registry


def make_operations(registry: Registry) -> list[Operation]:
    """Every endpoint."""
    found: list[Operation] = []
    found += tickets_api.operations()
    found += configuration_api.operations(registry)
    found += public_api.operations()
    found += backup_api.operations()
    found += alerts_api.operations()
    found += audit_api.operations()
    found += keys_api.operations()
    found += mail_api.operations()
    found += deliveries_api.operations(_change_webhook)
    found += incoming_api.operations()
    found += login_api.operations(factors_api.FACTORS)
    found += factors_api.operations(by_hand.Users())
    found += passkeys_api.operations(by_hand.Users())
    found += account_api.operations(by_hand.Users())
    found += registration_api.operations(by_hand.Users())
    found += history_api.operations()
    found += oidc_api.operations(by_hand.Users())
    found += oidc_identities.operations(by_hand.Users())
    found += system.operations(lambda: found)
    return found


def _change_webhook(work: Work, webhook_id: str, fields: Mapping[str, Any]) -> None:
    by_hand.change(work, "webhook", webhook_id, fields)


@dataclass
class Desk:
    """One desk: its database and everything that works on it. What server, worker and command line share."""

    settings: Settings
    database: Database
    vault: Vault
    clock: Clock
    registry: Registry
    kept: Kept
    outside: Client
    breached: BreachedPasswords

    def command_line(self, session: Session) -> Work:
        """Work on the server's own machine, with every right."""
        actor = Actor(user_id=None, username="command line", permissions=frozenset(PERMISSIONS))
        return self._work(session, actor, local_address())

    def automation(self, session: Session) -> Work:
        """Work of the server by itself."""
        actor = Actor(user_id=None, username="automation", permissions=frozenset(PERMISSIONS))
        return self._work(session, actor)

    def _work(self, session: Session, actor: Actor, address: str | None = None) -> Work:
        return Work(
            session=session,
            actor=actor,
            clock=self.clock,
            vault=self.vault,
            registry=self.registry,
            kept=self.kept,
            revision=current(session),
            public_address=self.settings.public_address,
            outside=self.outside,
            address=address,
            breached=self.breached,
        )


def make_desk(settings: Settings, clock: Clock | None = None) -> Desk:
    """Opens the database. Raises ValueError or SettingsError for settings that cannot work."""
    database = Database(
        settings.database_url,
        busy_seconds=settings.busy_seconds,
        pool_size=settings.threads + 2,
        arguments=settings.database_arguments(),
    )
    vault, outside = Vault(settings.secrets()), Client(settings.webhook_networks)
    breached = BreachedPasswords(settings.breached_passwords_file)
    return Desk(settings, database, vault, clock or SystemClock(), make_registry(), Kept(), outside, breached)


def migrate(desk: Desk) -> tuple[str | None, str | None]:
    """Brings the database up to date, with the roles and settings that this version knows; answers from and to. What a
    newer version shipped stays."""
    found = migrations.upgrade(desk.database)
    if found[1] != migrations.head():
        return found

    def ship_all(session: Session) -> None:
        # other processes may be serving meanwhile, and keep what they derived from what was there
        if audit_triggers.missing(session.connection()):
            audit_triggers.install(session.connection())
        older.take_over(session)
        wrote = [ship_roles(desk.automation(session))]
        wrote += [ship(session, desk.clock) for ship in (ship_workflows, ship_settings)]
        if any(wrote):
            raise_revision(session)

    desk.database.run(ship_all, write=True)
    return found


def make_server(desk: Desk, operations: list[Operation]) -> http.Server:
    """What the endpoints of a desk work with."""
    settings = desk.settings
    return http.Server(
        database=desk.database,
        registry=desk.registry,
        vault=desk.vault,
        clock=desk.clock,
        authenticate=Authenticator(desk.kept, departments_of, closed_to_members, LastUse(desk.database)),
        authenticate_session=Sessions(
            desk.kept,
            departments_of,
            closed_to_members,
            LastUse(desk.database, column=LoginSession.last_seen_at),
        ),
        public_address=settings.public_address,
        max_document_bytes=settings.max_document_bytes,
        kept=desk.kept,
        outside=desk.outside,
        breached=desk.breached,
        throttle=Throttle(
            desk.database,
            per_address=settings.requests_per_minute_per_address,
            per_key=settings.requests_per_minute_per_key,
        ),
        allowed_origins=frozenset(settings.allowed_origins),
        transport=headers.strict_transport(settings.hsts_seconds, subdomains=settings.hsts_subdomains),
        operations=operations,
    )


def create_app(desk: Desk) -> Flask:
    """The WSGI application."""
    app = Flask("deskplane", static_folder=None)
    settings = desk.settings
    server = make_server(desk, make_operations(desk.registry))
    http.mount(app, server, max_body_bytes=settings.max_body_bytes)
    app.extensions["deskplane"] = server
    if settings.trusted_proxies:
        proxies = settings.trusted_proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=proxies, x_proto=proxies, x_host=proxies)  # type: ignore[method-assign]
    return app


def make_worker(desk: Desk) -> Worker:
    """A worker for this desk."""

    def recalculate(message: Claimed) -> None:
        recalculation.run(desk.database, desk.automation, message.payload)

    def fan_out(message: Claimed) -> Finish:
        """An event is done with once everyone who wants it has it; who wants it registers here."""

        def finish(session: Session) -> None:
            feed.append(session, message)
            notifications.fan_out(desk.automation(session), message)
            deliveries.fan_out(desk.automation(session), message)

        return finish

    settings = desk.settings
    backups = Backups(
        desk.database, desk.vault, desk.automation, settings.backup_directory, settings.backup_passphrase_file
    )
    copies = Copies(
        desk.database, desk.automation, settings.backup_directory, settings.backup_offsite_authorization_file
    )
    jobs: list[AnyJob] = [
        Job("backups", timedelta(minutes=1), backups.ask_if_due),
        LongJob(
            "service levels",
            timedelta(seconds=30),
            lambda session, _at: sweep.tell_due(desk.automation(session)) or None,
        ),
        ReadingJob(
            "counts of clocks",
            timedelta(minutes=1),
            lambda session: sla_counts.count(session, desk.clock.now()),
            sla_counts.store,
        ),
        LongJob("clean-up", timedelta(hours=1), lambda session, at: cleanup.clean_up(desk.automation(session), at)),
        Job(
            "idempotency keys",
            timedelta(minutes=10),
            lambda session: idempotency.forget_old(session, desk.clock.now()),
        ),
        Job("rate counts", timedelta(minutes=10), lambda session: limits.forget_old(session, desk.clock.now())),
        Job(
            "usage of the public API",
            timedelta(hours=1),
            lambda session: public_api_service.forget_old(desk.automation(session)),
        ),
        Job("ticket events", timedelta(hours=1), lambda session: feed.forget_old(session, desk.clock.now())),
        Job("agent quotas", timedelta(days=1), lambda session: quotas.check_quotas(desk.automation(session))),
        Job("webhook deliveries", timedelta(hours=1), lambda session: deliveries.forget_old(desk.automation(session))),
        Job("history of older versions", timedelta(hours=1), older.take_over),
        Job("alerts", timedelta(days=1), lambda session: alerts.forget_old(session, desk.clock.now())),
        Job("mail fetching", fetching.EVERY, lambda session: fetching.queue(desk.automation(session))),
        Job(
            "mails of deleted tickets",
            timedelta(minutes=15),
            lambda session: incoming.forget_deleted(desk.automation(session)),
        ),
        *mail_tasks.jobs(desk.automation),
        *login_tasks.jobs(desk.automation),
        *factors_tasks.jobs(desk.automation),
    ]
    handlers: dict[str, Handler] = {
        recalculation.RECALCULATE: recalculate,
        TOPIC: fan_out,
        incoming.TOPIC: Intake(desk.database, desk.automation, mail_tasks.answer),
        fetching.TOPIC: Fetching(desk.database, desk.automation),
        **mail_tasks.handlers(desk.database, desk.automation),
        asking.TOPIC: asking.handler(desk.automation),
        schedule.TOPIC: backups.make,
        offsite.TOPIC: copies.send,
        deliveries.DELIVER: deliveries.Courier(desk.database, desk.automation, desk.outside, _change_webhook),
    }

    def tell_job(session: Session, job: str, error: str | None) -> None:
        work = desk.automation(session)
        if error is None:
            alerts.clear_alert(work, "job_failing", job)
        else:
            detail = f"the periodic job {job!r} failed and is tried again; the worker's log has the whole of: {error}"
            alerts.raise_alert(work, "job_failing", job, detail)

    return Worker(
        desk.database,
        desk.clock,
        handlers,
        jobs,
        threads=settings.worker_threads,
        told=tell_job,
        not_here=() if settings.backup_directory else (schedule.LANE, offsite.LANE),
    )
