"""Layers as ONNX has them: its nodes LSTM, GRU and RNN, or a Scan over a cell's own step.

Of torch's two exporters, the default one finds `torch.ops.gated.layer` in a program and decomposes
it by `_decomposed`; the tracing one (`dynamo=False`) runs the layers, and writes the node that the
`symbolic` method of an autograd function gives.

Shapes: T steps, B sequences, I input features, H hidden units, G gates.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import get_proxy_mode

from gated.cells.cell import Cell
from gated.cells.evaluate import Equations, Functions
from gated.core.layout import ONNX_PEEPHOLE_GATES, PEEPHOLE_GATES, layout_of
from gated.core.onnx_nodes import NODES
from gated.errors import ConfigurationError
from gated.nn.arguments import is_traced
from gated.nn.operators import LayerCall
from gated.nn.transforms import layer
from gated.nn.unrolled import FUNCTIONS


class _Node(NamedTuple):
    """One node, with its inputs."""

    operation: str
    inputs: list[Tensor | None]
    attributes: dict[str, Any]


def refuse_gates() -> None:
    """Refuse to return gates from a layer that is exported to ONNX.

    Raises:
        ConfigurationError: always.
    """
    raise ConfigurationError(
        "return_gates cannot be exported to ONNX, whose nodes have no gates: leave it out"
    )


def traced_layer(call: LayerCall) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Run a layer so that the tracing exporter writes it as one node.

    Raises:
        ConfigurationError: no node computes this.
    """
    node = _node(call)
    if node is None:
        zoneout = any(call.zoneout)
        what = in_words(call.plain_cell, call.named_weights, zoneout)
        raise ConfigurationError(
            f"the TorchScript exporter (dynamo=False) has no node for {what}: export with "
            "dynamo=True, which writes it as Scan"
        )
    output, *final = _Written.apply(call, node.operation, node.attributes, *node.inputs)  # type: ignore[no-untyped-call]
    return output.squeeze(1), tuple(state.squeeze(0) for state in final)


@contextmanager
def _untraced() -> Iterator[None]:
    """Suspend torch's tracing: nothing within is recorded, and sizes are numbers."""
    if not is_traced():
        yield
        return
    of_torch: Any = torch._C
    tracing = of_torch._get_tracing_state()
    of_torch._set_tracing_state(None)
    try:
        yield
    finally:
        of_torch._set_tracing_state(tracing)


class _Written(torch.autograd.Function):
    """Computes a layer; the exporter writes it as one node."""

    @staticmethod
    def forward(
        ctx: Any, call: LayerCall, operation: str, attributes: dict[str, Any], *inputs: Any
    ) -> tuple[Tensor, ...]:
        with _untraced():
            results = layer(call._replace(keep=False))
        return results.output.unsqueeze(1), *(state.unsqueeze(0) for state in results.final)

    @staticmethod
    def symbolic(
        graph: Any, call: LayerCall, operation: str, attributes: dict[str, Any], *inputs: Any
    ) -> Any:
        from torch.onnx import symbolic_opset9

        none: Any = symbolic_opset9.unused
        suffixes = {int: "i", str: "s", list: "s"}
        return graph.op(
            operation,
            *(none(graph) if value is None else value for value in inputs),
            outputs=1 + len(call.initial),
            **{f"{name}_{suffixes[type(of)]}": of for name, of in attributes.items()},
        )


def _decomposed(*given: Any) -> Any:
    """The results of `torch.ops.gated.layer`, from operations that the default exporter knows."""
    call = LayerCall(*given)
    if get_proxy_mode() is None:  # fake tensors, whose shapes alone matter
        return call.fresh()
    if not torch.onnx.is_in_onnx_export():
        return NotImplemented
    from torch.onnx.ops import symbolic, symbolic_multi_out

    node = _node(call)
    if node is None:
        output, final = _scanned(call)
    else:
        T, B, _ = call.x.shape
        widths = [state.shape[-1] for state in call.initial]
        found = symbolic_multi_out(
            node.operation,
            node.inputs,
            node.attributes,
            dtypes=[call.x.dtype] * (1 + len(widths)),
            shapes=[(T, 1, B, widths[0]), *((1, B, width) for width in widths)],
        )
        output, final = found[0].squeeze(1), [state.squeeze(0) for state in found[1:]]
    # Only gates read the kept values: a node that no runtime knows, and that is dropped if unread.
    kept = [
        symbolic("gated::return_gates", [call.x], dtype=call.x.dtype, shape=shape)
        for shape in call.kept_shapes().values()
    ]
    return [output, *final, *kept]


