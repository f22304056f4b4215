"""A program as one C99 file and its header: static weights, a state that the caller owns.

Nothing is allocated, no library is needed but that of C and its mathematics, and the time of a step
does not depend on the data but for the functions of the latter. With `GATED_SELF_TEST` defined, the
file is a program that compares itself with what the runtime predicted.

Shapes: F features.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from gated.cells.cell import Cell
from gated.cells.emit_c import SCALE, number, step_in_c
from gated.cells.tape import Tape
from gated.core.layout import Weights
from gated.core.plans import varied
from gated.core.variants import Regularisation, Zoneout
from gated.errors import CellError, ProgramError
from gated.live import combining, pooling, preparing, recurrence, windows
from gated.live.layer import Layer
from gated.live.model import Model
from gated.live.program import INPUT
from gated.model_files import quantised
from gated.version import VERSION

InC: TypeAlias = Literal["float32", "int8"]
TEST_STEPS = 24
"""Steps of the self-test; twice as many, and again, until there are `TEST_PREDICTIONS`."""
TEST_PREDICTIONS, MOST = 4, 3072
CLOSE = 2e-4
"""How near its predictions must be, relative to the largest of them or 1."""


class Source(NamedTuple):
    """The two files."""

    code: str
    header: str


class _Writing:
    """What a layer adds to the file.

    Args:
        stored_as: how matrices are stored.
    """

    def __init__(self, stored_as: InC = "float32") -> None:
        self.stored_as = stored_as
        self.tables: list[str] = []
        self.members: list[str] = []
        """Of the state."""
        self.scratch: list[str] = []
        """Of the state too, but without meaning between steps."""
        self.begin: list[str] = []
        self.lines: list[str] = []
        self.opens = ""
        """A loop around the layer that is being written and all that come after it."""

    def table(self, name: str, values: Any) -> str:
        """Add a table of weights, and return its name."""
        flat = np.asarray(values, np.float64).ravel()
        rows = [
            "    " + ", ".join(map(number, flat[at : at + 8].tolist())) + ","
            for at in range(0, len(flat), 8)
        ]
        self.tables.append("\n".join([f"static const float {name}[{len(flat)}] = {{", *rows, "};"]))
        return name

    def matrix(self, name: str, weight: Any, squares: int = 1) -> tuple[str, str | None]:
        """Add a matrix, column after column, and the scales of its rows where it has some.

        Args:
            name: of the table.
            weight: (rows, columns).
            squares: on its diagonal: (rows, columns / squares) is stored.
        """
        scale = None
        if self.stored_as == "int8":
            weight, scales = quantised(np.asarray(weight))
            scale = self.table(f"{name}_scale", scales)
        rows, columns = weight.shape
        turned = weight.reshape(squares, rows // squares, columns).swapaxes(1, 2)
        if scale is None:
            return self.table(name, turned), None
        return self.whole_table(name, turned), scale

    def whole_table(self, name: str, values: Any) -> str:
        """Add a table of whole numbers of eight bits, and return its name."""
        flat = values.ravel().tolist()
        lines = [
            "    " + ", ".join(map(str, flat[at : at + 20])) + "," for at in range(0, len(flat), 20)
        ]
        head = f"static const signed char {name}[{len(flat)}] = {{"
        self.tables.append("\n".join([head, *lines, "};"]))
        return name

    def product(self, name: str, of: Any, weight: Any, source: str, out: str) -> None:
        """Add out = W source + b."""
        rows, columns = weight.shape
        table, scale = self.matrix(f"{name}_weight", weight)
        bias = "0.0f" if of.bias is None else self.table(f"{name}_bias", of.bias) + "[k]"
        self.loop(rows, f"{out}[k] = {'0.0f' if scale else bias};")
        self.lines += [
            f"for (j = 0; j < {columns}; ++j)",
            f"    for (k = 0; k < {rows}; ++k) {out}[k] += {table}[j * {rows} + k] * {source}[j];",
        ]
        if scale:
            self.loop(rows, f"{out}[k] = {out}[k] * {scale}[k] + {bias};")

    def keep(self, name: str, size: int, kind: str = "float") -> str:
        """Add an array to the state, and return how it is read."""
        self.members.append(f"{kind} {name}[{size}];")
        return f"s->{name}"

    def use(self, name: str, size: int) -> str:
        """Add an array of a single step, and return how it is read."""
        self.scratch.append(f"float {name}[{size}];")
        return f"s->{name}"

    def loop(self, size: int, line: str) -> None:
        """Add a loop over k."""
        self.lines.append(f"for (k = 0; k < {size}; ++k) {line}")


def source(model: Model, name: str, header_name: str = "", stored_as: InC = "float32") -> Source:
    """Return a model as C.

    Args:
        model: which can be streamed.
        name: what all names begin with: a name of C in small letters.
        header_name: of the header's file; by default `name.h`.
        stored_as: how matrices are stored: "int8" has a quarter of the bytes, and rounds as
            `gated.live.int8.rounded_model` does, which such a model is to come from; sums,
            states, biases and inputs are float.

    Raises:
        ProgramError: the model reads later steps, or has a layer that C does not.
    """
    if not re.fullmatch(r"[a-z_][a-z0-9_]{0,62}", name):
        raise ProgramError(f"{name!r} is no name of C in small letters: give another")
    program = model.program
    if later := program.not_streamed:
        raise ProgramError(f"{', '.join(later)} read later steps, which a step in C cannot")
    _check_patches(model)
    w, features = _Writing(stored_as), program.input.form.features
    codes = program.input.kind == "codes"
    places, loops = {INPUT: "x"}, 0
    pairs = zip(program.names, program.layers, program.reads, strict=True)
    for at, (layer_name, layer, reads) in enumerate(pairs):
        write = _EMITTED.get(type(layer))
        if write is None:
            without = f"; train without it, by {layer.without}" if layer.without else ""
            raise ProgramError(f"the layer {layer_name!r} is not written in C yet{without}")
        w.lines += [f"/* {plain(layer_name)} */", "{"]
        first = len(w.lines)
        out = w.use(f"l{at}", layer.form.features)
        try:
            write(w, layer, [places[of] for of in reads], out, f"l{at}")
        except CellError as error:
            raise ProgramError(f"the layer {layer_name!r} is not written in C: {error}") from error
        w.lines[first:] = [f"    {line}" for line in w.lines[first:]]
        w.lines.append("}")
        if w.opens:
            w.lines.insert(first - 1, w.opens)
            loops, w.opens = loops + 1, ""
        places[layer_name] = out
    w.lines += ["}"] * loops
    outputs = program.output.form.features
    parts = {
        "name": name,
        "NAME": name.upper(),
        "inputs": features,
        "outputs": outputs,
        "given": "int x" if codes else "const float *x",
        "what": f"x: a code from 0 to {features - 1}" if codes else f"x: {features} numbers",
        "divided": "; where a step is divided into several, those after the last" if loops else "",
        "version": VERSION,
        "task": plain(model.task) or "a task of its own",
    }
    labels = [f'    "{_escaped(label)}",' for label in model.labels]
    header = _HEADER.format(
        **parts,
        members="\n".join(f"    {line}" for line in [*w.members, *w.scratch] or ["char nothing;"]),
        labels=f"extern const char *const {name}_labels[{outputs}];\n" if labels else "",
    )
    zeros = "\n".join(f"    {line}" for line in w.begin)
    code = _CODE.format(
        **parts,
        header=header_name or f"{name}.h",
        tables="\n".join(w.tables),
        labels="\n".join([f"const char *const {name}_labels[{outputs}] = {{", *labels, "};"])
        if labels
        else "",
        begin=zeros,
        lines="\n".join(f"    {line}" for line in w.lines),
        result=places[program.output.of],
        test=_self_test(model, name, codes=codes),
    )
    return Source(code, header)


def _check_patches(model: Model) -> None:
    """A step ends where a layer waits for later ones: all layers after it must wait for it.

    Steps that are divided run all layers after them again and again, none of which may wait.
    """
    program, behind = model.program, {INPUT}
    divided: set[str] = set()
    for name, layer, reads in zip(program.names, program.layers, program.reads, strict=True):
        if not behind.issuperset(reads):
            raise ProgramError(f"the layer {name!r} reads steps from before others are waited for")
        behind = {name} if layer.waits else behind | {name}
        if divided and (layer.waits or not divided.issuperset(reads)):
            raise ProgramError(f"the layer {name!r} reads steps from before they are divided")
        if isinstance(layer, preparing.Unpatch) or divided:
            divided.add(name)


def plain(text: str) -> str:
    """Return a text with what may stand in a comment alone."""
    return re.sub(r"[^A-Za-z0-9_ .-]", "?", text)


_SAFE = " .,:;_-+=/()"


def _escaped(text: str) -> str:
    """A text between the quotes of C: bytes of UTF-8, those that are not plain in octal."""
    data = text.encode("utf-8", "surrogatepass")
    return "".join(
        chr(of) if of < 128 and (chr(of).isalnum() or chr(of) in _SAFE) else f"\\{of:03o}"
        for of in data
    )


# Layers: each writes what computes `out` from the arrays `x` of its inputs.


def _standardise(w: _Writing, of: Any, x: Sequence[str], out: str, name: str) -> None:
    mean, deviation = w.table(f"{name}_mean", of.mean), w.table(f"{name}_dev", of.deviation)
    w.loop(len(of.mean), f"{out}[k] = ({x[0]}[k] - {mean}[k]) / {deviation}[k];")


def _rescale(w: _Writing, of: Any, x: Sequence[str], out: str, name: str) -> None:
    mean, deviation = w.table(f"{name}_mean", of.mean), w.table(f"{name}_dev", of.deviation)
    w.loop(len(of.mean), f"{out}[k] = {mean}[k] + {deviation}[k] * {x[0]}[k];")


def _missing(w: _Writing, of: Any, x: Sequence[str], out: str, name: str) -> None:
    w.loop(of.form.features, f"{out}[k] = {x[0]}[k] != {x[0]}[k] ? 1.0f : 0.0f;")


def _fill(w: _Writing, of: Any, x: Sequence[str], out: str, name: str) -> None:
    last = w.keep(f"{name}_last", of.form.features)
    w.loop(of.form.features, f"if ({x[0]}[k] == {x[0]}[k]) {last}[k] = {x[0]}[k];")
    w.loop(of.form.features, f"{out}[k] = {last}[k];")


def _patch(w: _Writing, of: Any, x: Sequence[str], out: str, name: str) -> None:
    steps, count = w.keep(f"{name}_steps", of.form.features), w.keep(f"{name}_count", 1, "int")
    w.loop(of.features, f"{steps}[{count}[0] * {of.features} + k] = {x[0]}[k];")
    w.lines += [f"if (++{count}[0] < {of.steps}) return 0;", f"{count}[0] = 0;"]
    w.loop(of.form.features, f"{out}[k] = {steps}[k];")


def _unpatch(w: _Writing, of: Any, x: Sequence[str], out: str, name: str) -> None:
    """All layers after it run for each of the steps."""
    features = of.form.features
    w.opens = f"for (int {name}_u = 0; {name}_u < {of.steps}; ++{name}_u) {{"
    w.loop(features, f"{out}[k] = {x[0]}[{name}_u * {features} + k];")


def _average_pool(w: _Writing, of: Any, x: Sequence[str], out: str, name: str) -> None:
    size = of.features
    total, count = w.keep(f"{name}_sum", size), w.keep(f"{name}_count", 1, "int")
    w.loop(size, f"{total}[k] += {x[0]}[k];")
    w.lines += [f"if (++{count}[0] < {of.steps}) return 0;", f"{count}[0] = 0;"]
    w.lines += [f"for (k = 0; k < {size}; ++k) {{", f"    {out}[k] = {total}[k] / {of.steps}.0f;"]
    w.lines += [f"    {total}[k] = 0.0f;", "}"]


def _embedding(w: _Writing, of: Any, x: Sequence[str], out: str, name: str) -> None:
    size = of.form.features
    if w.stored_as == "int8":  # a scale for each code
        whole, scales = quantised(of.weight)
        table = w.whole_table(f"{name}_weight", whole)
        scale = w.table(f"{name}_code_scale", scales)
        w.loop(size, f"{out}[k] = {table}[{x[0]} * {size} + k] * {scale}[{x[0]}];")
    else:
        table = w.table(f"{name}_weight", of.weight)
        w.loop(size, f"{out}[k] = {table}[{x[0]} * {size} + k];")


def _linear(w: _Writing, of: Any, x: Sequence[str], out: str, name: str) -> None:
    w.product(name, of, of.weight, x[0], out)


def _convolution(w: _Writing, of: Any, x: Sequence[str], out: str, name: str) -> None:
    """The steps before are moved on by one at each step."""
    wide = of.steps * of.features
    seen, before = w.keep(f"{name}_seen", wide), wide - of.features
    w.loop(before, f"{seen}[k] = {seen}[k + {of.features}];")
    w.loop(of.features, f"{seen}[{before} + k] = {x[0]}[k];")
    w.product(name, of, of.weight.transpose(0, 2, 1).reshape(len(of.weight), -1), seen, out)


def _window(w: _Writing, of: Any, x: Sequence[str], name: str) -> str:
    """Take a step into the window, wait until it is whole, and return how its steps are read."""
    size = of.features
    seen, count = w.keep(f"{name}_seen", of.width * size), w.keep(f"{name}_count", 1, "int")
    w.begin.append(f"{count}[0] = {of.before};")
    w.loop(size, f"{seen}[{count}[0] * {size} + k] = {x[0]}[k];")
    w.lines += [f"if (++{count}[0] < {of.width}) return 0;", f"{count}[0] -= {of.stride};"]
    return seen


def _move_window(w: _Writing, of: Any, seen: str) -> None:
    """Forget the steps that no later window reads."""
    kept, moved = (of.width - of.stride) * of.features, of.stride * of.features
    w.loop(kept, f"{seen}[k] = {seen}[k + {moved}];")


def _convolution_2d(w: _Writing, of: Any, x: Sequence[str], out: str, name: str) -> None:
    seen, K = _window(w, of, x, name), of.width
    flat, scale = of.weight.reshape(len(of.weight), -1), ""
    if w.stored_as == "int8":
        whole, scales = quantised(flat)
        table = w.whole_table(f"{name}_weight", whole)
        scale = f" * {w.table(f'{name}_weight_scale', scales)}[o]"
    else:
        table = w.table(f"{name}_weight", flat)
    bias = "0.0f" if of.bias is None else w.table(f"{name}_bias", of.bias) + "[o]"
    w.lines += [
        "int o, c, i, t;",
        f"for (o = 0; o < {len(of.weight)}; ++o)",
        f"    for (k = 0; k < {of.bands_after}; ++k) {{",
        "        float sum = 0.0f;",
        f"        for (c = 0; c < {of.maps}; ++c)",
        f"            for (i = 0; i < {K}; ++i) {{",
        f"                j = k * {of.stride} + i - {of.before};",
        f"                if (j < 0 || j >= {of.bands}) continue;",
        f"                for (t = 0; t < {K}; ++t)",
        f"                    sum += {table}[((o * {of.maps} + c) * {K} + i) * {K} + t]",
        f"                        * {seen}[t * {of.features} + c * {of.bands} + j];",
        "            }",
        f"        {out}[o * {of.bands_after} + k] = sum{scale} + {bias};",
        "    }",
    ]
    _move_window(w, of, seen)


def _look_ahead(w: _Writing, of: Any, x: Sequence[str], out: str, name: str) -> None:
    seen, size, weight = _window(w, of, x, name), of.features, w.table(f"{name}_weight", of.weight)
    bias = "" if of.bias is None else f" + {w.table(f'{name}_bias', of.bias)}[k]"
    w.loop(size, f"{out}[k] = {seen}[k]{bias};")
    w.lines.append(f"for (j = 0; j < {of.width}; ++j)")
    w.loop(size, f"{out}[k] += {weight}[j * {size} + k] * {seen}[j * {size} + k];")
    _move_window(w, of, seen)


def _recurrent(w: _Writing, of: Any, x: Sequence[str], out: str, name: str) -> None:
    cell, source = _with_zoneout(of.cell, of.zoneout), x[0]
    for depth, weights in enumerate(of.weights_of[0]):
        arrays = weights._asdict() if isinstance(weights, Weights) else weights
        sizes = {**of.widths, "I": of.features if depth == 0 else of.widths["P"]}
        tables = _tables(w, cell, arrays, sizes, f"{name}_{depth}")
        states = [
            w.keep(f"{name}_{depth}_{state.name}", sizes[state.width]) for state in cell.states
        ]
        prefix = f"{name}_{depth}_"
        step = step_in_c(cell, sizes, source, states.__getitem__, tables, f"s->{prefix}")
        for array, size in step.memory:
            w.use(array.removeprefix("s->"), size)
        w.lines += ["{", *(f"    {line}" for line in step.lines), "}"]
        source = step.output
    w.loop(of.form.features, f"{out}[k] = {source}[k];")


def _with_zoneout(cell: Cell, zoneout: Sequence[float]) -> Cell:
    """Return a cell whose states keep these shares of their old values."""
    if not any(zoneout):
        return cell
    cell = varied(cell, Regularisation(zoneout=Zoneout(tuple(zoneout))))
    nodes = [
        of._replace(operation="constant", about=float(zoneout[of.about]))
        if of.operation == "draw"
        else of
        for of in cell.tape.nodes
    ]
    return replace(cell, tape=Tape(nodes))


def _tables(
    w: _Writing, cell: Any, arrays: Mapping[str, Any], sizes: Mapping[str, int], prefix: str
) -> Callable[[str, str], str | None]:
    """Write each gate's part of the weights as a table; return what names them."""
    found: dict[tuple[str, str], str] = {}
    for matrix in cell.matrices:
        rows = sizes[matrix.rows]
        for at, gate in enumerate(matrix.gates):
            part = slice(at * rows, (at + 1) * rows)
            block = arrays[matrix.name][part]
            label = f"{prefix}_{matrix.name}_{gate}"
            found[matrix.name, gate], scale = w.matrix(label, block, matrix.heads)
            if scale:
                found[f"{SCALE}{matrix.name}", gate] = scale
            bias = arrays.get(matrix.bias) if matrix.has_bias else None
            if bias is not None:
                found[matrix.bias, gate] = w.table(f"{prefix}_{matrix.bias}_{gate}", bias[part])
    for of in cell.parameters:
        value = arrays.get(of.name)
        for at, gate in enumerate(of.gates or ("",)):
            if value is not None:
                rows = value if gate in ("", "1") else value.reshape(len(of.gates), -1)[at]
                found[of.name, gate] = w.table(f"{prefix}_{of.name}_{gate or 'all'}", rows)
    return lambda name, gate: found.get((name, gate))


