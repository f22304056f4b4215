"""The fast path for plain calls: on the CPU, without options beyond the cells' equations.

Most calls are plain, and overhead would dominate the short ones: a step of 128 units takes the core
some microseconds. So what can be determined once per module is cached, all layers are one node of
autograd's graph, and arrays are passed to the core by their addresses.

Shapes: T steps, B sequences, I input features, H hidden units, L layers, D directions, P units of
the projected hidden state (H where nothing is projected).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeAlias
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn

from gated.cells.cell import Cell
from gated.core import native
from gated.core.arguments import StoredAs
from gated.core.plans import kept_shapes, named_cell, native_cell, register, sizes_of
from gated.nn.arguments import Hidden, states_in
from gated.nn.backends import native_is_there
from gated.nn.operators import LayerCall, address_to_read
from gated.nn.transforms import gradients, is_transformed, of_batches
from gated.nn.transforms import layer as run_layer

Given: TypeAlias = Sequence[Sequence[Mapping[str, Tensor]]]
"""For each layer, for each direction: the weights that it has, by name."""


class Batch(NamedTuple):
    """The sizes and the memory layout of a batch of sequences."""

    steps: int
    """T"""
    sequences: int
    """B"""
    rows: int
    """N, the real steps of all sequences together."""
    lengths: Tensor | None = None
    """(B) int64, of each sequence; None where all have T steps."""
    packed: bool = False
    """Whether only real steps are stored, as in a PackedSequence: (N, 1, features), with sequences
    in order of falling length."""

    @classmethod
    def padded(cls, x: Tensor, lengths: Tensor | None) -> Batch:
        """Return the layout of padded x (T, B, features) with the lengths (B) of its sequences."""
        T, B, _ = x.shape
        if lengths is None:
            return cls(T, B, T * B)
        return cls(T, B, int(lengths.sum()), lengths)

    @classmethod
    def of_sizes(cls, sizes: Tensor) -> Batch | None:
        """Return the layout for a PackedSequence's `batch_sizes`, (T).

        None unless they are integers (int64), positive, and never rise.
        """
        if sizes.dtype is not torch.int64 or sizes.dim() != 1 or not len(sizes):
            return None
        falling = -sizes.numpy()
        if falling[-1] >= 0:
            return None
        if (falling[1:] < falling[:-1]).any():
            return None
        B = -int(falling[0])
        lengths = np.searchsorted(falling, -np.arange(B), "left")
        return cls(len(sizes), B, -int(falling.sum()), torch.from_numpy(lengths), packed=True)

    def unpacked(self, x: Tensor) -> Tensor:
        """Return x, packed if the batch is, as (T, B, features), with zeros in the padding."""
        if not self.packed or self.lengths is None:
            return x
        padded = x.new_zeros(self.steps * self.sequences, x.shape[2])
        padded = padded.index_copy(0, _places(self.lengths, self.steps), x.squeeze(1))
        return padded.view(self.steps, self.sequences, x.shape[2])

    def laid_out(self, x: Tensor) -> Tensor:
        """Return x (T, B, features) in the batch's layout: the inverse of `unpacked`."""
        if not self.packed or self.lengths is None:
            return x
        return x.flatten(0, 1).index_select(0, _places(self.lengths, self.steps)).unsqueeze(1)

    def for_the_core(self) -> tuple[int, int, int, bool]:
        """T, B, the address of the lengths, and whether rows are packed."""
        place = 0 if self.lengths is None else self.lengths.data_ptr()
        return self.steps, self.sequences, place, self.packed


class _Direction(NamedTuple):
    """One layer in one direction."""

    core: Any
    """The native layer, which has the addresses of the weights."""
    names: tuple[str, ...]
    """Of its weights."""
    makes: tuple[Callable[[Tensor], Tensor], ...]
    """For each weight, what makes a gradient: the core writes all of a matrix, and of a vector only
    those blocks that are used."""
    places: tuple[tuple[int, ...], ...]
    """Where among the weights each matrix is, each matrix' bias and each parameter; behind them
    for what the layer has not."""
    widths: tuple[tuple[str, int], ...]
    """The values kept for the backward pass: name and numbers per step and sequence."""


