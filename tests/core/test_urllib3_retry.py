"""Translating urllib3's `Retry` to our settings, and which header may become a token."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from urllib3.util import Retry

from requests_authretry import ConfigurationError, RetryPolicy
from requests_authretry._core.adopt import adopt_fault, adopts, static_token
from requests_authretry._core.http import IDEMPOTENT_METHODS
from requests_authretry._core.urllib3_retry import unheeded

AFTER = frozenset({413, 429, 503})
adopted = RetryPolicy.from_urllib3


@pytest.mark.parametrize(
    ("retry", "attempts"),
    [
        (0, 1),
        (False, 1),
        (True, 2),
        (3, 4),
        (-1, 1),
        (None, 4),
        (Retry(0, read=False), 1),
        (Retry(total=False), 1),
        (Retry(5), 6),
        (Retry(5, read=False), 6),
        (Retry(5, connect=0, read=0), 6),
        (Retry(10, connect=3, read=0), 4),
        (Retry(10, connect=2, read=3, status=1), 4),
        (Retry(2, connect=7), 3),
        (Retry(None, connect=4), 5),
        (Retry(None), 1_000_000),
        (Retry(5, connect=0, read=0, status=0), 1),
        (Retry(10**9), 1_000_000),
    ],
)
def test_the_counters_become_attempts(retry: Any, attempts: int) -> None:
    """The attempts are the highest counter that was set, within the total, plus the first one."""
    assert adopted(retry).max_attempts == attempts


@pytest.mark.parametrize(
    ("retry", "statuses"),
    [
        (3, AFTER),
        (0, frozenset()),
        (Retry(3, status_forcelist=[500]), AFTER | {500}),
        (Retry(3, status_forcelist=[500], respect_retry_after_header=False), {500}),
        (Retry(None, connect=3, status_forcelist=[500]), {500}),
        (Retry(3, status=0, status_forcelist=[500]), frozenset()),
        (Retry(3, status_forcelist={500, 999}), AFTER | {500}),
    ],
)
def test_the_statuses_are_those_it_retries(retry: Any, statuses: frozenset[int]) -> None:
    """The listed statuses count, and the Retry-After ones if there is a total and they count."""
    assert adopted(retry).statuses == statuses


def test_a_subclass_names_its_own_statuses() -> None:
    """The codes that are retried with a Retry-After are read from the subclass."""

    class Mine(Retry):
        RETRY_AFTER_STATUS_CODES = frozenset({420})

    assert adopted(Mine(3)).statuses == {420}


@pytest.mark.parametrize(
    ("retry", "methods"),
    [
        (3, IDEMPOTENT_METHODS),
        (Retry(3), IDEMPOTENT_METHODS),
        (Retry(3, allowed_methods=["POST", "get"]), {"POST"}),
        (SimpleNamespace(total=3, status_forcelist=(), allowed_methods="GET"), {"GET"}),
        (Retry(3, read=0, respect_retry_after_header=False), frozenset()),
        (Retry(3, read=0, status_forcelist=[500]), IDEMPOTENT_METHODS),
    ],
)
def test_the_methods_are_those_it_allows(retry: Any, methods: frozenset[str]) -> None:
    """Methods are compared in upper case; without read retries and statuses there are none."""
    assert adopted(retry).methods == methods


@pytest.mark.parametrize("allowed", [None, False])
def test_any_method_is_any_that_has_a_name(allowed: Any) -> None:
    """A `Retry` for any method allows POST, PATCH and the methods of WebDAV."""
    methods = adopted(Retry(3, allowed_methods=allowed)).methods
    assert {"POST", "PATCH", "PROPFIND", *IDEMPOTENT_METHODS} <= set(methods)


def test_a_name_of_old_counts_where_it_was_set() -> None:
    """The old name ``method_whitelist`` of urllib3 1.26 counts if it is set on the object."""
    retry = Retry(3)
    retry.__dict__["method_whitelist"] = ["POST"]
    assert adopted(retry).methods == {"POST"}


def test_a_429_allows_no_other_method() -> None:
    """A method that the `Retry` does not send again after a 429 is not sent again."""
    assert not adopted(3).any_method_on_429


def wire(**fields: Any) -> Any:
    """Make an object as some version of urllib3 would make it, with the fields that matter here."""
    return SimpleNamespace(total=6, status_forcelist=(), **fields)


@pytest.mark.parametrize(
    ("retry", "delays"),
    [
        (3, [0.0, 0.0, 0.0, 0.0]),
        (wire(backoff_factor=1), [0.0, 2.0, 4.0, 8.0]),
        (wire(backoff_factor=1, backoff_max=5), [0.0, 2.0, 4.0, 5.0]),
        (wire(backoff_factor=1, DEFAULT_BACKOFF_MAX=3), [0.0, 2.0, 3.0, 3.0]),
        (wire(backoff_factor=50), [0.0, 100.0, 120.0, 120.0]),
        (wire(backoff_factor=1, backoff_jitter=2.0), [0.0, 3.0, 5.0, 9.0]),
        (wire(backoff_factor=-1), [0.0, 0.0, 0.0, 0.0]),
        (wire(backoff_factor=1, backoff_max=float("inf")), [0.0, 2.0, 4.0, 8.0]),
    ],
)
@pytest.mark.parametrize("throttled", [False, True])
def test_the_waits_are_the_same(retry: Any, delays: list[float], throttled: bool) -> None:  # noqa: FBT001 (a table)
    """The waits are zero before the first retry, then doubled, then jittered, then bounded."""
    backoff = adopted(retry).backoff
    found = [backoff.delay(n, throttled=throttled, fraction=0.5) for n in (1, 2, 3, 4)]
    assert found == delays


def test_a_wait_after_very_many_retries_is_the_longest() -> None:
    """A power too large for a float gives the upper bound."""
    backoff = adopted(wire(backoff_factor=1, backoff_max=7)).backoff
    assert backoff.delay(10**6, throttled=False, fraction=0.0) == 7.0


@pytest.mark.parametrize(
    ("retry", "max_retry_after"),
    [
        (wire(), None),
        (wire(retry_after_max=90), 90.0),
        (wire(retry_after_max=float("inf")), None),
        (wire(retry_after_max=90, respect_retry_after_header=False), 120.0),
    ],
)
def test_a_retry_after_has_the_bound_it_had(retry: Any, max_retry_after: float | None) -> None:
    """The bound is retry_after_max, or the longest backoff if the Retry ignores the header."""
    assert adopted(retry).max_retry_after == max_retry_after


@pytest.mark.parametrize("retry", [3, wire(retry_after_max=86_400), Retry(2, backoff_factor=30)])
def test_every_wait_fits_the_deadline(retry: Any) -> None:
    """The deadline has room for four of the longest waits of each kind, and slow answers."""
    policy = adopted(retry)
    longest = max(policy.max_retry_after or 21_600.0, policy.backoff.max_delay)
    assert policy.deadline > (policy.max_attempts - 1) * longest + 600


def test_the_deadline_is_a_time_limit_that_systems_take() -> None:
    """The deadline is a week if the retries have no end."""
    assert adopted(Retry(None)).deadline == 604_800.0


def test_changes_come_last() -> None:
    """A field that the caller names gets that value; other fields come from the `Retry`."""
    policy = adopted(3, deadline=30.0, any_method_on_429=True)
    assert policy == replace(adopted(3), deadline=30.0, any_method_on_429=True)
    with pytest.raises(ConfigurationError):
        adopted(3, deadline=-1.0)


@pytest.mark.parametrize("nonsense", ["3", 3.0, object(), Retry])
def test_what_is_no_retry_is_refused(nonsense: object) -> None:
    """The message for another value names the values that an adapter accepts."""
    with pytest.raises(ConfigurationError, match=r"a number, a bool or None|takes a collection"):
        adopted(nonsense)


class Patient(Retry):
    """A `Retry` that overrides a rule."""

    def get_backoff_time(self) -> float:
        """Return the same wait each time."""
        return 9.0


class Plain(Retry):
    """A `Retry` that only adds a method."""

    def describe(self) -> str:
        """Do something that urllib3 never calls."""
        return "plain"


@pytest.mark.parametrize(
    ("retry", "lost"),
    [
        (3, ()),
        (Plain(3, raise_on_status=False), ()),
        (Patient(3, raise_on_status=False), ("methods of its own (get_backoff_time)",)),
        (
            Retry(5, connect=2, raise_on_status=False),
            ("a count for each kind of failure",),
        ),
        (Retry(3), ("RetryError after the last status",)),
        (Retry(3, raise_on_status=False, status_forcelist=[202]), ("statuses below 400",)),
        (
            Retry(3, raise_on_status=False, respect_retry_after_header=False),
            ("deafness to Retry-After",),
        ),
        (SimpleNamespace(total=3, status_forcelist=()), ()),
    ],
)
def test_what_has_no_counterpart_is_named(retry: Any, lost: tuple[str, ...]) -> None:
    """Only rules that would silently change are named; attributes of a subclass are read."""
    assert unheeded(retry) == lost


@pytest.mark.parametrize(
    ("header", "parts"),
    [
        ("Bearer abc", ("Bearer", "abc")),
        ("bearer a.b-c_d~e+f/g==", ("bearer", "a.b-c_d~e+f/g==")),
        (b"Basic YWRhOmI=", ("Basic", "YWRhOmI=")),
        ("token abc", ("token", "abc")),
        ("OAuth abc", ("OAuth", "abc")),
    ],
)
def test_a_scheme_and_a_token68_are_static(header: object, parts: tuple[str, str]) -> None:
    """The token has exactly the bytes of the header (RFC 9110 section 11.2)."""
    token = static_token(header)
    assert token is not None
    assert (token.scheme, token.value) == parts
    assert token.authorization == (header.decode() if isinstance(header, bytes) else header)


@pytest.mark.parametrize(
    "header",
    [
        *("", "abc", "Bearer", "Bearer ", "Bearer  abc", "Bearer a b", "Bearer abc\n", None, 7),
        *('Digest realm="x"', "OAuth oauth_nonce=a, oauth_signature=b", "AWS key:signature"),
        *("AWS4-HMAC-SHA256 Credential=a, Signature=b", "SharedKey account:c2ln"),
        *("DPoP abc", "Negotiate YIIabc==", "NTLM TlRM", "kerberos YII", b"\xff abc"),
        *("Digest abc", "hmac c2ln", "AWS4-HMAC-SHA256 c2ln"),
    ],
)
def test_everything_else_is_the_callers(header: object) -> None:
    """Signatures, proofs, handshakes and other texts are not static tokens."""
    assert static_token(header) is None


@pytest.mark.parametrize(
    ("adopt", "names"),
    [
        (False, set()),
        (True, {"authorization", "retries"}),
        (["retries"], {"retries"}),
        ((), set()),
    ],
)
def test_a_setting_adopts_what_it_names(adopt: Any, names: set[str]) -> None:
    """The setting `adopt` takes over the names in it; a bool means both."""
    assert {name for name in ("authorization", "retries") if adopts(adopt, name)} == names
    assert adopt_fault(adopt, has_token=False) is None


@pytest.mark.parametrize(
    ("adopt", "has_token", "fault"),
    [
        (("authorization",), True, None),
        (("authorization",), False, "no token could take its place"),
        (("retries", "x", 7), True, "not 'x', 7"),
        ("retries", True, "write ['retries']"),
        (7, True, "takes a collection, not int"),
        (iter(()), True, "takes a collection, or True or False"),
    ],
)
def test_a_fault_is_named(adopt: Any, has_token: bool, fault: str | None) -> None:  # noqa: FBT001 (a table)
    """Unknown names, a header that no token replaces, and a value of another type are faults."""
    found = adopt_fault(adopt, has_token=has_token)
    assert found is None if fault is None else fault in (found or "")
