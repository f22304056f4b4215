"""The native layer as registered operators of torch: `torch.ops.gated.layer` and its gradient.

One layer in one direction, functional, with gradients, fake tensors and autocast: `torch.compile`,
`torch.export` and AMP see one node of which they know the shapes.

Shapes: T steps, B sequences, I input features, H hidden units, P units of the projected hidden
state (H where nothing is projected).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from gated.cells.cell import Cell
from gated.core import ops
from gated.core.arguments import StoredAs
from gated.core.call import BFLOAT16, Call, checked_call
from gated.core.plans import kept_columns, kept_shapes, named_cell, sizes_of, varied
from gated.core.variants import Regularisation, Zoneout
from gated.errors import ConfigurationError

F = TypeVar("F", bound=Callable[..., Any])


def constant(function: F) -> F:
    """Mark a function whose result the compiler of torch takes as constant.

    `torch.compiler.assume_constant_result` without its import of the compiler, which takes as long
    as all of torch.
    """
    function._dynamo_marked_constant = True  # type: ignore[attr-defined]
    return function


_LAYER = (
    "str cell, Tensor x, Tensor[] weights, str names, Tensor[] initial, Tensor[] per_step, "
    "Tensor? lengths, bool reverse, Tensor? hidden_mask, Tensor? weight_mask, "
    "float[] zoneout, Tensor? seed, bool keep, bool recompute, str stored_as, str output_as, "
    "str kept_as"
)
_library = torch.library.Library("gated", "DEF")  # type: ignore[no-untyped-call]
_library.define(  # type: ignore[no-untyped-call]
    f"layer({_LAYER}) -> Tensor[]", tags=(torch.Tag.pt2_compliant_tag,)
)
_library.define(  # type: ignore[no-untyped-call]
    f"layer_backward({_LAYER}, Tensor[] results, Tensor?[] grads) -> Tensor[]",
    tags=(torch.Tag.pt2_compliant_tag,),
)


class Results(NamedTuple):
    """The results of `torch.ops.gated.layer`, named."""

    output: Tensor
    """(T, B, P)"""
    final: tuple[Tensor, ...]
    """(B, P) and, of an LSTM, (B, H)."""
    kept: dict[str, Tensor]
    """With `keep`: values for the backward pass, named as in `gated.core.plans.kept_shapes`, in T·B
    rows: first the real steps, sorted by time and then by falling length, then unused rows."""


class LayerCall(NamedTuple):
    """A call of one layer in one direction: the arguments of the operators, by name."""

    cell: str
    """A name that `gated.core.plans.named_cell` knows."""
    x: Tensor
    """(T, B, I); in bfloat16 too, where all other tensors are float32."""
    weights: list[Tensor]
    names: str
    """The names of the weights, separated by commas, as in `gated.core.plans.parameter_shapes`."""
    initial: list[Tensor]
    """The initial states: (B, P), and any others (B, H)."""
    per_step: list[Tensor]
    """The per-step inputs, (T, B) each, in the cell's order."""
    lengths: Tensor | None
    """(B), int64."""
    reverse: bool = False
    hidden_mask: Tensor | None = None
    weight_mask: Tensor | None = None
    zoneout: Sequence[float] = ()
    """Probability for each state; empty without zoneout."""
    seed: Tensor | None = None
    """Seed of zoneout, one int64; a tensor, so that compiling does not make it a constant."""
    keep: bool = False
    recompute: bool = False
    stored_as: StoredAs = "float32"
    """How the native core packs the weights, which with `keep` are rounded to it already."""
    output_as: StoredAs = "float32"
    """The dtype of the output: "float32" stands for that of the states, "bfloat16" is that one."""
    kept_as: StoredAs = "float32"
    """The dtype of the kept values, likewise."""

    @property
    def is_narrow(self) -> bool:
        """Whether some of its tensors, or of its results, are bfloat16 while others are float32."""
        return self.x.dtype == torch.bfloat16 or "bfloat16" in (self.output_as, self.kept_as)

    def widened(self) -> LayerCall:
        """The same with all of them in float32."""
        x = self.x.to(self.initial[0].dtype)
        return self._replace(x=x, output_as="float32", kept_as="float32")

    @property
    def named_weights(self) -> dict[str, Tensor]:
        """The weights by name."""
        return dict(zip(self.names.split(","), self.weights, strict=True))

    @property
    def plain_cell(self) -> Cell:
        """The cell, without dropout and zoneout."""
        return named_cell(self.cell, self.named_weights)

    @property
    def changed_cell(self) -> Cell:
        """The cell, with dropout and zoneout in its tape."""
        zoneout = Zoneout(tuple(self.zoneout))
        return varied(self.plain_cell, Regularisation(self.hidden_mask, None, zoneout))  # type: ignore[arg-type]

    @property
    def named_per_step(self) -> dict[str, Tensor]:
        """The per-step inputs by name."""
        return dict(zip(self.plain_cell.per_step, self.per_step, strict=True))

    @property
    def sizes(self) -> dict[str, int]:
        """The number of units of each width."""
        return sizes_of(self.plain_cell, self.named_weights, self.x.shape[2])

    @property
    def regularisation(self) -> Regularisation:
        """Masks and zoneout, as the core takes them."""
        zoneout = None
        if self.zoneout:
            seed = None if self.seed is None or self.seed.is_meta else int(self.seed.item()) % 2**64
            zoneout = Zoneout(tuple(self.zoneout), seed)
        return Regularisation(as_array(self.hidden_mask), as_array(self.weight_mask), zoneout)

    def kept_names(self) -> tuple[str, ...]:
        """The names of the kept values, without `keep` too."""
        names: tuple[str, ...] = _kept_names(self.cell, self.names, self.recompute)
        return names

    def kept_shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes of the kept values; always T·B rows, so that no shape depends on data."""
        if not self.keep:
            return {}
        T, B, _ = self.x.shape
        return kept_shapes(self.changed_cell, T * B, self.sizes, self.recompute)

    def fresh(self, members: int = 0) -> list[Tensor]:
        """Uninitialised tensors for all results.

        Args:
            members: how many such calls the tensors are for, along their first axis; 0 for this
                one alone, without that axis.
        """
        T, B, _ = self.x.shape
        widths = [state.shape[-1] for state in self.initial]
        shapes = [(T, B, widths[0]), *((B, width) for width in widths)]
        shapes += self.kept_shapes().values()
        of_all = (members,) if members else ()
        states = len(self.initial)
        dtypes = [_stored(self.output_as, self.initial[0]), *(of.dtype for of in self.initial)]
        dtypes += [_stored(self.kept_as, self.initial[0])] * (len(shapes) - 1 - states)
        return [
            self.x.new_empty((*of_all, *shape), dtype=dtype)
            for shape, dtype in zip(shapes, dtypes, strict=True)
        ]

    def named(self, results: Sequence[Tensor]) -> Results:
        """The operator's results, named."""
        last = 1 + len(self.initial)
        names = self.kept_names() if self.keep else ()
        kept = dict(zip(names, results[last:], strict=True))
        return Results(results[0], tuple(results[1:last]), kept)

    def checked(self) -> Call:
        """The checked call in NumPy arrays, which share the tensors' memory."""
        return checked_call(
            self.plain_cell,
            array_to_read(self.x),
            {name: as_array(weight) for name, weight in self.named_weights.items()},
            as_array(self.lengths),
            [as_array(state) for state in self.initial],
            self.reverse,
            self.regularisation,
            {name: as_array(of.contiguous()) for name, of in self.named_per_step.items()},
            stored_as=self.stored_as,
            may_be_narrow=True,
        )


