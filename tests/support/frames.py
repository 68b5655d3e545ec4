"""The frames of our code that an exception holds, as reporters of exceptions show them."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import TYPE_CHECKING

import requests_authretry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

OURS = str(Path(requests_authretry.__file__).parent)
"""The folder of the library."""


def frames_of(error: BaseException) -> Iterator[FrameType]:
    """Every frame of ours, generated code included, that an exception and its causes hold."""
    seen: set[int] = set()
    pending: list[BaseException | None] = [error]
    while pending:
        each = pending.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        pending += [each.__cause__, each.__context__]
        for frame, _ in traceback.walk_tb(each.__traceback__):
            if frame.f_code.co_filename.startswith((OURS, "<string>")):
                yield frame
