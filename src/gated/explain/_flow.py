"""Gradients back in time: from how far back a network learns, and which layer cuts the gradient.

With s_t the states after step t (h_t; of an LSTM h_t and c_t), the gradient of a loss is

    ∂L/∂s_t = (∂s_{t+1}/∂s_t)ᵀ ∂L/∂s_{t+1} + the direct gradient of L with respect to s_t,

so that over a distance it is multiplied by the product of the Jacobians of all steps between,

    ∂s_T/∂s_t = Π_{t<k≤T} ∂s_k/∂s_{k-1},

which vanishes or explodes with the distance (Hochreiter 1991; Bengio, Simard and Frasconi 1994;
Pascanu, Mikolov and Bengio 2013). The LSTM's cell state is the path on which it need not.

Shapes: T steps, B sequences, I input features, H hidden units.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from gated.errors import ConfigurationError, DataError
from gated.explain._layer_trace import layer_title
from gated.explain._looking import Part, Watch, evaluating, looking, nothing_ran
from gated.explain._notebook import curve, paragraphs
from gated.explain._way_back import Followed, followed, jacobian_norms, joined
from gated.nn.backends import LayerResult, Run
from gated.nn.operators import LayerCall

Floats = NDArray[np.float64]

SHARE = 0.01
"""The gradient reaches as far as its norm is at least this share of the largest."""
HALF = 0.5
"""The gradient is `carried` if at least this share is left over the whole sequence."""
CUT = 0.5
"""A layer cuts the gradient if its reach is less than this share of that of the layer after it."""


@dataclass(frozen=True)
class LayerFlow:
    """The gradient through one layer in one direction, oldest step first.

    Steps are in the order in which the layer runs: for one that runs backwards, the first step is
    the end of the sequence. Sequences of unequal lengths are aligned at the step that ran last.
    """

    name: str
    """The module's name in the model; its class where the model is the layer itself."""
    kind: str
    """The cell's name, as in a trace."""
    layer: int
    """Index among the layers of its module, from 0."""
    reverse: bool
    """Whether it runs from each sequence's end to its beginning."""
    hidden: Floats
    """(T,), the norm of ∂L/∂h_t over sequences and units, including the gradients through later
    steps and the layers above."""
    cell: Floats | None = None
    """(T,), for an LSTM: the norm of ∂L/∂c_t without the path through the output gate of step t;
    for any other cell that of all its states but the first."""
    jacobian: Floats | None = None
    """(T,), ‖∂s_T/∂s_t‖₂ by the distance T - t, from 0 on (where it is 1): the geometric mean over
    the sampled sequences. Where it overflows or underflows it is inf or 0."""
    factor: float | None = None
    """The factor on `jacobian` for each step of distance, from a line fitted to its logarithms.
    None where it is not known, 0 where the product is 0 after one step."""
    call: int | None = None
    """As in a trace."""

    @property
    def title(self) -> str:
        """The module's name, and which layer and direction of it."""
        return layer_title(self.name, self.layer, self.reverse, self.call)

    @property
    def strongest(self) -> Floats:
        """(T,), the gradient's norm as a share of the largest; the larger of both paths."""
        paths = [self.hidden] if self.cell is None else [self.hidden, self.cell]
        shares = [path / path.max() if path.max() > 0 else path for path in paths]
        strongest: Floats = np.maximum.reduce(shares)
        return strongest

    def reach(self, share: float = SHARE) -> int:
        """Return how many steps the gradient spans: from the oldest with at least `share` on.

        For a loss over all steps these are all steps; `span` is the influence of a single step.

        >>> LayerFlow("lstm", "rnn_tanh", 0, False, np.array([0.001, 0.02, 0.5, 1.0])).reach()
        3
        """
        strong = np.flatnonzero(self.strongest >= share)
        return len(self.hidden) - int(strong[0]) if len(strong) and self.hidden.any() else 0

    def span(self, share: float = SHARE) -> int | None:
        """Return how many steps a state has influence: as far as `jacobian` is at least `share`.

        The share is of the largest value; None where `jacobian` was not measured.
        """
        if self.jacobian is None:
            return None
        with np.errstate(invalid="ignore"):
            strong = np.flatnonzero(self.jacobian >= share * self.jacobian.max())
        return int(strong[-1]) + 1

    @property
    def verdict(self) -> str:
        """How far the gradient reaches, and whether it vanishes or explodes from state to state."""
        steps, reach, span = len(self.hidden), self.reach(), self.span()
        text = f"the gradient spans {reach} of {steps} steps"
        if self.jacobian is None or span is None or self.factor is None:
            return text + "."
        # The span of a loss over every step, or of no loss, is no measure of distance.
        informative = reach > 0 and not (reach == steps and span < steps)
        text = (
            f"{text}; from state to state it "
            if informative
            else "from state to state the gradient "
        )
        pace, left = f"× {self.factor:.3g} a step", float(self.jacobian[-1])
        if span < steps:
            return f"{text}vanishes, {pace}: after {span} less than {SHARE:.0%} is left."
        if left > 1 / SHARE:
            return f"{text}explodes, {pace}: {left:.2g} times as large after {steps - 1} steps."
        if left < HALF:
            return f"{text}fades, {pace}: {left:.0%} is left after {steps - 1} steps."
        return f"{text}is carried, {pace}."