def _batch_norm(w: _Writing, of: Any, x: Sequence[str], out: str, name: str) -> None:
    factor, shift = w.table(f"{name}_factor", of.factor), w.table(f"{name}_shift", of.shift)
    w.loop(of.form.features, f"{out}[k] = {x[0]}[k] * {factor}[k] + {shift}[k];")


def _activation(w: _Writing, of: Any, x: Sequence[str], out: str, name: str) -> None:
    said = _FUNCTIONS[of.name]
    numbers = {"a": number(of.alpha), "b": number(of.beta)}
    w.loop(of.form.features, f"{out}[k] = {said.format(f'{x[0]}[k]', **numbers)};")


_ELU = "{0} > 0.0f ? {0} : {a} * expm1f({0})"
_FUNCTIONS = {
    "elu": _ELU,
    "exponential": "expf({0})",
    "gelu": "0.5f * {0} * (1.0f + erff({0} * 0.70710678f))",
    "hard_sigmoid": "fmaxf(0.0f, fminf(1.0f, {a} * {0} + {b}))",
    "leaky_relu": "{0} > 0.0f ? {0} : {a} * {0}",
    "relu": "{0} > 0.0f ? {0} : 0.0f",
    "relu6": "fmaxf(0.0f, fminf(6.0f, {0}))",
    "selu": "1.05070099f * (" + _ELU.replace("{a}", "1.67326324f") + ")",
    "sigmoid": "1.0f / (1.0f + expf(-{0}))",
    "silu": "{0} / (1.0f + expf(-{0}))",
    "softplus": "({0} > 0.0f ? {0} : 0.0f) + log1pf(expf(-fabsf({0})))",
    "softsign": "{0} / (1.0f + fabsf({0}))",
    "tanh": "tanhf({0})",
}


