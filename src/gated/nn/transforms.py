"""Layers under the transforms of `torch.func`, forward-mode, and derivatives of any order.

The forward pass of a layer and its backward pass are two autograd functions, each with rules for
`backward`, `jvp` and `vmap`. All these rules use the same two functions again, of this cell or of
its tangent cell (`gated.cells.tangent`): tangents of results are the tangent cell's forward pass,
and the backward pass of the backward pass is the tangent cell's backward pass (Pearlmutter 1994).
So derivatives of every order exist.

Shapes: T steps, B sequences, I input features, V members that are mapped over.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial, wraps
from typing import Any, TypeAlias, TypeVar

import torch
from torch import Tensor
from torch._functorch.pyfunctorch import retrieve_current_functorch_interpreter
from torch.autograd import forward_ad

from gated.cells import tangent
from gated.core.plans import register
from gated.errors import ConfigurationError
from gated.nn import members
from gated.nn.mapping import (
    Apply,
    batch_axes,
    in_a_stack,
    in_one_batch,
    is_one_batch,
    result_axes,
    split,
)
from gated.nn.members import Maybe, Way
from gated.nn.operators import LayerCall, Results, Saved, put_together, taken_apart

Backward: TypeAlias = Callable[..., tuple[Maybe, ...]]
"""`backward` or `jvp` of an autograd function: from a context and gradients to gradients, or from
tangents to tangents."""
V = TypeVar("V")


def is_transformed() -> bool:
    """Whether a transform of `torch.func` or a forward-mode derivative is under way.

    False while torch compiles, which uses the operator, without transforms.
    """
    if torch.compiler.is_compiling():
        return False
    return torch._C._functorch.peek_interpreter_stack() is not None or (
        forward_ad._current_level >= 0
    )


def is_mapped() -> bool:
    """Whether a transform is under way that torch's own kernels do not support."""
    if torch.compiler.is_compiling():
        return False
    stack = torch._C._functorch.get_interpreter_stack() or ()
    grad = torch._C._functorch.TransformType.Grad
    return forward_ad._current_level >= 0 or any(level.key() != grad for level in stack)


def may_be_derived_twice(*tensors: Tensor) -> bool:
    """Whether derivatives of derivatives, or forward-mode ones, of these tensors may be needed."""
    if torch.compiler.is_compiling():
        return False
    kinds = torch._C._functorch.TransformType
    keys = [level.key() for level in torch._C._functorch.get_interpreter_stack() or ()]
    gradients = keys.count(kinds.Grad)
    if forward_ad._current_level >= 0 or gradients > 1:
        return True
    return gradients == 1 and any(_unwrapped(tensor).requires_grad for tensor in tensors)


def _unwrapped(tensor: Tensor) -> Tensor:
    functorch = torch._C._functorch
    while functorch.is_functorch_wrapped_tensor(tensor):
        tensor = functorch.get_unwrapped(tensor)
    return tensor


def needs_gradients(*tensors: Tensor) -> bool:
    """Whether one of them needs a gradient, inside of transforms or outside."""
    if torch.compiler.is_compiling():  # which cannot look inside
        return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)
    return torch.is_grad_enabled() and any(map(_is_derived, tensors))


def _is_derived(tensor: Tensor) -> bool:
    functorch = torch._C._functorch
    while not tensor.requires_grad and functorch.is_functorch_wrapped_tensor(tensor):
        tensor = functorch.get_unwrapped(tensor)
    return tensor.requires_grad


def layer(call: LayerCall, with_kept: bool = False) -> Results:
    """Run one layer in one direction: by the operator if torch traces, else by autograd functions.

    Args:
        call: with `keep` where gradients or the kept values are needed.
        with_kept: also return the kept values, (T, B, ·), with gradients, but without second
            derivatives.
    """
    if torch.compiler.is_compiling() or type(call.x) is not Tensor or call.x.is_meta:
        return call.named(torch.ops.gated.layer(*call))
    if call.weight_mask is not None:
        weights = {**call.named_weights}
        weights["weight_hh"] = weights["weight_hh"] * call.weight_mask
        call = call._replace(weights=list(weights.values()), weight_mask=None)
    saved, tensors = taken_apart(call)
    results = _apply(Way(saved, len(call.kept_names()) if with_kept else 0), tensors)
    if with_kept:
        return call.named(results)
    return Results(results[0], results[1:], {})


