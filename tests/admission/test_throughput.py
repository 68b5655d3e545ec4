"""What pacing costs where refusals do not depend on our rate, and how it follows moving limits."""

from __future__ import annotations

from bisect import bisect_left
from contextlib import suppress
from io import BytesIO
from random import Random
from statistics import mean, median
from typing import TYPE_CHECKING, Any

import pytest
import requests
from urllib3 import HTTPResponse
from urllib3.exceptions import ProtocolError

from requests_authretry import RateLimits
from requests_authretry._shared import SharedState
from tests.support.scenario import Answer, World
from tests.support.sessions import API

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.scenario import Reply, Request

TORN, RESET = Answer(200, {"Content-Length": "10"}), Answer(599)
"""A body that ends too early, and a connection that ends without an answer."""


class Load(World):
    """Threads that make calls one after another, with a pause after each.

    Args:
        answers: What the server answers.
        seed: The source of random numbers for waits.
        takes: Seconds from a request to its answer.
        pause: Seconds between two calls of a thread.

    Attributes:
        paces: The pace after each request, and when it was answered.
    """

    def __init__(
        self,
        answers: Callable[[Request], Reply],
        *,
        seed: int = 0,
        takes: float = 0.01,
        pause: float = 0.04,
    ) -> None:
        super().__init__(answers, takes=takes, random=Random(seed).random)  # noqa: S311 (waits)
        self._pause = pause
        self.paces: list[tuple[float, float]] = []

    def work(self, threads: int, seconds: float, *, is_paced: bool = True) -> list[float]:
        """Let threads work for so long; return when each request was sent that was served."""
        settings = self.settings(limits=RateLimits(pacing=is_paced))
        limiter = SharedState.of(settings).limiter
        session, prepared = self.session(settings), prepare()

        def run() -> None:
            while self.turns.now < seconds:
                session.send(prepared.copy())
                [*states] = limiter.states()
                self.paces += [(self.turns.now, state.pace.allowed) for _, state in states]
                self.turns.sleep(self._pause)

        for thread in range(threads):
            self.caller(str(thread), run, at=self._pause * thread / threads)
        self.turns.run()
        return [sent.time for sent in self.sent if sent.status == 200 and sent.time < seconds]

    def finish(self, threads: int, calls: int, *, is_paced: bool = True) -> float:
        """Let threads make so many calls; return how long it took."""
        session = self.session(self.settings(limits=RateLimits(pacing=is_paced)))
        prepared, numbers = prepare(), iter(range(calls))

        def run() -> None:
            for _ in numbers:
                with suppress(requests.RequestException):
                    session.send(prepared.copy())

        for thread in range(threads):
            self.caller(str(thread), run)
        self.turns.run()
        return self.turns.now

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> Any:
        """Answer a request; a body may be torn, and a connection reset."""
        response = super().send(request, *args, **kwargs)
        if response.status_code == RESET.status:
            reset = ConnectionResetError(104, "Connection reset by peer")
            raise requests.ConnectionError(ProtocolError("Connection aborted.", reset))
        if response.headers == TORN.fields:
            response.raw = HTTPResponse(
                BytesIO(b"abc"), TORN.fields, preload_content=False, enforce_content_length=True
            )
        return response


def prepare() -> requests.PreparedRequest:
    """Return the request of all calls."""
    return requests.Request("GET", f"{API}/orders").prepare()


# Refusals that do not depend on our rate.


def unlucky(
    share: float, seed: int, fields: dict[str, str], end: float = 1e9
) -> Callable[[Request], Reply]:
    """Return a server that refuses a share of its requests until then, however fast they come."""
    random = Random(seed)  # noqa: S311 (it chooses who is refused)

    def answer(request: Request) -> Reply:
        is_refused = random.random() < share and request.time < end
        return Answer(429, fields) if is_refused else 200

    return answer


FIELDS = pytest.mark.parametrize(
    "fields", [{}, {"Retry-After": "0"}], ids=["nothing", "Retry-After 0"]
)
SHARES = pytest.mark.parametrize("share", [0.03, 0.1, 0.2])


@FIELDS
@SHARES
def test_refusals_that_do_not_depend_on_our_rate_cost_a_tenth_of_the_throughput(
    share: float, fields: dict[str, str]
) -> None:
    """Four threads that send 80 a second: in 20 s, nine tenths of what passes without pacing."""
    shares = []
    for seed in range(5):
        paced, free = (
            Load(unlucky(share, seed, fields), seed=seed).work(4, 20.0, is_paced=is_paced)
            for is_paced in (True, False)
        )
        shares.append(len(paced) / len(free))
    assert mean(shares) >= 0.9, shares