def _concatenate(w: _Writing, of: Any, x: Sequence[str], out: str, name: str) -> None:
    at = 0
    for source, size in zip(x, of.sizes, strict=True):
        w.loop(size, f"{out}[{at} + k] = {source}[k];")
        at += size


def _add(w: _Writing, of: Any, x: Sequence[str], out: str, name: str) -> None:
    terms = [
        f"{one}[k]" if factor == 1 else f"{number(factor)} * {one}[k]"
        for factor, one in zip(of.factors.tolist(), x, strict=True)
    ]
    w.loop(of.form.features, f"{out}[k] = {' + '.join(terms)};")


def _last(w: _Writing, of: Any, x: Sequence[str], out: str, name: str) -> None:
    w.loop(of.form.features, f"{out}[k] = {x[0]}[k];")


def _mean(w: _Writing, of: Any, x: Sequence[str], out: str, name: str) -> None:
    size = of.form.features
    total, count = w.keep(f"{name}_sum", size, "double"), w.keep(f"{name}_count", 1, "double")
    w.lines.append(f"{count}[0] += 1.0;")
    w.loop(size, f"{total}[k] += (double){x[0]}[k];")
    w.loop(size, f"{out}[k] = (float)({total}[k] / {count}[0]);")


def _max(w: _Writing, of: Any, x: Sequence[str], out: str, name: str) -> None:
    size = of.form.features
    most = w.keep(f"{name}_max", size)
    w.begin.append(f"for (k = 0; k < {size}; ++k) {most}[k] = -FLT_MAX;")
    w.loop(size, f"if ({x[0]}[k] > {most}[k]) {most}[k] = {x[0]}[k];")
    w.loop(size, f"{out}[k] = {most}[k];")


