"""Models that Keras wrote, read as programs: `.keras` and `.h5`, by h5py alone.

Nothing is unpickled and no code of the file is run: a layer that is not known is refused by name.

Shapes: I inputs, O outputs, K steps of a kernel, H hidden units, G gates.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gated.errors import GatedError, ModelFileError, ProgramError, require

Arrays = Sequence[NDArray[Any]]
MOST_BYTES = 1 << 32
"""Of a file within a `.keras` file at most."""
_HDF5 = b"\x89HDF\r\n\x1a\n"


class KerasLayer:
    """A layer of a file: its class, its options, its weights, and what it reads.

    Args:
        entry: of the configuration.
        reads: the names of the layers before it.
        old: whether Keras 1 or 2 wrote it.
    """

    def __init__(self, entry: Mapping[str, Any], reads: Sequence[str], old: bool) -> None:
        self.kind = str(entry["class_name"])
        self.options: Mapping[str, Any] = entry["config"]
        self.name = str(entry.get("name") or self.options.get("name", self.kind))
        self.reads, self.old = list(reads), old
        self.weights: Arrays = []
        built = entry.get("build_config")
        self.input_shape = built.get("input_shape") if isinstance(built, Mapping) else None
        """Of what it reads, where the file says so."""

    def refused(self, what: str) -> ProgramError:
        """Return the error that says what cannot be."""
        return ProgramError(f"the layer {self.name!r} ({self.kind}) {what}")

    @property
    def within(self) -> KerasLayer:
        """The layer that a wrapper holds, with the wrapper's weights."""
        found = KerasLayer(self.options["layer"], self.reads, self.old)
        found.weights, found.name = self.weights, self.name
        return found


class KerasFile:
    """A model in a file: its layers in order, each after those that it reads.

    Args:
        path: of the file.
        data: its bytes, where they have been read.

    Raises:
        ModelFileError: the file is missing, damaged, or no model of Keras.
        ProgramError: the model is of a kind that no program is.
    """

    def __init__(self, path: Path | str, data: bytes | None = None) -> None:
        self.path = Path(path)
        try:
            data = self.path.read_bytes() if data is None else data
        except FileNotFoundError:
            raise ModelFileError(f"There is no file {self.path}.") from None
        try:
            if data.startswith(_HDF5):
                self._read_h5(data)
            else:
                self._read_zip(data)
        except GatedError:
            raise
        except Exception as error:  # of zipfile, json and h5py there are many
            raise self._damaged(f"{type(error).__name__}: {error}") from error

    def _damaged(self, why: str) -> ModelFileError:
        return ModelFileError(f"{self.path} cannot be read as a model of Keras: {why}")

    def _read_zip(self, data: bytes) -> None:
        """A `.keras` file: configuration, version and weights."""
        with zipfile.ZipFile(io.BytesIO(data)) as files:
            for of in files.infolist():
                if of.file_size > MOST_BYTES:
                    raise self._damaged(f"{of.filename} has {of.file_size:,} bytes")
            config = json.loads(files.read("config.json"))
            version = json.loads(files.read("metadata.json")).get("keras_version", "3")
            if "model.weights.h5" not in files.namelist():
                raise self._damaged("it has no model.weights.h5")
            weights = files.read("model.weights.h5")
        self._read_model(config, version)
        h5py = require("h5py", extra="keras")
        with h5py.File(io.BytesIO(weights), "r") as file:
            groups = file.get("layers", {})
            by_name, used = _named_groups(groups), dict[str, int]()
            for layer in self.layers:
                plain = _snake(layer.kind)
                count = used[plain] = used.get(plain, -1) + 1
                path = by_name.get(layer.name) or (f"{plain}_{count}" if count else plain)
                if path in groups:
                    layer.weights = list(_variables(h5py, groups[path], file))

    def _read_h5(self, data: bytes) -> None:
        """An `.h5` file of a whole model."""
        h5py = require("h5py", extra="keras")
        with h5py.File(io.BytesIO(data), "r") as file:
            if "model_config" not in file.attrs:
                raise self._damaged(
                    "it has weights alone, without the model: save the model with model.save"
                )
            config = json.loads(_text(file.attrs["model_config"]))
            self._read_model(config, _text(file.attrs.get("keras_version", "2")))
            groups = file["model_weights"]
            for layer in self.layers:
                if layer.name in groups:
                    group = groups[layer.name]
                    names = [_text(of) for of in group.attrs.get("weight_names", [])]
                    layer.weights = [_array(h5py, group[name], file) for name in names]

    def _read_model(self, config: Mapping[str, Any], version: str) -> None:
        kind, body = config["class_name"], config["config"]
        old = int(re.match(r"\d*", version)[0] or 3) < 3  # type: ignore[index]
        if kind == "Sequential":
            entries = body["layers"] if isinstance(body, Mapping) else body
            self.layers = [KerasLayer(entries[0], [], old)]
            for entry in entries[1:]:
                self.layers.append(KerasLayer(entry, [self.layers[-1].name], old))
            self.output = self.layers[-1].name
        elif kind in ("Functional", "Model"):
            self.layers = [
                KerasLayer(entry, [], old)
                for entry in body["layers"]
                if entry["class_name"] != "NotEqual"  # of masks, which Keras writes as operations
            ]
            for layer, entry in zip(self.layers, _but_masks(body["layers"]), strict=True):
                layer.reads = _inbound(layer, entry.get("inbound_nodes", []))
            outputs = list(_ends(body["output_layers"]))
            if len(outputs) != 1 or len(list(_ends(body["input_layers"]))) != 1:
                raise ProgramError(
                    f"{self.path} has a model of several inputs or outputs: a program has one of "
                    "each. Save a keras.Model of one input and one output."
                )
            self.output = outputs[0]
        else:
            raise ProgramError(
                f"{self.path} has a model of the class {kind}, whose layers are in its code: only "
                "Sequential and functional models can be read"
            )


