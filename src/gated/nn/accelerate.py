"""Make the recurrent layers of any model run on the native core, and undo it.

An accelerated layer is marked in its `__dict__`, and stays what it was, its class included. The
`forward` of torch's three classes is replaced, once, by one that asks for the mark: so subclasses
that call it, copies of whatever kind and unpickled layers are accelerated too. A saved layer names
only torch's class: it loads where gated is not installed, as torch's own layer.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from types import FunctionType
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary, ref

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from gated.core import native
from gated.core.arguments import StoredAs
from gated.core.stream import Stream
from gated.errors import ConfigurationError, DataError
from gated.nn.arguments import Hidden
from gated.nn.backends import MARK, Variant, chosen_backend
from gated.nn.keras_layers import accelerate_layer, keras_layers
from gated.nn.keras_layers import why_left as keras_why_left
from gated.nn.sequences import Sequences, SequencesOfTorch

_CLASSES = (nn.RNN, nn.GRU, nn.LSTM)
_STEPS_OF_FORWARD = (
    "__call__",
    "check_forward_args",
    "check_input",
    "check_hidden_size",
    "get_expected_hidden_size",
    "permute_hidden",
)
"""Methods that `forward` of `torch.nn` calls: a subclass that overrides one changes the results."""


class Accelerated(NamedTuple):
    """The result of `accelerate` or `restore`."""

    replaced: tuple[str, ...]
    """Names in the model of the layers that run on the core."""
    left: dict[str, str]
    """Recurrent layers that were not changed: the reason for each, by its name in the model."""

    def __str__(self) -> str:
        lines = [f"{name}: replaced" for name in self.replaced]
        lines += [f"{name}: left, {why}" for name, why in self.left.items()]
        return "\n".join(lines) or "no recurrent layer of torch.nn"


def accelerate(model: nn.Module) -> Accelerated:
    """Run every `torch.nn.RNN`, `GRU` and `LSTM` of a model on the native core, in place.

    Results are the same up to rounding. Calls that the core does not support (other devices and
    dtypes, autocast) are computed by torch as before. A
    subclass keeps its methods: where its `forward` calls that of `torch.nn`, the core's is called.
    Cells are not changed: torch's kernels are as fast for a single step.

    Args:
        model: any module: a recurrent layer, or a module that contains some.

    Returns:
        Which layers were replaced, and which were left and why.

    Raises:
        MissingNativeError: the native core is not built, so nothing would be faster.

    >>> tagger = nn.ModuleDict({"words": nn.LSTM(8, 16), "tags": nn.Linear(16, 3)})
    >>> print(accelerate(tagger))
    words: replaced
    >>> restore(tagger).replaced
    ('words',)
    """
    native.extension()
    for kind in _CLASSES:
        if inspect.unwrap(kind.forward) is kind.forward:
            setattr(kind, "forward", _asking(kind.forward))  # noqa: B010 - of torch's own
    done = Accelerated((), {})
    for name, layer in _recurrent(model):
        why = _why_left(layer)
        if why is None:
            vars(layer)[MARK] = True
            done = done._replace(replaced=(*done.replaced, name))
        else:
            done.left[name] = why
    for name, layer in keras_layers(model):
        why = keras_why_left(layer)
        if why is None:
            accelerate_layer(layer)
            done = done._replace(replaced=(*done.replaced, name))
        else:
            done.left[name] = why
    return done


def restore(model: nn.Module) -> Accelerated:
    """Undo `accelerate`: torch computes the layers of a model again.

    Args:
        model: any module.

    Returns:
        Which layers were replaced.
    """
    everyone = (*_recurrent(model), *keras_layers(model))
    found = [(name, layer) for name, layer in everyone if MARK in vars(layer)]
    for _, layer in found:
        del vars(layer)[MARK]
    return Accelerated(tuple(name for name, _ in found), {})


def stream(
    layer: nn.Module,
    sequences: int | None = None,
    threads: int = 1,
    stored_as: StoredAs | None = None,
) -> Stream:
    """Return the layers of a recurrent module as they are now, ready to take one step at a time.

    Args:
        layer: a `torch.nn.RNN`, `GRU` or `LSTM`, or a layer of `gated.nn`.
        sequences: as for `gated.nn.LSTM.stream`.
        threads: as for `gated.nn.LSTM.stream`.
        stored_as: as for `gated.nn.LSTM.stream`.

    Raises:
        ConfigurationError: it is none of these, or as `gated.nn.LSTM.stream` says.
        DataError: the weights are not float32.
        MissingNativeError: the native core is not built.
    """
    if isinstance(layer, _CLASSES):
        return _seen(layer).stream(sequences, threads, stored_as)
    if not isinstance(layer, Sequences):
        raise ConfigurationError(
            f"{type(layer).__name__} cannot be streamed: stream takes the recurrent layers of "
            "torch.nn and gated.nn"
        )
    return layer.stream(sequences, threads, stored_as)


def _asking(forward: Any) -> Any:
    """`forward` of a class of torch, by the core where the layer is marked.

    It has torch's globals, and its source by `__wrapped__`, so scripting compiles torch's own.
    """
    mark, run = MARK, _run

    def asking(self: Any, input: Any, hx: Hidden | None = None, **options: Any) -> Any:
        if mark in self.__dict__:
            return run(self, forward, input, hx, options)
        return forward(self, input, hx, **options)

    made = FunctionType(
        asking.__code__, forward.__globals__, "forward", asking.__defaults__, asking.__closure__
    )
    return wraps(forward)(made)


def _run(layer: Any, forward: Any, input: Any, hx: Hidden | None, options: Any) -> Any:
    """Run over whole sequences as `torch.nn` does; `options` are those of `gated.nn`."""
    seen = _seen(layer)
    if options.keys() - {"lengths", "return_gates"}:
        return forward(layer, input, hx, **options)  # which raises the error
    if options:
        return seen.forward(input, hx, **options)
    found = seen._run_at_once(input, hx)
    if found is not None:
        return found
    if _is_for_the_core(seen, input):
        try:
            asked = seen._asked(input, hx, None, {})
        except DataError:  # torch raises its own error for arguments that do not fit
            pass
        else:
            return seen._computed(asked)
    return forward(layer, input, hx)


def _is_for_the_core(seen: _Seen, input: Any) -> bool:
    data = input.data if isinstance(input, PackedSequence) else input
    if not isinstance(data, Tensor) or not data.is_cpu or data.layout is not torch.strided:
        return False
    if torch.is_autocast_enabled("cpu") or torch._C._get_tracing_state() is not None:
        return False
    weights = seen._weights()[0][0]
    observed = bool(seen.observers)
    return chosen_backend(None, seen._cell, data, weights, seen.variant, observed) == "native"


_NO_VARIANT: Variant = Variant()


class _Seen(SequencesOfTorch):
    """A layer of torch, seen as one of gated: it has the layer's own `__dict__`."""

    __slots__ = ("_layer",)
    _layer: Callable[[], Any]
    # The class's, whatever attributes of these names a subclass of torch's layers has.
    backend = property(lambda self: None)
    variant = property(lambda self: _NO_VARIANT)
    layer_norm = property(lambda self: False)

    def __init__(self, layer: Any) -> None:
        self._layer = ref(layer)

    def __getattr__(self, name: str) -> Any:
        """What is not in the `__dict__`: parameters, and what parametrizations make of them."""
        return getattr(self._layer(), name)