def _attention(w: _Writing, of: Any, x: Sequence[str], out: str, name: str) -> None:
    size, energy = of.form.features, f"{x[1]}[0]"
    most, total = w.keep(f"{name}_most", 1), w.keep(f"{name}_total", 1, "double")
    weighted = w.keep(f"{name}_weighted", size, "double")
    w.begin.append(f"{most}[0] = -FLT_MAX;")
    w.lines += [
        f"const float top = {energy} > {most}[0] ? {energy} : {most}[0];",
        f"const double old = exp((double){most}[0] - (double)top);",
        f"const double share = exp((double){energy} - (double)top);",
        f"{most}[0] = top;",
        f"{total}[0] = {total}[0] * old + share;",
    ]
    w.loop(size, f"{weighted}[k] = {weighted}[k] * old + share * (double){x[0]}[k];")
    w.loop(size, f"{out}[k] = (float)({weighted}[k] / {total}[0]);")


def _layer_norm(w: _Writing, of: Any, x: Sequence[str], out: str, name: str) -> None:
    size = of.form.features
    weight, bias = w.table(f"{name}_weight", of.weight), w.table(f"{name}_bias", of.bias)
    w.lines.append("double mean = 0.0, variance = 0.0, scale;")
    w.loop(size, f"mean += (double){x[0]}[k] / {size}.0;")
    off = f"((double){x[0]}[k] - mean)"
    w.loop(size, f"variance += {off} * {off} / {size}.0;")
    w.lines.append(f"scale = 1.0 / sqrt(variance + {of.epsilon!r});")
    w.loop(size, f"{out}[k] = (float)({off} * scale) * {weight}[k] + {bias}[k];")


