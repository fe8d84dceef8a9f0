"""Why somebody is not let in: one answer to his browser, which tells nothing of the provider; all of it to the log."""

from __future__ import annotations

from deskplane.kernel.problem import Problem


class Refused(Exception):
    """A login that is not let through.

    `reason` is a word for the log and the login history; `detail` what it was, in words, and holds nothing secret;
    `problem` what the browser is answered; `user_id` and `username` whose account it is, where that is known.
    """

    def __init__(
        self, reason: str, detail: str, problem: Problem, user_id: str | None = None, username: str | None = None
    ) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
        self.problem = problem
        self.user_id = user_id
        self.username = username


ASK = "ask whoever runs this desk"


def over() -> Problem:
    """What came back belongs to no login of this browser."""
    return Problem(
        400,
        "login_over",
        "this login was begun in another browser, was finished already, or took longer than ten minutes; begin anew",
    )


def bad_answer(reason: str, detail: str) -> Refused:
    """The provider said what cannot be believed."""
    text = f"the identity provider's answer was not accepted; try again, and if that does not help, {ASK}"
    return Refused(reason, detail, Problem(403, "login_refused", text))


def denied(detail: str) -> Refused:
    """The provider let nobody in."""
    return Refused("denied", detail, Problem(403, "login_denied", "the identity provider did not let you in"))


def no_account(reason: str, detail: str, user_id: str | None = None, username: str | None = None) -> Refused:
    """The provider says who it is, and he has nothing here to log in to. Which of the reasons it is he is not told."""
    problem = Problem(403, "no_account", f"you have no account here that may log in; {ASK}")
    return Refused(reason, detail, problem, user_id, username)


def unreachable(detail: str) -> Refused:
    """The provider does not answer, or not as one does."""
    text = f"the identity provider does not answer as it should; try again later, and if that does not help, {ASK}"
    # no 5xx: this server is well, and whoever watches it need not get up
    return Refused("unreachable", detail, Problem(409, "provider_unreachable", text))