def _apply(way: Way, tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Run a layer, by `_Layer`; if it has tangents, values and tangents in one run."""
    results: tuple[Tensor, ...]
    inmost = torch._C._functorch.peek_interpreter_stack()
    if inmost is not None and inmost.key() == torch._C._functorch.TransformType.Vmap:
        results = _mapped(way, tensors)
    elif not way.kept and _is_forward_mode() and not _vmap_level():
        results = _pairs(way, tensors)
    else:
        results = _Layer.apply(way, *tensors)  # type: ignore[no-untyped-call]
    return results


def _mapped(way: Way, tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Run a layer under `vmap`: by the rule of `_Layer`, for which torch needs a millisecond."""
    functorch, interpreter = torch._C._functorch, retrieve_current_functorch_interpreter()
    level = interpreter.level()
    given = [functorch._unwrap_batched(tensor, level) for tensor in tensors]
    with interpreter.lower():
        if all(dim is None for _, dim in given):
            return _apply(way, tensors)
        size: int = interpreter.batch_size()  # type: ignore[attr-defined]
        dims = [dim for _, dim in given]
        found, found_dims = _members(size, dims, way, [of for of, _ in given])
    both = zip(found, found_dims, strict=True)
    return tuple(functorch._add_batch_dim(of, dim, level) for of, dim in both)


def _members(
    size: int, dims: Sequence[int | None], way: Way, tensors: Sequence[Tensor]
) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
    """Run a layer for members: in one larger batch, or side by side."""
    axes = batch_axes(way)
    if is_one_batch(way.saved, dims, axes):
        way.joined = way.anew()
        apply = partial(_apply, way.joined)
        return in_one_batch(size, dims, axes, tensors, apply, result_axes(way))
    way.joined = way.anew(members=size * max(1, way.members))
    return in_a_stack(size, way, dims, tensors, partial(_apply, way.joined))


def _is_forward_mode() -> bool:
    """Whether forward-mode is what happens next, of all transforms that are under way."""
    if forward_ad._current_level < 0:
        return False
    inmost = torch._C._functorch.peek_interpreter_stack()
    return inmost is None or inmost.key() == torch._C._functorch.TransformType.Jvp


def _pairs(way: Way, tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Run a layer whose tensors may have tangents: the tangent layer steps through both.

    Left to autograd, the values would be computed first, and then once more with the tangents.
    """
    differentiable = tensors[: way.saved.differentiable]
    duals = [forward_ad.unpack_dual(tensor) for tensor in differentiable]  # type: ignore[no-untyped-call]
    moves = [tangent for _, tangent in duals]
    call = put_together(way.saved, tensors)
    if all(move is None for move in moves) or not call.changed_cell.output_is_hidden:
        return _Layer.apply(way, *tensors)  # type: ignore[no-any-return, no-untyped-call]
    values = [value for value, _ in duals]
    there = (of for of in (*values, *moves) if of is not None)
    call = put_together(way.saved, [*values, *tensors[way.saved.differentiable :]])
    moved = _moved(way, call, moves, keep=needs_gradients(*there), with_values=True)
    results = _below(partial(_apply, moved.way), moved.tensors)
    states, shown = len(call.initial), len(way.shown)
    of_tangents, behind = [*results[: 1 + states]], results[1 + states :]
    of_tangents += behind[states : states + shown]
    output, *histories = behind[states + shown :]
    found = zip([output, *behind[:states], *histories], of_tangents, strict=True)
    return tuple(forward_ad.make_dual(value, tangent) for value, tangent in found)  # type: ignore[no-untyped-call]


def _below(apply: Apply, tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Apply a function to tensors without tangents as if forward-mode had ended."""
    if torch._C._functorch.peek_interpreter_stack() is None:
        return apply(tensors)
    functorch, interpreter = torch._C._functorch, retrieve_current_functorch_interpreter()
    level = interpreter.level()
    with interpreter.lower():
        found = apply([functorch._unwrap_for_grad(tensor, level) for tensor in tensors])
    return tuple(functorch._wrap_for_grad(of, level) for of in found)


def _vmap_level() -> int:
    """The level of the `vmap` of `torch.autograd`, which is another than that of `torch.func`."""
    level: int = torch._C._vmapmode_increment_nesting() - 1
    torch._C._vmapmode_decrement_nesting()
    return level


def of_batches(backward: Backward) -> Backward:
    """Make `backward` or `jvp` of an autograd function accept the batches of `torch.autograd`.

    `is_grads_batched` and `torch.autograd.functional` use another `vmap` than `torch.func`.
    """

    @wraps(backward)
    def mapped(ctx: Any, *grads: Maybe) -> tuple[Maybe, ...]:
        level = _vmap_level()
        if not level:
            return backward(ctx, *grads)
        dims = tuple(0 if _is_batch(grad) else None for grad in grads)
        if all(dim is None for dim in dims):
            return backward(ctx, *grads)
        given = [
            grad if grad is None or dim is None else torch._remove_batch_dim(grad, level, 1, 0)
            for grad, dim in zip(grads, dims, strict=True)
        ]
        there: list[bool] = []

        def of_member(*own: Maybe) -> tuple[Tensor, ...]:
            found = backward(ctx, *own)
            there[:] = [grad is not None for grad in found]
            return tuple(grad for grad in found if grad is not None)

        found = torch.func.vmap(of_member, dims)(*given)
        # Forward-mode needs contiguous members.
        batches = [torch._add_batch_dim(grad.contiguous(), 0, level) for grad in found]
        return tuple(_spread(there, batches))

    return mapped


def _is_batch(grad: Maybe) -> bool:
    return grad is not None and torch._C._dispatch_keys(grad).has("Batched")


class _Layer(torch.autograd.Function):
    """One layer in one direction: from its tensors to the output and the final states."""

    @staticmethod
    def forward(way: Way, *tensors: Tensor) -> tuple[Tensor, ...]:
        return tuple(members.forward(way, tensors))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        way, *tensors = inputs
        _save(ctx, tensors, way.read)
        ctx.way = replace(way, read=())

    @staticmethod
    @of_batches
    def backward(ctx: Any, *grads: Maybe) -> tuple[Maybe, ...]:
        tensors, read = _saved_by(ctx)
        way: Way = replace(ctx.way, read=read)
        saved = way.saved
        wanted = ctx.needs_input_grad[1 : 1 + saved.differentiable]
        if not (torch.is_grad_enabled() or is_transformed()):
            found = members.backward(way, tensors, grads, wanted)
        elif put_together(saved, tensors).is_narrow:
            given, constants = tensors[: saved.differentiable], tensors[saved.differentiable :]
            found = gradients(partial(_widened, saved, constants), given, grads, wanted)
        else:
            found = _back(way, wanted, tensors, grads)
        return (None, *found, *(None for _ in tensors[saved.differentiable :]))

    @staticmethod
    @of_batches
    def jvp(ctx: Any, _: None, *moves: Maybe) -> tuple[Maybe, ...]:
        tensors = _saved_by(ctx)[0]
        way: Way = ctx.way
        call, by = put_together(way.saved, tensors), moves[: way.saved.differentiable]
        there = (of for of in (*tensors, *by) if of is not None)
        found = _moved(way, call, by, keep=needs_gradients(*there)).results()
        return tuple(of for of in found if of is not None)

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[Any, ...], way: Way, *tensors: Tensor
    ) -> tuple[Any, tuple[int, ...]]:
        return _members(info.batch_size, in_dims[1:], way, tensors)


class _Back(torch.autograd.Function):
    """The backward pass of a layer: from its tensors and its results' gradients to gradients."""

    @staticmethod
    def forward(back: _BackWay, *tensors: Tensor) -> tuple[Tensor, ...]:
        there, grads = back.parted(tensors)
        found = members.backward(back.way, there, grads, back.wanted)
        return tuple(grad for grad in found if grad is not None)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        ctx.back, *tensors = inputs
        _save(ctx, tensors, ())

    @staticmethod
    @of_batches
    def backward(ctx: Any, *moves: Maybe) -> tuple[Maybe, ...]:
        back: _BackWay = ctx.back
        saved, tensors = back.way.saved, _saved_by(ctx)[0]
        if all(of is None for of in moves):
            return (None,) * (1 + len(tensors))
        there, grads = back.parted_again(tensors)
        call = put_together(saved, there)
        wanted = ctx.needs_input_grad[1 : 1 + saved.differentiable]
        moved = _moved(back.way, call, _spread(back.wanted, moves), keep=any(wanted))
        of_grads = moved.results()
        found = moved.back(wanted, grads)
        rest = (None,) * (saved.tensors - saved.differentiable)
        return (None, *found, *rest, *_chosen(back.given, of_grads))

    @staticmethod
    @of_batches
    def jvp(ctx: Any, _: None, *moves: Maybe) -> tuple[Maybe, ...]:
        back: _BackWay = ctx.back
        way, saved, tensors = back.way, back.way.saved, _saved_by(ctx)[0]
        there, grads = back.parted_again(tensors)
        of_grads = _spread(back.given, moves[saved.tensors :])
        straight = _back(way.anew(), back.wanted, there, of_grads)
        call = put_together(saved, there)
        moved = _moved(way, call, moves[: saved.differentiable], keep=False)
        around = moved.back(back.wanted, grads)
        return tuple(
            _sum(a, b, like)
            for a, b, like, is_wanted in zip(straight, around, there, back.wanted, strict=False)
            if is_wanted
        )

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[Any, ...], back: _BackWay, *tensors: Tensor
    ) -> tuple[Any, tuple[int, ...]]:
        way, dims, size = back.way, in_dims[1:], info.batch_size
        axes, saved = back.axes(), way.saved
        of_weights = any(back.wanted[1 : 1 + saved.weights])  # of each member, not their sum
        has_own_tensors = any(dim is not None for dim in dims[: saved.tensors])

        def same(count: int) -> Way:
            """The way of so many members, with what their forward pass has saved."""
            joined = way.joined if has_own_tensors else None
            return joined if joined and joined.members == count else way.anew(members=count)

        call = put_together(saved, tensors[: saved.tensors])
        of_each = of_weights and has_own_tensors and not (way.members or way.shown or way.kept)
        if is_one_batch(saved, dims, axes) and (
            not of_weights or (of_each and members.has_gradients_of_each(call))
        ):
            back = replace(back, way=same(way.members))
            each, whole = partial(_BackOfEach.apply, back, size), partial(_Back.apply, back)
            run, found_axes = each if of_weights else whole, _chosen(back.wanted, axes)
            return in_one_batch(size, dims, axes, tensors, lambda of: run(*of), found_axes)
        many = same(size * max(1, way.members))
        if not has_own_tensors and not way.members:  # all read the same
            many.calls = [*way.calls] * size
            many.read = [read.expand(size, *read.shape) for read in way.read]
        run = partial(_Back.apply, replace(back, way=many))
        return in_a_stack(size, way, dims, tensors, lambda of: run(*of))