def _softmax(w: _Writing, of: Any, x: Sequence[str], out: str, name: str) -> None:
    size = of.form.features
    w.lines.append(f"float most = {x[0]}[0], total = 0.0f;")
    w.loop(size, f"if ({x[0]}[k] > most) most = {x[0]}[k];")
    w.loop(size, f"{out}[k] = expf({x[0]}[k] - most);")
    w.loop(size, f"total += {out}[k];")
    w.loop(size, f"{out}[k] /= total;")


_EMITTED: dict[type[Layer], Callable[[_Writing, Any, Sequence[str], str, str], None]] = {
    preparing.Standardise: _standardise,
    preparing.Missing: _missing,
    preparing.Fill: _fill,
    preparing.Patch: _patch,
    preparing.AveragePool: _average_pool,
    preparing.Unpatch: _unpatch,
    preparing.Embedding: _embedding,
    preparing.Rescale: _rescale,
    recurrence.Recurrent: _recurrent,
    recurrence.Linear: _linear,
    combining.BatchNorm: _batch_norm,
    combining.Activation: _activation,
    combining.Concatenate: _concatenate,
    combining.Add: _add,
    combining.LayerNorm: _layer_norm,
    combining.Softmax: _softmax,
    pooling.Convolution: _convolution,
    windows.Convolution2d: _convolution_2d,
    windows.LookAhead: _look_ahead,
    pooling.Last: _last,
    pooling.Mean: _mean,
    pooling.Max: _max,
    pooling.Attention: _attention,
}


