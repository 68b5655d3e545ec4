"""The clocks of servers: apart by origin, shared by threads, forgotten if our clock is set."""

from __future__ import annotations

import copy
import logging
from threading import Barrier, Thread

import pytest

from requests_authretry._tokens.server_clocks import ServerClocks
from requests_authretry.testing import FakeClock

ONE, OTHER = "https://one.example.com/token", "https://other.example.com/token"
FAST = -300.0
HOUR = 3600.0


class Settable(FakeClock):
    """A clock that somebody may set."""

    step = 0.0

    def time(self) -> float:
        """The time with what it was set by."""
        return super().time() + self.step


def test_an_origin_has_a_clock_of_its_own() -> None:
    """What the token endpoint's date says holds for all URLs of its origin, and for no other."""
    clocks, clock = ServerClocks(), FakeClock()
    clocks.follow(ONE, FAST, clock)
    known = [clocks.ahead(url, clock) for url in (ONE, "https://one.example.com:443/x", OTHER)]
    assert known == [FAST, FAST, 0.0]


def test_a_correction_is_made_once_an_hour_for_each_origin() -> None:
    """A second refusal within the hour is handed out; that of another server is not concerned."""
    clocks, clock = ServerClocks(), FakeClock()
    told = [clocks.correct(url, FAST, 0.0, clock) for url in (ONE, OTHER)]
    told += [clocks.correct(ONE, 300.0, FAST, clock)]
    clock.advance(HOUR)
    told += [clocks.correct(ONE, 300.0, FAST, clock)]
    assert told == [True, True, False, True]
    assert clocks.ahead(ONE, clock) == 300.0


def test_threads_that_were_refused_together_use_one_correction() -> None:
    """Of 16 threads with the wrong time one corrects it, and all of them try once more."""
    clocks, clock, start = ServerClocks(), FakeClock(), Barrier(16)
    told: list[bool] = []

    def refused() -> None:
        start.wait(60)
        told.append(clocks.correct(ONE, FAST, 0.0, clock))

    threads = [Thread(target=refused) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert told == [True] * 16
    assert clocks.correct(ONE, FAST, FAST, clock) is False


@pytest.mark.parametrize("step", [FAST, 60.0])
def test_a_clock_that_is_set_forgets_what_was_known(step: float) -> None:
    """If somebody sets our clock, it is used as it is, and may be corrected at once."""
    clocks, clock = ServerClocks(), Settable()
    assert clocks.correct(ONE, FAST, 0.0, clock)
    clock.step = step
    assert clocks.ahead(ONE, clock) == 0.0
    assert clocks.correct(ONE, 60.0, 0.0, clock)
    assert clocks.ahead(ONE, clock) == 60.0


def test_time_that_passes_forgets_nothing() -> None:
    """A day later the server is still so far ahead."""
    clocks, clock = ServerClocks(), FakeClock()
    clocks.follow(ONE, FAST, clock)
    clock.advance(24 * HOUR)
    assert clocks.ahead(ONE, clock) == FAST


def test_clocks_that_agree_are_not_kept() -> None:
    """The usual server leaves nothing in memory, and neither does one whose clock was set right."""
    clocks, clock = ServerClocks(), FakeClock()
    clocks.follow(ONE, 0.0, clock)
    clocks.follow(ONE, FAST, clock)
    clocks.follow(ONE, 0.0, clock)
    assert not clocks._known  # noqa: SLF001


def test_the_oldest_of_too_many_servers_is_forgotten() -> None:
    """Of a hundred and one servers a hundred are remembered."""
    clocks, clock = ServerClocks(), FakeClock()
    urls = [f"https://{number}.example.com/" for number in range(101)]
    for url in urls:
        clocks.follow(url, FAST, clock)
    assert [url for url in urls if not clocks.ahead(url, clock)] == urls[:1]


def test_a_copy_knows_nothing() -> None:
    """A pickle may come to another machine, with another clock; so copies begin anew."""
    clocks, clock = ServerClocks(), FakeClock()
    clocks.follow(ONE, FAST, clock)
    assert copy.deepcopy(clocks).ahead(ONE, clock) == 0.0


@pytest.mark.parametrize(
    ("ahead", "said"), [(FAST, "300 s ahead of that of"), (60.0, "60 s behind that of")]
)
def test_a_wrong_clock_is_logged_once(
    ahead: float, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says by how much this machine's clock is off, and names the server."""
    clocks, clock = ServerClocks(), FakeClock()
    with caplog.at_level(logging.WARNING, "requests_authretry"):
        for _ in range(3):
            clocks.follow(ONE, ahead, clock)
        clocks.correct(ONE, ahead, ahead, clock)
    (message,) = caplog.messages
    assert message == (
        f"this machine's clock is {said} https://one.example.com: what is signed for it follows "
        "its clock"
    )