@SHARES
def test_the_pace_recovers_within_20_successes(share: float) -> None:
    """Until 10 s a share is refused: 20 successes later, the pace holds back no thread of four.

    By chance, refusals come so close together that a rate is measured: of eight runs, in one.
    """
    needed = []
    for seed in range(8):
        load = Load(unlucky(share, seed, {}, end=10.0), seed=seed)
        load.work(4, 20.0)
        later = [pace for at, pace in load.paces if at >= 10]
        needed.append(next((each for each, pace in enumerate(later) if pace >= 80), len(later)))
    assert sum(each > 20 for each in needed) <= 1, needed


def test_one_refusal_is_forgotten_after_20_successes() -> None:
    """One of 80 requests a second is refused: the pace begins at 25, and is soon above 80."""
    load = Load(lambda request: 429 if request.number == 99 else 200)
    load.work(4, 5.0)
    first, last = load.paces[0][1], load.paces[20][1]
    assert (first < 80, last > 80) == (True, True)


# Times in which nothing passes.


@pytest.mark.parametrize("seconds", [2.0, 10.0])
def test_a_server_that_refused_everything_is_used_again_soon(seconds: float) -> None:
    """As when it sheds all load: twice as long and five seconds later, threads send all they can.

    A search begins again at the rate of all four threads, 80 a second.
    """
    load = Load(lambda request: 429 if request.time < seconds else 200)
    served = load.work(4, 3 * seconds + 10.0)
    assert len(served) - bisect_left(served, 2 * seconds + 5.0) >= 0.9 * 80 * (seconds + 5.0)
    assert len(load.sent) - len(served) <= 25, "and few requests are added to its load"


def test_refusals_in_waves_cost_some_waits_and_no_pace() -> None:
    """All is refused in two seconds of 20: in half of the rest threads send all they can."""
    load = Load(lambda request: 429 if request.time % 20 < 2 else 200)
    assert len(load.work(4, 100.0)) >= 0.5 * 90 * 80


# Faults of all kinds.

MIXED: tuple[tuple[float, Reply], ...] = (
    (0.40, 200),
    (0.55, 503),
    (0.70, RESET),
    (0.80, TORN),
    (0.90, Answer(429, {"Retry-After": "1"})),
    (1.00, 429),
)


def mixed(seed: int) -> Callable[[Request], Reply]:
    """Return a server of which 40 % of the answers are good, and each fault has its share."""
    random = Random(seed)  # noqa: S311 (it chooses the faults)

    def answer(_: Request) -> Reply:
        number = random.random()
        return next(reply for share, reply in MIXED if number < share)

    return answer


def mixed_ratio(seed: int) -> float:
    """Return the time of 500 calls in 16 threads over that without pacing."""
    paced, free = (
        Load(mixed(seed), seed=seed).finish(16, 500, is_paced=is_paced)
        for is_paced in (True, False)
    )
    return paced / free


@pytest.mark.slow
def test_pacing_makes_a_run_with_all_kinds_of_faults_half_as_long_again() -> None:
    """500 calls, of which 40 % pass at once: 1.5 times the time without pacing, in the median."""
    ratios = [mixed_ratio(seed) for seed in range(40)]
    assert median(ratios) <= 1.5, ratios


# A limit that moves.


def bucket(rates: dict[float, float], burst: float) -> Callable[[Request], Reply]:
    """Return a token bucket whose rate changes at these times."""
    level, filled = burst, 0.0

    def answer(request: Request) -> Reply:
        nonlocal level, filled
        rate = [rate for at, rate in rates.items() if at <= request.time][-1]
        level, filled = min(burst, level + (request.time - filled) * rate), request.time
        level -= (is_served := level >= 1)
        return 200 if is_served else 429

    return answer


def moved(rate: float, seed: int) -> tuple[float, float]:
    """Let a limit of 25 a second move at 30 s; return what passed a second from 60 to 90 s.

    Returns:
        Requests a second that passed, and refusals for each of them.
    """
    load = Load(bucket({0.0: 25.0, 30.0: rate}, 10.0), seed=seed, takes=0.05, pause=0.0)
    served = load.work(16, 90.0)
    passed = len(served) - bisect_left(served, 60.0)
    sent = sum(60.0 <= each.time < 90.0 for each in load.sent)
    return passed / 30, (sent - passed) / passed


@pytest.mark.parametrize("rate", [10.0, 100.0], ids=["lowered", "raised"])
def test_a_limit_that_moves_is_found_again(rate: float) -> None:
    """A limit of 25 a second is 10 or 100 a second from 30 s on: half a minute later it is kept."""
    found = [moved(rate, seed) for seed in range(3)]
    assert mean(passed for passed, _ in found) >= 0.95 * rate, found
    assert mean(refused for _, refused in found) <= 0.05, found