class PlainLayers:
    """Layers whose weights are used in place: contiguous, of one dtype, on the CPU.

    Nothing is copied, so weights that change in place are seen by the next call.
    """

    def __init__(
        self, cell: Cell, inputs: int, given: Given, stored_as: StoredAs | None = None
    ) -> None:
        self.cell = cell
        self.stored_as = stored_as
        self.inputs = inputs
        self.weights = tuple(w for layer in given for named in layer for w in named.values())
        self.dtype = self.weights[0].dtype
        # The backward pass reads these, even if `data` of the weights was replaced since.
        self._held: list[Tensor] = [w.detach() for w in self.weights]
        self._nothing = self._held[0].new_empty(0)
        sizes = sizes_of(cell, given[0][0], inputs)
        self.state_widths = tuple(sizes[state.width] for state in cell.states)
        self.rows = len(given) * len(given[0])
        self.layers = []
        for depth, layer in enumerate(given):
            width = inputs if depth == 0 else len(layer) * self.state_widths[0]
            self.layers.append(
                [self._direction(named, width, way == 1) for way, named in enumerate(layer)]
            )

    def _direction(self, named: Mapping[str, Tensor], inputs: int, reverse: bool) -> _Direction:
        cell = self.cell
        sizes = sizes_of(cell, named, inputs)
        core = native.extension()
        made = core.PlainLayer32 if self.dtype == torch.float32 else core.PlainLayer64
        parameters = []
        for of in cell.parameters:
            value = named.get(of.name)
            if value is None:  # layers without bias have none that is normalised
                value = torch.zeros(len(of.gates), sizes["H"], dtype=self.dtype)
                self._held.append(value)
            parameters.append(value.data_ptr())
        matrices = tuple(of.name for of in cell.matrices)
        biases = tuple(of.bias if of.has_bias else "" for of in cell.matrices)
        names = tuple(named)
        places = {name: place for place, name in enumerate(names)}
        return _Direction(
            made(
                native_cell(cell),
                inputs,
                sizes["H"],
                sizes["P"],
                reverse,
                [named[name].data_ptr() for name in matrices],
                [named[name].data_ptr() if name in named else 0 for name in biases],
                parameters,
                getattr(core.Format, self.stored_as or "float32"),
            ),
            names,
            tuple(torch.empty_like if name in matrices else torch.zeros_like for name in names),
            tuple(
                tuple(places.get(name, len(names)) for name in of)
                for of in (matrices, biases, [of.name for of in cell.parameters])
            ),
            tuple((n, shape[1]) for n, shape in kept_shapes(cell, 0, sizes, False).items()),
        )

    def __call__(
        self, x: Tensor, starts: tuple[Tensor, ...], batch: Batch, dropout: float = 0.0
    ) -> tuple[Tensor, ...]:
        """Run over a batch.

        Args:
            x: (T, B, I), or packed (N, 1, I); of the weights' dtype, on the CPU.
            starts: (L·D, B, ·) of each state; zeros if empty.
            batch: the layout of x.
            dropout: probability, between layers.

        Returns:
            The output, D·P features laid out as x, zeros in padding; and of each state (L·D, B, ·)
            the values after each sequence's last step.
        """
        masks = self._masks(x, dropout) if dropout else ()
        if self.needs_gradients(x, starts):
            found: tuple[Tensor, ...] = _Run.apply(  # type: ignore[no-untyped-call]
                self, batch, (len(starts), len(masks)), x, *starts, *self.weights, *masks
            )
            return found
        return self.forward(x, starts, batch, masks, keep=False)[0]

    def needs_gradients(self, x: Tensor, starts: Sequence[Tensor]) -> bool:
        """Whether something in a call needs a gradient."""
        return torch.is_grad_enabled() and any(
            tensor.requires_grad for tensor in (x, *starts, *self.weights)
        )

    def _masks(self, x: Tensor, dropout: float) -> tuple[Tensor, ...]:
        """The dropout masks of all layers' outputs but the last; drawn as torch draws them."""
        width, stays = self.state_widths[0], 1 - dropout
        masks = [x.new_empty((*x.shape[:2], len(of) * width)) for of in self.layers[:-1]]
        return tuple(mask.bernoulli_(stays).div_(stays or 1) for mask in masks)

    def forward(
        self,
        x: Tensor,
        starts: Sequence[Tensor],
        batch: Batch,
        masks: Sequence[Tensor],
        keep: bool,
        memory: Tensor | None = None,
    ) -> tuple[tuple[Tensor, ...], list[Tensor]]:
        """Run without autograd: what `__call__` returns, and with `keep` tensors for `backward`.

        These are in `memory`, as `kept_in` says, where there is any.
        """
        x = _side_by_side(x)
        starts = tuple(_in_one_piece(state) for state in starts)
        finals = [x.new_empty((self.rows, batch.sequences, width)) for width in self.state_widths]
        threads, size, width = torch.get_num_threads(), x.element_size(), self.state_widths[0]
        kept, row, for_the_core = [x], 0, batch.for_the_core()
        parts = None if memory is None else self.kept_in(memory, batch)
        for depth, layer in enumerate(self.layers):
            mine = None if parts is None else iter(parts[depth])
            output = (
                x.new_empty((*x.shape[:2], len(layer) * width))
                if parts is None
                else parts[depth][-1]
            )
            for way, direction in enumerate(layer):
                here = {}
                if keep:
                    here = {
                        name: (x.new_empty((batch.rows, n)) if n else self._nothing)
                        if mine is None
                        else next(mine)
                        for name, n in direction.widths
                    }
                direction.core.forward(
                    for_the_core,
                    _place(x) if depth or not keep else _place_to_read(x),
                    self._of_row(starts, row),
                    _place(output, way * width * size),
                    self._of_row(finals, row),
                    *self._kept_addresses(here),
                    threads,
                )
                kept += here.values()
                row += 1
            kept.append(output)
            x = output * masks[depth] if depth < len(masks) else output
        if parts:  # results of an operator share no memory
            output = output.clone()
        elif keep and self.cell.output_is_hidden:
            # The backward pass reads it, and callers may change theirs: it is copied when they do.
            output = output._lazy_clone()
        return (output, *finals), kept

    def kept_in(self, memory: Tensor, batch: Batch) -> list[list[Tensor]]:
        """The parts of `memory` for each layer: each direction's kept values, and the output.

        Args:
            memory: (T·B, all their widths).
            batch: the layout of x; not packed.
        """
        begin, numbers, parts = 0, memory.view(-1), []
        for layer in self.layers:
            output = len(layer) * self.state_widths[0]
            mine = []
            for width in (*(width for way in layer for _, width in way.widths), output):
                end = begin + batch.rows * width
                mine.append(numbers[begin:end].view(batch.rows, width))
                begin = end
            mine[-1] = mine[-1].view(batch.steps, batch.sequences, output)
            parts.append(mine)
        return parts

    def backward(
        self,
        starts: Sequence[Tensor],
        batch: Batch,
        masks: Sequence[Tensor],
        kept: Sequence[Tensor],
        grad_output: Tensor | None,
        grad_finals: Sequence[Tensor | None],
        wanted: Sequence[bool],
    ) -> tuple[Tensor | None, ...]:
        """The gradients of x, the initial states and the weights, in this order.

        Args:
            starts: the initial states given to `forward`.
            batch: as for `forward`.
            masks: as for `forward`.
            kept: from `forward`.
            grad_output: in the shape of the output, or None.
            grad_finals: for each final state, or None.
            wanted: which of the gradients are needed.
        """
        starts = tuple(_in_one_piece(state) for state in starts)
        lasts = [None if grad is None else _in_one_piece(grad) for grad in grad_finals]
        output = kept[-1]
        grad = output.new_zeros(output.shape) if grad_output is None else _side_by_side(grad_output)
        threads, size, width = torch.get_num_threads(), output.element_size(), self.state_widths[0]
        grad_starts = [torch.empty_like(state) for state in starts]
        wanted_weights = wanted[1 + len(starts) :]
        of_weights: list[Tensor | None] = []
        end, row, weight = len(kept) - 1, self.rows, len(self.weights)
        for_the_core = batch.for_the_core()
        for depth in reversed(range(len(self.layers))):
            layer = self.layers[depth]
            each = len(layer[0].widths)
            begin = end - each * len(layer)
            x, output = kept[begin - 1], kept[end]
            mask = masks[depth - 1] if depth and masks else None
            if mask is not None:
                x = x * mask
            to_x: list[Tensor] = []
            for way in reversed(range(len(layer))):
                direction = layer[way]
                row, weight = row - 1, weight - len(direction.names)
                names = [name for name, _ in direction.widths]
                here = dict(zip(names, kept[begin + way * each :], strict=False))
                grads = [
                    make(of) if is_wanted else None
                    for make, of, is_wanted in zip(
                        direction.makes,
                        self.weights[weight : weight + len(direction.names)],
                        wanted_weights[weight:],
                        strict=False,
                    )
                ]
                if depth or wanted[0]:
                    to_x.append(x.new_empty(x.shape))
                to = [0 if gradient is None else gradient.data_ptr() for gradient in grads]
                to.append(0)  # of what the layer has not
                direction.core.backward(
                    for_the_core,
                    _place_to_read(x),
                    self._of_row(starts, row),
                    _place_to_read(output, way * width * size),
                    *self._kept_addresses(here),
                    _place(grad, way * width * size),
                    [0 if last is None else _address(last, row) for last in lasts],
                    _place(to_x[-1]) if to_x else (0, 0, 0),
                    *([to[i] for i in places] for places in direction.places),
                    self._of_row(grad_starts, row),
                    threads,
                )
                of_weights[:0] = grads
            if to_x:
                grad = to_x[0] if len(to_x) == 1 else to_x[0].add_(to_x[1])
                if mask is not None:
                    grad.mul_(mask)
            end = begin - 1
        return (grad if wanted[0] else None, *grad_starts, *of_weights)

    def one_by_one(
        self, states: int, batch: Batch, masks: Sequence[Tensor], x: Tensor, *tensors: Tensor
    ) -> tuple[Tensor, ...]:
        """Return what `__call__` does, with one autograd node for each layer and direction.

        Args:
            states: how many of the tensors are initial states.
            batch: the layout of x.
            masks: as for `forward`.
            x: (T, B, I), or packed (N, 1, I).
            tensors: initial states and weights.
        """
        cell, weights = register(self.cell), iter(tensors[states:])
        finals: list[tuple[Tensor, ...]] = []
        x, *masks = map(batch.unpacked, (x, *masks))
        for depth, layer in enumerate(self.layers):
            outputs = []
            for way, direction in enumerate(layer):
                starts = [state[len(finals)] for state in tensors[:states]]
                starts = starts or [x.new_zeros(x.shape[1], width) for width in self.state_widths]
                own, names = [next(weights) for _ in direction.names], ",".join(direction.names)
                call = LayerCall(
                    cell, x, own, names, starts, [], batch.lengths, way == 1, keep=True
                )
                output, final, _ = run_layer(call)
                outputs.append(output)
                finals.append(final)
            x = torch.cat(outputs, -1) if len(outputs) > 1 else outputs[0]
            if depth < len(masks):
                x = x * masks[depth]
        return (
            batch.laid_out(x),
            *(torch.stack(rows) for rows in zip(*finals, strict=True)),
        )

    def _of_row(self, states: Sequence[Tensor], row: int) -> list[int]:
        """The address of one layer and direction in each state; 0 if there are no states."""
        if not states:
            return [0] * len(self.state_widths)
        return [_address(state, row) for state in states]

    def _kept_addresses(self, kept: dict[str, Tensor]) -> tuple[int, list[int]]:
        """The address of the kept values, and of each kept state; 0 where nothing is kept."""
        address = {name: tensor.data_ptr() for name, tensor in kept.items()}
        return address.get("values", 0), [address.get(n, 0) for n in self.cell.state_names]