def _stored(stored_as: StoredAs, state: Tensor) -> torch.dtype:
    return torch.bfloat16 if stored_as == "bfloat16" else state.dtype


@constant
def _kept_names(cell: str, names: str, recompute: bool) -> tuple[str, ...]:
    of = named_cell(cell, dict.fromkeys(names.split(",")))
    sizes = {"I": 1, "H": 1, "P": 1}
    return tuple(kept_shapes(of, 0, sizes, recompute))


@constant
def gate_columns(
    cell: str, names: str, inputs: int, units: int, outputs: int
) -> tuple[tuple[str, int, int], ...]:
    """Name, first and end column in the kept values of each gate that is not a state.

    Args:
        cell: a name that `gated.core.plans.named_cell` knows.
        names: of the weights, separated by commas.
        inputs: I.
        units: H.
        outputs: P.
    """
    of = named_cell(cell, dict.fromkeys(names.split(",")))
    after = [state.after for state in of.states]
    columns = {
        name: kept_columns(of, place, {"I": inputs, "H": units, "P": outputs})
        for name, place in of.gates.items()
        if place not in after
    }
    return tuple((name, of.start, of.stop) for name, of in columns.items())


@constant
def matrix_names(cell: str, names: str) -> tuple[str, ...]:
    """The names of the weights that vectors are multiplied by.

    Args:
        cell: as for `gate_columns`.
        names: as for `gate_columns`.
    """
    return tuple(of.name for of in named_cell(cell, dict.fromkeys(names.split(","))).matrices)


