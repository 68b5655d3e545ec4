"""Each dialect end to end on loopback: throttled, expired and final, each by the API's own means.

The tables say which answers of which API mean what. Where an API says it as the standards do, and
its dialect has no rule for it, the same is tested with that answer.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, NamedTuple

import pytest
import requests

from requests_authretry import CoolingDown, Dialect, Header, RetryPolicy, Settings, attempts, mount
from requests_authretry._core.classify import Meaning
from requests_authretry._core.dialect import matching
from requests_authretry.dialects import named
from requests_authretry.testing import DialectServer, FakeClock

if TYPE_CHECKING:
    from requests_authretry._core.dialect_format import Sample

SAMPLES_SENT = 1772452800.0
"""What the `Date` of the samples says."""

APIS = {
    "anthropic",
    "discord",
    "github",
    "gitlab",
    "google",
    "jira",
    "microsoft-graph",
    "openai",
    "salesforce",
    "shopify",
    "slack",
    "telegram",
}
"""The APIs below. A dialect that is added is tested with its samples, see `test_calls`."""

A_BACKOFF = 0.5
"""The backoff after a refusal that names no time, with the jitter in the middle."""


class Row(NamedTuple):
    """An answer of an API, and what is to come of it.

    Attributes:
        api: The name of the dialect.
        sample: What the answer is, as the samples of the dialect name it.
        wait: Seconds until the request is sent again; None where it is not.
        limit: The name of the limit that is closed; "" where the endpoint is.
        has_rule: Whether a rule of the dialect says so; otherwise the status does.
    """

    api: str
    sample: str
    wait: float | None = None
    limit: str = ""
    has_rule: bool = True

    @property
    def answer(self) -> Sample:
        """The answer."""
        return next(each for each in named(self.api).samples if each.what == self.sample)


class Done(NamedTuple):
    """What a call did, and what its record says.

    Attributes:
        statuses: The status of each request.
        credentials: The credential of each request.
        waits: Seconds of each wait.
        limits: The names of the limits that were closed, "" for an endpoint.
        why: What the record says of the first attempt.
    """

    statuses: list[int | None]
    credentials: list[str | None]
    waits: list[float]
    limits: list[str]
    why: str


THROTTLED = [
    Row(
        "anthropic",
        "a rate limit, whose headers the general reading understands",
        12,
        has_rule=False,
    ),
    Row("discord", "the limit of a route", 64.57),
    Row("discord", "the global limit", A_BACKOFF, "global"),  # of 0.35 s and 0.5 s
    Row("github", "secondary limit, no time", 60),
    Row("github", "secondary limit with Retry-After", 90),
    Row("github", "GraphQL, secondary limit", 60),
    Row("github", "GraphQL, no points left", 300, "graphql"),
    Row("github", "GraphQL, the limit of a query's cost, with points left", 60),
    Row("gitlab", "the limit of all requests, as plain text", 30, "throttle_authenticated_api"),
    Row(
        "gitlab",
        "the limit of an endpoint, without a time and with the fields of another limit",
        60,
    ),
    Row("google", "the limit of a user", A_BACKOFF),
    Row("google", "the minute's quota", 45.5),
    Row("jira", "the points of an hour are spent", 1847, "jira-quota-global-based"),
    Row("jira", "too many changes of an issue, without Retry-After", 20),
    Row("microsoft-graph", "too much bandwidth", A_BACKOFF),
    Row("openai", "a rate limit, whose headers the general reading understands", 1, has_rule=False),
    Row("salesforce", "too many at once", A_BACKOFF),
    Row("shopify", "too few points", 2),
    Row("slack", "ratelimited in a 200", 30),
    Row("telegram", "too many messages", 8),
]
"""Requests came too fast: the library waits as long as the API says, and sends it again."""

EXPIRED = [
    Row("anthropic", "a refused credential, as any 401", has_rule=False),
    Row("discord", "a refused token, as any 401", has_rule=False),
    Row("github", "a refused token, as any 401", has_rule=False),
    Row("gitlab", "an expired token"),
    Row("google", "an expired token, as any 401", has_rule=False),
    Row("jira", "an expired token, as any 401", has_rule=False),
    Row("microsoft-graph", "an expired token, as any 401", has_rule=False),
    Row("openai", "a wrong key, as any 401", has_rule=False),
    Row("salesforce", "an expired session"),
    Row("shopify", "a refused token, as any 401", has_rule=False),
    Row("slack", "expired"),
]
"""The token is renewed, and the request replayed once. Telegram's tokens stand in the path, so that
no renewal changes them: its 401 is final."""

FINAL = [
    Row("anthropic", "the month's limit"),
    Row("discord", "a permission is missing", has_rule=False),
    Row("github", "a permission is missing", has_rule=False),
    Row("gitlab", "impersonation is off"),
    Row("google", "the day's quota"),
    Row("google", "the day's quota, in an array"),
    Row("google", "a kind of token that is not taken"),
    Row("jira", "a scope is missing"),
    Row("microsoft-graph", "a permission is missing, final as any 403", has_rule=False),
    Row("openai", "no credit"),
    Row("openai", "the quota is used up"),
    Row("salesforce", "no requests left for today"),
    Row("shopify", "a scope is missing, final as any 403", has_rule=False),
    Row("slack", "a revoked token, which no renewal cures"),
    Row("telegram", "a revoked token"),
]
"""Neither another request nor another token is a cure: the answer is handed out at once."""


BEARER = Header("Authorization", "Bearer {token}")


def name_of(row: Row) -> str:
    """Name a row in reports."""
    return f"{row.api}, {row.sample}"


def driven(dialect: Dialect, sample: Sample) -> Done:
    """Send the request of a sample to a server that gives this answer, then a success."""
    tokens, cooled = (f"token-{number}" for number in count(1)), list[CoolingDown]()
    placement = dialect.placement
    field = placement if isinstance(placement, Header) else BEARER
    clock = FakeClock(now=SAMPLES_SENT, random=lambda: 0.5)

    def listen(event: object) -> None:
        if isinstance(event, CoolingDown):
            cooled.append(event)

    with DialectServer(dialect, sample.what) as server, requests.Session() as session:
        session.trust_env = False
        settings = Settings(
            dialects=[dialect],
            token=tokens.__next__,
            token_in=field,
            origins=[server.url],
            clock=clock,
            listeners=[listen],
            retry=RetryPolicy(deadline=3600),
        )
        with mount(session, settings):
            response = session.request(sample.method, f"{server.url}{sample.path}", data=b"a")
    made = attempts(response)
    return Done(
        [each.status for each in made],
        [each.headers.get(field.name) for each in server.received],
        clock.sleeps,
        [each.policy for each in cooled],
        made[0].why,
    )


def sent_with(row: Row, *tokens: str) -> list[str]:
    """Return the credentials of requests with these tokens, as the API takes them."""
    placement = named(row.api).placement
    form = placement.value if isinstance(placement, Header) else BEARER.value
    return [form.replace("{token}", token) for token in tokens]


@pytest.mark.parametrize("row", THROTTLED, ids=name_of)
def test_a_throttled_call_waits_as_the_api_says(row: Row) -> None:
    """GitHub's secondary limit names no time: the call waits a minute, and succeeds."""
    done = driven(named(row.api), row.answer)
    assert done.statuses == [row.answer.status, 200]
    assert done.credentials == sent_with(row, "token-1", "token-1")
    assert done.waits == [row.wait]
    assert done.limits == ([row.limit] if row.wait != A_BACKOFF or row.limit else [])
    assert done.why.startswith("throttled")
    assert (f"dialect {row.api}" in done.why) is row.has_rule


