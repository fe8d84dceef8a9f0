"""Who may do what: every operation against every shipped role, as one table.

A row is an operation, a column a role. `+` the operation is let through (what it answers then is its own affair),
`.` 403. What only who logged in may use refuses every key. The table is the expectation: a new operation, or a changed
right, has to be written here.
"""

from __future__ import annotations

import re

import pytest

from conftest import Api
from deskplane.app import make_operations, make_registry
from deskplane.kernel.permissions import PERMISSIONS
from deskplane.people.rules import SHIPPED_ROLES
from dumps import dump

ROLES = ("admin", "agent", "user", "viewer", "requester", "metrics", "backup", "planner", "none")
OPERATIONS = make_operations(make_registry())

TABLE = """
                        admin agent user viewer requester metrics backup planner none
create_ticket             +     +     +     .       +        .       .      .      .
apply_ticket              +     +     +     +       +        .       .      .      .
apply_ticket, dry         +     +     +     +       +        .       .      +      .
list_tickets              +     +     +     +       +        .       .      .      .
list_views                +     +     +     +       +        .       .      .      .
create_view               +     +     +     +       +        .       .      .      .
get_view                  +     +     +     +       +        .       .      .      .
update_view               +     +     +     +       +        .       .      .      .
delete_view               +     +     +     +       +        .       .      .      .
count_tickets             +     +     +     +       +        .       .      .      .
get_ticket                +     +     +     +       +        .       .      .      .
update_ticket             +     +     +     +       +        .       .      .      .
delete_ticket             +     .     .     .       .        .       .      .      .
change_tickets            +     +     +     +       +        .       .      .      .
open_ticket_to_work       +     +     +     +       +        .       .      .      .
list_ticket_events        +     +     +     +       +        .       .      .      .
list_asset_tickets        +     +     +     +       +        .       .      .      .
merge_ticket              +     +     +     +       +        .       .      .      .
split_ticket              +     +     +     +       +        .       .      .      .
list_ticket_links         +     +     +     +       +        .       .      .      .
put_ticket_link           +     +     +     +       +        .       .      .      .
delete_ticket_link        +     +     +     +       +        .       .      .      .
list_ticket_references    +     +     +     +       +        .       .      .      .
add_ticket_reference      +     +     +     +       +        .       .      .      .
delete_ticket_reference   +     +     +     +       +        .       .      .      .
explain_ticket_sla        +     +     +     +       +        .       .      .      .
list_ticket_history       +     +     +     +       +        .       .      .      .
list_ticket_messages      +     +     +     +       +        .       .      .      .
create_ticket_message     +     +     +     +       +        .       .      .      .
get_ticket_message        +     +     +     +       +        .       .      .      .
list_ticket_attachments   +     +     +     +       +        .       .      .      .
create_ticket_attachment  +     +     +     +       +        .       .      .      .
download_ticket_attachment +    +     +     +       +        .       .      .      .
read_ticket_attachment    +     +     +     +       +        .       .      .      .
delete_ticket_attachment  +     +     .     .       .        .       .      .      .
apply_setting             +     .     .     .       .        .       .      .      .
apply_setting, dry        +     .     .     .       .        .       .      +      .
list_settings             +     .     .     .       .        .       .      +      .
get_setting               +     .     .     .       .        .       .      +      .
update_setting            +     .     .     .       .        .       .      .      .
apply_sla_policy          +     .     .     .       .        .       .      .      .
apply_sla_policy, dry     +     .     .     .       .        .       .      +      .
simulate_sla_policies     +     .     .     .       .        .       .      .      .
list_sla_policies         +     +     +     +       +        .       .      +      .
get_sla_policy            +     +     +     +       +        .       .      +      .
update_sla_policy         +     .     .     .       .        .       .      .      .
delete_sla_policy         +     .     .     .       .        .       .      .      .
apply_customer            +     .     .     .       .        .       .      .      .
apply_customer, dry       +     .     .     .       .        .       .      +      .
list_customers            +     +     +     +       +        .       .      +      .
get_customer              +     +     +     +       +        .       .      +      .
update_customer           +     .     .     .       .        .       .      .      .
delete_customer           +     .     .     .       .        .       .      .      .
list_customer_memberships +     .     .     .       .        .       .      .      .
put_customer_membership   +     .     .     .       .        .       .      .      .
delete_customer_membership +    .     .     .       .        .       .      .      .
apply_role                +     .     .     .       .        .       .      .      .
apply_role, dry           +     .     .     .       .        .       .      +      .
list_roles                +     .     .     .       .        .       .      +      .
get_role                  +     .     .     .       .        .       .      +      .
update_role               +     .     .     .       .        .       .      .      .
delete_role               +     .     .     .       .        .       .      .      .
apply_user                +     .     .     .       .        .       .      .      .
apply_user, dry           +     .     .     .       .        .       .      +      .
list_users                +     .     .     .       .        .       .      +      .
get_user                  +     .     .     .       .        .       .      +      .
update_user               +     .     .     .       .        .       .      .      .
delete_user               +     .     .     .       .        .       .      .      .
list_api_keys             +     .     .     .       .        .       .      .      .
apply_department          +     .     .     .       .        .       .      .      .
apply_department, dry     +     .     .     .       .        .       .      +      .
list_departments          +     +     +     +       +        .       .      +      .
get_department            +     +     +     +       +        .       .      +      .
update_department         +     .     .     .       .        .       .      .      .
delete_department         +     .     .     .       .        .       .      .      .
apply_label               +     .     .     .       .        .       .      .      .
apply_label, dry          +     .     .     .       .        .       .      +      .
list_labels               +     +     +     +       +        .       .      +      .
get_label                 +     +     +     +       +        .       .      +      .
update_label              +     .     .     .       .        .       .      .      .
delete_label              +     .     .     .       .        .       .      .      .
apply_ticket_type         +     .     .     .       .        .       .      .      .
apply_ticket_type, dry    +     .     .     .       .        .       .      +      .
list_ticket_types         +     +     +     +       +        .       .      +      .
get_ticket_type           +     +     +     +       +        .       .      +      .
update_ticket_type        +     .     .     .       .        .       .      .      .
delete_ticket_type        +     .     .     .       .        .       .      .      .
apply_webhook             +     .     .     .       .        .       .      .      .
apply_webhook, dry        +     .     .     .       .        .       .      +      .
list_webhooks             +     .     .     .       .        .       .      +      .
get_webhook               +     .     .     .       .        .       .      +      .
update_webhook            +     .     .     .       .        .       .      .      .
delete_webhook            +     .     .     .       .        .       .      .      .
plan_configuration        +     .     .     .       .        .       .      +      .
apply_configuration       +     .     .     .       .        .       .      .      .
export_configuration      +     .     .     .       .        .       .      +      .
configuration_drift       +     .     .     .       .        .       .      +      .
configuration_history     +     .     .     .       .        .       .      .      .
list_audit_entries        +     .     .     .       .        .       .      .      .
apply_calendar            +     .     .     .       .        .       .      .      .
apply_calendar, dry       +     .     .     .       .        .       .      +      .
list_calendars            +     +     +     +       +        .       .      +      .
get_calendar              +     +     +     +       +        .       .      +      .
update_calendar           +     .     .     .       .        .       .      .      .
delete_calendar           +     .     .     .       .        .       .      .      .
apply_workflow            +     .     .     .       .        .       .      .      .
apply_workflow, dry       +     .     .     .       .        .       .      +      .
list_workflows            +     +     +     +       +        .       .      +      .
get_workflow              +     +     +     +       +        .       .      +      .
update_workflow           +     .     .     .       .        .       .      .      .
delete_workflow           +     .     .     .       .        .       .      .      .
apply_group               +     .     .     .       .        .       .      .      .
apply_group, dry          +     .     .     .       .        .       .      +      .
list_groups               +     .     .     .       .        .       .      +      .
get_group                 +     .     .     .       .        .       .      +      .
update_group              +     .     .     .       .        .       .      .      .
delete_group              +     .     .     .       .        .       .      .      .
apply_oidc_provider       +     .     .     .       .        .       .      .      .
apply_oidc_provider, dry  +     .     .     .       .        .       .      +      .
list_oidc_providers       +     .     .     .       .        .       .      +      .
get_oidc_provider         +     .     .     .       .        .       .      +      .
update_oidc_provider      +     .     .     .       .        .       .      .      .
delete_oidc_provider      +     .     .     .       .        .       .      .      .
apply_contact             +     .     .     .       .        .       .      .      .
apply_contact, dry        +     .     .     .       .        .       .      +      .
list_contacts             +     +     +     +       +        .       .      +      .
get_contact               +     +     +     +       +        .       .      +      .
update_contact            +     .     .     .       .        .       .      .      .
delete_contact            +     .     .     .       .        .       .      .      .
apply_asset               +     .     .     .       .        .       .      .      .
apply_asset, dry          +     .     .     .       .        .       .      +      .
list_assets               +     +     +     +       +        .       .      +      .
get_asset                 +     +     +     +       +        .       .      +      .
update_asset              +     .     .     .       .        .       .      .      .
delete_asset              +     .     .     .       .        .       .      .      .
apply_contract            +     .     .     .       .        .       .      .      .
apply_contract, dry       +     .     .     .       .        .       .      +      .
list_contracts            +     .     .     .       .        .       .      +      .
get_contract              +     .     .     .       .        .       .      +      .
update_contract           +     .     .     .       .        .       .      .      .
delete_contract           +     .     .     .       .        .       .      .      .
apply_template            +     .     .     .       .        .       .      .      .
apply_template, dry       +     .     .     .       .        .       .      +      .
list_templates            +     +     +     +       +        .       .      +      .
get_template              +     +     +     +       +        .       .      +      .
update_template           +     .     .     .       .        .       .      .      .
delete_template           +     .     .     .       .        .       .      .      .
apply_email_template      +     .     .     .       .        .       .      .      .
apply_email_template, dry +     .     .     .       .        .       .      +      .
list_email_templates      +     .     .     .       .        .       .      +      .
get_email_template        +     .     .     .       .        .       .      +      .
update_email_template     +     .     .     .       .        .       .      .      .
delete_email_template     +     .     .     .       .        .       .      .      .
apply_project             +     .     .     .       .        .       .      .      .
apply_project, dry        +     .     .     .       .        .       .      +      .
list_projects             +     +     +     +       +        .       .      +      .
get_project               +     +     +     +       +        .       .      +      .
update_project            +     .     .     .       .        .       .      .      .
delete_project            +     .     .     .       .        .       .      .      .
list_public_tickets       +     +     +     +       +        .       .      .      .
create_public_ticket      +     +     +     .       +        .       .      .      .
get_public_ticket         +     +     +     +       +        .       .      .      .
update_public_ticket      +     +     +     +       +        .       .      .      .
public_api_usage          +     .     .     .       .        .       .      .      .
list_webhook_deliveries   +     .     .     .       .        .       .      .      .
get_webhook_delivery      +     .     .     .       .        .       .      .      .
redeliver_webhook_delivery +    .     .     .       .        .       .      .      .
redeliver_webhook         +     .     .     .       .        .       .      .      .
test_webhook              +     .     .     .       .        .       .      .      .
rotate_webhook_secret     +     .     .     .       .        .       .      .      .
list_alerts               +     .     .     .       .        .       .      .      .
acknowledge_alert         +     .     .     .       .        .       .      .      .
list_mails                +     +     .     .       .        .       .      .      .
get_mail                  +     +     .     .       .        .       .      .      .
retry_mail                +     +     .     .       .        .       .      .      .
retry_mails               +     +     .     .       .        .       .      .      .
test_department_smtp      +     .     .     .       .        .       .      .      .
test_settings_smtp        +     .     .     .       .        .       .      .      .
make_backup               +     .     .     .       .        .       +      .      .
get_backup                +     .     .     .       .        .       +      .      .
list_received_mails       +     +     .     .       .        .       .      .      .
get_received_mail         +     +     .     .       .        .       .      .      .
download_received_mail    +     +     .     .       .        .       .      .      .
download_original_of_message +     +     .     .       .        .       .      .      .
replay_received_mail      +     +     .     .       .        .       .      .      .
delete_received_mail      +     +     .     .       .        .       .      .      .
test_department_imap      +     .     .     .       .        .       .      .      .
get_session               .     .     .     .       .        .       .      .      .
renew_session             .     .     .     .       .        .       .      .      .
log_out                   .     .     .     .       .        .       .      .      .
list_sessions             .     .     .     .       .        .       .      .      .
end_session               .     .     .     .       .        .       .      .      .
list_user_sessions        +     .     .     .       .        .       .      .      .
end_user_sessions         +     .     .     .       .        .       .      .      .
end_user_session          +     .     .     .       .        .       .      .      .
invite_user               +     .     .     .       .        .       .      .      .
get_own_factors           .     .     .     .       .        .       .      .      .
begin_totp                .     .     .     .       .        .       .      .      .
confirm_totp              .     .     .     .       .        .       .      .      .
disable_totp              .     .     .     .       .        .       .      .      .
renew_recovery_codes      .     .     .     .       .        .       .      .      .
list_passkeys             .     .     .     .       .        .       .      .      .
begin_passkey             .     .     .     .       .        .       .      .      .
add_passkey               .     .     .     .       .        .       .      .      .
rename_passkey            .     .     .     .       .        .       .      .      .
remove_passkey            .     .     .     .       .        .       .      .      .
get_user_factors          +     .     .     .       .        .       .      .      .
reset_user_factors        +     .     .     .       .        .       .      .      .
list_user_identities      +     .     .     .       .        .       .      .      .
unlink_user_identities    +     .     .     .       .        .       .      .      .
change_password           .     .     .     .       .        .       .      .      .
change_email              .     .     .     .       .        .       .      .      .
end_provider_login        .     .     .     .       .        .       .      .      .
list_own_logins           .     .     .     .       .        .       .      .      .
list_logins               +     .     .     .       .        .       .      .      .
list_user_logins          +     .     .     .       .        .       .      .      .
metrics                   +     .     .     .       .        +       .      .      .
"""
LOGGING_IN = {
    *("request_passkey_login", "log_in_with_passkey"),
    *("log_in_with_totp", "log_in_with_recovery_code"),
    *("log_in", "request_password_reset", "reset_password", "confirm_email", "register", "confirm_registration"),
}
"""What somebody does whom nobody knows yet."""
AT_A_PROVIDER = {"begin_provider_login", "finish_provider_login"}
"""The same, by a provider that there may not be."""
ALWAYS = {"healthz", "readyz", "version", "openapi", "docs", "configuration_schema", "list_login_providers"}
PUBLIC = {*ALWAYS, *LOGGING_IN, *AT_A_PROVIDER}