class _Run(torch.autograd.Function):
    """All layers at once."""

    @staticmethod
    def forward(
        ctx: Any,
        layers: PlainLayers,
        batch: Batch,
        counts: tuple[int, int],
        x: Tensor,
        *tensors: Tensor,
    ) -> tuple[Tensor, ...]:
        states, weights = counts[0], len(tensors) - counts[1]
        results, kept = layers.forward(x, tensors[:states], batch, tensors[weights:], keep=True)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x, *tensors, *kept[1:])
        ctx.layers, ctx.batch, ctx.counts = layers, batch, (states, weights, len(tensors))
        return results

    @staticmethod
    @of_batches
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        states, weights, count = ctx.counts
        x, *tensors = ctx.saved_tensors
        wanted = ctx.needs_input_grad[3 : 4 + weights]
        constants = (None,) * (count - weights)
        if torch.is_grad_enabled() or is_transformed():
            run = partial(ctx.layers.one_by_one, states, ctx.batch, tensors[weights:count])
            found = gradients(run, (x, *tensors[:weights]), grads, wanted)
            return (None, None, None, *found, *constants)
        found = ctx.layers.backward(
            tensors[:states],
            ctx.batch,
            tensors[weights:count],
            [_side_by_side(x), *tensors[count:]],
            grads[0],
            grads[1:],
            wanted,
        )
        return (None, None, None, *found, *constants)