@pytest.mark.parametrize("row", EXPIRED, ids=name_of)
def test_an_expired_token_is_renewed_and_the_request_replayed_once(row: Row) -> None:
    """Salesforce's 401 and Slack's 200 alike: another token, no wait, and a success."""
    done = driven(named(row.api), row.answer)
    assert done.statuses == [row.answer.status, 200]
    assert done.credentials == sent_with(row, "token-1", "token-2")
    assert done.waits == []
    assert done.why.startswith("token renewed")
    assert (f"dialect {row.api}" in done.why) is row.has_rule


@pytest.mark.parametrize("row", FINAL, ids=name_of)
def test_a_final_answer_is_handed_out_at_once(row: Row) -> None:
    """OpenAI's 429 without credit: one request, no wait, no other token."""
    done = driven(named(row.api), row.answer)
    assert done.statuses == [row.answer.status]
    assert done.credentials == sent_with(row, "token-1")
    assert (done.waits, done.limits) == ([], [])
    assert done.why.startswith("final answer")
    assert (f"dialect {row.api}" in done.why) is row.has_rule


@pytest.mark.parametrize(
    "row", [each for each in (*THROTTLED, *EXPIRED, *FINAL) if each.has_rule], ids=name_of
)
def test_each_row_depends_on_its_rule(row: Row) -> None:
    """Without the rule that decides about the answer the call does something else."""
    dialect = named(row.api)
    rule, _ = matching(dialect.rules, row.answer.answer("https://api.test"))
    rules = tuple(each for each in dialect.rules if each is not rule)
    assert driven(replace(dialect, rules=rules), row.answer) != driven(dialect, row.answer)


def test_each_api_is_throttled_expired_and_final() -> None:
    """Each has a row in each table."""
    assert {row.api for row in THROTTLED} == {row.api for row in FINAL} == APIS
    assert {row.api for row in EXPIRED} == APIS - {"telegram"}


@pytest.mark.parametrize("api", sorted(APIS))
def test_each_rule_of_these_apis_has_a_row(api: str) -> None:
    """GitHub has four rules for refusals, and each of them decides about an answer above."""
    rows = (row.answer for row in (*THROTTLED, *EXPIRED, *FINAL) if row.api == api)
    rules = named(api).rules
    decided = [matching(rules, each.answer("https://api.test"))[0] for each in rows]
    kinds = {Meaning.THROTTLED, Meaning.TOKEN_EXPIRED, Meaning.FINAL}
    assert [rule.what for rule in rules if rule.meaning in kinds and rule not in decided] == []
