"""Reading the environment."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from .factories import Maker
from .fields import CONFIG, PREFIX, VARIABLES
from .findings import Place, Taker
from .value_types import unknown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .fields import Setting
    from .findings import Findings


def read_variables(environ: Mapping[str, str] | None, findings: Findings) -> None:
    """Read the variables into the findings, in place of what is there.

    Args:
        environ: The variables, None for those of the process.
        findings: Where everything goes, faults too.
    """
    taker = Taker(findings.top, Maker(Path(), environ, is_file=False), findings.say)
    variables = os.environ if environ is None else environ
    for name in [name for name in variables if name.startswith(PREFIX)]:
        place, setting = Place(name), VARIABLES.get(name)
        if setting is None and name != CONFIG:
            findings.say(place, f"this variable {_unknown(name)}")
        elif not variables[name]:
            findings.say(place, "is empty: give it a value, or take it away")
        elif setting is not None:
            _take(taker, setting, variables[name], place)


def _unknown(name: str) -> str:
    """What is near is told without the prefix, which makes all of them alike."""
    known = {variable.removeprefix(PREFIX): variable for variable in (*VARIABLES, CONFIG)}
    text = unknown(name.removeprefix(PREFIX), known, ())
    return text.replace("mean ", f"mean {PREFIX}")


def _take(taker: Taker, setting: Setting, text: str, place: Place) -> None:
    kind = setting.kind
    try:
        value = kind.read(text)
        fits = setting.path == ("token",) or kind.fits(value)
    except ValueError:
        fits = False
    if fits:
        taker.take(setting, value, place, lambda _: place)
    else:
        taker.refuse(setting, place, kind.says_of_text)