_seen_layers: WeakKeyDictionary[nn.Module, _Seen] = WeakKeyDictionary()


def _seen(layer: Any) -> _Seen:
    if torch.compiler.is_dynamo_compiling():
        return _Seen(layer)
    seen = _seen_layers.get(layer)
    if seen is None or seen.__dict__ is not layer.__dict__:
        seen = _seen_layers[layer] = _Seen(layer)
        seen.__dict__ = layer.__dict__
    return seen


def _recurrent(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """Return the recurrent layers of `torch.nn` and their names, each once."""
    modules = model.named_modules()
    return [(name or type(m).__name__, m) for name, m in modules if isinstance(m, _CLASSES)]


def _why_left(layer: nn.Module) -> str | None:
    if MARK in vars(layer):
        return "accelerated already"
    kind: Any = type(layer)
    of_torch = _torch_class(kind)
    if "forward" in vars(layer):
        return "its forward was replaced on the object"
    changed = [m for m in _STEPS_OF_FORWARD if getattr(kind, m) is not getattr(of_torch, m)]
    if changed:
        return f"its class {kind.__qualname__} has a {changed[0]} of its own"
    forward: Any = inspect.unwrap(kind.forward)
    if forward is not inspect.unwrap(of_torch.forward) and "super" not in forward.__code__.co_names:
        return f"its class {kind.__qualname__} has a forward of its own"
    return None


def _torch_class(kind: type) -> Any:
    return next(of_torch for of_torch in _CLASSES if issubclass(kind, of_torch))
