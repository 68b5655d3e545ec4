"""What commands there are: their help, their arguments, and what executes them."""

from __future__ import annotations

import sys
from argparse import REMAINDER
from typing import TYPE_CHECKING, Any, NamedTuple

from ._exits import USAGE_ERROR

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable

Argument = tuple[tuple[str, ...], dict[str, Any]]
"""The names of an argument, and what argparse is told of it."""

CONFIG: Argument = (
    ("--config",),
    {"metavar": "FILE", "help": "a TOML file of settings; without it: the environment"},
)
SITE: Argument = (
    ("--site",),
    {"metavar": "URL", "help": "a URL of the site, where several sites have a token"},
)
JSON: Argument = (("--json",), {"action": "store_true", "help": "print the facts as JSON"})


class Command(NamedTuple):
    """A command.

    Attributes:
        brief: What the overview says of it.
        full: What its own help says.
        execute: Executes it, and returns the exit status.
        arguments: What it takes.
        usage: How it is written, "" where argparse says it well.
    """

    brief: str
    full: str
    execute: Callable[[Namespace], int]
    arguments: tuple[Argument, ...] = ()
    usage: str = ""


def versions() -> str:
    """Name the version of this library and of what it stands on."""
    import platform
    from importlib.metadata import PackageNotFoundError, version

    parts = []
    for name in ("requests-authretry", "requests", "urllib3"):
        try:
            parts.append(f"{name} {version(name)}")
        except PackageNotFoundError:  # noqa: PERF203 (a copy that was never installed)
            parts.append(f"{name} (not installed)")
    return f"{parts[0]} ({', '.join(parts[1:])}, Python {platform.python_version()})"


def _demo(_: Namespace) -> int:
    from ._demo import demonstrate

    return demonstrate()


def _run(options: Namespace) -> int:
    from ._run import run

    return run(
        options.program,
        options.config,
        is_verbose=options.verbose or options.observe,
        is_observing=options.observe,
    )


def _get(options: Namespace) -> int:
    from ._get import get

    return get(options.url, options.config, as_json=options.json)


def _probe(options: Namespace) -> int:
    from ._probe import probe

    return probe(options.url, options.config, as_json=options.json)


def _login(options: Namespace) -> int:
    from ._credentials import login

    return login(options.config, options.site)


def _logout(options: Namespace) -> int:
    from ._credentials import logout

    return logout(options.config, options.site, only_forget=options.forget)


def _token(options: Namespace) -> int:
    from ._credentials import show_token

    return show_token(options.config, options.site)


def _status(options: Namespace) -> int:
    from ._status import status

    return status(options.store, options.config, as_json=options.json)


def _check(options: Namespace) -> int:
    from ._check import check

    if options.file and options.config:
        sys.stderr.write("check takes one file: leave out --config or FILE\n")
        return USAGE_ERROR
    return check(options.file or options.config, as_json=options.json)


def _schema(_: Namespace) -> int:
    from importlib.resources import files

    from .. import _config

    schema = files(_config) / "settings.schema.json"
    sys.stdout.write(schema.read_text(encoding="utf-8"))
    return 0


def _where(_: Namespace) -> int:
    from ._run import SWITCH

    sys.stdout.write(f"{SWITCH}\n")
    return 0


def _completion(options: Namespace) -> int:
    from ._completion import print_completion

    return print_completion(options.shell)