class _BackOfEach(torch.autograd.Function):
    """The same for a batch of equal parts, with the gradients of the weights by each part."""

    @staticmethod
    def forward(back: _BackWay, size: int, *tensors: Tensor) -> tuple[Tensor, ...]:
        there, grads = back.parted(tensors)
        found = members.backward_of_each(back.way, size, there, grads, back.wanted)
        return tuple(grad for grad in found if grad is not None)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        ctx.back, ctx.size, *tensors = inputs
        _save(ctx, tensors, ())

    # Computed part by part they are the same, and have derivatives.

    @staticmethod
    @of_batches
    def backward(ctx: Any, *moves: Maybe) -> tuple[Maybe, ...]:
        wanted = ctx.needs_input_grad[2:]
        alone, tensors = _BackOfEach.alone(ctx, wanted)
        results, pull = torch.func.vjp(alone, *tensors)  # type: ignore[misc]
        given = (
            torch.zeros_like(result) if move is None else move
            for result, move in zip(results, moves, strict=True)
        )
        return (None, None, *_spread(wanted, pull(tuple(given))))

    @staticmethod
    @of_batches
    def jvp(ctx: Any, _: None, __: None, *moves: Maybe) -> tuple[Maybe, ...]:
        alone, tensors = _BackOfEach.alone(ctx, [move is not None for move in moves])
        by = tuple(move for move in moves if move is not None)
        found: tuple[Tensor, ...] = torch.func.jvp(alone, tensors, by)[1]
        return found

    @staticmethod
    def alone(ctx: Any, flags: Sequence[bool]) -> tuple[Callable[..., Any], tuple[Tensor, ...]]:
        """The results as a function of the tensors at these places, and these tensors."""
        tensors = _saved_by(ctx)[0]

        def function(*chosen: Tensor) -> tuple[Tensor, ...]:
            given = zip(tensors, _spread(flags, chosen), strict=True)
            both = (of if new is None else new for of, new in given)
            return _each_alone(ctx.back, ctx.size, *both)

        return function, tuple(_chosen(flags, tensors))

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[Any, ...], back: _BackWay, size: int, *tensors: Tensor
    ) -> tuple[Any, tuple[int, ...]]:
        found = torch.func.vmap(partial(_each_alone, back, size), in_dims[2:])(*tensors)
        return found, tuple(0 for _ in found)


