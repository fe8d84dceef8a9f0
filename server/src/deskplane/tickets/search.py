"""Full text: `q` of the list, for both databases.

A ticket's tokens (`tokens.py`) lie in `ticket_words`, written in the ticket's own transaction; SQLite looks them up in
the FTS5 table `ticket_search`, which triggers keep beside them, PostgreSQL in a GIN index over them. A question is one
tree of tokens, in two spellings, and the caller's rights are a branch of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Table,
    and_,
    bindparam,
    column,
    func,
    insert,
    literal_column,
    select,
    table,
    update,
)

from deskplane.customers.models import Contact
from deskplane.kernel import pagination
from deskplane.kernel.actor import Actor
from deskplane.kernel.db import execute
from deskplane.kernel.folding import words
from deskplane.kernel.kind import Written
from deskplane.kernel.problem import invalid_field
from deskplane.kernel.work import Work
from deskplane.people.models import User
from deskplane.tickets import queries, tokens
from deskplane.tickets.draft import Draft
from deskplane.tickets.models import Counter, TicketWords
from deskplane.tickets.queries import TICKETS, T

LONGEST = 200
MOST_WORDS = 20
PREFIX_FROM = 3
"""Letters from which on a word also finds those that it begins."""
RANKED = 1000
"""Of how many matches, the newest ones, the best are found."""
FEW = 5000
"""Up to how many matches are all found before they are sorted, where the database does not know how many there are."""
SCOPE = "tickets relevance"
"""What its cursors are bound to."""
MOST_PEOPLE = 100
"""A word that begins more usernames than this is looked for in texts only."""

_WORDS = cast(Table, TicketWords.__table__)
_FTS = table("ticket_search", column("rowid", BigInteger))


@dataclass(frozen=True)
class Node:
    """A branch of a question: all or any of its parts. A leaf is a token, with `*` behind it where it may go on."""

    all: bool
    parts: tuple[Node | str, ...]


def _all(*parts: Node | str) -> Node:
    return Node(True, parts)


def _any(*parts: Node | str) -> Node:
    return Node(False, parts)


def spelled(node: Node | str, *, sqlite: bool) -> str:
    """A question for FTS5, or as a tsquery. Every token is quoted, and none holds a quote."""
    if isinstance(node, str):
        token, star = node.removesuffix("*"), node.endswith("*")
        if sqlite:
            return f'"{token}"' + ("*" if star else "")
        return f"'{token}'" + (":*" if star else "")
    joint = (" AND " if node.all else " OR ") if sqlite else (" & " if node.all else " | ")
    return "(" + joint.join(spelled(part, sqlite=sqlite) for part in node.parts) + ")"


# -- writing ----------------------------------------------------------------------------------------------------------

_ENTER = insert(_WORDS)
_FOLLOW = update(_WORDS).where(_WORDS.c.ticket_id == bindparam("of_ticket")).values(head=bindparam("new_head"))
_HEAR = (
    update(_WORDS)
    .where(
        _WORDS.c.ticket_id == bindparam("of_ticket"),
        _WORDS.c.talk_bytes + bindparam("new_bytes") <= tokens.MOST_TALK,
    )
    .values(
        talk=_WORDS.c.talk.op("||")(bindparam("new_talk", type_=_WORDS.c.talk.type)),
        talk_bytes=_WORDS.c.talk_bytes + bindparam("new_bytes"),
    )
)
FOLLOWED = {"title", "description", "customer", "department", "assignee", "contact"}
"""Fields of a ticket whose change changes its tokens."""


_CONTACT = ("email", "first_name", "last_name")
_CONTACTS = cast(Table, Contact.__table__)


def head_of(columns: Mapping[str, Any], contact: Sequence[str] = ()) -> str:
    """The tokens of the ticket itself, as they are stored; `contact` are the texts that name its contact."""
    references = {field: columns[f"{field}_id"] for field in tokens.SCOPES}
    texts = (columns["title"], columns["description"], *contact)
    return tokens.head(columns["prefix"], columns["sequence"], texts, references)


def _head(work: Work, draft: Draft) -> str:
    contact_id = draft.columns["contact_id"]
    if contact_id is None:
        return head_of(draft.columns)
    named = select(*[_CONTACTS.c[name] for name in _CONTACT]).where(_CONTACTS.c.id == contact_id)
    return head_of(draft.columns, execute(work.session, named, {}).one())


def enter(work: Work, draft: Draft) -> None:
    """Makes a new ticket one that is found."""
    row = {"ticket_id": draft.columns["id"], "head": _head(work, draft), "talk": "", "talk_bytes": 0}
    execute(work.session, _ENTER, row)


def follow(work: Work, draft: Draft, changed: set[str]) -> None:
    """Lets a ticket be found as it is now, after these fields of it changed."""
    if FOLLOWED & changed:
        execute(work.session, _FOLLOW, {"of_ticket": draft.columns["id"], "new_head": _head(work, draft)})


def contacts_written(objects: Sequence[Written]) -> None:
    """Lets tickets be found by what their contacts are called now."""
    renamed = [
        written.id
        for written in objects
        if written.before is not None
        and written.after is not None
        and any(written.before[name] != written.after[name] for name in _CONTACT)
    ]
    if not renamed:
        return
    work = objects[0].work
    own = ("id", "prefix", "sequence", "title", "description", *[f"{field}_id" for field in tokens.SCOPES])
    names = [_CONTACTS.c[name].label(f"contact_{name}") for name in _CONTACT]
    of_them = (
        select(*[T[name] for name in own], *names)
        .join(_CONTACTS, _CONTACTS.c.id == T.contact_id)
        .where(T.contact_id.in_(renamed))
    )
    heads = [
        {"of_ticket": row["id"], "new_head": head_of(row, [row[f"contact_{name}"] for name in _CONTACT])}
        for row in map(dict, execute(work.session, of_them, {}).mappings())
    ]
    if heads:
        execute(work.session, _FOLLOW, heads)


def hear(work: Work, ticket_id: int, body: str, *, internal: bool) -> None:
    """Lets a ticket be found by a message that was written on it, as far as there is room."""
    said = tokens.talk(body, internal=internal)
    if said:
        sizes = {"of_ticket": ticket_id, "new_talk": said, "new_bytes": len(said.encode())}
        execute(work.session, _HEAR, sizes)


def hear_anew(work: Work, ticket_id: int, messages: Sequence[tuple[str, bool]]) -> None:
    """Lets a ticket be found by these messages (text, whether it is internal) and no other ones: after one was changed
    or taken away."""
    heard = tokens.conversation(messages)
    values = {"talk": heard, "talk_bytes": len(heard.encode())}
    execute(work.session, update(_WORDS).where(_WORDS.c.ticket_id == ticket_id).values(values), {})


# -- asking -----------------------------------------------------------------------------------------------------------


def asked_words(q: str) -> list[str]:
    """The words of a question, each once. Raises 422 where there is none, or there are too many."""
    found = list(dict.fromkeys(words(q)))
    if not found:
        raise invalid_field("q", "no_words", "holds no letter and no digit to look for")
    if len(found) > MOST_WORDS:
        raise invalid_field("q", "too_many_words", f"holds {len(found)} words, and may hold {MOST_WORDS}")
    return found


def _open_ended(word: str) -> str:
    return f"{word}*" if len(word) >= PREFIX_FROM else word


def begins(word: str, of: str) -> bool:
    """Whether a word of a question finds this word of a text."""
    return of.startswith(word) if len(word) >= PREFIX_FROM else of == word


def _people(work: Work) -> list[tuple[str, list[str]]]:
    """Every user's id with the words of his username. They stand in no ticket's tokens, so a new name takes no work."""

    def load() -> list[tuple[str, list[str]]]:
        return [(user_id, words(name)) for user_id, name in work.session.execute(select(User.id, User.username))]

    return work.keep("usernames in words", load)


def _finds(work: Work, word: str) -> Node:
    found: list[Node | str] = [_open_ended(word)]
    if work.actor.may("tickets:read_internal"):
        found.append(tokens.INTERNAL + _open_ended(word))
    people = [user for user, names in _people(work) if any(begins(word, name) for name in names)]
    if len(people) <= MOST_PEOPLE:
        found += [tokens.scope("assignee", user) for user in people]
    return _any(*found)


def _seen_by(actor: Actor) -> Node | None:
    """The rule of `queries.visible`, in tokens."""
    if actor.may("tickets:view_all") and actor.may("tickets:view_all_departments"):
        return None
    if actor.user_id is None:
        return _any(tokens.NO_TICKET)
    departments = [tokens.scope("department", one) for one in sorted(actor.departments)]
    both: list[Node | str] = []
    if not actor.may("tickets:view_all"):
        customers: list[Node | str] = [tokens.scope("customer", one) for one in sorted(actor.member_of)]
        if departments:
            customers.append(_all(tokens.scope("customer", None), _any(*departments)))
        both.append(_any(*customers))
    if not actor.may("tickets:view_all_departments"):
        both.append(_any(tokens.scope("department", None), *departments))
    own: list[Node | str] = [tokens.scope(field, actor.user_id) for field in ("reporter", "assignee")]
    # who is a member of nothing has an empty branch, which nothing would match: only his own are left
    return _any(*own, _all(*both)) if all(cast(Node, part).parts for part in both) else _any(*own)


def question(work: Work, q: str) -> str:
    """What the index is asked. Raises 422."""
    found: list[Node | str] = [_finds(work, word) for word in asked_words(q)]
    seen = _seen_by(work.actor)
    return spelled(_all(*found, *([seen] if seen is not None else [])), sqlite=work.is_sqlite)


def matching(work: Work, q: str) -> ColumnElement[bool]:
    """The condition that a ticket is among the matches, for a statement of any order."""
    where, ticket_id, match = _matches(work, q)
    few = _few(work, where, ticket_id, match)
    return T.id.in_(select(ticket_id).select_from(where).where(match)) if few is None else few


def _few(work: Work, where: Any, ticket_id: Any, match: ColumnElement[bool]) -> ColumnElement[bool] | None:
    """The condition that a ticket is one of a few matches; None where there are many.

    PostgreSQL believes of every word that is not among the most common ones that one ticket in a hundred holds it, and
    would look for it by walking through the tickets in the order asked for. Asked for no order it goes to the index.
    """
    if work.is_sqlite:  # where the index of words is always asked first, and answers in the order of ids
        return None
    some = select(ticket_id).select_from(where).where(match).limit(FEW + 1)
    ids = execute(work.session, some, {}).scalars().all()
    return T.id == func.any(bindparam(None, ids, type_=ARRAY(BigInteger))) if len(ids) <= FEW else None


def _matches(work: Work, q: str) -> tuple[Any, Any, ColumnElement[bool]]:
    asked: Any = bindparam(None, question(work, q))
    if work.is_sqlite:
        return _FTS, _FTS.c.rowid, literal_column("ticket_search").op("MATCH")(asked)
    together: Any = literal_column("(ticket_words.head || ticket_words.talk)")
    return _WORDS, _WORDS.c.ticket_id, together.op("@@")(asked.op("::")(literal_column("tsquery")))


_NUMBER = re.compile(r"(?:([A-Za-z][A-Za-z0-9]{0,9})-)?([0-9]{1,9})")


def _of_number(q: str) -> ColumnElement[bool] | None:
    """The condition on the ticket whose number this is: whole, or without its prefix."""
    found = _NUMBER.fullmatch(q.strip())
    if found is None:
        return None
    prefix = found[1].upper() if found[1] else None
    prefixes = T.prefix == prefix if prefix else T.prefix.in_(select(cast(Table, Counter.__table__).c.prefix))
    return and_(prefixes, T.sequence == int(found[2]))


def score(asked: Sequence[str], title: str) -> int:
    """How well a match fits: for each word 3 if it stands in the title, 2 if it begins one there, else nothing."""
    there = words(title)
    return sum(3 if word in there else 2 if any(begins(word, other) for other in there) else 0 for word in asked)


_BEST = 3 * MOST_WORDS + 1


def ranked(
    work: Work, query: Mapping[str, Any], conditions: Sequence[ColumnElement[bool]]
) -> tuple[Sequence[Any], str | None]:
    """A page of the best among the newest matches, as rows of `queries.SELECT`, and the cursor of the next one."""
    q, limit = query["q"], query["limit"]
    asked = asked_words(q)
    where, ticket_id, match = _matches(work, q)
    columns = select(T.id, T.title)
    few = _few(work, where, ticket_id, match)
    if few is None:
        newest = columns.select_from(where).join(TICKETS, ticket_id == T.id).where(match).order_by(ticket_id.desc())
    else:
        newest = columns.where(few).order_by(T.id.desc())
    newest = newest.where(*conditions).limit(RANKED)
    found = {row.id: score(asked, row.title) for row in execute(work.session, newest, {})}
    number = _of_number(q)
    if number is not None:
        found |= {row.id: _BEST for row in execute(work.session, columns.where(number, *conditions), {})}
    order = sorted(((points, ticket) for ticket, points in found.items()), reverse=True)
    if query["cursor"]:
        points, last = pagination.opened(query["cursor"], SCOPE, work.vault, 2)
        order = [entry for entry in order if entry < (points, last)]
    page = order[:limit]
    following = pagination.sealed(page[-1], SCOPE, work.vault) if len(order) > limit else None
    return queries.rows(work, [ticket for _, ticket in page]), following