def _rows() -> dict[str, dict[str, str]]:
    lines = [line for line in TABLE.splitlines() if line.strip()]
    names = lines[0].split()
    rows = {}
    for line in lines[1:]:
        *words, marks = re.split(r"\s+(?=[+.] )", line.strip(), maxsplit=1)
        rows[words[0]] = dict(zip(names, marks.split(), strict=True))
    return rows


@pytest.mark.feature("F017", "F186")
def test_the_table_says_what_the_server_does(api: Api) -> None:
    rows = _rows()
    assert set(ROLES) == set(next(iter(rows.values()))) == {*SHIPPED_ROLES, "planner", "none"}
    assert {name.removesuffix(", dry") for name in rows} == {found.name for found in OPERATIONS} - PUBLIC
    api.apply("roles", name="planner", permissions=["configuration:plan"])
    api.apply("roles", name="none", permissions=[])
    clients = {role: api.as_user(f"is-{role}", roles=[role]) for role in ROLES}
    before = dump(api.desk)
    by_name = {operation.name: operation for operation in OPERATIONS}
    wrong = []
    for name, expected in rows.items():
        operation = by_name[name.removesuffix(", dry")]
        path = re.sub(r"\{\w+\}", "nothing", operation.path) + ("?dry_run=true" if name.endswith(", dry") else "")
        for role in ROLES:
            # nothing of it is valid, so that whoever is let through changes nothing
            answer = clients[role].request(operation.method, path, {} if operation.body else None)
            allowed = answer.status_code in {200, 404, 422}
            if allowed is not (expected[role] == "+") or (not allowed and answer.status_code != 403):
                wrong.append((name, role, answer.status_code))
    assert wrong == []
    assert dump(api.desk) == before


