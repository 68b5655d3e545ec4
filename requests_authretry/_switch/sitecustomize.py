"""The environment switch: Python runs this at its start where this folder is on ``PYTHONPATH``.

With ``REQUESTS_AUTHRETRY=1`` it has `install` called as soon as the program has imported requests.
Not earlier: requests brings ssl, which gevent must patch first, and a program without requests
should not wait for it. Where this library or requests is missing, nothing happens.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:  # typing would make the start of every program slower
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

_SWITCH = "REQUESTS_AUTHRETRY"
_STORY = "REQUESTS_AUTHRETRY_STORY"
_ON = {"1", "true", "yes", "on"}
_OFF = {"", "0", "false", "no", "off"}
_WATCHED = ("requests", "requests_authretry")
"""What brings requests. Our own package imports it before it is complete itself."""


class _Finder:
    """Finds a watched module as usual, and has `install` called once the first is imported.

    It stays until then: a program may only ask whether there is such a module.
    """

    def find_spec(self, name: str, *more: Any) -> ModuleSpec | None:
        """Return the spec of a watched module, whose loader installs; None for others."""
        if name not in _WATCHED:
            return None
        others = (each for each in sys.meta_path if each is not self)
        found = (each.find_spec(name, *more) for each in others if hasattr(each, "find_spec"))
        spec = next(filter(None, found), None)
        if spec is None or spec.loader is None:
            return spec
        loader: Any = spec.loader
        execute = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            is_first = module.__name__ == name and self in sys.meta_path
            if is_first:
                sys.meta_path.remove(self)
                del loader.exec_module
            execute(module)
            if is_first:
                _install()

        loader.exec_module = exec_module
        return spec


def _install() -> None:
    try:
        from requests_authretry import Settings, install
    except ModuleNotFoundError as error:
        # Another environment's Python, which has only inherited the variables.
        if error.name != "requests_authretry":
            raise
        return
    settings = Settings.from_env()
    if _is_on(_STORY):
        from requests_authretry.cli import _story

        settings = _story.told(settings)
    install(settings)


def _is_on(variable: str) -> bool:
    return os.environ.get(variable, "").strip().lower() in _ON


def _say_unknown(value: str) -> None:
    """Say that the switch is neither on nor off, and name the nearest value that is."""
    from difflib import get_close_matches

    near = get_close_matches(value[:20], sorted(_ON | _OFF - {""}), n=1)
    meant = f"did you mean {near[0]}?" if near else "write 1 for on, 0 for off"
    sys.stderr.write(
        f"requests_authretry: {_SWITCH}={value[:20]} is neither on nor off, and nothing is "
        f"installed; {meant}\n"
    )


def _go_on() -> None:
    """Run the `sitecustomize` that this one stands before."""
    here = os.path.dirname(os.path.abspath(__file__))
    ours = sys.modules.pop("sitecustomize", None)
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry or ".") != here]
    sys.path_importer_cache.pop(here, None)
    try:
        import sitecustomize  # type: ignore[import-not-found]  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name != "sitecustomize":
            raise
    finally:
        if ours is not None:
            sys.modules.setdefault("sitecustomize", ours)


if __name__ == "sitecustomize":
    _value = os.environ.get(_SWITCH, "").strip().lower()
    if _is_on(_SWITCH):
        if not sys.modules.keys().isdisjoint(_WATCHED):
            _install()
        else:
            sys.meta_path.insert(0, _Finder())
    elif _value not in _OFF:
        _say_unknown(_value)
    _go_on()