def _places(lengths: Tensor, steps: int) -> Tensor:
    """The indices of packed rows among all steps of all sequences, (N)."""
    return (torch.arange(steps)[:, None] < lengths).flatten().nonzero().squeeze(1)


def _in_one_piece(tensor: Tensor) -> Tensor:
    return tensor if tensor.is_contiguous() else tensor.contiguous()


def _side_by_side(x: Tensor) -> Tensor:
    """(T, B, features), with contiguous features."""
    return x if x.stride(2) == 1 else x.contiguous()


def _place(x: Tensor, behind: int = 0) -> tuple[int, int, int]:
    """The address of an array (T, B, ·), plus `behind` bytes, and its strides over T and B."""
    step, sequence, _ = x.stride()
    return x.data_ptr() + behind, step, sequence


def _place_to_read(x: Tensor, behind: int = 0) -> tuple[int, int, int]:
    """As `_place`, of memory that is not written to, so that a lazy clone stays one."""
    step, sequence, _ = x.stride()
    return address_to_read(x) + behind, step, sequence


def _address(state: Tensor, row: int) -> int:
    """The address of a row of contiguous states (L·D, B, ·)."""
    return state.data_ptr() + row * state.stride(0) * state.element_size()


class _Known(NamedTuple):
    """The layers cached for a module, and the parameters that they are for."""

    parameters: tuple[tuple[Any, ...], ...]
    """Name and tensor of each, with its address, shape and strides: `data` may be replaced."""
    layers: PlainLayers | None
    stored_as: StoredAs | None