@dataclass(frozen=True)
class Flow:
    """The gradient of a loss through the recurrent layers of a model."""

    layers: list[LayerFlow]
    """In the order in which they ran, as `gated.explain.Trace.layers`."""
    loss: float | None
    """The value of the loss; None without one."""
    left_out: dict[str, str] = field(default_factory=dict)
    """Recurrent layers and cells that could not be examined: from name to reason."""

    @property
    def cut(self) -> tuple[LayerFlow, str] | None:
        """The layer that cuts the gradient, and how; None where no layer does.

        A layer cuts the gradient if it gets less than a hundredth of that of the layer that runs
        after it, or reaches less than half as far. The worst one is returned.
        """
        groups = [
            list(of) for _, of in itertools.groupby(self.layers, lambda of: (of.name, of.layer))
        ]
        found = []
        for below, above in itertools.pairwise(groups):
            size, wanted = (np.sqrt(sum((o.hidden**2).sum() for o in of)) for of in (below, above))
            if wanted > 0 and size < SHARE * wanted:
                share = size / wanted
                found.append((share, below[0], f"{share:.1e} of the gradient arrives there"))
            reach, further = (max(o.span() or o.reach() for o in of) for of in (below, above))
            if reach < CUT * further:
                words = f"it reaches {reach} steps there, {further} in the layer after it"
                found.append((reach / further, below[0], words))
        return min(found, key=lambda one: one[0])[1:] if found else None

    @property
    def verdict(self) -> str:
        """A line for each layer, and which one cuts the gradient."""
        lines = [f"{of.title}: {of.verdict}" for of in self.layers if len(of.hidden) > 1]
        if not lines:
            return "No layer ran over more than one step: there is no gradient back in time."
        if self.cut is not None:
            layer, why = self.cut
            lines.append(f"The gradient is cut in {layer.title}: {why}.")
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.verdict

    def _repr_html_(self) -> str:
        """The verdict, and curves over time of the gradient of each layer, for notebooks."""
        curves = "".join(
            curve(f"{of.title}: {name}", norms)
            for of in self.layers
            for name, norms in (("gradient", of.hidden), ("product of the Jacobians", of.jacobian))
            if norms is not None and norms.any()
        )
        return f"{paragraphs(str(self).splitlines())}{curves}"