def _each_alone(back: _BackWay, size: int, *tensors: Tensor) -> tuple[Tensor, ...]:
    """The results of `_BackOfEach`, of members side by side."""
    axes = back.axes()
    given = [
        tensor.expand(size, *tensor.shape)
        if axis is None
        else split(tensor, axis, size).movedim(axis, 0)
        for tensor, axis in zip(tensors, axes, strict=True)
    ]
    found = _Back.apply(replace(back, way=back.way.anew(members=size)), *given)  # type: ignore[no-untyped-call]
    return tuple(
        of if axis is None else of.movedim(0, axis).flatten(axis, axis + 1)
        for of, axis in zip(found, _chosen(back.wanted, axes), strict=True)
    )


@dataclass(frozen=True)
class _BackWay:
    """The arguments of the backward pass besides tensors."""

    way: Way
    wanted: tuple[bool, ...]
    """For each tensor of the layer: whether its gradient is needed."""
    given: tuple[bool, ...]
    """For each result: whether its gradient is given."""

    def parted(self, tensors: Sequence[Tensor]) -> tuple[Sequence[Tensor], list[Maybe]]:
        """The tensors of the layer, and the gradients of its results."""
        count = self.way.saved.tensors
        return tensors[:count], _spread(self.given, tensors[count:])

    def parted_again(self, tensors: Sequence[Tensor]) -> tuple[Sequence[Tensor], list[Maybe]]:
        """The same, for second derivatives."""
        there, grads = self.parted(tensors)
        first = self.way.results - self.way.kept
        if any(self.given[first:]):
            raise ConfigurationError(
                "create_graph asks for second derivatives of gates, which only backend='torch' has"
            )
        return there, grads[:first]

    def axes(self) -> list[int | None]:
        """The batch axis of each tensor."""
        return [*batch_axes(self.way), *_chosen(self.given, result_axes(self.way))]