class Expected(NamedTuple):
    """Steps of a test, and the runtime's predictions after them."""

    x: Any
    """(steps, F), or (steps,) codes."""
    predictions: list[Any]
    """Fewer than steps where there are patches."""
    close: float
    """By how much each number may be off."""


def expected(model: Model) -> Expected:
    """Return what the self-test feeds and compares with."""
    steps = TEST_STEPS
    while len((found := _expected(model, steps)).predictions) < TEST_PREDICTIONS and steps < MOST:
        steps *= 2
    return found


def _expected(model: Model, steps: int) -> Expected:
    codes = model.program.input.kind == "codes"
    draw, features = np.random.default_rng(0), model.program.input.form.features
    x: Any
    if codes:
        x = draw.integers(0, features, steps)
    else:
        x = draw.normal(size=(steps, features))
        for layer in model.program.layers:
            if isinstance(layer, preparing.Standardise) and len(layer.mean) == features:
                x = layer.mean + layer.deviation * x
                break
        x = x.astype(np.float32)
    stream = model.stream()
    found = [out for out in map(stream.push, x) if out is not None]
    largest = max(1.0, *(float(np.abs(of).max()) for of in found)) if found else 1.0
    return Expected(x, found, CLOSE * largest)


def _self_test(model: Model, name: str, *, codes: bool) -> str:
    """The program that feeds steps and compares the predictions with the runtime's."""
    w, (x, found, close) = _Writing(), expected(model)
    features = model.program.input.form.features
    if codes:
        w.tables.append(
            f"static const int test_x[{len(x)}] = {{{', '.join(map(str, x.tolist()))}}};"
        )
    else:
        w.table("test_x", x)
    w.table("test_expected", np.array(found) if found else np.zeros(1))
    return _TEST.format(
        name=name,
        NAME=name.upper(),
        tables="\n".join(w.tables),
        steps=len(x),
        predictions=len(found),
        given="test_x[t]" if codes else f"test_x + t * {features}",
        close=number(close),
    )


