"""Settings from a file and from the environment, every fault of them reported together."""

from __future__ import annotations

import os
from dataclasses import fields as fields_of
from typing import TYPE_CHECKING, Any

from .._core.origin import parse_origin
from .._core.validation import ConfigurationError, refuse
from .._settings import Settings
from .environment import read_variables
from .fields import CONFIG, part_of, schema
from .findings import Findings, Found, Place
from .toml_file import read_file

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .fields import Names

__all__ = ["load_env", "load_file", "schema"]

_ORIGINS, _TOKEN, _STORE, _ALLOW_HTTP = ("origins",), ("token",), ("store",), ("allow_http",)
_NOTHING = Found((), Place(""))
_NEEDS_ORIGINS = "needs origins = [...]: they say which requests follow it"


def load_file(path: str | os.PathLike[str]) -> Settings:
    """Settings from a file, see `Settings.from_file`."""
    findings = Findings()
    read_file(os.fspath(path), findings)
    return _settled(findings)


def load_env(environ: Mapping[str, str] | None = None) -> Settings:
    """Settings from variables, see `Settings.from_env`."""
    findings = Findings()
    file = (os.environ if environ is None else environ).get(CONFIG)
    if file:
        read_file(file, findings, environ)
    read_variables(environ, findings)
    return _settled(findings)


def _settled(findings: Findings) -> Settings:
    """What comes of it; raised here, where no frame has seen a secret."""
    settings = _built(findings)
    refuse("Settings", findings.lines())
    return settings or Settings()


def _built(findings: Findings) -> Settings | None:
    """The sites, and the settings for all else; further faults are noted."""
    top, sites = findings.top, []
    taken: dict[str, Place] = {}
    for site in findings.sites:
        found = {**{name: top[name] for name in top if name != _ORIGINS}, **site.found}
        place = found.get(_ORIGINS, site).place
        if found.get(_ORIGINS, _NOTHING).value == ():
            findings.say(place, f"site {_NEEDS_ORIGINS}")
            continue
        made = _made(found, findings)
        for origin in made.origins if made else ():
            other = taken.setdefault(origin, place)
            if other is not place:
                findings.say(place, f"site.origins: {origin} is in the site of {other} too")
        sites += [made] if made else []
    if findings.sites and top.get(_ORIGINS, _NOTHING).value == ():
        top.pop(_TOKEN, None)  # it is the default of the sites
    return _made(top, findings, sites=() if findings.faults else tuple(sites))


def _made(found: Mapping[Names, Found], findings: Findings, **more: Any) -> Settings | None:
    """One settings object; each value in it is known to be good by itself."""
    origins = found.get(_ORIGINS, _NOTHING)
    allow_http = _ALLOW_HTTP in found and found[_ALLOW_HTTP].value is not False
    parsed = [parse_origin(text, allow_http=allow_http) for text in origins.value or ()]
    name = "origins" if "sites" in more else "site.origins"
    faults = [f"{name}: {fault}" for fault in parsed if isinstance(fault, str)]
    for fault in faults:
        findings.say(origins.place, fault)
    if faults or origins.value is None:
        return None
    try:
        made: Settings = _record(Settings, found, (), **more)
    except ConfigurationError as error:
        for fault in error.faults:
            about = (fault.partition(" ")[0],)
            findings.say(found.get(about, found.get(_TOKEN, origins)).place, fault)
        return None
    return made


def _record(owner: type[Any], found: Mapping[Names, Found], path: Names, **more: Any) -> Any:
    """A record of what was found for its fields, and of the defaults for the others."""
    given = dict(more)
    for item in fields_of(owner):
        here, part = (*path, item.name), part_of(item)
        if part is not None:
            given[item.name] = _record(part, found, here)
        elif here in found and found[here].value is not None:
            given[item.name] = found[here].value
    return owner(**given)
