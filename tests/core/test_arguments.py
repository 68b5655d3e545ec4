"""Arguments that are not taken: named with the nearest that is."""

from __future__ import annotations

import traceback
from inspect import signature
from typing import Any

import pytest

from requests_authretry import ConfigurationError, RateLimits, RetryPolicy, Settings, mount
from requests_authretry._core.arguments import checks_arguments, checks_call

SECRET = "s3cret-of-the-user"


@checks_arguments()
class Part:
    """A record."""

    def __init__(self, size: int = 0) -> None:
        self.size = size + 0


@checks_arguments(part=Part, parts=[Part])
class Whole:
    """A record that holds others."""

    def __init__(
        self, color: str, part: Part | None = None, *, colour: str = "", parts: object = ()
    ) -> None:
        if colour == "impossible":
            raise ConfigurationError("Whole", ["colour is impossible"])
        self.color, self.part, self.parts = color, part, parts


@checks_call(part=Part)
def paint(color: str, *, part: Part | None = None) -> str:
    """Return the color."""
    return color.upper() + str(part or "")


def faults_of(make: Any, *args: Any, **named: Any) -> tuple[str, ...]:
    """Return the faults of a call."""
    with pytest.raises(ConfigurationError) as caught:
        make(*args, **named)
    assert caught.value.__cause__ is caught.value.__context__ is None
    return caught.value.faults


@pytest.mark.parametrize(
    ("args", "named", "faults"),
    [
        ((), {}, ["color is missing: write Whole(color)"]),
        (("red",), {"prt": 1}, ["prt is unknown; did you mean part?"]),
        (("red",), {"size": 1}, ["size is unknown; did you mean part=Part(size=...)?"]),
        (("red",), {"sizes": 1}, ["sizes is unknown; did you mean part=Part(size=...)?"]),
        (("red",), {"zzz": 1}, ["zzz is unknown; there are color, part, colour, parts"]),
        (("red",), {"color": "red"}, ["color is given twice"]),
        (("red", None, 1), {}, ["too many arguments without a name: write Whole(name=...) "]),
        ((), {"kolor": "red"}, ["kolor is unknown; did you mean color?"]),
        (
            ("red",),
            {"zzz": 1, "colour": "impossible"},
            ["zzz is unknown", "colour is impossible"],
        ),
        (("red",), {"a_a": 1, "b_b": 2}, ["a_a is unknown", "b_b is unknown"]),
    ],
)
def test_the_faults_of_a_constructor(
    args: tuple[Any, ...], named: dict[str, Any], faults: list[str]
) -> None:
    """Unknown, missing, doubled and nameless arguments, and what else is wrong with the object."""
    told = faults_of(Whole, *args, **named)
    assert len(told) == len(faults)
    assert all(one.startswith(fault) for one, fault in zip(told, faults, strict=True))


def test_what_belongs_to_a_session_is_sent_there() -> None:
    """``Settings(verify=False)``: did you mean session.verify? Also beside a name that is near."""
    assert faults_of(Whole, "red", verify=1) == ("verify is unknown; did you mean session.verify?",)
    both: Any = checks_arguments(limits=RateLimits)(type("Both", (), {"__init__": limited_box}))
    assert faults_of(both, headers=1) == (
        "headers is unknown; did you mean limits=RateLimits(headers=...), or session.headers?",
    )


def test_a_list_of_a_part_shows_its_brackets() -> None:
    """The way into a collection is written as a collection."""
    part_alone: Any = checks_arguments(parts=[Part])(type("Box", (), {"__init__": box}))
    assert faults_of(part_alone, size=1) == (
        "size is unknown; did you mean parts=[Part(size=...)]?",
    )
    deep: Any = checks_arguments(whole=Whole)(type("Deep", (), {"__init__": deep_box}))
    assert faults_of(deep, size=1) == (
        "size is unknown; did you mean whole=Whole(part=Part(size=...))?",
    )


def box(self: Any, parts: object = ()) -> None:
    """Be the constructor of a class."""


def limited_box(self: Any, limits: object = None) -> None:
    """Be the constructor of a class."""


def deep_box(self: Any, whole: object = None) -> None:
    """Be the constructor of a class."""


def test_a_function_names_its_faults_and_runs_no_second_time() -> None:
    """Other faults would need another call, which may do something."""
    assert paint("red") == "RED"
    assert faults_of(paint, "red", prt=1) == ("prt is unknown; did you mean part?",)
    assert faults_of(paint) == ("color is missing: write paint(color)",)
    assert faults_of(paint, "red", "blue")[0].endswith("write paint(name=...) with part")


def test_an_error_inside_stays_as_it_is() -> None:
    """A TypeError of the code within is not one of the arguments."""
    with pytest.raises(TypeError, match="can only concatenate"):
        Part("1")  # type: ignore[arg-type]
    with pytest.raises(AttributeError):
        paint(1)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="not supported between"):
        checks_call()(lambda color: color > {})(1)


def test_a_fault_of_another_class_stays_its_own() -> None:
    """Where the arguments that are known break the code within, the unknown ones are told alone."""
    assert faults_of(Part, "1", zzz=1) == ("zzz is unknown; there are size",)


def test_a_subclass_is_called_by_its_own_name() -> None:
    """And takes what its base takes."""
    mine = type("Mine", (Whole,), {})
    with pytest.raises(ConfigurationError, match="Mine: color is missing"):
        mine()


@pytest.mark.parametrize("make", [Settings, RetryPolicy, mount])
def test_signatures_and_texts_stay(make: Any) -> None:
    """`help` and editors see the arguments and the docstring of what was decorated."""
    assert "args" not in signature(make).parameters
    assert make.__doc__
    assert (make if make is mount else make.__init__).__name__ in {"mount", "__init__"}


@pytest.mark.parametrize("named", [{"sizes": SECRET}, {"size": SECRET}])
def test_no_frame_of_ours_holds_the_arguments(named: dict[str, Any]) -> None:
    """A traceback that shows the variables of frames shows no secret that was given."""
    with pytest.raises((ConfigurationError, TypeError)) as caught:
        Part(**named)
    frames = traceback.walk_tb(caught.value.__traceback__)
    ours = [frame for frame, _ in frames if frame.f_code.co_name == "checked"]
    assert ours
    assert SECRET not in repr([frame.f_locals for frame in ours])