_known: WeakKeyDictionary[nn.Module, _Known] = WeakKeyDictionary()  # a module's copies have none


def is_memory(x: Any) -> bool:
    """Whether a tensor's memory holds its values as they are: on the CPU, dense, not negated."""
    return type(x) is Tensor and x.is_cpu and x.layout is torch.strided and not x.is_neg()


def is_plain(x: Any) -> bool:
    """Whether a call on x involves autograd at most: no tracing, no transform, no autocast.

    Args:
        x: the input of a layer.
    """
    return (
        not torch.compiler.is_compiling()
        and is_memory(x)
        and torch._C._len_torch_dispatch_stack() == 0
        and torch._C._len_torch_function_stack() == 0
        and not is_transformed()
        and torch._C._get_tracing_state() is None
        and not torch.is_autocast_enabled("cpu")
    )


def plain_layers(module: Any) -> PlainLayers | None:
    """Return the layers for a module's present parameters; None where they cannot be run plainly.

    Args:
        module: a `torch.nn.Module` whose method `_plain_layers` makes them, with a `variant`.
    """
    known, stored_as = _known.get(module), module.variant.stored_as
    if (
        known is None
        or known.stored_as != stored_as
        or not _are_still(known.parameters, module._parameters)
    ):
        parameters = tuple(
            (name, weight, *((None,) * 3 if weight is None else _mark(weight)))
            for name, weight in module._parameters.items()
        )
        known = _known[module] = _Known(parameters, module._plain_layers(), stored_as)
    return known.layers


