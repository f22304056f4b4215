"""An ONNX graph whose recurrent nodes are ours, and whose other nodes are onnxruntime's.

The graph is cut at its recurrent nodes into stages: a stage is a graph of its own, for onnxruntime,
and then the recurrent nodes that read what is known by then. A graph of recurrent nodes alone needs
no onnxruntime.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gated.core.onnx_nodes import OPERATIONS, OnnxNode, read_node
from gated.errors import DataError, GatedError, ModelFileError, require
from gated.live.onnx_layer import OnnxLayer

Array = NDArray[Any]
_INPUTS = {
    "LSTM": ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P"),
    "GRU": ("X", "W", "R", "B", "sequence_lens", "initial_h"),
    "RNN": ("X", "W", "R", "B", "sequence_lens", "initial_h"),
}
_WEIGHTS = ("W", "R", "B", "P")
_RANDOM = ("RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Multinomial")


class _Recurrent:
    """A recurrent node of the graph, with its layer if its weights are constant."""

    def __init__(self, name: str, proto: Any, node: OnnxNode) -> None:
        self.name, self.node = name, node
        self.reads = {
            role: of for role, of in zip(_INPUTS[node.operation], proto.input, strict=False) if of
        }
        self.gives = list(proto.output)
        self.layer: OnnxLayer | None = None

    def run(self, known: Mapping[str, Array]) -> dict[str, Array]:
        """Compute its outputs."""
        given = {role: known[of] for role, of in self.reads.items() if role not in _WEIGHTS}
        layer = self.layer or OnnxLayer(
            self.node, {role: known[of] for role, of in self.reads.items() if role in _WEIGHTS}
        )
        try:
            found = layer(**given)
        except GatedError as error:
            raise DataError(f"the node {self.name!r}: {error}") from error
        return {name: of for name, of in zip(self.gives, found, strict=False) if name}


class _Segment:
    """Nodes between recurrent ones, as a graph of onnxruntime's."""

    def __init__(self, model: Any, reads: list[str], gives: list[str]) -> None:
        runtime = require("onnxruntime", extra="onnx")
        options = runtime.SessionOptions()
        options.log_severity_level = 3
        self._session = runtime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        self.reads, self.gives = reads, gives

    def run(self, known: Mapping[str, Array]) -> dict[str, Array]:
        """Compute what later stages read."""
        try:
            found = self._session.run(self.gives, {name: known[name] for name in self.reads})
        except Exception as error:  # onnxruntime has classes of its own
            raise DataError(f"onnxruntime cannot compute {self.gives[0]!r}: {error}") from error
        return dict(zip(self.gives, found, strict=True))