def _but_masks(entries: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    return (entry for entry in entries if entry["class_name"] != "NotEqual")


def _ends(given: Any) -> Iterator[str]:
    """The names in ["a", 0, 0], or [["a", 0, 0], …], or what Keras 3 nests of these."""
    if isinstance(given, Mapping):
        given = list(given.values())
    if given and isinstance(given[0], str):
        yield given[0]
    else:
        for of in given:
            yield from _ends(of)


def _inbound(layer: KerasLayer, nodes: Sequence[Any]) -> list[str]:
    """The layers that a layer reads."""
    if len(nodes) > 1:
        raise layer.refused("is used more than once, which a program cannot say")
    if not nodes:
        return []
    found: list[str] = []
    for name, output in _histories(nodes[0]):
        if output != 0:
            raise layer.refused(f"reads output {output} of {name!r}: a state, not the output")
        found.append(name)
    return found


def _histories(node: Any) -> Iterator[tuple[str, int]]:
    """Names and numbers of outputs in an inbound node, of Keras 3 or before."""
    if isinstance(node, Mapping):
        if node.get("class_name") == "__keras_tensor__":
            name, _, output = node["config"]["keras_history"]
            yield str(name), int(output)
        else:
            yield from _histories(node.get("args", []))
    elif isinstance(node, list):
        if len(node) in (3, 4) and isinstance(node[0], str):
            yield node[0], int(node[2])
        else:
            for of in node:
                yield from _histories(of)


def _snake(kind: str) -> str:
    """A class's name as Keras writes it in weights: `SimpleRNN` is `simple_rnn`."""
    found = re.sub(r"\W+", "", kind)
    found = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", found)
    return re.sub("([a-z])([A-Z])", r"\1_\2", found).lower()


def _named_groups(groups: Any) -> dict[str, str]:
    """Where the weights of each layer are, in files that name it."""
    found = {}
    for path in groups:
        variables = groups[path].get("vars")
        if variables is not None and "name" in variables.attrs:
            found[_text(variables.attrs["name"])] = path
    return found


def _variables(h5py: Any, group: Any, file: Any) -> Iterator[NDArray[Any]]:
    """All variables of a layer: its own, then those of what it holds, in Keras' order."""
    own = group.get("vars", {})
    for key in sorted(own, key=int):
        yield _array(h5py, own[key], file)
    order = ("forward_layer", "backward_layer", "cell", "layer")
    for key in order:
        if key in group:
            yield from _variables(h5py, group[key], file)


def _array(h5py: Any, data: Any, file: Any) -> NDArray[Any]:
    """A data set of numbers, in this very file."""
    plain = isinstance(data, h5py.Dataset) and data.dtype.kind in "fiu" and data.file == file
    if not plain or data.external or data.is_virtual:
        raise ModelFileError("a weight is no data set of numbers in the file itself")
    if data.size > MOST_BYTES // 4:
        raise ModelFileError(f"a weight has {data.size:,} numbers")
    array: NDArray[Any] = np.asarray(data[()], np.float32)
    return array


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
