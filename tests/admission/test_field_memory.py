"""The rate-limit fields that servers told last, so that the same fields are not read again."""

from __future__ import annotations

import pytest

from requests_authretry._admission.field_memory import FieldMemory
from requests_authretry._core.bounds import FIELD
from requests_authretry._core.records import Limit
from requests_authretry._core.scope import Scope

API = "https://api.test"
URL = f"{API}/orders"
SCOPE, OTHER = Scope(API, "", "minute"), Scope(API, "", "day")
FIELDS = {"X-RateLimit-Remaining": "40"}
PLENTY = Limit(60.0, 60.0, "minute", 100.0)
SHORT = Limit(40.0, 60.0, "minute", 100.0)
"""Less than half is left: twenty requests are free, because a job may go on for twice as long."""


def remembering(limits: dict[Scope, list[Limit]], url: str = URL) -> FieldMemory:
    """Return a memory of one answer."""
    memory = FieldMemory()
    for scope in limits:
        memory.count(scope, 0, 0.0, 60.0)
    memory.remember(url, FIELDS, limits, 0.0)
    return memory


def passed_over(memory: FieldMemory, most: int = 2000, url: str = URL) -> int:
    """Return how many answers with the same fields need not be read before one is."""
    return next(number for number in range(most) if not memory.is_old(url, FIELDS, 0.0))


def test_a_first_answer_is_read() -> None:
    """Nothing is known of an origin before its first answer."""
    assert not FieldMemory().is_old(URL, FIELDS, 0.0)


def test_the_same_fields_are_not_read_again_at_any_path_of_the_origin() -> None:
    """An answer of /items that tells the same as one of /orders is old; another origin's is not."""
    memory = remembering({SCOPE: [PLENTY]}, f"{API}/orders/17/lines")
    assert memory.is_old(f"{API}/items/18?page=2", FIELDS, 0.0)
    assert not memory.is_old("https://api.test.example/orders", FIELDS, 0.0)
    assert not memory.is_old("http://api.test/orders", FIELDS, 0.0)
    assert remembering({}, "http://a/orders/17").is_old("http://a/items", FIELDS, 0.0)


def test_other_fields_are_read() -> None:
    """An answer with another value is read, and so is the next one, until one is remembered."""
    memory = remembering({SCOPE: [PLENTY]})
    assert not memory.is_old(URL, {"X-RateLimit-Remaining": "39"}, 0.0)
    assert not memory.is_old(URL, FIELDS, 0.0)


def test_a_thousand_answers_are_passed_over_while_plenty_is_left() -> None:
    """With more than half of the limit left, the answer after 1000 equal ones is read."""
    memory = remembering({SCOPE: [PLENTY]})
    assert passed_over(memory) == 1000
    assert memory.used(SCOPE, 0.0) == 0


def test_an_answer_is_read_again_before_a_limit_has_to_be_kept() -> None:
    """With 40 of 100 left, twenty answers are passed over and counted, and then none is."""
    memory = remembering({SCOPE: [SHORT], OTHER: [PLENTY]})
    assert passed_over(memory) == 20
    assert (memory.used(SCOPE, 0.0), memory.used(OTHER, 0.0)) == (20, 0)
    memory.remember(URL, FIELDS, {SCOPE: [SHORT]}, 0.0)
    assert passed_over(memory) == 0


def test_the_limit_that_is_nearest_counts() -> None:
    """Twenty requests of one limit and thirty of another are free: twenty answers are passed."""
    assert passed_over(remembering({OTHER: [Limit(60.0, 9.0, "day")], SCOPE: [SHORT]})) == 20


def test_requests_that_were_passed_over_count_when_the_fields_change() -> None:
    """Three answers were the same and the fourth tells more: three requests are counted, once."""
    memory = remembering({SCOPE: [SHORT], OTHER: [SHORT]})
    assert [memory.is_old(URL, FIELDS, 0.0) for _ in range(3)] == [True] * 3
    assert memory.used(SCOPE, 0.0) == 0
    assert [memory.is_old(URL, {}, 0.0) for _ in range(2)] == [False] * 2
    assert (memory.used(SCOPE, 0.0), memory.used(OTHER, 0.0)) == (3, 3)


def test_counts_add_up_and_last_as_long_as_the_window() -> None:
    """Two and three requests are five; when the window of 60 s ends, none is counted."""
    memory = FieldMemory()
    memory.count(SCOPE, 2, 0.0, 60.0)
    memory.count(SCOPE, 3, 10.0, 50.0)
    assert memory.used(SCOPE, 59.0) == 5
    assert memory.used(SCOPE, 60.0) == 0


def test_requests_of_ten_thousand_limits_are_counted() -> None:
    """Of 10 001 limits, the requests of the one that was counted first are forgotten."""
    memory = FieldMemory()
    for number in range(10_001):
        memory.count(Scope(API, "", f"{number}"), 1, 0.0, 60.0)
    used = [memory.used(Scope(API, "", f"{number}"), 0.0) for number in (0, 1, 10_000)]
    assert used == [0, 1, 1]


@pytest.mark.parametrize(("length", "is_old"), [(FIELD, True), (FIELD + 1, False)])
def test_long_fields_are_not_remembered(
    length: int,
    is_old: bool,  # noqa: FBT001 (a column of the table)
) -> None:
    """Fields with more than a thousand characters together are read each time."""
    memory = FieldMemory()
    fields = {"a": "1" * (length - 400), "b": "1" * 400}
    memory.remember(URL, fields, {SCOPE: [PLENTY]}, 0.0)
    assert memory.is_old(URL, fields, 0.0) is is_old


def test_the_fields_of_a_thousand_origins_are_remembered() -> None:
    """With the thousand and first origin all others are forgotten."""
    memory = FieldMemory()
    urls = [f"https://{number}.test/" for number in range(1001)]
    for url in urls[:1000]:
        memory.remember(url, FIELDS, {}, 0.0)
    assert memory.is_old(urls[0], FIELDS, 0.0)
    memory.remember(urls[1000], FIELDS, {}, 0.0)
    assert [memory.is_old(url, FIELDS, 0.0) for url in urls] == [False] * 1000 + [True]


def test_after_clear_every_answer_is_read() -> None:
    """What the last answer told is forgotten once a new limit is known."""
    memory = remembering({SCOPE: [PLENTY]})
    memory.clear()
    assert not memory.is_old(URL, FIELDS, 0.0)


class Racing(dict[str, str]):
    """Fields that another thread forgets while they are compared."""

    memory: FieldMemory

    def __eq__(self, other: object) -> bool:
        """Compare as a dictionary does, after the other thread was there."""
        self.memory.clear()
        return super().__eq__(other)

    __hash__ = None  # as a dictionary has none


def test_fields_that_another_thread_forgets_meanwhile_count_once() -> None:
    """Two threads find that the fields have changed: the one that comes second counts nothing."""
    fields = Racing({"X-RateLimit-Remaining": "39"})
    fields.memory = memory = remembering({SCOPE: [SHORT]})
    assert memory.is_old(URL, FIELDS, 0.0)
    assert not memory.is_old(URL, fields, 0.0)
    assert memory.used(SCOPE, 0.0) == 0


def test_each_unix_socket_has_a_memory_of_its_own() -> None:
    """What the socket a told is no reason to pass over the same fields of the socket b."""
    memory = remembering({SCOPE: [SHORT]}, "http+unix://%2Fa.sock/info")
    assert not memory.is_old("http+unix://%2Fb.sock/info", FIELDS, 0.0)
