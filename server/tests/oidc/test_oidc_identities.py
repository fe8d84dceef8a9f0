"""Who somebody is at identity providers, and how that is taken away."""

from __future__ import annotations

from typing import Any

from played_provider import log_in, playing

from conftest import Api, TurnedClock
from contract.test_openapi import check
from login_help import Browser, events, mails, set_up_mail

GROUP_ROLES = [{"group": "desk", "role": "agent"}, {"group": "bosses", "role": "admin"}]


def identities(api: Api, user_id: str) -> list[dict[str, Any]]:
    path = f"/users/{user_id}/identities"
    answer = api.request("GET", path)
    check("GET", f"/api/v1{path}", answer)
    assert answer.status_code == 200
    items: list[dict[str, Any]] = answer.get_json()["items"]
    return items


def test_who_is_somebody_else_at_the_provider_now_is_unlinked_and_linked_anew(
    api: Api, clock: TurnedClock, mia: str
) -> None:
    set_up_mail(api)
    with playing(api, clock, link_by_email=True, create_users=False, group_roles=GROUP_ROLES[1:]) as provider:
        browser = Browser(api)
        assert log_in(provider, browser, groups=["bosses"]).status_code == 303
        (one,) = identities(api, mia)
        assert one == {"issuer": provider.issuer, "subject": "1001", "linked_at": "2026-03-02T09:00:00Z"}
        assert log_in(provider, Browser(api), sub="2002").status_code == 403, "there is another one already"
        path = f"/users/{mia}/identities"
        answer = api.request("DELETE", path)
        check("DELETE", f"/api/v1{path}", answer)
        assert (answer.status_code, identities(api, mia)) == (204, [])
        browser.call("GET", "/session", status=401)
        (user,) = api.call("GET", "/users?username=mia")["items"]
        assert user["roles"] == ["agent"], "what his groups gave is gone; what he had by hand stays"
        line = api.call("GET", "/logins?username=mia&event=identities_unlinked")["items"][0]
        assert (line["actor"], line["detail"]) == ("root", provider.issuer)
        entry = api.call("GET", "/audit?kind=identity&limit=1")["items"][0]
        key = {"user": "mia", "issuer": provider.issuer, "subject": "1001"}
        assert (entry["who"], entry["action"], entry["key"]) == ("root", "delete", key)
        assert mails(api, "mia@example.org")[-1].subject == "You log in with an identity provider no more"
        before = (len(mails(api)), events(api))
        api.call("DELETE", path, status=204)
        assert (len(mails(api)), events(api)) == before, "of who has none nothing is said"
        assert log_in(provider, Browser(api), sub="2002").status_code == 303
        assert [one["subject"] for one in identities(api, mia)] == ["2002"]


def test_nobody_unlinks_who_may_more_nor_without_the_right_nor_the_last_administrator(
    api: Api, clock: TurnedClock
) -> None:
    with playing(api, clock, group_roles=GROUP_ROLES) as provider:
        log_in(provider, Browser(api), groups=["bosses"])
        (user,) = api.call("GET", "/users?username=mia")["items"]
        path = f"/users/{user['id']}/identities"
        api.apply("roles", name="keeper", permissions=["users:manage"])
        keeper = api.as_user("keeper", roles=["keeper"])
        assert keeper.call("DELETE", path, status=403)["type"].endswith("beyond_yours")
        agent = api.as_user("tom", roles=["agent"])
        for method in ("GET", "DELETE"):
            agent.call(method, path, status=403)
            api.call(method, "/users/nothing/identities", status=404)
        boss = Browser(api)
        log_in(provider, boss, groups=["bosses"])
        boss.csrf = boss.call("GET", "/session")["csrf_token"]
        api.apply("users", username="root", enabled=False)
        refused = boss.send("DELETE", path)
        check("DELETE", f"/api/v1{path}", refused)
        assert refused.get_json()["type"].endswith("last_administrator"), refused.get_json()
        assert [one["subject"] for one in boss.call("GET", path)["items"]] == ["1001"], "nothing is half done"
