"""The endpoints of logging in with a provider, and out of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from deskplane.kernel import cookies
from deskplane.kernel.compound import described, object_schema
from deskplane.kernel.db import Database
from deskplane.kernel.logging import logger
from deskplane.kernel.operation import Between, Call, Cookie, Operation, Reply
from deskplane.kernel.problem import Problem, not_found
from deskplane.login import accounts, attempts
from deskplane.login import api as login_api
from deskplane.login.accounts import Accounts
from deskplane.login.api import REFUSALS, TAG, known
from deskplane.oidc import exchange, flow, id_tokens, people, providers
from deskplane.oidc.discovery import Discovery, Metadata
from deskplane.oidc.exchange import Person
from deskplane.oidc.flow import BASE, Back
from deskplane.oidc.id_tokens import Expected
from deskplane.oidc.providers import METHOD, Provider
from deskplane.oidc.refusals import Refused, bad_answer, denied, no_account, over
from deskplane.oidc.schemas import Beginning, Ended, ProviderEntry, Returning
from deskplane.people import login_events

NO_SUCH = "There is no such identity provider, or nobody logs in with it."
UNREACHABLE = "The identity provider does not answer as it should, or nobody said the desk's own address (public_url)."


@dataclass(frozen=True)
class LetIn:
    """Somebody whom a provider let in."""

    provider: Provider
    user_id: str
    return_to: str


def require(call: Call) -> Provider:
    """The provider that an address names. Raises 404."""
    found = providers.enabled(known(call)).get(call.path["provider"])
    if found is None:
        raise not_found("there is no such identity provider, or nobody logs in with it")
    return found


def _tell(provider: Provider, refused: Refused) -> Problem:
    """Writes into the log what the browser is not told, and answers what it is."""
    logger.warning("login refused", provider=provider.name, reason=refused.reason, detail=refused.detail)
    return refused.problem


def _note(call: Call, database: Database, provider: Provider, refused: Refused) -> None:
    """Writes into the login history what it was, in a transaction of its own."""
    detail = f"{provider.method}: {refused.reason}, {refused.detail}"
    database.run(
        lambda session: login_events.note(
            replace(call, session=session), "login_failed", refused.user_id, refused.username, detail
        ),
        write=True,
    )


class ProviderOperations:
    """The views, and what the process knows of providers."""

    def __init__(self, change: Accounts) -> None:
        self.accounts = change
        self.discovery = Discovery()

    def prepare_beginning(self, call: Call) -> Between:
        """Counts who asks, and finds out where to send him."""
        provider = require(call)
        flow.public_url(call)
        tries = attempts.beginnings(call)
        attempts.look(call, tries)

        def run(database: Database) -> tuple[Provider, Metadata]:
            attempts.count_apart(call, database, tries)
            try:
                return provider, self.discovery.metadata(call.outside, call.clock, provider.issuer)
            except Refused as refused:
                raise _tell(provider, refused) from None

        return Between(run)

    def begin(self, call: Call) -> Reply:
        """GET /oidc/{provider}/login"""
        known(call)
        provider, metadata = call.prepared
        begun = flow.begin(call, provider, metadata, call.query["return_to"])
        cookie = Cookie(cookies.PROVIDER_LOGIN, begun.browser, int(flow.LASTS.total_seconds()))
        return Reply(None, 303, {"Location": begun.location}, cookies=(cookie,))

    def prepare_finish(self, call: Call) -> Between:
        """Takes what was kept of the login, which stays taken whatever comes of it, and finds out who it is."""
        provider = require(call)
        back = flow.take(call, provider, call.query["state"], call.cookies.get(cookies.PROVIDER_LOGIN))
        if back is None:
            raise over()
        uri = flow.redirect_uri(call, provider)

        def run(database: Database) -> LetIn:
            try:
                person = self._identify(call, provider, back, uri)
                user_id = database.run(
                    lambda session: people.settle(replace(call, session=session), self.accounts, provider, person),
                    write=True,
                )
            except Refused as refused:
                _note(call, database, provider, refused)
                raise _tell(provider, refused) from None
            return LetIn(provider, user_id, back.return_to)

        return Between(run)

    def _identify(self, call: Call, provider: Provider, back: Back, redirect_uri: str) -> Person:
        """Who it is, as the provider says. Calls the network; raises Refused."""
        query, outside, clock = call.query, call.outside, call.clock
        metadata = self.discovery.metadata(outside, clock, provider.issuer)
        # who comes back from another provider than he was sent to (RFC 9207)
        if query["iss"] != provider.issuer and (query["iss"] is not None or metadata.sends_iss):
            raise bad_answer("mix_up", f"what came back is of {query['iss']!r}")
        if query["error"] is not None:
            raise denied(f"it said {query['error'][:100]!r}")
        if query["code"] is None:
            raise bad_answer("no_code", "what came back has neither code nor error")
        form = {"code": query["code"], "redirect_uri": redirect_uri, "code_verifier": back.secrets.verifier}
        tokens = exchange.redeem(outside, call.vault, provider, metadata, form)
        expected = Expected(provider.issuer, provider.client_id, back.secrets.nonce, metadata.algorithms, clock.now())
        claims = id_tokens.verified(
            tokens.id_token, expected, lambda fits: self.discovery.keys(outside, clock, provider.issuer, fits)
        )
        completed = exchange.completed(outside, provider, metadata, claims, tokens.access_token)
        return exchange.person(provider, completed)

    def finish(self, call: Call) -> Reply:
        """GET /oidc/{provider}/callback"""
        let_in: LetIn = call.prepared
        user = accounts.by_id(known(call), let_in.user_id)
        if user is None:  # a moment ago he was somebody
            raise _tell(let_in.provider, no_account("disabled", "the account was disabled meanwhile"))
        begun = login_api.begin_session(call, user, let_in.provider.method)
        location = flow.public_url(call) + let_in.return_to
        done = Cookie(cookies.PROVIDER_LOGIN, None)
        return Reply(None, 303, {"Location": location}, cookies=(*begun.cookies, done))

    def prepare_logout(self, call: Call) -> Between:
        """With which provider the session began, and what that has to log out by."""
        method = login_api.method_of(call).partition("+")[0]
        name = method.removeprefix(METHOD) if method.startswith(METHOD) else None
        provider = providers.enabled(call).get(name) if name is not None else None

        def run(_database: Database) -> tuple[Provider, str] | None:
            if provider is None:
                return None
            try:
                end = self.discovery.metadata(call.outside, call.clock, provider.issuer).end_session
            except Refused as refused:
                _tell(provider, refused)  # he is logged out here all the same
                return None
            return (provider, end) if end is not None else None

        return Between(run)

    def end(self, call: Call) -> Reply:
        """POST /oidc/logout"""
        ended, location = login_api.logout(call), None
        if call.prepared is not None:
            provider, end = call.prepared
            more = {"client_id": provider.client_id, "post_logout_redirect_uri": f"{flow.public_url(call)}/"}
            location = flow.with_query(end, more)
        return Reply({"location": location}, cookies=ended.cookies)


def list_providers(call: Call) -> Reply:
    """GET /oidc"""
    found = providers.enabled(known(call)).values()
    items = [{"name": one.name, "title": one.title, "login_url": f"{BASE}/{one.name}/login"} for one in found]
    return Reply({"items": items})


def operations(change: Accounts) -> Iterable[Operation]:
    """The operations of logging in with a provider."""
    views = ProviderOperations(change)
    entry = object_schema(described(ProviderEntry()), answer=True)
    listed: dict[str, Any] = {
        "type": "object",
        "required": ["items"],
        "properties": {"items": {"type": "array", "items": entry}},
    }
    yield Operation(
        "list_login_providers",
        "GET",
        BASE,
        list_providers,
        "With which identity providers one may log in",
        TAG,
        public=True,
        answers={200: ("Those that are enabled, by name.", listed)},
    )
    yield Operation(
        "begin_provider_login",
        "GET",
        f"{BASE}/{{provider}}/login",
        views.begin,
        "Log in with an identity provider",
        TAG,
        public=True,
        write=True,
        query=Beginning,
        prepare=views.prepare_beginning,
        answers={303: ("The browser is sent to the provider, and has ten minutes to come back.", None)},
        refusals={404: NO_SUCH, 409: UNREACHABLE, 429: REFUSALS[429]},
        description="To be opened in a browser. The setting C(public_url) must be set.",
    )
    yield Operation(
        "finish_provider_login",
        "GET",
        f"{BASE}/{{provider}}/callback",
        views.finish,
        "Come back from an identity provider",
        TAG,
        public=True,
        write=True,
        query=Returning,
        other_query=True,
        prepare=views.prepare_finish,
        prepare_writes=True,
        answers={303: ("A session begins, and the browser is sent to where it wanted to go.", None)},
        refusals={
            400: "It belongs to no login that this browser began within ten minutes and did not finish.",
            403: "The provider let nobody in, or what it said is not believed, or it is nobody who may log in here.",
            404: NO_SUCH,
            409: UNREACHABLE,
        },
        description="The redirect URI of the desk. Only providers make use of it.",
    )
    yield Operation(
        "end_provider_login",
        "POST",
        f"{BASE}/logout",
        views.end,
        "Log out, and learn where to log out of the identity provider",
        TAG,
        session=True,
        despite_expiry=True,
        write=True,
        prepare=views.prepare_logout,
        answers={200: ("The session is over.", object_schema(described(Ended()), answer=True))},
    )