@constant
def states_by_other_names(cell: str, names: str) -> tuple[tuple[str, str | None], ...]:
    """Other names in `Cell.named` of kept states, each with the state's name; None for the output.

    Args:
        cell: as for `gate_columns`.
        names: as for `gate_columns`.
    """
    of = named_cell(cell, dict.fromkeys(names.split(",")))
    output = of.state_names[0] if of.output_is_hidden else None
    return tuple(
        (name, None if kept == output else kept)
        for name, kept in of.one_name.items()
        if kept == output or (kept in of.state_names and kept != name)
    )


def as_array(tensor: Tensor | None) -> Any:
    """Return a tensor as an array in the same memory; a copy if its features are not contiguous.

    Args:
        tensor: on the CPU; None stays None, and bfloat16 becomes `gated.core.call.BFLOAT16`.
    """
    if tensor is None:
        return None
    in_one_piece = tensor.dim() == 3 and tensor.stride(2) == 1
    given = (tensor if in_one_piece else tensor.contiguous()).detach().resolve_neg()
    return (given.view(torch.uint16) if given.dtype == torch.bfloat16 else given).numpy()


def array_to_read(tensor: Tensor) -> Any:
    """Do the same for an array that is not written to: then a lazy clone may stay one."""
    is_lazy = torch._C._is_cow_tensor(tensor)  # type: ignore[attr-defined]
    if not is_lazy or tensor.stride(-1) != 1 or tensor.is_neg():
        return as_array(tensor)
    return np.asarray(_Memory(tensor))


def address_to_read(tensor: Tensor) -> int:
    """The address of memory that is not written to: to ask for `data_ptr` copies a lazy clone.

    Args:
        tensor: on the CPU.
    """
    of_storage = torch._C._data_address(tensor)  # type: ignore[attr-defined]
    return int(of_storage + tensor.storage_offset() * tensor.element_size())


class _Memory:
    """The memory of a lazy clone, as NumPy takes it."""

    def __init__(self, tensor: Tensor) -> None:
        # A clone of one's own is not written to, so its memory stays where it is.
        self.clone = clone = tensor.detach()._lazy_clone()
        size, narrow = clone.element_size(), clone.dtype == torch.bfloat16
        self.__array_interface__ = {
            "version": 3,
            "data": (address_to_read(clone), True),
            "shape": tuple(clone.shape),
            "strides": tuple(stride * size for stride in clone.stride()),
            "typestr": np.dtype(BFLOAT16 if narrow else f"f{size}").str,
        }


def _layer(*given: Any) -> list[Tensor]:
    layer_call = LayerCall(*given)
    return run(layer_call, layer_call.checked())


def run(layer_call: LayerCall, call: Call) -> list[Tensor]:
    """Compute the operator's results.

    Args:
        layer_call: on the CPU.
        call: the same, checked.
    """
    results = layer_call.fresh()
    run_into(layer_call, call, results, torch.get_num_threads())
    return results