class OnnxGraph:
    """A whole graph as one callable; `from_onnx` returns one.

    It never changes: all states come in and go out, and any number of threads may call it.
    """

    def __init__(self, model: Any) -> None:
        onnx = require("onnx", extra="onnx")
        if model.functions:
            model = onnx.inliner.inline_local_functions(model)
        self._onnx, self._model, graph = onnx, model, model.graph
        constants = {of.name for of in graph.initializer} | {
            of.values.name for of in graph.sparse_initializer
        }
        self.inputs = tuple(of.name for of in graph.input if of.name not in constants)
        """The names of what it reads."""
        self.outputs = tuple(of.name for of in graph.output)
        """The names of what it returns."""
        if not all(isinstance(name, str) for name in (*self.inputs, *self.outputs)):
            raise ModelFileError("the names of inputs or outputs are no texts")
        self.left = dict(_left(onnx, graph))
        """Recurrent nodes that are left to onnxruntime, and why."""
        recurrent = dict(self._recurrent_nodes())
        stages, fixed = self._stages(recurrent)
        self._types = self._known_types()
        self._constants = self._constant_weights(recurrent, fixed)
        for of in recurrent.values():
            roles = {role: name for role, name in of.reads.items() if role in _WEIGHTS}
            if all(name in self._constants for name in roles.values()):
                try:
                    of.layer = OnnxLayer(
                        of.node, {role: self._constants[name] for role, name in roles.items()}
                    )
                except GatedError as error:
                    raise ModelFileError(f"the node {of.name!r} cannot be used: {error}") from error
        self.layers = {of.name: of.layer for of in recurrent.values() if of.layer is not None}
        """The recurrent nodes whose weights are constant, by name."""
        self._run = self._planned(recurrent, stages)

    def __call__(self, *given: Any, **named: Any) -> dict[str, Array]:
        """Run the graph.

        Args:
            *given: arrays in the order of `inputs`.
            **named: arrays by their names; `graph(**{"a name": x})` where it is none of Python's.

        Returns:
            The arrays by the names in `outputs`.

        Raises:
            DataError: an input is missing or not known, or an array has another shape.
        """
        if len(given) > len(self.inputs):
            raise DataError(f"{len(given)} arrays were given; inputs are {', '.join(self.inputs)}")
        known = dict(zip(self.inputs, given, strict=False))
        if twice := sorted(known.keys() & named.keys()):
            raise DataError(f"{twice[0]} was given twice")
        known |= named
        if strange := sorted(set(known) ^ set(self.inputs)):
            what = "is missing" if strange[0] in self.inputs else "is no input"
            raise DataError(f"{strange[0]} {what}: inputs are {', '.join(self.inputs)}")
        known = {name: np.asarray(of) for name, of in known.items()} | self._constants
        for part in self._run:
            known |= part.run(known)
        return {name: known[name] for name in self.outputs}

    def _recurrent_nodes(self) -> Iterator[tuple[int, _Recurrent]]:
        """Those of the graph by their place, whose attributes are ones that we know."""
        names: set[str] = set()
        for place, proto in enumerate(self._model.graph.node):
            if not _is_recurrent(proto):
                continue
            attributes = {
                of.name: self._onnx.helper.get_attribute_value(of) for of in proto.attribute
            }
            name = proto.name or proto.op_type
            while name in names:
                name += "'"
            names.add(name)
            peepholes = len(proto.input) > 7 and bool(proto.input[7])
            try:
                node = read_node(proto.op_type, attributes, peepholes)
            except GatedError as error:
                self.left[name] = str(error)
                continue
            yield place, _Recurrent(name, proto, node)

    def _stages(self, recurrent: Mapping[int, Any]) -> tuple[list[int], set[str]]:
        """The stage of each node, and the names of values that are constant."""
        graph = self._model.graph
        fixed = {of.name for of in graph.initializer} - {of.name for of in graph.input}
        fixed |= {of.values.name for of in graph.sparse_initializer}
        stage_of: dict[str, int] = {}
        stages = []
        for place, proto in enumerate(graph.node):
            reads = list(_reads(proto))
            stage = max((stage_of.get(name, 0) for name in reads), default=0)
            stages.append(stage)
            ours = place in recurrent
            for name in proto.output:
                stage_of[name] = stage + ours
            if not ours and proto.op_type not in _RANDOM and fixed.issuperset(reads):
                fixed |= set(proto.output)
        return stages, fixed

    def _known_types(self) -> dict[str, Any]:
        """The types of values, where ONNX infers them."""
        graph = self._onnx.shape_inference.infer_shapes(self._model).graph
        given = [*graph.value_info, *graph.input, *graph.output]
        return {of.name: of.type for of in given if of.type.WhichOneof("value")}

    def _constant_weights(
        self, recurrent: Mapping[int, _Recurrent], fixed: set[str]
    ) -> dict[str, Array]:
        """Weights that no input changes: initializers, and what is computed of them alone."""
        wanted = {
            name
            for of in recurrent.values()
            for role, name in of.reads.items()
            if role in _WEIGHTS and name in fixed
        }
        helper = self._onnx.numpy_helper
        found = {
            of.name: helper.to_array(of)
            for of in self._model.graph.initializer
            if of.name in wanted
        }
        if left := sorted(wanted - found.keys()):
            nodes = [
                proto
                for proto in self._model.graph.node
                if fixed.issuperset(proto.output) and fixed.issuperset(_reads(proto))
            ]
            found |= self._segment(nodes, [], left).run({})
        return found

    def _planned(self, recurrent: Mapping[int, _Recurrent], stages: list[int]) -> list[Any]:
        """What runs, one after the other."""
        graph = self._model.graph
        parts: list[Any] = []
        read = {name for one in recurrent.values() for name in one.reads.values()}
        weights = {
            of.name: self._onnx.numpy_helper.to_array(of)
            for of in graph.initializer
            if of.name in read
        }
        self._constants = weights | self._constants
        known = {*self.inputs, *self._constants}
        last = max(stages, default=0)
        for stage in range(last + 1):
            here = [place for place, of in enumerate(stages) if of == stage]
            nodes = [graph.node[place] for place in here if place not in recurrent]
            given = {name for proto in nodes for name in proto.output if name}
            later = {
                name
                for place, proto in enumerate(graph.node)
                if stages[place] > stage or place in recurrent
                for name in _reads(proto)
            }
            gives = sorted(given & (later | set(self.outputs)))
            if gives:
                reads = {name for proto in nodes for name in _reads(proto)} - given
                parts.append(self._segment(nodes, sorted(reads & known), gives))
                known |= set(gives)
            for place in here:
                if place in recurrent:
                    if missing := sorted(set(recurrent[place].reads.values()) - known):
                        raise ModelFileError(
                            f"the node {recurrent[place].name!r} reads {missing[0]!r}, which "
                            "nothing gives"
                        )
                    parts.append(recurrent[place])
                    known |= {name for name in recurrent[place].gives if name}
        if direct := sorted(set(self.outputs) - known):
            parts.append(self._segment([], [], direct))  # initializers that are outputs
        return parts

    def _segment(self, nodes: list[Any], reads: list[str], gives: list[str]) -> _Segment:
        """A model of some nodes."""
        helper, graph = self._onnx.helper, self._model.graph
        needed = {name for proto in nodes for name in _reads(proto)} | set(gives)
        inputs = []
        for name in reads:
            if name not in self._types:
                raise ModelFileError(
                    f"the type of the value {name!r} between nodes of the graph is not known: "
                    "export it with value_info, or run onnx.shape_inference on it"
                )
            inputs.append(helper.make_value_info(name, _without_shape(self._types[name])))
        made = helper.make_graph(
            nodes,
            "segment",
            inputs,
            [
                helper.make_value_info(name, _without_shape(self._types[name]))
                if name in self._types
                else helper.make_empty_tensor_value_info(name)
                for name in gives
            ],
            [of for of in graph.initializer if of.name in needed - set(reads)],
            sparse_initializer=[
                of for of in graph.sparse_initializer if of.values.name in needed - set(reads)
            ],
        )
        model = helper.make_model(made, opset_imports=self._model.opset_import)
        model.ir_version = self._model.ir_version
        try:
            return _Segment(model, reads, gives)
        except GatedError:
            raise
        except Exception as error:  # onnxruntime has classes of its own
            raise ModelFileError(
                f"onnxruntime cannot run the nodes before {', '.join(gives[:3])}: {error}"
            ) from error


