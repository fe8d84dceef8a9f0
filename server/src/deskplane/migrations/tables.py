"""All tables of all rooms, for what needs the whole."""

from __future__ import annotations

from deskplane.alerts import models as alerts
from deskplane.audit import models as audit
from deskplane.configuration import models as configuration
from deskplane.customers import models as customers
from deskplane.desks import models as desks
from deskplane.factors import models as factors
from deskplane.kernel import idempotency, limits, revision
from deskplane.kernel.columns import Base
from deskplane.login import models as login
from deskplane.mail import incoming_models as incoming_mail
from deskplane.mail import models as mail
from deskplane.migrations import floor
from deskplane.oidc import models as oidc
from deskplane.outbox import models as outbox
from deskplane.people import models as people
from deskplane.public_api import models as public_api
from deskplane.service_levels import models as service_levels
from deskplane.tickets import models as tickets
from deskplane.webhooks import models as webhooks

ROOMS = (
    alerts,
    audit,
    configuration,
    customers,
    desks,
    factors,
    floor,
    idempotency,
    incoming_mail,
    limits,
    login,
    mail,
    oidc,
    outbox,
    people,
    public_api,
    revision,
    service_levels,
    tickets,
    webhooks,
)
metadata = Base.metadata
