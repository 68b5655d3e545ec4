"""Reading the environment."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._log import VARIABLE as LOG
from .factories import Maker
from .fields import NO_SETTINGS, PREFIX, SETTINGS, VARIABLES
from .findings import Place, Taker
from .value_types import unknown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .fields import Setting
    from .findings import Findings


def read_variables(environ: Mapping[str, str] | None, findings: Findings) -> None:
    """Read the variables into the findings, in place of the values that a file gave.

    Args:
        environ: The variables, None for those of the process.
        findings: Where everything goes, faults too.
    """
    taker = Taker(
        findings.top,
        Maker(Path(), environ, is_file=False),
        findings,
        _place_of,
    )
    for name, text in (os.environ if environ is None else environ).items():
        setting = VARIABLES.get(name)
        if not name.startswith(PREFIX) or name == LOG:  # the package root reads that one
            continue
        if setting is None and name not in NO_SETTINGS:
            findings.say(Place(name), f"this variable {_unknown(name)}")
        elif not text:
            findings.say(Place(name), "is empty: give it a value, or take it away")
        elif setting is not None:
            _take(taker, setting, text)


def _place_of(*path: Any) -> Place:
    """Return the variable of a setting, or of what is within it."""
    ends = range(len(path), 0, -1)
    return next(Place(SETTINGS[path[:end]].variable) for end in ends if path[:end] in SETTINGS)


def _unknown(name: str) -> str:
    # The nearest name is looked for without the prefix, which makes all of them alike.
    known = [variable.removeprefix(PREFIX) for variable in (*VARIABLES, *NO_SETTINGS)]
    return unknown(name.removeprefix(PREFIX), known).replace("mean ", f"mean {PREFIX}")


def _take(taker: Taker, setting: Setting, text: str) -> None:
    kind = setting.kind
    try:
        value = kind.read(text)
        fits = setting.path == ("token",) or kind.fits(value)
    except ValueError:
        fits = False
    if fits:
        taker.take(setting, value)
    else:
        taker.refuse(setting, kind.in_text or kind.says)
