"""Interventions: a model runs with some gates or states held at a value."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, Unpack
from weakref import WeakSet

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from gated.core import reference
from gated.core.call import Call
from gated.core.reference import HoldAt
from gated.errors import ConfigurationError, DataError
from gated.explain._intervention import Held, Intervention, one_after_the_other, together
from gated.explain._looking import Calls, Part, Watch, as_lines, looking, real_steps
from gated.explain._notebook import heat_map, paragraphs
from gated.explain._trace import Trace, trace
from gated.nn.backends import LayerResult, Run
from gated.nn.operators import LayerCall

_HELD: WeakSet[nn.Module] = WeakSet()
"""Layers inside an active `intervene`: a second one would not know what the first holds."""


class Effect(NamedTuple):
    """Two runs of a model, with an intervention and without."""

    plain: Trace
    """The run without the intervention."""
    changed: Trace
    """The run with it."""

    @property
    def difference(self) -> Tensor:
        """The change of the model's output, or of its first output if there are several.

        Raises:
            DataError: the model's output is not a tensor.
        """
        outputs = [
            of.output if isinstance(of.output, Tensor) else of.output[0]
            for of in (self.changed, self.plain)
        ]
        if not all(isinstance(output, Tensor) for output in outputs):
            raise DataError(
                "the model's output is not a tensor: compare plain.output and changed.output"
            )
        difference: Tensor = outputs[0] - outputs[1]
        return difference

    def _repr_html_(self) -> str:
        """How the output, and gates and states of the first sequence, changed, for notebooks."""
        pairs = list(zip(self.changed.layers, self.plain.layers, strict=True))
        maps = [
            heat_map(f"{of.name}, layer {of.layer}: change of {name}", (values - before)[:, 0])
            for of, plain in pairs
            for name, values in of.values.items()
            if (before := plain.values[name]).shape == values.shape and (values != before).any()
        ]
        try:
            most = float(self.difference.abs().max())
            said = [f"The output changes by up to {most:.4g}."]
        except DataError:
            said = []
        return paragraphs(said) + "".join(maps)


@contextmanager
def intervene(
    model: nn.Module, *interventions: Intervention, **one: Unpack[Held]
) -> Iterator[None]:
    """Hold gates or states of a model while the context is active; afterwards it is unchanged.

    A module whose gates are held runs step by step in NumPy, without gradients; all others run as
    usual. The model should be in evaluation mode.

    Args:
        model: a recurrent layer, or a model with layers of `torch.nn` or `gated.nn`.
        interventions: one or several; of two on the same gate, unit and step the last counts.
        one: the fields of a single `Intervention`, in place of it.

    Raises:
        ConfigurationError: an intervention does not fit its layer; the model is inside another
            `intervene`; or a layer runs outside a call of the model itself, so that its index is
            not known.
        DataError: a layer, unit, step or sequence does not exist; raised when the model runs.

    >>> lstm = torch.nn.LSTM(3, 4).eval()
    >>> with intervene(lstm, gate="output_gate", value=0.0):
    ...     output, _ = lstm(torch.randn(5, 2, 3))
    >>> bool((output == 0).all())
    True
    """
    interventions = together(interventions, one)
    running = [False]
    ours_now: list[nn.Module] = []
    steps_of: dict[int, int] = {}
    met: set[int] = set()

    def held(name: str, module: Any) -> Watch:
        if module in _HELD:
            raise ConfigurationError(
                f"{name} is held already: give all interventions to one intervene"
            )
        ours_now.append(module)

        def changed(here: Part, call: LayerCall, return_gates: bool, run: Run) -> LayerResult:
            if interventions and not running[0]:
                raise ConfigurationError(
                    f"{name} runs outside a call of the model, where its index among the layers is "
                    "not known: call the model itself, or intervene on this module"
                )
            ours = [k for k, one in enumerate(interventions) if one.layer == here.number]
            if not ours:
                return run(call, return_gates)
            checked = call.checked()
            real, holds = real_steps(call), []
            # Padding is no step, but for one call alone it has a place in time.
            steps_of[here.number] = max(len(call.x), int((here.before + real).max(initial=0)))
            for k in ours:
                hold, holds_any = interventions[k].hold(
                    checked.cell, checked.sizes, real, len(call.x), here.before
                )
                holds.append(hold)
                if holds_any:
                    met.add(k)
            return _run_held(checked, one_after_the_other(holds), return_gates)

        return changed

    with looking(model, held) as (left_out, calls):

        def begins(*_: Any) -> None:
            calls[0], running[0] = Calls(), True
            met.clear()

        def ends(*_: Any) -> None:
            running[0] = False

        def check(*_: Any) -> None:
            for k, one in enumerate(interventions):
                if not 0 <= one.layer < calls[0].count:
                    raise DataError(
                        f"layer: the model has {calls[0].count}, from 0 on, got {one.layer}"
                        + as_lines(left_out)
                    )
                one.check_held(k in met, steps_of[one.layer])

        _HELD.update(ours_now)
        hooks = (
            model.register_forward_pre_hook(begins),
            model.register_forward_hook(ends, always_call=True),
            model.register_forward_hook(check),
        )
        try:
            yield
        finally:
            _HELD.difference_update(ours_now)
            for hook in hooks:
                hook.remove()


def effect(
    model: nn.Module,
    x: Any,
    *interventions: Intervention,
    lengths: ArrayLike | Tensor | None = None,
    initial: Any = None,
    **one: Unpack[Held],
) -> Effect:
    """Run a model without and with interventions.

    Args:
        model: as for `intervene`; it runs in evaluation mode.
        x: the model's input.
        interventions: as for `intervene`.
        lengths: as for `trace`.
        initial: as for `trace`.
        one: as for `intervene`.

    Raises:
        ConfigurationError: as for `intervene`.
        DataError: as for `intervene`.
    """
    plain = trace(model, x, lengths=lengths, initial=initial)
    with intervene(model, *interventions, **one):
        return Effect(plain, trace(model, x, lengths=lengths, initial=initial))


def _run_held(call: Call, hold: HoldAt, return_gates: bool) -> LayerResult:
    """Run a layer step by step, with some of its gates and states held."""
    ran = reference.run(call, keep=return_gates, hold=hold)
    gates = None
    if ran.kept is not None:
        gates = {name: torch.from_numpy(ran.kept.gate(name)) for name in call.cell.named}
    return LayerResult(torch.from_numpy(ran.output), tuple(map(torch.from_numpy, ran.final)), gates)
