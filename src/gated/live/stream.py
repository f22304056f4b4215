"""Streams: a program run step by step on incoming data, with states that can be stored.

Shapes: T steps, B sequences, F features.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gated.errors import DataError, ModelFileError
from gated.live.layer import Array, State

if TYPE_CHECKING:
    from gated.live.model import Model

MAGIC = b"gated-stream\x00\x00\x00\x01"
"""What a stored state begins with: the last byte is the version of its format."""
_NUMBERS = struct.Struct("<qq")
_DIGEST = hashlib.sha256().digest_size


class Stream:
    """A model that reads one step after the other; made by `Model.stream`.

    Args:
        model: which many streams may share.
        sequences: B, how many sequences take each step together; None for one, without this
            dimension.
    """

    def __init__(self, model: Model, sequences: int | None = None) -> None:
        if sequences is not None and sequences < 1:
            raise DataError(f"sequences must be at least 1, got {sequences}")
        self.model, self.sequences = model, sequences
        self.steps = 0
        """Steps that have been read."""
        self.states: list[State] = model.begin(sequences or 1)
        """What each layer remembers."""

    def push(self, x: Any) -> Array | None:
        """Read one step, and return the prediction after it.

        Args:
            x: (F,), with `sequences` (B, F); of a model that reads codes a whole number or a
                character, with `sequences` (B,) of them.

        Returns:
            (features,), with `sequences` (B, features); None where a patch of several steps has
            begun, or the network waits for later steps, so that there is nothing new.

        Raises:
            DataError: `x` has another shape, or holds what cannot be read; no step was taken.
        """
        found = self._read(self.model.one_step(x, self.sequences))
        return found[-1] if len(found) else None

    def push_many(self, block: Any) -> Array:
        """Read several steps, and return the predictions after each: the same bits as by `push`.

        Args:
            block: (T, F), with `sequences` (T, B, F); of codes (T,) or (T, B), or a text.

        Returns:
            (T, features), with `sequences` (T, B, features); with patches, and networks that wait
            for later steps, one step for each that was completed.

        Raises:
            DataError: as for `push`.
        """
        return self._read(self.model.many_steps(block, self.sequences))

    def _read(self, values: Array) -> Array:
        found, self.states = self.model.advance(values, self.states)
        self.steps += len(values)
        return found if self.sequences is not None else found[:, 0]

    def finish(self) -> Array:
        """End the sequence: return the predictions that waited for steps which do not come.

        Those of the stream are then the predictions of the whole sequence. The stream goes back to
        before the first step.

        Returns:
            (T, features), with `sequences` (T, B, features); of no step where nothing waited.
        """
        found = self.model.finish(self.sequences or 1, self.states)
        self.reset()
        return found if self.sequences is not None else found[:, 0]

    def reset(self) -> None:
        """Go back to before the first step."""
        self.states, self.steps = self.model.begin(self.sequences or 1), 0

    def state(self) -> bytes:
        """Return all that is remembered, for `restore`: versioned, with a digest over all of it."""
        arrays = [array for state in self.states for array in state]
        body = b"".join(
            [
                MAGIC,
                self.model.digest,
                _NUMBERS.pack(self.sequences or 0, self.steps),
                *(np.ascontiguousarray(array).tobytes() for array in arrays),
            ]
        )
        return body + hashlib.sha256(body).digest()

    def restore(self, data: bytes) -> None:
        """Go on from what `state` returned, of a stream of the same model.

        Raises:
            ModelFileError: it is damaged, of another version, another model, or another number of
                sequences; nothing was changed.
        """
        if not isinstance(data, bytes | bytearray | memoryview):
            raise ModelFileError(
                f"a state is the bytes that `state` returned, not {type(data).__name__}"
            )
        data = bytes(data)
        body, digest = data[:-_DIGEST], data[-_DIGEST:]
        if not body.startswith(MAGIC[:-1]):
            raise ModelFileError("these bytes are no state of a stream of gated")
        if hashlib.sha256(body).digest() != digest:
            raise ModelFileError(
                f"the state of a stream is damaged: {len(data)} bytes whose digest does not match"
            )
        if not body.startswith(MAGIC):
            raise ModelFileError(
                f"the state of a stream is of version {body[len(MAGIC) - 1]}, and this gated reads "
                f"version {MAGIC[-1]}"
            )
        at = len(MAGIC) + len(self.model.digest)
        if body[len(MAGIC) : at] != self.model.digest:
            raise ModelFileError(
                "the state is that of a stream of another model: go on with the model it was "
                "stored with, or begin a new stream"
            )
        sequences, steps = _NUMBERS.unpack_from(body, at)
        at += _NUMBERS.size
        if sequences != (self.sequences or 0):
            raise ModelFileError(
                f"the state is of a stream of sequences={sequences or None}, and this one has "
                f"{self.sequences}"
            )
        states: list[State] = []
        for like in self.model.begin(self.sequences or 1):
            arrays = []
            for array in like:
                arrays.append(
                    np.frombuffer(body, array.dtype, array.size, at).reshape(array.shape).copy()
                )
                at += array.nbytes
            states.append(tuple(arrays))
        self.states, self.steps = states, steps


def push_together(streams: Sequence[Stream], xs: Sequence[Any]) -> list[Array | None]:
    """Read one step for each of many streams of a model in one call.

    Args:
        streams: of one model, without `sequences`, each once.
        xs: the step of each, as for `Stream.push`.

    Returns:
        What `push` of each would return, to the bit.

    Raises:
        DataError: they are of several models, have `sequences`, or a step cannot be read; no step
            was taken.
    """
    if len(streams) != len(xs):
        raise DataError(f"{len(streams)} streams were given {len(xs)} steps")
    if not streams:
        return []
    model = streams[0].model
    if any(of.model is not model or of.sequences is not None for of in streams):
        raise DataError("the streams must be of one model, each of a single sequence")
    if len({id(of) for of in streams}) < len(streams):
        raise DataError("a stream takes one step at a time: it was given twice")
    if len(streams) == 1:
        return [streams[0].push(xs[0])]
    values = _side_by_side(model, xs)
    results: list[Array | None] = [None] * len(streams)
    for places in _alike(model, streams):
        group = [streams[place] for place in places]
        joined = [
            tuple(map(np.concatenate, zip(*layer, strict=True)))
            for layer in zip(*(of.states for of in group), strict=True)
        ]
        found, after = model.advance(values[:, places], joined)
        apart: list[Sequence[State]] = []
        for state in after:
            rows = [[row.copy() for row in of[:, None]] for of in state]  # no view of all streams
            apart.append(list(zip(*rows, strict=True)) if rows else [()] * len(group))
        for row, (place, states) in enumerate(zip(places, zip(*apart, strict=True), strict=True)):
            streams[place].states = list(states)
            streams[place].steps += 1
            results[place] = found[-1, row] if len(found) else None
    return results


def _side_by_side(model: Model, xs: Sequence[Any]) -> Array:
    """Return a step of each of B streams as (1, B, F), or (1, B) codes; checked."""
    alike = all(isinstance(x, np.ndarray) and x.shape == xs[0].shape for x in xs)
    if alike and xs[0].ndim == 1:
        try:
            return model.one_step(np.stack(xs), len(xs))
        except DataError:  # which is said of the step that is wrong
            pass
    return np.concatenate([model.one_step(x, None) for x in xs], 1)


def _alike(model: Model, streams: Sequence[Stream]) -> list[list[int]]:
    """Return the places of streams in groups that go side by side: as many steps into a patch."""
    if not any(model.phased):
        return [list(range(len(streams)))]
    groups: dict[bytes, list[int]] = {}
    for place, stream in enumerate(streams):
        phase = b"".join(
            of.tobytes() for state, at in zip(stream.states, model.phased, strict=True)
            for of in (state if at else ()) if of.dtype.kind == "i"
        )  # fmt: skip
        groups.setdefault(phase, []).append(place)
    return list(groups.values())
