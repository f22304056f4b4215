"""Features of a whole sequence as ONNX: what fixed kernels find in it, and summaries.

Shapes: T steps, B sequences, F features, K kernels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from gated.core.sequence_features import KERNELS, LENGTH, PARTS, RANGE, WEIGHTS
from gated.live.onnx_writing import Known, Value, Writing

_LAST = np.array([-1], np.int64)
_ODD = (np.arange(KERNELS) % 2 == 1)[None, :, None]


def kernel_features(w: Writing, of: Any, given: Sequence[Known], name: str) -> Known:
    """Write a convolution for each dilation, and how often it is above each threshold.

    Sums are of whole multiples of a small unit, and thus exact: the same as the runtime's.
    """
    lengths = _ends(given[0])
    unit = of.kernels.unit
    clipped = w.add("Clip", w.only_there(given[0], 0.0), -RANGE, RANGE)
    x = (w.add("Round", clipped / unit) * unit).turned(1, 2, 0)  # (B, F, T)
    times = _times(w, given[0].value).with_axis(0).with_axis(0)  # (1, 1, T)
    ends = lengths.with_axis(1).with_axis(1)  # (B, 1, 1)
    there = w.add("Less", times, ends)
    parts = []
    pairs = zip(of.kernels.dilations, of.thresholds, of.kernels.reads, strict=True)
    for place, (dilation, thresholds, reads) in enumerate(pairs):
        taps = WEIGHTS[:, None] * reads[:, :, None]  # (K, F, LENGTH)
        reach = dilation * (LENGTH // 2)
        found = w.add("Conv", x, taps, dilations=[dilation], pads=[reach, reach])
        edge, twice = np.array(reach, np.int64), np.array(2 * reach, np.int64)
        inside = w.add(
            "And", w.add("Less", times, ends - edge), w.add("GreaterOrEqual", times, edge)
        )
        inside = _either(w, w.add("Greater", ends, twice), inside, there)
        # Of one half of the kernels all steps count, of the other those far from the ends.
        far = w.constant(_ODD if place % 2 == 0 else ~_ODD)
        counts = _either(w, far, inside, there)  # (B, K, T)
        many = w.add("ReduceSum", counts.to("float32"), _LAST, keepdims=0)
        for column in np.asarray(thresholds).T:
            above = w.add("And", w.add("Greater", found, column[:, None]), counts)
            parts.append(w.add("ReduceSum", above.to("float32"), _LAST, keepdims=0) / many)
    return Known(w.add("Concat", *parts, axis=-1), None)


def summaries(w: Writing, of: Any, given: Sequence[Known], name: str) -> Known:
    """Write the logarithm of the length, and ten numbers of each feature, in float64."""
    lengths = _ends(given[0])
    x, steps = given[0].value.to("float64"), lengths.to("float64").with_axis(1)
    times, ends = _times(w, x).with_axis(1), lengths.with_axis(0)  # (T, 1), (1, B)
    zero = np.zeros((), np.float64)

    def kept(mask: Value, values: Value = x, otherwise: Any = zero) -> Value:
        """Values where a mask (T, B) is set."""
        return w.add("Where", mask.with_axis(2), values, otherwise)

    there = w.add("Less", times, ends)
    one = np.array(1, np.int64)
    mean = kept(there).summed() / steps
    off = kept(there, x - mean)
    first = w.add("Gather", x, np.array(0, np.int64), axis=0)
    last = kept(w.add("Equal", times, ends - one)).summed()
    before = w.add("Concat", first.with_axis(0), x, axis=0)  # one step late
    before = w.add("Slice", before, *(np.array([at], np.int64) for at in (0, -1, 0)))
    moved = w.add("And", there, w.add("GreaterOrEqual", times, one))
    change = kept(moved, w.add("Abs", x - before)).summed()
    changes = w.add("Max", steps - np.float64(1), np.array(1, np.float64))
    found = [
        w.add("Log", steps),
        *_stretches(w, kept, times, ends),
        w.add("Sqrt", (off * off).summed() / steps),
        w.add("Neg", kept(there, -x, np.array(-np.inf)).largest()),
        kept(there, x, np.array(-np.inf)).largest(),
        first,
        last,
        change / changes,
    ]
    return Known(w.add("Concat", *found, axis=-1).to("float32"), None)


def _stretches(w: Writing, kept: Any, times: Value, ends: Value) -> Iterator[Value]:
    """The means of parts; a sequence of fewer steps has some that share a step."""
    parts, one = np.array(PARTS, np.int64), np.array(1, np.int64)
    for part in range(PARTS):
        start = ends * np.array(part, np.int64) / parts
        end = (ends * np.array(part + 1, np.int64) + np.array(PARTS - 1, np.int64)) / parts
        end = w.add("Max", end, start + one)
        here = w.add("And", w.add("GreaterOrEqual", times, start), w.add("Less", times, end))
        count = (end - start).to("float64").turned(1, 0)  # (B, 1)
        yield kept(here).summed() / count


def _either(w: Writing, condition: Value, yes: Value, no: Value) -> Value:
    """`yes` where the condition holds, else `no`: onnxruntime has no Where of truths."""
    return w.add("Or", w.add("And", condition, yes), w.add("And", w.add("Not", condition), no))


def _ends(given: Known) -> Value:
    """The steps of each sequence, (B,): networks with these layers do not stream."""
    assert given.lengths is not None  # noqa: S101 - as said
    return given.lengths


def _times(w: Writing, x: Value) -> Value:
    """The numbers of the steps, (T,)."""
    zero, one = np.array(0, np.int64), np.array(1, np.int64)
    return w.add("Range", zero, x.size(0).without_axis(0), one)