def run_into(layer_call: LayerCall, call: Call, results: Sequence[Tensor], threads: int) -> None:
    """Do the same as `run`, into tensors that are there."""
    output, final, kept = layer_call.named(results)
    ops.forward_into(
        call,
        as_array(output),
        [state.numpy() for state in final],
        {name: as_array(tensor) for name, tensor in kept.items()},
        threads,
    )


def _layer_backward(*given: Any) -> list[Tensor | None]:
    layer_call = LayerCall(*given[:-2])
    return run_back(layer_call.named(given[-2]), layer_call.checked(), given[-1])


def run_back(
    results: Results,
    call: Call,
    grads: Sequence[Tensor | None],
    wanted: Sequence[bool] | None = None,
    threads: int | None = None,
) -> list[Tensor | None]:
    """Compute the gradients of x, the weights, the initial states and the per-step inputs.

    Args:
        results: of the forward pass, with its kept values.
        call: the arguments of the forward pass.
        grads: of the results, in their order.
        wanted: which gradients to compute; the others are None. All by default.
        threads: torch's number of threads by default.
    """
    output, final, kept = results
    grad_output, *others = map(as_array, grads)
    grad_of = dict(zip(kept, others[len(final) :], strict=True))
    arrays = {name: as_array(tensor) for name, tensor in kept.items()}
    values = arrays.pop("values", None)
    names = ("x", *call.arrays)
    unwanted = [name for name, want in zip(names, wanted or (), strict=False) if not want]
    its_output = array_to_read(output)
    found = ops.backward_packed(
        ops.Kept(call, its_output, values, arrays),
        np.zeros(its_output.shape, its_output.dtype) if grad_output is None else grad_output,
        others[: len(final)],
        grad_of.pop("values", None),
        grad_of,
        threads=threads or torch.get_num_threads(),
        unwanted=unwanted,
    )
    of_weights = [found.weights[name] for name in call.arrays]
    of_all = (found.x, *of_weights, *found.initial, *found.per_step)
    return [
        _as_tensor(array) if want else None
        for array, want in zip(of_all, wanted or [True] * len(of_all), strict=True)
    ]


def _as_tensor(array: Any) -> Tensor:
    tensor = torch.from_numpy(array)
    return tensor.view(torch.bfloat16) if array.dtype == BFLOAT16 else tensor


def padded_rows(rows: Tensor, shape: tuple[int, int], lengths: Tensor | None) -> Tensor:
    """Kept values, (T·B, ·), as (T, B, ·), with zeros in the padding; a view if there is none.

    Args:
        rows: of `Results.kept`.
        shape: T and B.
        lengths: (B,).
    """
    if lengths is None:
        return rows.view(*shape, rows.shape[-1])
    places, running = _places(shape, lengths)
    return torch.where(running, rows[places.clamp(min=0)], rows.new_zeros(()))


def packed_rows(steps: Tensor, lengths: Tensor | None) -> Tensor:
    """Undo `padded_rows`; zeros in unused rows."""
    T, B, width = steps.shape
    if lengths is None:
        return steps.reshape(T * B, width)
    places, running = _places((T, B), lengths)
    running = running.squeeze(-1)
    return steps.new_zeros(T * B, width).index_copy(0, places[running], steps[running])


def _places(shape: tuple[int, int], lengths: Tensor) -> tuple[Tensor, Tensor]:
    """The row of each sequence's step, (T, B), and whether it is a real one, (T, B, 1)."""
    T, B = shape
    order = torch.argsort(lengths, descending=True, stable=True)
    running = torch.arange(T)[:, None] < lengths[order]
    places = running.flatten().cumsum(0).view(T, B) - 1
    back = torch.argsort(order)
    return places[:, back], running[:, back].unsqueeze(-1)


def _fake_layer_backward(*given: Any) -> list[Tensor]:
    layer_call = LayerCall(*given[:-2])
    of = (layer_call.x, *layer_call.weights, *layer_call.initial, *layer_call.per_step)
    return [tensor.new_empty(tensor.shape) for tensor in of]


