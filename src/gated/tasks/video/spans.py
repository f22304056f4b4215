"""The network's inputs: spans of frames at their playback speed, and windows of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from gated.data.bad_rows import Bad
from gated.data.findings import RowError
from gated.errors import DataError
from gated.phases import counted
from gated.tasks.video.frames import FrameStore, Pixels
from gated.tasks.video.manifest import Segment

Integers = NDArray[np.int64]
NOTHING = -1
"""Label index of a frame without a label."""


@dataclass(frozen=True)
class Span:
    """Consecutive frames and their labels."""

    pixels: Pixels
    """(N, height, width, 3), of the whole clip."""
    chosen: Integers
    """(n,), indices of the span's frames, in the order of playback."""
    labels: Integers
    """(n,), label index of each frame, `NOTHING` where it is unknown."""
    segment: Segment
    """The segment it comes from; of a clip labelled by frames, the first one."""
    fps: float

    def __len__(self) -> int:
        return len(self.chosen)

    def window(self, first: int, most: int) -> tuple[Pixels, Integers]:
        """Return up to `most` frames, from frame `first` on, and their labels."""
        part = slice(first, first + most)
        return self.pixels[self.chosen[part]], self.labels[part]

    def key(self) -> bytes:
        """Return bytes that identify the span: its first, middle and last frame, and its length."""
        some = self.chosen[[0, len(self) // 2, -1]]
        return np.ascontiguousarray(self.pixels[some]).tobytes() + str(len(self)).encode()

    @property
    def seconds(self) -> NDArray[np.float64]:
        """(n,) the time of each frame in its clip."""
        return self.chosen / self.fps


def spans_of(
    segments: Sequence[Segment], store: FrameStore, names: Sequence[str], *, joined: bool, bad: Bad
) -> list[Span]:
    """Return a span for each segment or, `joined`, one for each clip with a label for each frame.

    Unusable segments go to `bad`.
    """
    spans = []
    for segment in counted("Reading segments of clips", segments):
        try:
            spans.append(_span(segment, store, names))
        except (DataError, FileNotFoundError) as error:
            bad(RowError(f"{segment}: {error}", segment.row, of=str(segment.clip)))
    return _join(spans) if joined else spans


def _span(segment: Segment, store: FrameStore, names: Sequence[str]) -> Span:
    if segment.label is not None and segment.label not in names:
        raise DataError(
            f"the label {segment.label!r} was not trained on; known are {', '.join(names)}."
        )
    frames = store[segment.clip]
    end = frames.seconds if segment.end is None else segment.end
    first, last = round(segment.start * frames.fps), round(end * frames.fps)
    if last > len(frames.pixels) + 1:
        raise DataError(f"it ends at {end:g} s, and the clip at {frames.seconds:.2f} s.")
    last = min(last, len(frames.pixels))
    count = int((last - first - 1) / abs(segment.speed) + 1e-9) + 1 if last > first else 0
    if not count:
        raise DataError(
            f"from {segment.start:g} to {end:g} s there is no frame; the clip has "
            f"{frames.fps:g} a second and ends at {frames.seconds:.2f} s."
        )
    chosen = first + np.floor(np.arange(count) * abs(segment.speed) + 1e-9).astype(np.int64)
    chosen = chosen[::-1] if segment.speed < 0 else chosen
    label = NOTHING if segment.label is None else names.index(segment.label)
    return Span(frames.pixels, chosen, np.full(count, label), segment, frames.fps)


def _join(spans: Sequence[Span]) -> list[Span]:
    """Join the spans of each clip: frames between them belong to it, without a label."""
    joined = []
    ordered = sorted(spans, key=lambda span: (str(span.segment.clip), span.segment.start))
    for _, group in groupby(ordered, key=lambda span: span.segment.clip):
        parts = list(group)
        first, last = (
            min(part.chosen.min() for part in parts),
            max(part.chosen.max() for part in parts),
        )
        chosen = np.arange(first, last + 1)
        labels = np.full(len(chosen), NOTHING)
        for part in parts:
            labels[part.chosen - first] = part.labels
        joined.append(Span(parts[0].pixels, chosen, labels, parts[0].segment, parts[0].fps))
    return joined
