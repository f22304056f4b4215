"""Rules that find common problems of recurrent layers, and what to do about them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from gated.errors import DataError
from gated.explain._looking import evaluating
from gated.explain._statistics import Statistics, input_and_lengths, statistics


class Diagnosis(NamedTuple):
    """A problem of a layer that a rule found."""

    rule: str
    """Name of the rule."""
    layer: int
    """Index in `gated.explain.Trace.layers`."""
    measured: float
    """The measured share, from 0 to 1."""
    threshold: float
    """The threshold of the rule."""
    words: str
    """The problem, in a sentence."""
    advice: str
    """What to do about it."""

    def __str__(self) -> str:
        return f"layer {self.layer}: {self.words} {self.advice}"


class Rule(NamedTuple):
    """A rule: a measured share of a layer that should not exceed a threshold."""

    name: str
    measure: Callable[[Statistics], float | None]
    """Returns the share; None where the rule does not apply to the cell."""
    threshold: float
    words: str
    """The problem in a sentence, with `{share}` in place of the measured share."""
    advice: str
    """What to do about it."""


def _share(what: str, gate: str | None = None) -> Callable[[Statistics], float | None]:
    """Return the measure of how often a gate is saturated, the mean over units.

    Args:
        what: `left` or `right`, a field of `Statistics`.
        gate: its name; by default the gate that keeps the memory.
    """

    def measure(of: Statistics) -> float | None:
        shares = getattr(of, what).get(gate or of.keeping_gate)
        return None if shares is None else float(shares.mean())

    return measure


RULES = (
    Rule(
        "forgets at once",
        _share("left"),
        0.9,
        "The gate that keeps the memory is closed in {share:.0%} of the steps: what a step writes "
        "is lost at the next.",
        "Start with an open gate (forget_bias=1, or chrono_init with the longest memory you "
        "expect), and warm the learning rate up for longer.",
    ),
    Rule(
        "never forgets",
        _share("right"),
        0.97,
        "The gate that keeps the memory is open in {share:.0%} of the steps: nothing is ever "
        "cleared, and the state grows with the sequence.",
        "Lower forget_bias or chrono_init, or reset the states where sequences begin.",
    ),
    Rule(
        "writes nothing",
        _share("left", "input_gate"),
        0.9,
        "The input gates are closed in {share:.0%} of the steps: hardly anything is written.",
        "Look for inputs that are far from zero, and scale them to unit variance; lower the "
        "learning rate.",
    ),
    Rule(
        "outputs nothing",
        _share("left", "output_gate"),
        0.9,
        "The output gates are closed in {share:.0%} of the steps: the memory is hardly read.",
        "Fewer units, or a lower learning rate; check that the loss reads the steps that matter.",
    ),
    Rule(
        "saturated",
        lambda of: float(of.saturated_candidate.mean()),
        0.5,
        "In {share:.0%} of the steps the candidates (of an RNN, the states) are close to ±1, where "
        "their gradient vanishes.",
        "Scale the inputs to unit variance, clip gradients, or use layer_norm=True.",
    ),
    Rule(
        "dead units",
        lambda of: len(of.dead) / len(of.deviation),
        0.1,
        "{share:.0%} of the units never change: they cost time and carry no information.",
        "Fewer units, a lower learning rate, or another initialisation "
        "(recurrent_init='orthogonal').",
    ),
    Rule(
        "redundant units",
        lambda of: len({unit for pair in of.redundant for unit in pair}) / len(of.deviation),
        0.2,
        "{share:.0%} of the units are nearly the same as another unit.",
        "Fewer units, or recurrent_dropout.",
    ),
)
"""The rules that `diagnose` applies to every layer."""
UNREACHED = 1e-4
"""A layer hardly learns if the gradient of its recurrent weights is less than this share of the
largest such gradient in the model."""


def diagnose(
    model: nn.Module,
    batches: Sequence[Any],
    loss: Callable[[Any], Tensor] | None = None,
) -> list[Diagnosis]:
    """Apply all rules to every recurrent layer of a model, in one pass over some data.

    Args:
        model: as for `gated.explain.trace`.
        batches: inputs of the model, each alone (also packed) or as a pair (input, lengths).
        loss: function from the model's output on the first batch to a scalar. With it, trained
            layers whose recurrent weights the gradient does not reach are found too; the first
            batch runs once more for this.

    Returns:
        The problems found, by layer; empty if there are none.

    Raises:
        ConfigurationError: as for `trace`.
        DataError: as for `statistics`.
    """
    if not batches:
        raise DataError("diagnose: the data set has no batch")
    findings = []
    found = statistics(model, batches)
    for layer, of_layer in enumerate(found):
        for rule in RULES:
            measured = rule.measure(of_layer)
            if measured is not None and measured > rule.threshold:
                words = rule.words.format(share=measured)
                findings.append(
                    Diagnosis(rule.name, layer, measured, rule.threshold, words, rule.advice)
                )
    if loss is not None:
        first, lengths = input_and_lengths(batches[0])
        options = {} if lengths is None else {"lengths": lengths}
        with evaluating(model), torch.enable_grad():
            findings += _unreached(model, found, loss(model(first, **options)))
    return findings


def _unreached(model: nn.Module, found: Sequence[Statistics], loss: Tensor) -> list[Diagnosis]:
    weights = {layer: _recurrent_weights(model, of) for layer, of in enumerate(found)}
    weights = {layer: of_layer for layer, of_layer in weights.items() if of_layer}
    every = list(dict.fromkeys(weight for of_layer in weights.values() for weight in of_layer))
    if not every:
        return []
    grads = dict(zip(every, torch.autograd.grad(loss, every, allow_unused=True), strict=True))
    norms = {layer: _norm([grads[w] for w in of_layer]) for layer, of_layer in weights.items()}
    largest = max(norms.values())
    return [
        Diagnosis(
            "gradient does not arrive",
            layer,
            norm / largest if largest else 0.0,
            UNREACHED,
            "The gradient of the loss hardly reaches this layer's recurrent weights: "
            f"{norm:.1e}, where another layer gets {largest:.1e}.",
            "Check that its output is used; try fewer layers, or a connection around the layers "
            "above.",
        )
        for layer, norm in norms.items()
        if norm <= UNREACHED * largest
    ]


def _recurrent_weights(model: nn.Module, of: Statistics) -> list[nn.Parameter]:
    """Return a layer's trained recurrent weights; for a parametrized weight, its parameters."""
    name = f"weight_hh_l{of.layer}{'_reverse' if of.reverse else ''}"
    module = dict(model.named_modules()).get(of.name, model)
    return [
        p for path, p in module.named_parameters() if name in path.split(".") and p.requires_grad
    ]


def _norm(grads: list[Tensor | None]) -> float:
    return math.hypot(*(float(grad.norm()) for grad in grads if grad is not None))
