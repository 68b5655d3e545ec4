"""Units of declared rates, in every store that has them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from requests_authretry import FileStore
from requests_authretry._core.reservations import Ask, Book, reserve
from requests_authretry.testing import FakeClock
from tests.stores.test_contract import SLOW, about, made

if TYPE_CHECKING:
    from requests_authretry._core.reservations import Reserved, Units


@pytest.fixture(params=["file", "redis"])
def reserving(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Every store in turn that has units of declared rates."""
    return made(request.param, request, tmp_path)


HOUR, BUCKET = (10.0, 3600.0, None), (1.0, 400.0, 9.0)
"""A window and a bucket in which the seconds that a test takes do not count."""

ASKS: list[tuple[str, Units, Units, float, float]] = [
    ("A", (), (), 4.0, 1.0),
    ("B", ((-1800.0, 2.0), (-1790.0, 1.0), (-700.0, 0.5)), (), 5.0, 1.5),
    ("A", ((-1795.0, 1.0), (0.0, 2.0)), ((0.1, 1.0),), 2.0, 1.0),
    ("C", ((-7200.0, 3.0),), (), 9.0, 3.0),
    ("B", (), (), 0.0, 1.0),
    ("C", ((-0.1, 1.0),), (), 9.0, 0.5),
    ("A", (), (), 1.0, 1.0),
]
"""What three processes ask in turn: who, what was used, what is held, wanted and least."""


@pytest.mark.parametrize("terms", [HOUR, BUCKET], ids=["window", "bucket"])
def test_units_of_a_rate_are_reserved(
    reserving: Any, terms: tuple[float, float, float | None]
) -> None:
    """Each store gives as many units, at the same times, as the rule says."""
    book = Book()
    for holder, used, held, wanted, least in ASKS:
        ask = Ask(holder, *terms, used, held, wanted, least)
        expected, book = reserve(book, ask)
        answer = reserving.reserve("key", ask)
        assert flat(answer) == pytest.approx(flat(expected), abs=MOMENT)


MOMENT = 30.0
"""Seconds by which an answer may differ: no test takes so long."""


def flat(answer: Reserved) -> list[float]:
    """Return all numbers of an answer."""
    return [*(each for pair in answer.units for each in pair), answer.free_in]


def test_units_are_apart_from_slots_and_other_rates(reserving: Any) -> None:
    """One key has room for slots and a rate, and each key has a rate of its own."""
    all_of_it = Ask("A", *HOUR, (), (), 10.0, 1.0)
    reserving.take("key", SLOW, 1, 1)
    assert reserving.reserve("key", all_of_it).units == ((0.0, 10.0),)
    assert reserving.reserve("Key", all_of_it).units == ((0.0, 10.0),)
    assert reserving.reserve("key", all_of_it._replace(holder="B")).units == ()
    assert reserving.take("key", SLOW, 1, 1) == about(1e3)


def test_time_passes_for_a_rate(reserving: Any) -> None:
    """The one unit of 50 ms is free again soon."""
    ask = Ask("A", 1.0, 0.05, None, (), (), 1.0, 1.0)
    assert units_of(reserving.reserve("key", ask)) == 1.0
    for holder in range(10_000):
        if units_of(reserving.reserve("key", ask._replace(holder=f"B{holder}"))):
            return
    pytest.fail("it never was")


def units_of(answer: Reserved) -> float:
    """Return how many units were reserved."""
    return sum(units for _, units in answer.units)


OTHER_RELEASE = '{"kind": "rate", "version": 2}'


def test_the_rate_of_another_release_is_an_error(reserving: Any) -> None:
    """A record of another version is neither read nor replaced."""
    ask = Ask("A", *HOUR, (), (), 1.0, 1.0)
    reserving.reserve("key", ask)
    change_record(reserving, OTHER_RELEASE)
    for _ in range(2):
        with pytest.raises(OSError, match=r"another release|OTHER"):
            reserving.reserve("key", ask)


def change_record(store: Any, text: str) -> None:
    """Put a record of a rate in the place of the one that is there."""
    if isinstance(store, FileStore):
        path = Path(f"{store.path}.limits")
        records = json.loads(path.read_text())
        changed = {mark: dict.fromkeys(there, json.loads(text)) for mark, there in records.items()}
        path.write_text(json.dumps(changed))
        return
    client = store._redis()  # noqa: SLF001 (it has the address)
    for name in client.keys("*rate:*"):
        client.set(name, text)


@pytest.mark.parametrize("text", ["null", "7", '{"kind": "rate", "version": 1, "since": "x"}'])
def test_a_rate_that_somebody_has_changed_counts_as_none(tmp_path: Path, text: str) -> None:
    """What stands in a file in place of a record is replaced by the next one."""
    store = FileStore(tmp_path / "store.json")
    ask = Ask("A", *HOUR, (), (), 10.0, 1.0)
    store.reserve("key", ask)
    change_record(store, text)
    assert units_of(store.reserve("key", ask)) == 10.0
    assert units_of(store.reserve("key", ask._replace(holder="B"))) == 0.0


def test_a_rate_is_dropped_when_it_says_nothing_any_more(tmp_path: Path) -> None:
    """A window of a second is over two and a half seconds later; what else is there stays."""
    clock = FakeClock()
    store = FileStore(tmp_path / "store.json", clock)
    store.take("key", SLOW, 1, 1)
    ask = Ask("A", 10.0, 1.0, None, (), (), 1.0, 1.0)
    store.reserve("key", ask)
    clock.advance(2.6)
    store.reserve("other", ask)
    records = json.loads(Path(f"{store.path}.limits").read_text())["requests_authretry"]
    assert sorted(records) == ["rate other", "slots key"]


def test_a_clock_that_is_set_back_moves_nothing_ahead(tmp_path: Path) -> None:
    """All was used at the time of the last ask, by whatever clock: it is free a second later."""
    now, earlier = (FileStore(tmp_path / "store.json", FakeClock(each)) for each in (9e8, 8e8))
    ask = Ask("A", 10.0, 1.0, None, ((0.0, 10.0),), (), 1.0, 1.0)
    now.reserve("key", ask)
    assert earlier.reserve("key", ask._replace(used=())).free_in == 1.0