def _back(
    way: Way, wanted: Sequence[bool], tensors: Sequence[Tensor], grads: Sequence[Maybe]
) -> list[Maybe]:
    """The gradients of a layer's tensors, with derivatives of their own."""
    given = tuple(grad is not None for grad in grads[: way.results])
    if not any(given) or not any(wanted):
        return [None] * way.saved.differentiable
    there = [grad for grad in grads if grad is not None]
    found = _Back.apply(_BackWay(way, tuple(wanted), given), *tensors, *there)  # type: ignore[no-untyped-call]
    return _spread(wanted, found)


def _widened(saved: Saved, constants: Sequence[Tensor], *tensors: Tensor) -> tuple[Tensor, ...]:
    """The results of a narrow layer, computed in float32 for the sake of their derivatives."""
    call = put_together(saved, (*tensors, *constants))
    results = layer(call.widened())
    output = results.output
    return (output.bfloat16() if call.output_as == "bfloat16" else output, *results.final)


def _save(ctx: Any, tensors: Sequence[Tensor], read: Sequence[Tensor]) -> None:
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*tensors, *read)
    if is_transformed():
        ctx.save_for_forward(*tensors)
    ctx.count = len(tensors)


def _saved_by(ctx: Any) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    tensors: tuple[Tensor, ...] = ctx.saved_tensors
    return tensors[: ctx.count], tensors[ctx.count :]


