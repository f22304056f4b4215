"""The check that a recording is as long as its header says, and not truncated."""

from __future__ import annotations

import re
from typing import Any

from gated.errors import DataError

SHARE, SECONDS = 0.1, 0.5
"""A recording counts as truncated where it ends earlier than announced by more than both this share
and so many seconds: the streams of one file differ a little in length."""
CLOCK = re.compile(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)")


def check_whole(container: Any, stream: Any, end: float) -> None:
    """Refuse a recording that ends well before the duration that its header states.

    Args:
        container: an open container of PyAV.
        stream: the decoded stream of `container`.
        end: seconds of the stream that were decoded.

    Raises:
        DataError: it is truncated.
    """
    announced = _announced(container, stream)
    if end < announced * (1 - SHARE) and announced - end > SECONDS:
        raise DataError(
            f"it is truncated: {end:.2f} s are there, and its header says {announced:.2f} s."
        )


def _announced(container: Any, stream: Any) -> float:
    """Seconds that the header states; 0 where it states none or FFmpeg only estimates it."""
    formats = set(container.format.name.split(","))
    whole = float(container.duration or 0) / 1e6
    if "avi" in formats and stream.type == "video" and stream.average_rate:
        # FFmpeg adapts the duration of an AVI file to the file's size, but not the frame count.
        return float(stream.frames / stream.average_rate)
    if "matroska" in formats:
        clock = CLOCK.match(stream.metadata.get("DURATION", ""))
        return sum(float(clock[k]) * 60 ** (3 - k) for k in (1, 2, 3)) if clock else whole
    if "mov" in formats and stream.duration:
        # Each may be too long: the stream's counts what an edit list leaves out, the container's
        # is that of its longest stream.
        return min(whole, float(stream.duration * stream.time_base))
    return 0.0
