"""A program: the layers of a network, what it reads and what it predicts, as JSON values.

The network itself writes its program, with `Writer`; `Program` reads one with checks. The format is
specified in `docs/en/live.md`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gated.core.arguments import StoredAs
from gated.errors import ModelFileError
from gated.live.coding import coder_of, points_of
from gated.live.entry import MOST_FEATURES, Entry
from gated.live.layer import Form, Kind, Layer
from gated.live.table import LAYERS

VERSION = 1
"""Version of the format."""
INPUT = "input"
"""The name by which layers read the input."""
MOST_LAYERS = 10_000
POINTS = sys.maxunicode + 1
"""Features of a text: code points that there may be."""


class Writer:
    """Writes a program, a layer after the other.

    Args:
        kind: what is read: "numbers", whose features are channels, "codes", or "text".
        features: how many channels, or codes; of a text, `POINTS`.
        options: more of the input, as in the format.

    >>> writer = Writer("numbers", 3)
    >>> hidden = writer.add("linear", writer.input, weight="head.weight")
    >>> writer.program("logits", hidden)["layers"]
    [{'layer': 'linear', 'of': ['input'], 'name': 'linear', 'weight': 'head.weight'}]
    """

    def __init__(self, kind: str, features: int, **options: Any) -> None:
        self.input = INPUT
        self._input = {"kind": kind, "features": features, **options}
        self._layers: list[dict[str, Any]] = []

    def add(self, layer: str, *of: str, name: str = "", **options: Any) -> str:
        """Add a layer, and return its name; options that are None are left out."""
        known = {str(entry["name"]) for entry in self._layers}
        plain = name or layer
        chosen, number = plain, 2
        while chosen in known:
            chosen, number = f"{plain}{number}", number + 1
        given = {key: value for key, value in options.items() if value is not None}
        self._layers.append({"layer": layer, "of": list(of), "name": chosen, **given})
        return chosen

    def program(self, kind: str, of: str, **options: Any) -> dict[str, Any]:
        """Return the program whose result is that of the layer `of`, with options of the output."""
        output = {"kind": kind, "of": of, **options}
        return {
            "version": VERSION,
            "input": self._input,
            "layers": self._layers,
            "output": output,
        }


class Program:
    """A program, checked, with its weights.

    Args:
        values: from the file.
        arrays: the weights by name.
        stored_as: how the weights of products are stored.

    Raises:
        ModelFileError: an entry is not as the format says, layers do not fit together, or weights
            are missing or do not fit.
    """

    def __init__(
        self, values: Any, arrays: Mapping[str, NDArray[Any]], stored_as: StoredAs = "float32"
    ) -> None:
        if not isinstance(values, Mapping) or not isinstance(values.get("layers"), list):
            raise ModelFileError("the program has no list of layers")
        if values.get("version") != VERSION:
            raise ModelFileError(
                f"the program is of version {values.get('version')!r}, and this gated reads "
                f"version {VERSION}: use the version that wrote it, or a newer one"
            )
        if strange := set(values) - {"version", "input", "layers", "output"}:
            raise ModelFileError(f"the program has {min(strange)!r}, which is not known")
        self.values = values
        arrays = _Noting(arrays)
        self.used: set[str] = arrays.asked
        """Names of the weights that it reads."""
        self.input = Input(Entry(values.get("input"), "the input", arrays))
        forms = {INPUT: self.input.form}
        self.names: list[str] = []
        self.layers: list[Layer] = []
        self.reads: list[tuple[str, ...]] = []
        if len(values["layers"]) > MOST_LAYERS:
            raise ModelFileError(f"the program has more than {MOST_LAYERS:,} layers")
        for place, options in enumerate(values["layers"]):
            name, layer, of = _layer(place, options, arrays, forms, stored_as)
            forms[name] = layer.form
            self.names.append(name)
            self.layers.append(layer)
            self.reads.append(of)
        self.output = Output(Entry(values.get("output"), "the output", arrays), forms)

    @property
    def not_streamed(self) -> list[str]:
        """The names of the layers that read later steps, so that nothing can be streamed."""
        pairs = zip(self.names, self.layers, strict=True)
        return [name for name, layer in pairs if not layer.streams]

    @property
    def streamed_with(self) -> str:
        """The options of `gated fit` that make a network without those layers; none may help."""
        options = [layer.without for layer in self.layers if not layer.streams]
        return " ".join(dict.fromkeys(options)) if all(options) else ""


class _Noting(Mapping[str, NDArray[Any]]):
    """Arrays that note which of them are read."""

    def __init__(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self._arrays = arrays
        self.asked: set[str] = set()

    def __getitem__(self, name: str) -> NDArray[Any]:
        found = self._arrays[name]
        self.asked.add(name)
        return found

    def __contains__(self, name: object) -> bool:
        return name in self._arrays

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)


def _layer(
    place: int,
    options: Any,
    arrays: Mapping[str, NDArray[Any]],
    forms: Mapping[str, Form],
    stored_as: StoredAs,
) -> tuple[str, Layer, tuple[str, ...]]:
    """Read a layer: its name, the layer, and the names of its inputs."""
    entry = Entry(options, f"layer {place + 1} of the program", arrays, stored_as)
    name = entry.text("name")
    entry.where = f"the layer {name!r}"
    if name in forms:
        raise ModelFileError(f"layer {place + 1} of the program: a layer {name!r} is there already")
    kind = entry.text("layer", [*LAYERS])
    entry.where = f"the layer {name!r} ({kind})"
    of = entry.texts("of")
    made = LAYERS[kind]
    if len(of) != made.inputs and not (made.inputs is None and of):
        raise entry.wrong(f"has {len(of)} inputs; it takes {made.inputs or 'one or more'}")
    for read in of:
        if read not in forms:
            raise entry.wrong(f"reads {read!r}, which is no layer before it")
        if forms[read].kind not in made.takes:
            raise entry.wrong(f"reads {read!r}, whose values are {forms[read].kind}")
    layer = made(entry, *(forms[read] for read in of))
    entry.finish()
    return name, layer, of


KINDS: dict[str, Kind] = {"numbers": "steps", "codes": "codes", "text": "text"}
"""What an input is, by its name in the format."""


class Input:
    """What a program reads: numbers at each step, codes, perhaps of a text, or a text itself."""

    def __init__(self, entry: Entry) -> None:
        self.kind = entry.text("kind", [*KINDS])
        features = entry.whole("features", 1, POINTS)
        if features > (POINTS if self.kind == "text" else MOST_FEATURES):
            raise entry.wrong(f"has features = {features:,}, more than {MOST_FEATURES:,}")
        self.form = Form(KINDS[self.kind], features)
        self.missing = entry.flag("missing", False)
        """Whether NaN stands for a missing value; else it is refused."""
        self.names = entry.texts("names", ())
        """Of the channels, where they have names."""
        self.longest = entry.whole("longest", 1, 1 << 40, 1 << 40)
        """Codes of a text that are read at most."""
        self._coder = coder_of(entry, features)
        if self._coder and self.kind != "codes":
            raise entry.wrong("has a unit, and reads no codes")
        if self.names and len(self.names) != features:
            raise entry.wrong(f"names {len(self.names)} of {features} channels")
        entry.finish()

    def codes(self, text: str) -> NDArray[np.int64] | None:
        """Return the code of each step of a text; None where the program reads no texts."""
        if self.kind == "text":
            return points_of(text)
        return self._coder.codes(text) if self._coder else None


class Output:
    """What a program predicts."""

    def __init__(self, entry: Entry, forms: Mapping[str, Form]) -> None:
        self.kind = entry.text("kind", ["probabilities", "numbers", "logits"])
        self.of = entry.text("of")
        if self.of not in forms or self.of == INPUT:
            raise entry.wrong(f"is that of {self.of!r}, which is no layer")
        self.form = forms[self.of]
        self.labels = entry.texts("labels", ())
        """Of the features, in order."""
        if self.labels and len(self.labels) != self.form.features:
            raise entry.wrong(f"has {len(self.labels)} labels for {self.form.features} features")
        entry.finish()
