"""A program: the layers of a network, what it reads and what it predicts, as JSON values.

The network itself writes its program, with `Writer`; `Program` reads one with checks. The format is
specified in `docs/en/live.md`.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gated.core.arguments import StoredAs
from gated.errors import ModelFileError
from gated.live.entry import MOST_FEATURES, Entry
from gated.live.layer import Form, Layer
from gated.live.table import LAYERS

VERSION = 1
"""Version of the format."""
INPUT = "input"
"""The name by which layers read the input."""
MOST_LAYERS = 10_000


class Writer:
    """Writes a program, a layer after the other.

    Args:
        kind: what is read: "numbers", whose features are channels, or "codes".
        features: how many channels, or codes.
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


class Input:
    """What a program reads: numbers at each step, or codes, perhaps of a text."""

    def __init__(self, entry: Entry) -> None:
        self.kind = entry.text("kind", ["numbers", "codes"])
        features = entry.whole("features", 1, MOST_FEATURES)
        self.form = Form("codes" if self.kind == "codes" else "steps", features)
        self.missing = entry.flag("missing", False)
        """Whether NaN stands for a missing value; else it is refused."""
        self.names = entry.texts("names", ())
        """Of the channels, where they have names."""
        self.longest = entry.whole("longest", 1, 1 << 40, 1 << 40)
        """Codes of a text that are read at most."""
        numbers = entry.numbers("points", None, above=-1, default=[])
        if (numbers > sys.maxunicode).any() or (numbers != np.round(numbers)).any():
            raise entry.wrong("has a point that no character has")
        points = numbers.astype(np.int64)
        self.unit = entry.text("unit", ["character", "byte", ""], "")
        """What a code stands for, where texts can be given."""
        if self.unit and (self.kind != "codes" or len(points) != features - 1):
            raise entry.wrong("must have a point for each code but the first")
        self._places = np.argsort(points, kind="stable")
        self._points = points[self._places]
        if (np.diff(self._points) == 0).any():
            raise entry.wrong("has a point twice")
        if self.names and len(self.names) != features:
            raise entry.wrong(f"names {len(self.names)} of {features} channels")
        entry.finish()

    def codes(self, text: str) -> NDArray[np.int64]:
        """Return the code of each character, or byte, of a text: 0 for those that are unknown."""
        if self.unit == "byte":
            points = np.frombuffer(text.encode("utf-8", "surrogatepass"), np.uint8)
        else:
            points = np.array([ord(of) for of in text], np.int64)
        at = np.minimum(np.searchsorted(self._points, points), len(self._points) - 1)
        return np.where(self._points[at] == points, self._places[at] + 1, 0)


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
