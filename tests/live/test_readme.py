"""README and its picture; its programs are run by ``test_pages.py``."""

from __future__ import annotations

import re
import runpy
from typing import Any

import pytest

from requests_authretry import Jitter, RateLimits, RetryPolicy, RetryQuota, Settings
from requests_authretry.testing import no_waiting
from tests.support.pages import DOCS, README, TOP, blocks

MOST_WORDS = 900


@pytest.fixture(scope="module")
def picture() -> dict[str, Any]:
    """The tool that draws the picture of `explain`."""
    return runpy.run_path(str(TOP / "tools" / "explain_picture.py"))


def untimed(told: str) -> str:
    """Return what `explain` says without the seconds, which differ from run to run."""
    return re.sub(r"(in|waited) \S+ s|; in this library.*", "", told)


def test_readme_is_short() -> None:
    """A newcomer reads it to the end: it has 900 words at most, commands and tables included."""
    assert len(README.read_text(encoding="utf-8").split()) <= MOST_WORDS


def test_the_picture_is_what_the_library_says(picture: dict[str, Any]) -> None:
    """A call that meets a rate limit and a refused token is told as README shows, text and SVG."""
    with no_waiting():
        told = str(picture["make_call"]())
    drawn = picture["text_in"](picture["PICTURE"].read_text(encoding="utf-8"))
    assert untimed(drawn) == untimed(told)
    [shown] = [block.text for block in blocks(README) if block.language == "text"]
    assert shown.rstrip("\n") == drawn


def test_the_tool_draws_such_a_picture(picture: dict[str, Any]) -> None:
    """What the tool draws of an explanation shows each of its lines."""
    with no_waiting():
        told = picture["make_call"]()
    assert picture["text_in"](picture["draw"](told)) == str(told)


def test_the_settings_tables_name_every_field_and_its_default() -> None:
    """Every field has a row, in order; the defaults that are numbers are the real ones."""
    text = "".join(page.read_text(encoding="utf-8") for page in DOCS)
    for cls in (Settings, RetryPolicy, RateLimits):
        table = text[text.index(f"| `{cls.__name__}(...)`") :].split("\n\n", 1)[0]
        assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == list(cls.__dataclass_fields__)
    policy = RetryPolicy()
    assert f"| `max_attempts` | {policy.max_attempts} |" in text
    assert f"| `deadline` | {policy.deadline:g} |" in text
    listed = " ".join(map(str, sorted(policy.statuses)))
    short = listed.replace("408", "408 (idempotent methods only)")
    assert f"| `statuses` | {short.replace('521 522 523', 'to')} |" in text
    assert f"| `methods` | {' '.join(sorted(policy.methods))} |" in text
    assert (policy.backoff.jitter, policy.max_retry_after, policy.any_method_on_429) == (
        Jitter.FULL,
        None,
        True,
    )


def test_the_quota_in_numbers() -> None:
    """The figures of outages.md follow from the defaults."""
    quota = RetryQuota()
    [page] = [page for page in DOCS if page.name == "outages.md"]
    text = page.read_text(encoding="utf-8")
    retries = quota.capacity // quota.transient_cost
    assert f"a *retry quota* of {quota.capacity} units" in text
    assert (
        f"a retry after a server error or a lost connection | {quota.transient_cost} | {retries} re"
        in text
    )
    throttled = quota.capacity // quota.throttled_cost
    assert f"| a retry after a 429 | {quota.throttled_cost} | {throttled} retries |" in text
    for processes in (1, 8, 100):
        assert re.search(rf"\| {processes} process.* \| {retries * processes} \|", text)