def _node(call: LayerCall) -> _Node | None:
    """The node that computes a layer, or None where there is none."""
    _refuse_what_is_drawn(call)
    cell = call.plain_cell
    if cell.digest not in NODES or any(call.zoneout):
        return None
    operation, layout, attributes = NODES[cell.digest]
    weights, gates = call.named_weights, layout_of(layout)
    order = [gates.gates.index(gate) for gate in gates.onnx_gates]
    bias = None
    if "bias_ih" in weights:
        bias = torch.cat([_rows(weights[name], order) for name in ("bias_ih", "bias_hh")])
    peepholes = weights.get("peepholes")
    if peepholes is not None:
        places = [PEEPHOLE_GATES.index(gate) for gate in ONNX_PEEPHOLE_GATES]
        peepholes = _rows(peepholes.flatten(), places).unsqueeze(0)
    inputs: list[Tensor | None] = [
        call.x,
        _rows(weights["weight_ih"], order).unsqueeze(0),
        _rows(weights["weight_hh"], order).unsqueeze(0),
        None if bias is None else bias.unsqueeze(0),
        None if call.lengths is None else call.lengths.to(torch.int32),
        *(state.unsqueeze(0) for state in call.initial),
        *(() if peepholes is None else (peepholes,)),
    ]
    direction = "reverse" if call.reverse else "forward"
    with _untraced():
        units = call.initial[0].shape[-1]
    return _Node(operation, inputs, {"hidden_size": units, "direction": direction, **attributes})


def _rows(weight: Tensor, order: list[int]) -> Tensor:
    """The blocks of rows of a weight in another order."""
    blocks = weight.chunk(len(order))
    return torch.cat([blocks[place] for place in order])


def _refuse_what_is_drawn(call: LayerCall) -> None:
    drawn = {
        "recurrent_dropout": call.hidden_mask,
        "weight_drop": call.weight_mask,
        "zoneout": call.seed,
    }
    for name, of in drawn.items():
        if of is not None:
            raise ConfigurationError(
                f"{name} draws anew in each training step, which ONNX cannot: export after .eval()"
            )


def in_words(cell: Cell, weights: Collection[str], zoneout: bool = False) -> str:
    """Describe a cell and its options, for messages.

    Args:
        cell: any.
        weights: the names of those that the layer has.
        zoneout: whether it has zoneout.
    """
    names = {"gain_hh": "layer_norm", "weight_hr": "proj_size"}
    options = [option for name, option in names.items() if name in weights]
    options += ["zoneout"] if zoneout else []
    return f"the cell {cell.name}" + (f" with {', '.join(options)}" if options else "")


def _scanned(call: LayerCall) -> tuple[Tensor, list[Tensor]]:
    """The output (T, B, P) and the final states of a layer, as a scan over the steps."""
    from torch._higher_order_ops.scan import scan_op

    cell, weights = call.changed_cell, call.named_weights
    names, sizes, steps = list(weights), call.sizes, list(cell.per_step)
    x, lengths = call.x, call.lengths
    kept = dict(enumerate(call.zoneout))  # without draws: the share that is kept
    functions: Functions = {
        **FUNCTIONS,
        "constant": lambda value: torch.full((), value, dtype=x.dtype),  # ONNX promotes no dtypes
    }
    products = {
        place: node.about
        for place, node in enumerate(cell.tape.nodes)
        if node.operation == "product" and cell.tape[node.arguments[0]].operation == "input"
    }
    outside = Equations(cell, weights, sizes, functions)
    given: list[Tensor] = [
        x,
        *(functions["linear"](x, *outside.blocks[of]) for of in products.values()),
    ]
    given += [of.unsqueeze(-1) for of in call.per_step]
    if lengths is not None:
        times = torch.arange(x.shape[0], device=x.device)
        given.append((times.unsqueeze(1) < lengths).unsqueeze(-1))
    if call.reverse:
        given = [of.flip(0) for of in given]

    def step(*of_step: Tensor) -> list[Tensor]:
        states, rest = of_step[: len(cell.states)], of_step[len(cell.states) :]
        here, named = rest[: len(given)], dict(zip(names, rest[len(given) :], strict=True))
        equations = Equations(cell, named, sizes, functions)
        values = equations.values(
            {
                "input": here[0],
                "state": dict(enumerate(states)),
                "per_step": dict(zip(steps, here[1 + len(products) :], strict=False)),
                "per_sequence": {},
                "draw": {
                    state: torch.full((), share, dtype=x.dtype) for state, share in kept.items()
                },
            },
            known=dict(zip(products, here[1:], strict=False)),
        )
        after = [values[state.after] for state in cell.states]
        output = values[cell.output]
        if lengths is not None:
            real = here[-1]
            after = [torch.where(real, new, old) for new, old in zip(after, states, strict=True)]
            output = torch.where(real, output, 0.0)
        return [*(state.clone() for state in after), output.clone()]  # no two may be one tensor

    # A scan with gradients keeps more than ONNX can give.
    starts, given, constant = (
        [tensor.detach() for tensor in of] for of in (call.initial, given, weights.values())
    )
    *final, output = scan_op(step, starts, given, tuple(constant))
    return output.flip(0) if call.reverse else output, final


torch._decomp.register_decomposition(torch.ops.gated.layer.default)(_decomposed)