def test_without_a_key_only_what_is_public_answers(api: Api) -> None:
    nobody = Api(api.client, None, api.desk)
    for operation in OPERATIONS:
        path = re.sub(r"\{\w+\}", "nothing", operation.path)
        answer = nobody.request(operation.method, path, {} if operation.body else None)
        if operation.name in PUBLIC:
            expected = 422 if operation.name in LOGGING_IN else 404 if operation.name in AT_A_PROVIDER else 200
            assert answer.status_code == expected, operation.name
        else:
            assert answer.status_code == 401, operation.name
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")
            assert answer.get_json()["type"] == "urn:deskplane:problem:unauthenticated"


def test_a_refusal_names_the_permission_and_tells_nothing_else(api: Api) -> None:
    label = api.apply("labels", name="secret label")["after"]["id"]
    nobody = api.as_user("nobody")
    there = nobody.request("GET", f"/labels/{label}")
    missing = nobody.request("GET", "/labels/nothing")
    assert there.get_json()["missing_permission"] == "labels:manage"
    assert {**there.get_json(), "request_id": ""} == {**missing.get_json(), "request_id": ""}
    bad = nobody.request("POST", "/labels/apply", {"nonsense": 1})
    assert bad.status_code == 403, "who may not do it does not learn what is wrong with it"


def test_each_permission_that_is_asked_for_is_one_that_there_is() -> None:
    for operation in OPERATIONS:
        assert set(operation.permission) | set(operation.dry_permission) <= set(PERMISSIONS)
        asked = operation.public or operation.permission or operation.session
        assert asked, f"{operation.name} asks for nothing"


def test_who_may_only_plan_changes_nothing(api: Api) -> None:
    api.apply("roles", name="planner", permissions=["configuration:plan"])
    planner = api.as_user("planner", roles=["planner"])
    before = dump(api.desk)
    wanted = {
        "customers": {"name": "ACME", "features": {"public_api": True}},
        "users": {"username": "boss", "roles": ["admin"], "api_keys": [{"name": "x"}], "password": "long enough"},
        "roles": {"name": "all", "permissions": sorted(PERMISSIONS)},
        "settings": {"key": "numbering.prefix", "value": "OPS"},
    }
    for path, body in wanted.items():
        assert planner.apply(path, dry_run=True, **body)["changed"] is True
        assert planner.apply(path, status=403, **body)["missing_permission"]
    assert dump(api.desk) == before