def _spread(flags: Sequence[bool], values: Sequence[Maybe]) -> list[Maybe]:
    """The values at the places of the flags that are set, None at the others."""
    rest = iter(values)
    return [next(rest) if flag else None for flag in flags]


def _chosen(flags: Sequence[bool], values: Sequence[V]) -> list[V]:
    """The values at the places of the flags that are set."""
    return [value for value, flag in zip(values, flags, strict=False) if flag]


def _sum(a: Maybe, b: Maybe, like: Tensor) -> Tensor:
    if a is None or b is None:
        found = b if a is None else a
        return torch.zeros_like(like) if found is None else found
    return a + b


# Tangents.


class _Moved:
    """A layer's tangent layer, which is linear in the tangents."""

    def __init__(
        self, way: Way, of: LayerCall, call: LayerCall, names: tangent.Names, shown: tuple[int, ...]
    ) -> None:
        self.of = of
        self.call = call
        self.names = names
        saved, self.tensors = taken_apart(call)
        self.way = way.anew(saved=saved, kept=0, shown=shown)

    def results(self) -> list[Maybe]:
        """The tangents of the output, of the final states, and of the states that are shown."""
        states = len(self.of.initial)
        found = _Layer.apply(self.way, *self.tensors)  # type: ignore[no-untyped-call]
        return [*found[: 1 + states], *found[1 + 2 * states :]]

    def back(self, wanted: Sequence[bool], grads: Sequence[Maybe]) -> list[Maybe]:
        """Return the gradients of the original layer's arguments, for constant tangents.

        Args:
            wanted: which of the gradients are needed.
            grads: the gradients of `results`.
        """
        of, names = self.of, self.names
        states, named = len(of.initial), of.names.split(",")
        is_wanted = dict(zip(named, wanted[1:], strict=False))
        origin = {name: name for name in named}
        origin |= {name + names.again: name for name in named}
        new_names = self.call.names.split(",")
        new = [
            wanted[0],
            *(is_wanted.get(origin.get(name, ""), False) for name in new_names),
            *(False for _ in range(states)),
            *wanted[1 + len(named) : 1 + len(named) + states],
            *wanted[1 + len(named) + states :],
            *(False for _ in self.call.per_step[len(of.per_step) :]),
        ]
        of_values = [None] * states
        grads = [*grads[: 1 + states], *of_values, *grads[1 + states :]]
        found = _back(self.way, new, self.tensors, grads)
        weights = dict(zip(new_names, found[1:], strict=False))
        results: list[Maybe] = found[:1]
        for name in named:
            grad, twin = weights[name], weights.get(name + names.again)
            results.append(grad if twin is None or grad is None else grad + twin)
        first = 1 + len(new_names) + states
        return [*results, *found[first : first + states + len(of.per_step)]]