def flow(
    model: nn.Module,
    x: Any,
    loss: Callable[[Any], Tensor] | None = None,
    *,
    lengths: ArrayLike | Tensor | None = None,
    initial: Any = None,
    samples: int = 1,
) -> Flow:
    """Follow the gradient of a loss back through every recurrent layer of a model.

    Without a loss only the products of Jacobians are computed, which do not depend on one.

    Layers of `torch.nn` and `gated.nn` anywhere in the model run step by step in NumPy and float64.
    The model runs in evaluation mode and is unchanged afterwards: parameters get no gradient.

    Args:
        model: a recurrent layer, or any module that contains some.
        x: the model's input; of a layer (T, B, I), (B, T, I) with `batch_first`, or packed.
        loss: function from the model's output (of a layer, the pair of outputs and states) to a
            scalar. Without it `hidden` and `cell` are zeros.
        lengths: (B,), the number of real steps of each sequence, for a model that takes them.
        initial: the initial states, for a layer.
        samples: number of sequences, the longest first, for which the products of Jacobians are
            computed, exactly. Each costs as much as a backward pass over as many sequences as the
            layer has states (H; of an LSTM 2 H). 0 leaves them out.

    Raises:
        ConfigurationError: the model has no recurrent layer that can be examined, or `samples` is
            negative, or 0 without a loss.
        DataError: the loss is not a scalar that depends on the model's output, or a layer gets no
            step.
        MissingNativeError: the core is not built.

    >>> lstm = torch.nn.RNN(1, 1, nonlinearity="relu", bias=False)
    >>> _ = torch.nn.init.constant_(lstm.weight_ih_l0, 1.0)
    >>> _ = torch.nn.init.constant_(lstm.weight_hh_l0, 0.5)
    >>> print(flow(lstm, torch.ones(20, 1, 1), lambda output: output[0][-1].sum()))
    RNN, layer 0: the gradient spans 7 of 20 steps; from state to state it vanishes, × 0.5 a step: \
after 7 less than 1% is left.
    """
    if samples < 0:
        raise ConfigurationError(f"samples must be 0 or more, got {samples}")
    if loss is None and samples == 0:
        raise ConfigurationError("flow without a loss and without samples measures nothing")
    parts: dict[int, list[Followed]] = {}
    anchor = torch.zeros((), requires_grad=True)
    options: dict[str, Any] = {} if lengths is None else {"lengths": lengths}
    before = (initial,) if initial is not None else ()

    def watched(name: str, module: Any) -> Watch:
        def run(here: Part, call: LayerCall, return_gates: bool, _: Run) -> LayerResult:
            if len(call.x) == 0 or (call.lengths is not None and not call.lengths.any()):
                raise DataError(f"{name} got no step: there is no gradient to follow")
            result, of = followed(name, call, here, 1 + module.bidirectional, anchor)
            parts.setdefault(here.number, []).append(of)
            return result if return_gates else result._replace(gates=None)

        return run

    with evaluating(model), looking(model, watched) as (left_out, (calls,)), torch.enable_grad():
        output = model(x, *before, **options)
        if not parts:
            raise nothing_ran(left_out)

        def flows() -> list[LayerFlow]:
            found = (joined(of, calls.turns) for of in parts.values())
            return [_layer_flow(of, samples) for of in found]

        if loss is None:
            return Flow(flows(), None, left_out)
        value = loss(output)
        if not isinstance(value, Tensor) or value.numel() != 1 or not value.requires_grad:
            what = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise DataError(
                "loss must return a tensor of one number that depends on the model's output, got "
                + (f"{what}, which does not" if what in ((), (1,)) else str(what))
            )
        torch.autograd.grad(value.sum(), anchor, allow_unused=True)
    return Flow(flows(), float(value.detach()), left_out)


def _layer_flow(of: Followed, samples: int) -> LayerFlow:
    hidden = _laid_together(of.squares[0], of)
    others = sum(of.squares[2:], of.squares[1]) if len(of.squares) > 1 else None
    longest = np.argsort(-of.lengths, kind="stable")[:samples]
    logs = [jacobian_norms(of, int(b)) for b in longest if of.lengths[b]]
    jacobian = factor = None
    if logs:
        rows = np.full((len(logs), len(logs[0])), np.nan)
        for row, log in zip(rows, logs, strict=True):
            row[: len(log)] = log
        mean = np.nanmean(rows, axis=0)
        with np.errstate(over="ignore"):
            jacobian, factor = np.exp(mean), _factor(mean)
    return LayerFlow(
        of.name,
        of.kind,
        of.layer,
        of.reverse,
        hidden,
        None if others is None else _laid_together(others, of),
        jacobian,
        factor,
        of.turn,
    )


def _laid_together(squares: Floats, of: Followed) -> Floats:
    """Return (T,) the norm over the sequences, aligned at their last steps."""
    total = np.zeros(of.lengths.max())
    for length, column in zip(of.lengths, squares.T, strict=True):
        ran = column[:length]
        total[len(total) - length :] += ran[::-1] if of.reverse else ran
    norms: Floats = np.sqrt(total)
    return norms


def _factor(logs: Floats) -> float | None:
    """Return the factor of each step, from a line fitted to the logarithms of the norms."""
    known = logs[np.isfinite(logs)]
    if len(known) < 2:
        return 0.0 if len(logs) > 1 else None
    distances = np.arange(len(known)) - (len(known) - 1) / 2
    return float(np.exp(distances @ (known - known.mean()) / (distances @ distances)))
