"""Reading a dialect from the content of its file; every fault is named with its key."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from .bounds import POLICY_NAME
from .classify import Answer, Meaning, Verdict
from .dialect import NOT_PROCESSED, Condition, Place, Rule, When, fits_pattern, judge, matching
from .headers.names import KNOWN
from .headers.time_formats import UNITS, parse_http_date
from .http import STATUS_CODES
from .json_path import WRITTEN, parse_path
from .origin import token_in_path
from .placement import TOKEN, Cookie, Header, Query
from .validation import ConfigurationError, is_finite, is_text, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .json_path import Path
    from .placement import Placement

USUAL = "usual"
"""The verdict of a rule that leaves an answer to the status, and ends the search."""

VERDICTS: dict[str, Meaning | None] = {
    **{meaning.name.lower(): meaning for meaning in Meaning},
    USUAL: None,
}
"""The verdicts of rules, as files write them."""

_GOES_WITH = {
    "retry_after": (Meaning.THROTTLED, Meaning.PENDING, Meaning.TRANSIENT),
    "scope": (Meaning.THROTTLED,),
    "not_processed": (Meaning.TRANSIENT,),
}
"""The keys of a rule that mean something with some verdicts alone."""

_LONGEST_SHOWN = 60
"""Characters of a wrong value that a fault shows."""

_NAME = re.compile(r"[a-z][a-z0-9-]*")
_DAY = re.compile(r"20[0-9]{2}-[01][0-9]-[0-3][0-9]")
_LABELS = r"[a-z0-9-]+(?:\.[a-z0-9-]+)+"
_ORIGIN = re.compile(rf"https://(?:\*\.)?{_LABELS}")
_URL = re.compile(r"https://[!-~]+")
_REQUEST = re.compile(r"(?P<method>[A-Z]+) (?P<path>/[!-~]*)")


class Kind(NamedTuple):
    """What a value may be.

    Attributes:
        says: What it must be, in words that follow "must be".
        fits: Whether a value is of this kind.
    """

    says: str
    fits: Callable[[Any], bool]


def _is_list(value: object, fits: Callable[[Any], bool]) -> bool:
    return isinstance(value, list) and bool(value) and all(map(fits, value))


def _matches(pattern: re.Pattern[str]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and bool(pattern.fullmatch(value))


def _is_scalar(value: object) -> bool:
    return isinstance(value, bool) or is_finite(value) or is_text(value)


def _is_status(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value in STATUS_CODES


def _is_limit(value: object) -> bool:
    return is_text(value) and len(value) <= POLICY_NAME


def _is_path(value: object) -> bool:
    return isinstance(value, str) and parse_path(value) is not None


def _is_table_of(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: (
        isinstance(value, dict)
        and all(map(is_text, value))
        and all(fits(each) for each in value.values())
    )


TEXT = Kind("a text", is_text)
TEXTS = Kind("a list of texts", lambda value: _is_list(value, is_text))
NAME = Kind("a name such as my-api, in lower case", _matches(_NAME))
DAY = Kind("a day such as 2026-01-31", _matches(_DAY))
SOURCES = Kind("a table of https URLs by name", _is_table_of(_matches(_URL)))
ORIGINS = Kind(
    "a list of origins without a path, such as https://api.example.com; "
    "https://*.example.com stands for each host below it",
    lambda value: _is_list(value, _matches(_ORIGIN)),
)
PATTERNS = Kind(
    'a list of paths that begin with "/" or "*", which stands for any characters',
    lambda value: _is_list(value, lambda each: is_text(each) and each[0] in "/*"),
)
STATUSES = Kind("a list of status codes from 100 to 599", lambda value: _is_list(value, _is_status))
STATUS = Kind("a status code from 100 to 599", _is_status)
VERDICT = Kind(
    f"one of {', '.join(VERDICTS)}", lambda value: isinstance(value, str) and value in VERDICTS
)
FLAG = Kind("true or false", lambda value: isinstance(value, bool))
SECONDS = Kind("a number of seconds", lambda value: is_finite(value) and value >= 0)
UNIT = Kind(f"one of {', '.join(UNITS)}", UNITS.__contains__)
PATH = Kind(WRITTEN, _is_path)
TABLE = Kind("a table", lambda value: isinstance(value, dict))
TABLES = Kind("a list of tables", lambda value: _is_list(value, TABLE.fits))
WORDS = Kind("a table of texts", _is_table_of(is_text))
SCOPE = Kind(
    'the name of a limit, {"header": NAME} or {"body": PATH}',
    lambda value: _is_limit(value) or isinstance(value, dict),
)
LIMIT = Kind(f"the name of a limit, of at most {POLICY_NAME} characters", _is_limit)
REQUEST = Kind("a method and a path, such as GET /users/1", _matches(_REQUEST))
ANYTHING = Kind("anything", lambda _: True)
EXPECTED = Kind(
    "null for no verdict, or a table", lambda value: value is None or isinstance(value, dict)
)
CONDITION = Kind(
    'a value, a list of values, {"contains": [TEXT]} or {"exists": true}',
    lambda value: _is_scalar(value) or _is_list(value, _is_scalar) or isinstance(value, dict),
)
NAMED = Kind(
    "null, or the usual name of a header field, such as x-ratelimit-reset",
    lambda value: value is None or (is_text(value) and value.lower() in KNOWN),
)


class Layout(NamedTuple):
    """What a table of a file consists of.

    Attributes:
        keys: Its keys, each with the kind of its values.
        needs: The keys that must be there.
        one_of: Of these keys exactly one must be there, if there are any.
    """

    keys: Mapping[str, Kind]
    needs: tuple[str, ...] = ()
    one_of: tuple[str, ...] = ()


_PLACES: Final = {"header": Header, "query": Query, "cookie": Cookie}

LAYOUTS: Mapping[str, Layout] = {
    "dialect": Layout(
        {
            "$schema": TEXT,
            "name": NAME,
            "title": TEXT,
            "checked": DAY,
            "sources": SOURCES,
            "origins": ORIGINS,
            "paths": PATTERNS,
            "rules": TABLES,
            "headers": TABLES,
            "placement": TABLE,
            "repeat": TABLES,
            "token_endpoint": TABLE,
            "samples": TABLES,
        },
        needs=("name", "title", "checked", "sources", "origins", "samples"),
    ),
    "rule": Layout(
        {
            "what": TEXT,
            "when": TABLE,
            "verdict": VERDICT,
            "retry_after": TABLES,
            "scope": SCOPE,
            "not_processed": FLAG,
            "source": TEXT,
        },
        needs=("what", "when", "verdict", "source"),
    ),
    "when": Layout(
        {
            "status": STATUSES,
            "method": TEXTS,
            "path": PATTERNS,
            "header": TABLE,
            "body": TABLE,
            "text": TEXTS,
        },
        needs=("status",),
    ),
    "condition": Layout({"contains": TEXTS, "exists": FLAG}, one_of=("contains", "exists")),
    "time": Layout(
        {"header": TEXT, "body": PATH, "unit": UNIT, "seconds": SECONDS, "points": TABLE},
        one_of=("header", "body", "seconds", "points"),
    ),
    "points": Layout(
        {"needed": PATH, "left": PATH, "per_second": PATH}, needs=("needed", "left", "per_second")
    ),
    "scope": Layout({"header": TEXT, "body": PATH}, one_of=("header", "body")),
    "header": Layout({"name": TEXT, "as": NAMED, "source": TEXT}, needs=("name", "as", "source")),
    "placement": Layout(
        {"header": TEXT, "query": TEXT, "cookie": TEXT, "format": TEXT, "source": TEXT},
        needs=("source",),
        one_of=("header", "query", "cookie"),
    ),
    "repeat": Layout(
        {"what": TEXT, "method": TEXTS, "path": PATTERNS, "header": TEXT, "source": TEXT},
        needs=("what", "source"),
        one_of=("path", "header"),
    ),
    "token_endpoint": Layout(
        {
            "url": TEXT,
            "fields": WORDS,
            "error_in_200": FLAG,
            "single_use_refresh_token": FLAG,
            "what": TEXT,
            "source": TEXT,
        },
        needs=("source",),
    ),
    "sample": Layout(
        {
            "what": TEXT,
            "request": REQUEST,
            "status": STATUS,
            "headers": WORDS,
            "body": ANYTHING,
            "expect": EXPECTED,
        },
        needs=("what", "request", "status", "expect"),
    ),
    "expect": Layout(
        {"verdict": VERDICT, "retry_after": SECONDS, "scope": LIMIT, "not_processed": FLAG},
        needs=("verdict",),
    ),
}
"""The tables of a file, by name; the JSON schema has the same ones."""


@dataclass(frozen=True, slots=True)
class Sample:
    """An answer as the API sends it, and what it means.

    Attributes:
        what: What it is, in words.
        method: The method of the request.
        path: The path of the request, and its query.
        status: The status code.
        headers: The header fields.
        body: The body.
        expected: The verdict that it must be given; None: no verdict.
    """

    what: str
    method: str
    path: str
    status: int
    headers: Mapping[str, str]
    body: bytes
    expected: Verdict | None

    def answer(self, origin: str) -> Answer:
        """Return it as an answer of an origin; the names of its headers are in lower case."""
        headers = {name.lower(): value for name, value in self.headers.items()}
        return Answer(self.method, f"{origin}{self.path}", self.status, headers, self.body)


@dataclass(frozen=True, slots=True)
class Repeat:
    """Requests of a method that is not idempotent, and that may be repeated all the same.

    Attributes:
        what: Which requests, in words.
        methods: Their methods.
        paths: Patterns of their paths; empty: any.
        header: The name, in lower case, of a request's header field that makes it repeatable; "":
            none is needed.
    """

    what: str
    methods: frozenset[str]
    paths: tuple[str, ...] = ()
    header: str = ""

    def covers(self, method: str, path: str, headers: Mapping[str, Any]) -> bool:
        """Whether a request is one of these; names of headers are looked up in any case."""
        if method not in self.methods or (self.header and not headers.get(self.header)):
            return False
        return not self.paths or any(fits_pattern(path, each) for each in self.paths)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """How the token endpoint of an API departs from RFC 6749.

    Attributes:
        url: Where it is; "" if each customer has another one.
        fields: Other names of members of its answer, by their usual names.
        error_in_200: Whether it says errors in an answer of status 200.
        single_use_refresh_token: Whether a refresh token is spent when it is used.
        what: Whatever else there is, in words.
    """

    url: str = ""
    fields: tuple[tuple[str, str], ...] = ()
    error_in_200: bool = False
    single_use_refresh_token: bool = False
    what: str = ""


def sample_fault(rules: tuple[Rule, ...], sample: Sample, url: str) -> str | None:
    """Return how the verdict on a sample differs from the expected one; None if it does not.

    The clock shows what the `Date` of the sample says.

    Args:
        rules: The rules of the dialect.
        sample: The sample.
        url: An origin of the dialect.
    """
    answer = sample.answer(url)
    now = parse_http_date(answer.headers.get("date", ""), 0.0) or 0.0
    found, expected = judge(rules, answer, now), sample.expected
    if found == expected:
        return None
    return f"sample {sample.what!r} expects {_in_words(expected)}; the rules say {_in_words(found)}"


def _in_words(verdict: Verdict | None) -> str:
    """Return a verdict as its file would say it."""
    if verdict is None:
        return "no verdict"
    after = "" if verdict.retry_after is None else f" after {verdict.retry_after:g} s"
    scope = "" if verdict.scope is None else f" by the limit {verdict.scope!r}"
    is_told = verdict.not_processed and verdict.meaning not in NOT_PROCESSED
    return f"{verdict.meaning.name.lower()}{after}{scope}{', not processed' * is_told}"


def rules_without_sample(
    rules: tuple[Rule, ...], samples: tuple[Sample, ...], url: str
) -> list[str]:
    """Return in words each rule that decides about no sample; arguments as of `sample_fault`."""
    decided = [matching(rules, each.answer(url))[0] for each in samples]
    return [rule.what for rule in rules if not any(rule is each for each in decided)]


class Reading:
    """Reads the tables of one file, and collects the faults.

    Attributes:
        faults: Each fault, with the key.
    """

    def __init__(self) -> None:
        self.faults: list[str] = []

    def dialect(self, content: Any) -> dict[str, Any]:
        """Return the fields of a dialect, by name; incomplete if there are faults."""
        given = self.table(content, "", "dialect")
        fields: dict[str, Any] = {key: given.get(key, "") for key in ("name", "title", "checked")}
        fields["sources"] = given.get("sources", {})
        fields["origins"] = tuple(given.get("origins", ()))
        fields["paths"] = tuple(given.get("paths", ()))
        fields["rules"] = self._each(given, "rules", self._rule)
        renamed = self._each(given, "headers", self._header)
        fields["headers"] = {name: usual for name, usual in renamed if name}
        fields["repeat"] = self._each(given, "repeat", self._repeat)
        fields["placement"] = self._one(given, "placement", self._placement)
        fields["token_endpoint"] = self._one(given, "token_endpoint", self._endpoint)
        fields["samples"] = self._each(given, "samples", self._sample)
        self._check_sources(given)
        return fields

    def table(self, value: Any, where: str, layout: str) -> dict[str, Any]:
        """Return the keys of a table that can work; note each fault of the others."""
        keys, needs, one_of = LAYOUTS[layout]
        if not isinstance(value, dict):
            self.say(where, "must be a table")
            return {}
        for key in value.keys() - keys.keys():
            near = nearest(key, keys)
            self.say(_at(where, key), f"is unknown; did you mean {near}?" if near else "is unknown")
        good = {}
        for key, kind in keys.items():
            if key in value and kind.fits(value[key]):
                good[key] = value[key]
            elif key in value:
                self.say(_at(where, key), f"must be {kind.says}{_not(value[key])}")
        for key in needs:
            if key not in value:
                self.say(where, f"needs {key}")
        if one_of and sum(key in value for key in one_of) != 1:
            self.say(where, f"needs exactly one of {', '.join(one_of)}")
        return good

    def say(self, where: str, text: str) -> None:
        """Note a fault."""
        self.faults.append(f"{where} {text}" if where else text)

    def _each(
        self,
        given: Mapping[str, Any],
        key: str,
        read: Callable[[Any, str], Any],
        where: str = "",
    ) -> tuple[Any, ...]:
        values = enumerate(given.get(key, ()))
        return tuple(read(value, f"{_at(where, key)}[{index}]") for index, value in values)

    def _one(self, given: Mapping[str, Any], key: str, read: Callable[[Any, str], Any]) -> Any:
        return read(given[key], key) if key in given else None

    def _check_sources(self, given: Mapping[str, Any]) -> None:
        """Note each source that is named and not known, and each that is known and not named."""
        sources = given.get("sources")
        if sources is None:  # which is a fault already
            return
        named: set[str] = set()
        for key in ("rules", "headers", "repeat", "placement", "token_endpoint"):
            value = given.get(key, [])
            for index, table in enumerate(value if isinstance(value, list) else [value]):
                source = table.get("source")
                where = f"{key}[{index}]" if isinstance(value, list) else key
                if isinstance(source, str) and source not in sources:
                    near = nearest(source, sources)
                    way = f"; did you mean {near}?" if near else ""
                    self.say(_at(where, "source"), f"names no source of this file{way}")
                named.add(str(source))
        for source in sources.keys() - named:
            self.say(_at("sources", source), "is named by nothing in this file")

    def _rule(self, value: Any, where: str) -> Rule:
        given = self.table(value, where, "rule")
        when = self._when(given.get("when", {"status": [200]}), _at(where, "when"))
        times = self._each(given, "retry_after", self._time, where)
        scope = given.get("scope")
        if isinstance(scope, dict):
            place = self.table(scope, _at(where, "scope"), "scope")
            scope = Place(header=_field(place.get("header", "")), body=_path(place.get("body", "")))
        meaning = VERDICTS[given.get("verdict", USUAL)]
        if "verdict" in given:
            self._check_what_goes_with(meaning, given, where)
        return Rule(
            when=when,
            meaning=meaning,
            retry_after=times,
            scope=scope,
            not_processed=given.get("not_processed", False),
            what=given.get("what", ""),
        )

    def _check_what_goes_with(
        self, meaning: Meaning | None, given: Mapping[str, Any], where: str
    ) -> None:
        """Note each key of a rule that means nothing with its verdict."""
        for key, meanings in _GOES_WITH.items():
            if key in given and meaning not in meanings:
                names = " or ".join(each.name.lower() for each in meanings)
                self.say(_at(where, key), f"goes with {names}")

    def _when(self, value: Any, where: str) -> When:
        given = self.table(value, where, "when")
        header = given.get("header", {})
        body = given.get("body", {})
        for path in body:
            if not _is_path(path):
                self.say(_at(_at(where, "body"), path), f"must be {WRITTEN}")
        return When(
            status=frozenset(given.get("status", ())),
            method=frozenset(given.get("method", ())),
            path=tuple(given.get("path", ())),
            header=tuple(
                (_field(name), self._condition(each, f"{where}.header.{name}", in_header=True))
                for name, each in header.items()
            ),
            body=tuple(
                (_path(path), self._condition(each, f"{where}.body.{path}"))
                for path, each in body.items()
            ),
            text=tuple(given.get("text", ())),
        )

    def _condition(self, value: Any, where: str, *, in_header: bool = False) -> Condition:
        if not CONDITION.fits(value):
            self.say(where, f"must be {CONDITION.says}")
            return Condition()
        if isinstance(value, dict):
            given = self.table(value, where, "condition")
            return Condition(contains=tuple(given.get("contains", ())), exists=given.get("exists"))
        values = tuple(value) if isinstance(value, list) else (value,)
        if in_header and not all(map(is_text, values)):
            self.say(where, "is compared with the text of a header field: write texts")
        return Condition(values=values)

    def _time(self, value: Any, where: str) -> Place:
        given = self.table(value, where, "time")
        points = None
        if "points" in given:
            paths = self.table(given["points"], _at(where, "points"), "points")
            needed, left, per_second = (_path(paths.get(key, "")) for key in LAYOUTS["points"].keys)
            points = needed, left, per_second
        if "unit" in given and not given.keys() & {"header", "body"}:
            self.say(_at(where, "unit"), "goes with header or body")
        return Place(
            header=_field(given.get("header", "")),
            body=_path(given.get("body", "")),
            seconds=given.get("seconds"),
            points=points,
            unit=given.get("unit"),
        )

    def _header(self, value: Any, where: str) -> tuple[str, str | None]:
        given = self.table(value, where, "header")
        usual = given.get("as")
        return _field(given.get("name", "")), None if usual is None else _field(usual)

    def _placement(self, value: Any, where: str) -> Placement | None:
        given = self.table(value, where, "placement")
        kind = next((key for key in _PLACES if key in given), None)
        if kind is None:
            return None
        text = given.get("format", TOKEN)
        if text.count(TOKEN) != 1:
            self.say(_at(where, "format"), "must have {token} in it once")
            return None
        if kind != "header" and text != TOKEN:
            self.say(_at(where, "format"), "is for a header: elsewhere the token stands alone")
        try:
            return Header(given[kind], text) if kind == "header" else _PLACES[kind](given[kind])
        except ConfigurationError as error:
            self.say(_at(where, kind), f"cannot carry a token: {', '.join(error.faults)}")
            return None

    def _repeat(self, value: Any, where: str) -> Repeat:
        given = self.table(value, where, "repeat")
        return Repeat(
            given.get("what", ""),
            frozenset(given.get("method", ("POST",))),
            tuple(given.get("path", ())),
            _field(given.get("header", "")),
        )

    def _endpoint(self, value: Any, where: str) -> Endpoint:
        given = self.table(value, where, "token_endpoint")
        given.pop("source", None)
        return Endpoint(**{**given, "fields": tuple(given.get("fields", {}).items())})

    def _sample(self, value: Any, where: str) -> Sample:
        given = self.table(value, where, "sample")
        method, _, path = given.get("request", "GET /").partition(" ")
        body = given.get("body", "")  # a text is sent as it is, anything else as JSON
        return Sample(
            what=given.get("what", ""),
            method=method,
            path=path,
            status=given.get("status", 200),
            headers=given.get("headers", {}),
            body=(body if isinstance(body, str) else json.dumps(body)).encode(),
            expected=self._expected(given.get("expect"), _at(where, "expect")),
        )

    def _expected(self, value: Any, where: str) -> Verdict | None:
        """Return the verdict that a sample must be given; None: no verdict."""
        if value is None:
            return None
        given = self.table(value, where, "expect")
        if given.get("verdict") == USUAL:
            self.say(where, 'of the verdict "usual" is null')
        meaning = VERDICTS[given.get("verdict", USUAL)]
        if meaning is None:
            return None
        not_processed = given.get("not_processed", meaning in NOT_PROCESSED)
        return Verdict(meaning, given.get("retry_after"), given.get("scope"), not_processed)


def _at(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key


def _not(value: object) -> str:
    """Return the words that show a wrong value; "" for one that is long, or may hold a secret."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, str) and ("@" in value or "?" in value or token_in_path(value)):
        return ""
    shown = json.dumps(value) if _is_scalar(value) else ""
    return f", not {shown}" if 0 < len(shown) <= _LONGEST_SHOWN else ""


def _field(name: str) -> str:
    return name.strip().lower()


def _path(text: str) -> Path:
    return parse_path(text) or ()
