"""Settings from a file and from the environment, every fault of them reported together."""

from __future__ import annotations

import os
from dataclasses import fields as fields_of
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._core.origin import parse_origin
from .._core.validation import ConfigurationError, refuse
from .._settings import Settings
from .environment import read_variables
from .fields import CONFIG, ORIGINS, SETTINGS, part_of
from .findings import Findings, Found, Place
from .toml_file import read_content, read_file

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .fields import Names

__all__ = ["load_content", "load_env", "load_file"]

_TOKEN, _ALLOW_HTTP, _DIALECTS = ("token",), ("allow_http",), ("dialects",)
_NO_ORIGINS = Found((), Place(""))

_ORIGIN = "https://api.example.com"
_IN_VARIABLE = f"origins=['{_ORIGIN}']", f"{SETTINGS[ORIGINS].variable}={_ORIGIN}"
"""What a fault says to write, and the same for variables."""


def load_file(path: str | os.PathLike[str]) -> Settings:
    """Load settings from a file, see `Settings.from_file`."""
    findings = Findings()
    read_file(os.fspath(path), findings)
    return _settled(findings)


def load_content(content: bytes, source: str) -> Settings:
    """Load settings from the content of a file; relative paths start from the working directory.

    Args:
        content: The bytes of the file.
        source: What faults call it.

    Raises:
        ConfigurationError: As of `Settings.from_file`.
    """
    findings = Findings()
    read_content(content, source, Path(), findings)
    return _settled(findings)


def load_env(environ: Mapping[str, str] | None = None) -> Settings:
    """Load settings from variables, see `Settings.from_env`."""
    findings = Findings()
    file = (os.environ if environ is None else environ).get(CONFIG)
    if file:
        read_file(file, findings, environ)
    read_variables(environ, findings)
    return _settled(findings)


def _settled(findings: Findings) -> Settings:
    """Build the settings, or raise all faults: here, where no frame has seen a secret."""
    settings = _built(findings)
    refuse("Settings", findings.lines())
    return settings or Settings()


def _built(findings: Findings) -> Settings | None:
    """Build the sites, and the settings for all other requests; note further faults."""
    top, sites = findings.top, []
    taken: dict[str, Place] = {}
    for site in findings.sites:
        found = {**top, **site}
        origins, place = found[ORIGINS]
        if origins == () and not _may_be_supplied(site, found):
            needs = "site needs origins = [...]: they say which requests follow it"
            findings.say(place, needs)
            continue
        made = _made(found, findings, "site.origins")
        if made is None:
            continue
        sites.append(made)
        for origin in made.origins:
            other = taken.setdefault(origin, place)
            if other is not place:
                findings.say(place, f"site.origins: {origin} is in the site of {other} too")
    if findings.sites and top.get(ORIGINS, _NO_ORIGINS).value == ():
        top.pop(_TOKEN, None)  # it is the default of the sites
    return _made(top, findings, "origins", sites=() if findings.faults else tuple(sites))


def _may_be_supplied(site: Mapping[Names, Found], found: Mapping[Names, Found]) -> bool:
    """Whether a site names one dialect, which may supply the origins of its token."""
    dialects = site.get(_DIALECTS)
    return _TOKEN in found and dialects is not None and len(dialects.value or ()) == 1


def _made(
    found: Mapping[Names, Found], findings: Findings, name: str, **more: Any
) -> Settings | None:
    """Make one settings object of values that are good by themselves; None where it cannot work."""
    origins = found.get(ORIGINS, _NO_ORIGINS)
    if origins.value is None:
        return None
    # An allow_http that was refused may have been meant: one fault is enough.
    allow_http = _ALLOW_HTTP in found and found[_ALLOW_HTTP].value is not False
    parsed = [parse_origin(text, allow_http=allow_http) for text in origins.value]
    faults = [fault for fault in parsed if isinstance(fault, str)]
    for fault in faults:
        findings.say(origins.place, f"{name}: {fault}")
    if faults:
        return None
    try:
        made: Settings = _record(Settings, found, (), **more)
    except ConfigurationError as error:
        for fault in error.faults:
            about = (fault.partition(" ")[0],)
            place = found.get(about, found.get(_TOKEN, origins)).place
            findings.say(place, fault if place.line else fault.replace(*_IN_VARIABLE))
        return None
    return made


def _record(owner: type[Any], found: Mapping[Names, Found], path: Names, **given: Any) -> Any:
    """Make a record of the values found for its fields, and of the defaults for the others."""
    for item in fields_of(owner):
        here, part = (*path, item.name), part_of(item)
        if part is not None:
            given[item.name] = _record(part, found, here)
        elif here in found and found[here].value is not None:
            given[item.name] = found[here].value
    return owner(**given)
