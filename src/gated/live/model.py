"""A trained network, loaded with NumPy and safetensors alone.

Shapes: T steps, B sequences, F features.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gated import model_files
from gated.core.arguments import StoredAs, check_stored_as
from gated.errors import ConfigurationError, DataError, ModelFileError
from gated.live.layer import Array, State, Steps
from gated.live.program import INPUT, Program
from gated.live.stream import Stream, push_together

AT_ONCE = 256
"""Sequences that are run side by side at most."""


class Model:
    """A trained network that needs no framework; `load` returns one.

    It never changes, so that any number of streams and threads may share it.

    Args:
        program: what it computes.
        arrays: the weights of all names that it reads, by name.
        task: that it was trained for.
    """

    def __init__(
        self, program: Program, arrays: Mapping[str, NDArray[Any]], task: str = ""
    ) -> None:
        self.program, self.task = program, task
        self._arrays = {name: arrays[name] for name in program.used}
        self.labels = program.output.labels
        """Of the features of a prediction, in order; none of a single number."""
        self.phased = [layer.waits for layer in program.layers]
        """Which layers give results at some steps only."""

    @cached_property
    def digest(self) -> bytes:
        """The SHA-256 of program and weights, which identifies them: states of streams hold it."""
        found = hashlib.sha256(
            json.dumps(self.program.values, sort_keys=True).encode("utf-8", "surrogatepass")
        )
        for name, array in sorted(self._arrays.items()):
            found.update(name.encode("utf-8", "surrogatepass"))
            found.update(np.ascontiguousarray(array).data)
        return found.digest()

    @property
    def streams(self) -> bool:
        """Whether the network can be run step by step: whether it reads no later steps."""
        return not self.program.not_streamed

    def __call__(self, x: Any) -> Any:
        """Predict for whole sequences.

        Args:
            x: one sequence, (T, F), or (T,) of one channel; or several of any lengths, as a list,
                or as an array (B, T, F). For a model that reads codes: a text, (T,) codes, or a
                list of these.

        Returns:
            For a sequence (features,) or, of a model that predicts at each step, (T, features);
            for several (B, features) or a list.

        Raises:
            DataError: a sequence has no step, other features, or what cannot be read.
        """
        several = isinstance(x, list | tuple) or (
            isinstance(x, np.ndarray) and x.ndim == (2 if self._reads_codes else 3)
        )
        sequences = [self._sequence(of) for of in (x if several else [x])]
        results: list[Any] = [None] * len(sequences)
        order = sorted(range(len(sequences)), key=lambda place: len(sequences[place]))
        for first in range(0, len(order), AT_ONCE):
            places = order[first : first + AT_ONCE]
            found = self._whole([sequences[place] for place in places])
            for place, result in zip(places, found, strict=True):
                results[place] = result
        if not several:
            return results[0]
        if self.program.output.form.kind == "sequence":
            width = self.program.output.form.features
            return np.stack(results) if results else np.zeros((0, width))
        return results

    def stream(self, sequences: int | None = None, state: bytes | None = None) -> Stream:
        """Return a stream that reads one step after the other.

        Args:
            sequences: B, how many sequences take each step together; None for one.
            state: what `Stream.state` returned, to go on from; by default the beginning.

        Raises:
            ConfigurationError: the network reads later steps.
            ModelFileError: as for `Stream.restore`.
        """
        if later := self.program.not_streamed:
            options = self.program.streamed_with
            raise ConfigurationError(
                f"this network cannot be run step by step: {', '.join(later)} read later steps"
                + (f"; train one without, by {options}" if options else "")
            )
        stream = Stream(self, sequences)
        if state is not None:
            stream.restore(state)
        return stream

    def push(self, streams: Sequence[Stream], xs: Sequence[Any]) -> list[Array | None]:
        """Read one step for each of many streams in one call; see `gated.live.stream`."""
        return push_together(streams, xs)

    # What streams are made of.

    def begin(self, sequences: int) -> list[State]:
        """Return the state of each layer before the first step of B sequences."""
        return [layer.begin(sequences) for layer in self.program.layers]

    def advance(self, values: Array, states: Sequence[State]) -> tuple[Array, list[State]]:
        """Run T steps (T, B, F) from states that stay as they are; return results and new states.

        The results are (T, B, features), of fewer steps where layers wait for later ones.
        """
        known = {INPUT: Steps(values, None)}
        after = list(states)
        pairs = zip(self.program.names, self.program.layers, self.program.reads, strict=True)
        for place, (name, layer, of) in enumerate(pairs):
            given = [known[read] for read in of]
            if len(given[0].values):
                known[name], after[place] = layer.run(given, states[place])
            else:
                known[name] = layer.nothing(given)
        return known[self.program.output.of].values, after

    def finish(self, sequences: int, states: Sequence[State]) -> Array:
        """Return what is left at the end of B streams: (T, B, features), of T steps or none."""
        side = () if self._reads_codes else (self.program.input.form.features,)
        known = {INPUT: Steps(np.zeros((0, sequences, *side), np.float32), None)}
        pairs = zip(self.program.names, self.program.layers, self.program.reads, strict=True)
        for state, (name, layer, of) in zip(states, pairs, strict=True):
            known[name] = layer.finish([known[read] for read in of], state)
        return known[self.program.output.of].values

    def _whole(self, sequences: list[Array]) -> list[Array]:
        """The results of whole sequences, side by side."""
        lengths = np.array([len(of) for of in sequences], np.int64)
        shape = (int(lengths.max()), len(sequences), *sequences[0].shape[1:])
        values = np.zeros(shape, sequences[0].dtype)
        for place, of in enumerate(sequences):
            values[: len(of), place] = of
        known = {INPUT: Steps(values, lengths)}
        pairs = zip(self.program.names, self.program.layers, self.program.reads, strict=True)
        for name, layer, reads in pairs:
            given = [known[read] for read in reads]
            known[name] = (
                layer.at_the_end(given)
                if layer.pools
                else layer.run(given, layer.begin(len(sequences)))[0]
            )
        found = known[self.program.output.of]
        if self.program.output.form.kind == "sequence":
            return list(found.values[0])
        return [
            np.ascontiguousarray(found.values[:length, place])
            for place, length in enumerate(found.ends)
        ]

    # What comes in.

    @property
    def _reads_codes(self) -> bool:
        """Whether a step is a whole number: a code, or a code point of a text."""
        return self.program.input.kind != "numbers"

    def _sequence(self, x: Any) -> Array:
        """A whole sequence: (T, F), or (T,) codes."""
        values = self.many_steps(x, None)[:, 0][: self.program.input.longest]
        if not len(values):
            raise DataError("a sequence has no step; give one or more")
        return values

    def one_step(self, x: Any, sequences: int | None) -> Array:
        """Return a step for B sequences as (1, B, F), or (1, B) codes; checked."""
        if isinstance(x, str):
            codes = self._coded(x)
            if len(codes) != 1:
                raise DataError(f"{x!r} is {len(codes)} steps; push one, or several with push_many")
            x = codes[0]
        array = np.asarray(x)
        if not array.ndim and not self._reads_codes and self.program.input.form.features == 1:
            array = array[None]  # one channel
        return self._checked(array[None], sequences)

    def many_steps(self, block: Any, sequences: int | None) -> Array:
        """Return steps of B sequences as (T, B, F), or (T, B) codes; checked."""
        if isinstance(block, str):
            block = self._coded(block)
        array = np.asarray(block)
        alone = sequences is None and not self._reads_codes
        if alone and array.ndim == 1 and self.program.input.form.features == 1:
            array = array[:, None]  # one channel
        return self._checked(array, sequences)

    def _coded(self, text: str) -> NDArray[np.int64]:
        codes = self.program.input.codes(text)
        if codes is None:
            raise DataError(
                "this model reads codes, and its program does not say which texts they are of: "
                "give the codes"
                if self._reads_codes
                else "this model reads numbers: give an array"
            )
        return codes

    def _checked(self, array: NDArray[Any], sequences: int | None) -> Array:
        """Steps first, (T, …), as (T, B, …)."""
        F = self.program.input.form.features
        wide = () if self._reads_codes else (F,)
        side = () if sequences is None else (sequences,)
        if array.ndim == 0 or array.shape[1:] != (*side, *wide):
            wanted = ", ".join(["steps", *map(str, (*side, *wide))])
            raise DataError(f"the input must have the shape ({wanted}), got {array.shape}")
        if array.dtype.kind not in ("iu" if self._reads_codes else "iufb"):
            raise DataError(
                f"the input must be {'codes' if self._reads_codes else 'numbers'}, got "
                f"{array.dtype}"
            )
        if self._reads_codes:
            if array.size and not (array.min() >= 0 and array.max() < F):
                raise DataError(f"codes must be from 0 to {F - 1}")
            values: Array = array.astype(np.int64)
        else:
            values = array.astype(np.float64)
            wrong = np.isinf(values) if self.program.input.missing else ~np.isfinite(values)
            if wrong.any():
                step = int(np.argwhere(wrong)[0][0])
                raise DataError(f"the input is {values[wrong][0]} at step {step}")
        return values if sequences is not None else values[:, None]


def load(run: Path | str, stored_as: StoredAs | None = None) -> Model:
    """Load the trained network of a run: NumPy and safetensors are enough, torch is not used.

    Args:
        run: its directory, or one that `write` wrote.
        stored_as: how the weights of products are stored: "bfloat16" and "int8" take half and a
            quarter of the bytes, see `gated.core.stream.Stream`. By default as the run is stored:
            "float32", or what `gated quantize` made of it.

    Raises:
        ModelFileError: there is no model, it is damaged, or it has no program.
    """
    return loaded(run, model_files.load_description(Path(run)), stored_as)


def loaded(
    run: Path | str, description: Mapping[str, Any], stored_as: StoredAs | None = None
) -> Model:
    """Load what `load` does, of a run whose description was read."""
    if stored_as is not None:
        check_stored_as(stored_as)
    stored = description.get("stored")
    own = stored.get("as") if isinstance(stored, dict) else "float32"
    program, arrays = _read(run, description, stored_as or own)
    return Model(program, arrays, str(description.get("task", "")))


def read_program(run: Path | str) -> Program:
    """Read the program of a run; raises as `load`."""
    return _read(run, model_files.load_description(Path(run)), "float32")[0]


def _read(
    run: Path | str, description: Mapping[str, Any], stored_as: Any
) -> tuple[Program, model_files.Arrays]:
    """Return the program of a run, and its weights."""
    directory = Path(run)
    values = description.get("program")
    if values is None:
        why = description.get("no_program") or (
            "it was written by a gated that wrote none; where torch is, "
            f"gated.tasks.load({str(run)!r}).save({str(run)!r}) writes it anew"
        )
        raise ModelFileError(f"The model in {directory} has no program to load: {why}.")
    arrays = read_arrays(directory)
    try:
        return Program(values, arrays, stored_as), arrays
    except ModelFileError as error:
        raise ModelFileError(
            f"The model in {directory} cannot be used: {error}. Restore it from a copy, or train "
            "again."
        ) from error


def read_arrays(run: Path | str) -> model_files.Arrays:
    """Return the weights of a run by the names that its program has for them; raises as `load`."""
    directory = Path(run)
    return model_files.load_model(directory)[0] | model_files.attached_arrays(directory)


def write(
    directory: Path | str,
    program: Mapping[str, Any],
    arrays: Mapping[str, NDArray[Any]],
    task: str = "",
) -> None:
    """Write a program and the weights that it reads, without anything else of a run, for `load`.

    Raises:
        ModelFileError: they do not fit together.
    """
    used = {name: arrays[name] for name in Program(program, arrays).used}
    model_files.save_model(Path(directory), used, {"task": task, "program": dict(program)})