_HEADER = """\
/* A trained network for {task}, written by gated {version}. */
#ifndef {NAME}_H
#define {NAME}_H

#ifdef __cplusplus
extern "C" {{
#endif

#define {NAME}_INPUTS {inputs}
#define {NAME}_OUTPUTS {outputs}

/* All that a stream remembers, and its working memory: one for each stream, owned by the caller. */
typedef struct {{
{members}
}} {name}_state;

{labels}
/* Before the first step of a stream. */
void {name}_begin({name}_state *s);

/* Reads one step, and writes the prediction after it.
   {what}
   prediction: {outputs} numbers{divided}
   Returns 1; or 0 while it waits for later steps: then nothing is written. */
int {name}_push({name}_state *s, {given}, float *prediction);

/* Bytes of a state, for callers in other languages. */
unsigned {name}_state_size(void);

#ifdef __cplusplus
}}
#endif
#endif
"""

_CODE = """\
/* A trained network for {task}, written by gated {version}: C99, no allocation.
   cc -std=c99 -O2 -c {name}.c; its self-test: cc -std=c99 -O2 -DGATED_SELF_TEST {name}.c -lm */
#include "{header}"

#include <float.h>
#include <math.h>
#include <string.h>

{tables}

{labels}

void {name}_begin({name}_state *s)
{{
    int k = 0;
    memset(s, 0, sizeof *s);
{begin}
    (void)k;
}}

int {name}_push({name}_state *s, {given}, float *prediction)
{{
    int j = 0, k = 0;
    (void)j;
{lines}
    for (k = 0; k < {outputs}; ++k) prediction[k] = {result}[k];
    return 1;
}}

unsigned {name}_state_size(void)
{{
    return (unsigned)sizeof({name}_state);
}}
{test}"""

_TEST = """
#ifdef GATED_SELF_TEST
#include <stdio.h>

{tables}

int main(void)
{{
    static {name}_state s;
    float prediction[{NAME}_OUTPUTS], most = 0.0f;
    int t, k, found = 0;
    {name}_begin(&s);
    for (t = 0; t < {steps}; ++t) {{
        if (!{name}_push(&s, {given}, prediction)) continue;
        for (k = 0; k < {NAME}_OUTPUTS && found < {predictions}; ++k) {{
            const float off = fabsf(prediction[k] - test_expected[found * {NAME}_OUTPUTS + k]);
            if (!(off <= most)) most = off;
        }}
        ++found;
    }}
    printf("%d predictions, off by at most %g\\n", found, (double)most);
    return found == {predictions} && most <= {close} ? 0 : 1;
}}
#endif
"""