def from_onnx(source: Path | str | bytes) -> OnnxGraph:
    """Read an ONNX graph: its nodes LSTM, GRU and RNN run on the native core.

    All of their options are known: activations with their numbers, clip, peepholes, input_forget,
    linear_before_reset, layout, both directions, initial states and lengths. Other nodes are
    onnxruntime's, and so are recurrent nodes within If, Loop and Scan, which `left` names.

    Args:
        source: the path of a file, or its bytes.

    Returns:
        A callable: `graph(x)`, or `graph(input=x, h=h)`, gives a dictionary of the outputs.

    Raises:
        ModelFileError: it is no ONNX graph, or cannot be run.
        MissingExtraError: onnx is not installed, or onnxruntime, where there are other nodes.
    """
    onnx = require("onnx", extra="onnx")
    what = f"The {len(source)} bytes" if isinstance(source, bytes) else str(source)
    try:
        if isinstance(source, bytes):
            model = onnx.load_from_string(source)
        else:
            model = onnx.load(str(source))
    except FileNotFoundError:
        raise ModelFileError(f"There is no file {what}.") from None
    except Exception as error:  # protobuf's, of several packages
        raise ModelFileError(f"{what} cannot be read as ONNX: {error}") from error
    if not model.graph.output:
        raise ModelFileError(f"{what} cannot be read as ONNX: it has no graph with outputs.")
    try:
        return OnnxGraph(model)
    except GatedError:
        raise
    except Exception as error:  # of onnx and NumPy there are many
        raise ModelFileError(f"{what} cannot be used: {type(error).__name__}: {error}") from error


def _is_recurrent(proto: Any) -> bool:
    return proto.op_type in OPERATIONS and proto.domain in ("", "ai.onnx")


def _subgraphs(proto: Any) -> Iterator[Any]:
    for attribute in proto.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def _reads(proto: Any) -> Iterator[str]:
    """The names of the values that a node reads, also those that graphs within it take."""
    yield from (name for name in proto.input if name)
    for graph in _subgraphs(proto):
        inside = {of.name for of in [*graph.input, *graph.initializer]}
        for node in graph.node:
            yield from (name for name in _reads(node) if name not in inside)
            inside |= set(node.output)
        yield from (of.name for of in graph.output if of.name not in inside)


def _left(onnx: Any, graph: Any) -> Iterator[tuple[str, str]]:
    """Recurrent nodes within other nodes."""
    for proto in graph.node:
        for inner in _subgraphs(proto):
            for node in inner.node:
                if _is_recurrent(node):
                    yield node.name or node.op_type, f"it is within a node {proto.op_type}"
            yield from _left(onnx, inner)


def _without_shape(kind: Any) -> Any:
    """A type without its shape, which our outputs may not share with what was inferred."""
    if kind.WhichOneof("value") != "tensor_type":
        return kind
    plain = type(kind)()
    plain.tensor_type.elem_type = kind.tensor_type.elem_type
    return plain