def _are_still(known: tuple[tuple[Any, ...], ...], parameters: Mapping[str, Any]) -> bool:
    if len(known) != len(parameters):
        return False
    for (name, weight), (known_name, known_weight, address, shape, strides) in zip(
        parameters.items(), known, strict=True
    ):
        if weight is not known_weight or name != known_name:
            return False
        if weight is not None and (
            weight.data_ptr() != address or weight.shape != shape or weight.stride() != strides
        ):
            return False
    return True


def _mark(weight: Tensor) -> tuple[Any, ...]:
    return weight.data_ptr(), weight.shape, weight.stride()


def layers_of(
    module: Any,
    cell: str,
    names: Sequence[str],
    suffixes: Sequence[Sequence[str]],
    stored_as: StoredAs | None = None,
) -> PlainLayers | None:
    """Make the layers of a module's parameters; None where `PlainLayers` cannot use all of these.

    Args:
        module: a `torch.nn.Module`.
        cell: a name that `gated.core.plans.named_cell` knows.
        names: of all weights that a layer may have.
        suffixes: of the names, for each direction of each layer.
        stored_as: how the core packs the matrices; with it there are no gradients.
    """
    given: list[list[dict[str, Tensor]]] = []
    for of_layer in suffixes:
        given.append([])
        for suffix in of_layer:
            named = {name: module._parameters.get(name + suffix) for name in names}
            for name, weight in named.items():  # parametrised, pruned or replaced
                if weight is None and getattr(module, name + suffix, None) is not None:
                    return None
            given[-1].append({name: of for name, of in named.items() if of is not None})
    weights = [weight for layer in given for named in layer for weight in named.values()]
    if not weights or not native_is_there() or not _are_plain(weights):
        return None
    if stored_as is not None and weights[0].dtype != torch.float32:
        return None
    made = named_cell(cell, given[0][0])
    return None if made.per_step else PlainLayers(made, module.input_size, given, stored_as)


def _are_plain(weights: Sequence[Tensor]) -> bool:
    dtype = weights[0].dtype
    return dtype in (torch.float32, torch.float64) and all(
        type(weight) in (Tensor, nn.Parameter)
        and weight.is_cpu
        and weight.dtype is dtype
        and weight.is_contiguous()
        for weight in weights
    )


def run_plainly(
    layers: PlainLayers, x: Tensor, hx: Hidden | None, batch: Batch, dropout: float = 0.0
) -> tuple[Tensor, Hidden] | None:
    """Return the output and the final states; None if the layers cannot take an argument.

    Args:
        layers: of a module.
        x: (T, B, I), or packed (N, 1, I).
        hx: the initial states, (L·D, B, ·) each; zeros if None.
        batch: the layout of x.
        dropout: probability, between layers.
    """
    if x.dtype is not layers.dtype or x.shape[2] != layers.inputs:
        return None
    widths = layers.state_widths
    starts: tuple[Tensor, ...] = ()
    if hx is not None:
        starts = (hx,) if isinstance(hx, Tensor) else states_in(hx)
        if len(starts) != len(widths) or isinstance(hx, Tensor) != (len(widths) == 1):
            return None
        for state, width in zip(starts, widths, strict=True):
            if not is_memory(state) or state.dtype is not x.dtype:
                return None
            if state.shape != (layers.rows, batch.sequences, width):
                return None
    if layers.stored_as is not None and layers.needs_gradients(x, starts):
        return None
    output, *final = layers(x, starts, batch, dropout)
    return output, tuple(final) if len(final) > 1 else final[0]