COMMANDS = {
    "demo": Command(
        "watch it at work on the real httpbin application",
        (
            "Serves the real httpbin application on a free port of this machine, lets it refuse a "
            "stale token, limit the rate and fail, and shows what a session gets with the one line "
            "and without. It checks what it shows: the exit status is 0 if all of it was true, "
            "else 1. It takes about three seconds. It needs the extra "
            '"requests-authretry[demo]", and no network.'
        ),
        _demo,
    ),
    "run": Command(
        "run a program with install(...) in force",
        (
            "Runs a script, a module, code or a command by its name (such as flask), with "
            "requests_authretry.install(...) in every Python process of it that imports requests. "
            "The settings are those of the file, with the variables REQUESTS_AUTHRETRY_... laid "
            "over it. The exit status is the program's; it is 2 if the program was not started."
        ),
        _run,
        (
            CONFIG,
            (
                ("--verbose",),
                {
                    "action": "store_true",
                    "help": "tell on standard error what calls wait for, the story of each call "
                    "in trouble, and a summary at the end",
                },
            ),
            (
                ("--observe",),
                {
                    "action": "store_true",
                    "help": "change nothing: only tell, as with --verbose, what would be done",
                },
            ),
            (
                ("program",),
                {
                    "nargs": REMAINDER,
                    "metavar": "PROGRAM ...",
                    "help": "SCRIPT, NAME, -m MODULE or -c CODE, and its arguments; -- may stand "
                    "before it",
                },
            ),
        ),
        "[OPTIONS] PROGRAM [ARGUMENTS ...]",
    ),
    "get": Command(
        "get a URL, and tell what happened on the way",
        (
            "Sends a GET with the settings in force: token, waits and retries. The body goes to "
            "standard output, the story of the call to standard error. The exit status is 0 for "
            "an answer below 400, else 1. Where the server sends the token back, *** stands in "
            "its place."
        ),
        _get,
        ((("url",), {"metavar": "URL", "help": "what to get"}), CONFIG, JSON),
    ),
    "probe": Command(
        "ask a URL once, and tell what the library would do about the answer",
        (
            "Sends one plain GET, without a credential, and follows no redirect. Tells how the "
            "server wants requests to be authenticated, what it says of its rate limits, and what "
            "the library would do with the settings in force. The exit status is 0 if an answer "
            "came, else 1."
        ),
        _probe,
        ((("url",), {"metavar": "URL", "help": "what to ask"}), CONFIG, JSON),
    ),
    "login": Command(
        "get a token and keep it in the store of the settings",
        (
            "Gets a token if the store of the settings has none that is good: a person may be "
            "asked to sign in. Programs with the same settings then find it there. The exit status "
            "is 1 if there is none to be had."
        ),
        _login,
        (CONFIG, SITE),
    ),
    "logout": Command(
        "revoke the token at the server, and forget it",
        (
            "Has the server end the refresh token, or the access token if there is none "
            "(RFC 7009), and forgets both in the store of the settings. If that is impossible, "
            "nothing is forgotten and the exit status is 1; with --forget the server is not asked."
        ),
        _logout,
        (
            CONFIG,
            SITE,
            (
                ("--forget",),
                {"action": "store_true", "help": "forget the token here, and ask no server"},
            ),
        ),
    ),
    "token": Command(
        "print a token that is good now, for other programs",
        (
            "Prints the access token itself, renewed first if it has to be, for a program such as "
            "curl. It is a secret: do not print it where others can read it. The exit status is 1 "
            "if there is none to be had."
        ),
        _token,
        (CONFIG, SITE),
    ),
    "status": Command(
        "show the tokens of settings, and what their store holds, without secrets",
        (
            "Shows for each site of the settings whether there is a token, when it expires, its "
            "scopes, and where it is kept. Then, or for a store that you name, what the store "
            "holds: tokens, cool-downs and paces, and who holds a lock. It changes nothing and "
            "shows no secret. The exit status is 1 if the store cannot be read."
        ),
        _status,
        (
            (
                ("store",),
                {
                    "nargs": "?",
                    "metavar": "STORE",
                    "help": "a file, redis://..., or env:NAME for a variable that has one of "
                    "these, or a file of settings that ends in .toml; without it: the settings "
                    "and their store",
                },
            ),
            CONFIG,
            JSON,
        ),
    ),
    "check": Command(
        "say what is wrong with a file of settings, or what it would do",
        (
            "Reads a file of settings, or the variables of the environment. If something is wrong, "
            "it names every fault with its line or variable on standard error and exits with 1; "
            "else it says what the settings would do. Nothing is sent. The secrets that the "
            "settings refer to must be there, and are not shown."
        ),
        _check,
        (
            (
                ("file",),
                {
                    "nargs": "?",
                    "metavar": "FILE",
                    "help": "a TOML file, - for standard input; without it: the environment",
                },
            ),
            CONFIG,
            JSON,
        ),
    ),
    "schema": Command(
        "print the JSON schema of a file of settings, for editors",
        "Prints the JSON schema (draft 2020-12) of a file of settings.",
        _schema,
    ),
    "where": Command(
        "print the folder that PYTHONPATH needs for REQUESTS_AUTHRETRY=1",
        (
            "Prints a folder. With this folder on PYTHONPATH, and REQUESTS_AUTHRETRY=1, each "
            "Python program runs as the command run would run it: for services whose command "
            "cannot be changed."
        ),
        _where,
    ),
    "completion": Command(
        "print what a shell needs to complete commands and options",
        (
            "On a terminal it prints the line to add to the start file of the shell, else the "
            "script that this line runs. It needs the extra "
            '"requests-authretry[cli]".'
        ),
        _completion,
        ((("shell",), {"choices": ["bash", "zsh", "fish"], "help": "your shell"}),),
    ),
}
