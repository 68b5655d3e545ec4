"""Tables: dictionaries that are bounded by number and by age."""

from __future__ import annotations

from requests_authretry._admission.table import Table


def filled(*keys: str, most: int = 3, seconds: float = 10.0, at: float = 0.0) -> Table[str, str]:
    """Return a table in which the value of each key is the key in capitals."""
    table: Table[str, str] = Table(most, seconds)
    for key in keys:
        table.put(key, key.upper(), at)
    return table


def test_an_entry_has_the_value_that_was_put_in_last() -> None:
    """The second value of ``a`` takes the place of the first one."""
    table = filled("a")
    table.put("a", "second", 1.0)
    assert (table.get("a", 1.0, ""), len(table)) == ("second", 1)
    assert table.get("b", 1.0, "none") == "none"


def test_an_entry_is_kept_for_its_seconds() -> None:
    """An entry of a table of ten seconds has its value until just before the tenth second."""
    table = filled("a", at=5.0)
    assert (table.get("a", 14.9, ""), table.keys(14.9)) == ("A", ["a"])
    assert (table.get("a", 15.0, ""), table.keys(15.0)) == ("", [])


def test_an_entry_that_is_put_in_again_is_young_again() -> None:
    """``a`` was put in again after 9 s, so that it is kept until 19 s, and it is the youngest."""
    table = filled("a", "b")
    table.put("a", "A", 9.0)
    assert (table.get("a", 18.0, ""), table.keys(9.0)) == ("A", ["b", "a"])


def test_the_oldest_of_too_many_is_forgotten() -> None:
    """A table of three has the last three of four entries; ``a`` is not the oldest any more."""
    table = filled("a", "b", "c", "a", "d")
    assert table.keys(0.0) == ["c", "a", "d"]
    assert len(table) == 3


def test_each_put_forgets_two_entries_that_are_too_old() -> None:
    """Of three old entries one is left after a new one was put in, and none after a second one."""
    table = filled("a", "b", "c", most=9)
    table.put("d", "D", 10.0)
    assert len(table) == 2
    table.put("e", "E", 10.0)
    assert len(table) == 2
    assert table.keys(10.0) == ["d", "e"]


class Interrupting(float):
    """A time at whose comparison another thread puts in an entry."""

    table: Table[str, str]

    def __lt__(self, other: float) -> bool:
        """Compare as a float does, after the other thread was there."""
        self.table.put("other", "OTHER", 0.0)
        return super().__lt__(other)


def test_keys_can_be_read_while_another_thread_puts_one_in() -> None:
    """Another thread puts in an entry while the keys are read: the list lacks it or has it."""
    now = Interrupting(0.0)
    now.table = filled("a", "b", most=9)
    assert set(now.table.keys(now)) >= {"a", "b"}