def _moved(
    way: Way, call: LayerCall, moves: Sequence[Maybe], keep: bool, with_values: bool = False
) -> _Moved:
    """The tangent layer of a layer.

    Args:
        way: of the layer.
        call: its call.
        moves: the tangents of x, weights, initial states and inputs for each step; None for zeros.
        keep: whether the forward pass saves what the backward pass reads.
        with_values: whether to show the values of what the layer shows, behind their tangents.
    """
    cell, weights = call.changed_cell, call.named_weights
    names = tangent.names(cell)
    dx, *rest = moves
    given = dict(zip(weights, rest, strict=False))
    starts = rest[len(weights) : len(weights) + len(call.initial)]
    steps = rest[len(weights) + len(call.initial) :]
    of = {name for name, move in given.items() if move is not None}
    of |= {matrix.name for matrix in cell.matrices if matrix.has_bias and matrix.bias in of}
    of |= {name for name, move in zip(cell.per_step, steps, strict=True) if move is not None}
    of |= set() if dx is None else {tangent.INPUT}
    made = tangent.tangent(cell, frozenset(of))

    def move(name: str) -> Tensor:
        found = given[name]
        return torch.zeros_like(weights[name]) if found is None else found

    found = dict(weights)
    there = {matrix.name for matrix in made.matrices}
    for matrix in cell.matrices:
        weight, has_bias = weights[matrix.name], matrix.has_bias and matrix.bias in weights
        if matrix.name + names.again in there:
            found[matrix.name + names.again] = weight
        if matrix.name in of:
            found[matrix.name + names.suffix] = move(matrix.name)
            if has_bias:
                found[matrix.bias + names.suffix] = move(matrix.bias)
    for parameter in cell.parameters:
        if parameter.name in of:
            found[parameter.name + names.suffix] = move(parameter.name)
    initial = [
        torch.zeros_like(state) if start is None else start
        for state, start in zip(call.initial, starts, strict=True)
    ]
    moved = call._replace(
        cell=register(made),
        weights=list(found.values()),
        names=",".join(found),
        initial=[*initial, *call.initial],
        per_step=[*call.per_step, *(step for step in (*steps, dx) if step is not None)],
        keep=keep,
    )
    states = len(call.initial)
    values = (states, *(states + state for state in way.shown)) if with_values else ()
    return _Moved(way, call, moved, names, (*way.shown, *values))


def gradients(
    function: Callable[..., tuple[Tensor, ...]],
    tensors: Sequence[Tensor],
    grads: Sequence[Maybe],
    wanted: Sequence[bool],
) -> list[Maybe]:
    """Return the gradients of a differentiable function, differentiable too where autograd is on.

    Args:
        function: from tensors to results.
        tensors: its arguments.
        grads: the gradients of its results; None for zeros.
        wanted: for each tensor, whether its gradient is needed.
    """
    with torch.enable_grad():
        given = [
            _alias(tensor) if want else tensor for tensor, want in zip(tensors, wanted, strict=True)
        ]
        results = function(*given)
    pairs = [(r, g) for r, g in zip(results, grads, strict=True) if g is not None]
    found = torch.autograd.grad(
        [result for result, _ in pairs],
        _chosen(wanted, given),
        [grad for _, grad in pairs],
        create_graph=torch.is_grad_enabled(),
        allow_unused=True,
    )
    return _spread(wanted, found)


def _alias(tensor: Tensor) -> Tensor:
    """The same values as a tensor of its own, to differentiate with respect to it alone."""
    if tensor.requires_grad:
        return tensor.view_as(tensor)
    return tensor.detach().requires_grad_()
