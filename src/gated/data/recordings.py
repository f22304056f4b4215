"""How long a recording says that it is, to find those that are cut off."""

from __future__ import annotations

import re
from typing import Any

from gated.errors import DataError

SHARE, SECONDS = 0.1, 0.5
"""What may lack at the end of a recording that is whole: streams of one file differ a little."""
CLOCK = re.compile(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)")


def check_whole(container: Any, stream: Any, end: float) -> None:
    """Refuse a recording that ends well before the time that its header announces.

    Args:
        container: of PyAV.
        stream: of `container`.
        end: seconds from the beginning to the end of what was decoded.

    Raises:
        DataError: it is truncated.
    """
    announced = _announced(container, stream)
    if end < announced * (1 - SHARE) and announced - end > SECONDS:
        raise DataError(
            f"it is truncated: {end:.2f} s are there, and its header says {announced:.2f} s."
        )


def _announced(container: Any, stream: Any) -> float:
    """Seconds, or 0 where the header does not say; what FFmpeg estimates does not count."""
    formats = set(container.format.name.split(","))
    whole = float(container.duration or 0) / 1e6
    if "avi" in formats and stream.type == "video" and stream.average_rate:
        # The duration of an AVI file is made to fit its size; the number of frames is not.
        return float(stream.frames / stream.average_rate)
    if "matroska" in formats:
        clock = CLOCK.match(stream.metadata.get("DURATION", ""))
        return sum(float(clock[k]) * 60 ** (3 - k) for k in (1, 2, 3)) if clock else whole
    if "mov" in formats and stream.duration:
        # The one counts what an edit list leaves out, the other the longest stream.
        return min(whole, float(stream.duration * stream.time_base))
    return 0.0