class Saved(NamedTuple):
    """The operator's arguments without the tensors, which autograd must see by themselves."""

    rest: tuple[Any, ...]
    optional: tuple[bool, ...]
    weights: int
    initial: int
    per_step: int

    @property
    def differentiable(self) -> int:
        """How many tensors may have gradients: the first ones; the optional tensors follow."""
        return 1 + self.weights + self.initial + self.per_step

    @property
    def tensors(self) -> int:
        """How many tensors there are."""
        return self.differentiable + sum(self.optional)


_TENSORS = ("lengths", "hidden_mask", "weight_mask", "seed")


def taken_apart(layer_call: LayerCall) -> tuple[Saved, list[Tensor]]:
    """Separate the tensors of a call from its other arguments."""
    there = tuple(getattr(layer_call, name) is not None for name in _TENSORS)
    weights, initial = len(layer_call.weights), len(layer_call.initial)
    tensors = [layer_call.x, *layer_call.weights, *layer_call.initial, *layer_call.per_step]
    tensors += [t for t in (getattr(layer_call, name) for name in _TENSORS) if t is not None]
    rest = (
        layer_call.cell,
        layer_call.names,
        layer_call.reverse,
        tuple(layer_call.zoneout),
        layer_call.keep,
        layer_call.recompute,
        layer_call.stored_as,
        layer_call.output_as,
        layer_call.kept_as,
    )
    return Saved(rest, there, weights, initial, len(layer_call.per_step)), tensors


def put_together(saved: Saved, tensors: Sequence[Tensor]) -> LayerCall:
    """Undo `taken_apart`."""
    x, *more = tensors
    weights, more = list(more[: saved.weights]), more[saved.weights :]
    initial, more = list(more[: saved.initial]), more[saved.initial :]
    per_step, more = list(more[: saved.per_step]), more[saved.per_step :]
    optional = iter(more)
    found = (next(optional) if there else None for there in saved.optional)
    lengths, hidden_mask, weight_mask, seed = found
    cell, names, reverse, zoneout, keep, recompute, *stored = saved.rest
    return LayerCall(
        cell, x, weights, names, initial, per_step, lengths, reverse, hidden_mask, weight_mask,
        zoneout, seed, keep, recompute, *stored,
    )  # fmt: skip


def _save(ctx: Any, saved: Saved, tensors: Sequence[Tensor], results: Sequence[Tensor]) -> None:
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*tensors, *results)
    ctx.saved = saved
    ctx.count = len(tensors)


def _saved_by(ctx: Any) -> tuple[LayerCall, list[Tensor]]:
    if torch.is_grad_enabled() and not torch.compiler.is_compiling():
        raise ConfigurationError(
            "create_graph asks for second derivatives, which only backend='torch' has, and a layer "
            "of torch.nn after gated.restore"
        )
    _, _, _, _, keep, *_ = ctx.saved.rest
    if not keep:
        raise ConfigurationError("torch.ops.gated.layer has gradients with keep=True alone")
    tensors = ctx.saved_tensors
    return put_together(ctx.saved, tensors[: ctx.count]), list(tensors[ctx.count :])


def _remember(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
    _save(ctx, *taken_apart(LayerCall(*inputs)), output)


def _gradient(ctx: Any, grads: list[Tensor | None]) -> tuple[Any, ...]:
    layer_call, results = _saved_by(ctx)
    found = torch.ops.gated.layer_backward(*layer_call, results, list(grads))
    last = 1 + len(layer_call.weights)
    states = last + len(layer_call.initial)
    rest: list[Any] = [None] * (len(layer_call) - 6)
    if not layer_call.zoneout:  # torch takes a list without numbers for one without tensors
        rest[LayerCall._fields.index("zoneout") - 6] = []
    return (None, found[0], found[1:last], None, found[last:states], found[states:], *rest)


_library.impl("layer", _layer, "CPU")  # type: ignore[no-untyped-call]
_library.impl("layer_backward", _layer_backward, "CPU")  # type: ignore[no-untyped-call]
torch.library.register_fake("gated::layer", lambda *given: LayerCall(*given).fresh())
torch.library.register_fake("gated::layer_backward", _fake_layer_backward)
torch.library.register_autograd("gated::layer", _gradient, setup_context=_remember)
torch.library.register_autocast("gated::layer", "cpu", torch.float32)
