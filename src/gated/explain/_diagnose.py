"""Rules that find common problems of recurrent layers, and what to do about them."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from gated.errors import DataError, option
from gated.explain._layer_trace import layer_title
from gated.explain._looking import evaluating
from gated.explain._statistics import Statistics, input_and_lengths, statistics


class Diagnosis(NamedTuple):
    """A problem of a layer that a rule found."""

    rule: str
    """Name of the rule."""
    layer: int
    """Index in `gated.explain.Trace.layers`."""
    title: str
    """The layer by its module's name, such as `encoder, layer 0`."""
    measured: float
    """The measured share, from 0 to 1; of `memory not used`, the change of the loss."""
    threshold: float
    """The threshold of the rule."""
    words: str
    """The problem, in a sentence."""
    advice: str
    """What to do about it."""

    def __str__(self) -> str:
        return f"{self.title}: {self.words} {self.advice}"


class Advice(NamedTuple):
    """One thing to do, and what it needs."""

    words: str
    needs: str = ""
    """The option of a task, or of a layer in code of one's own; "" where it needs none."""


class Rule(NamedTuple):
    """A rule: a measured share of a layer that should not exceed a threshold."""

    name: str
    measure: Callable[[Statistics], float | None]
    """Returns the share; None where the rule does not apply to the cell."""
    threshold: float
    words: str
    """The problem in a sentence, with `{share}` in place of the measured share."""
    advice: tuple[Advice, ...]
    """What to do about it."""


def advised(advice: Sequence[Advice], options: Collection[str] | None) -> str:
    """Return what there is to do, in sentences: only what a task with these options can do.

    Args:
        advice: all there is.
        options: names of the task's options; None for a network of one's own, which can do all.
    """
    possible = [
        f"{of.words} ({option(of.needs)})" if options is not None and of.needs else of.words
        for of in advice
        if options is None or not of.needs or of.needs in options
    ]
    return " ".join(f"{words[0].upper()}{words[1:]}." for words in possible)


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
        (
            Advice(
                "start with an open gate: forget_bias=1, or chrono_init with the longest memory "
                "that you expect",
                "forget_bias",
            ),
            Advice("warm the learning rate up for longer", "warmup"),
            Advice("lower the learning rate", "learning_rate"),
        ),
    ),
    Rule(
        "never forgets",
        _share("right"),
        0.97,
        "The gate that keeps the memory is open in {share:.0%} of the steps: nothing is ever "
        "cleared, and the state grows with the sequence.",
        (
            Advice("lower forget_bias or chrono_init", "forget_bias"),
            Advice("let weights decay more", "weight_decay"),
            Advice("check that the states begin anew where sequences begin"),
        ),
    ),
    Rule(
        "writes nothing",
        _share("left", "input_gate"),
        0.9,
        "The input gates are closed in {share:.0%} of the steps: hardly anything is written.",
        (
            Advice("look for inputs that are far from zero"),
            Advice("lower the learning rate", "learning_rate"),
        ),
    ),
    Rule(
        "outputs nothing",
        _share("left", "output_gate"),
        0.9,
        "The output gates are closed in {share:.0%} of the steps: the memory is hardly read.",
        (
            Advice("use fewer units", "hidden"),
            Advice("lower the learning rate", "learning_rate"),
            Advice("check that the loss reads the steps that matter"),
        ),
    ),
    Rule(
        "saturated",
        lambda of: float(of.saturated_candidate.mean()),
        0.5,
        "In {share:.0%} of the steps the candidates (of an RNN, the states) are close to ±1, where "
        "their gradient vanishes.",
        (
            Advice("look for inputs that are far from zero"),
            Advice("clip gradients at a lower norm", "clip_norm"),
            Advice("use layer_norm=True", "layer_norm"),
        ),
    ),
    Rule(
        "dead units",
        lambda of: len(of.dead) / len(of.deviation),
        0.1,
        "{share:.0%} of the units never change: they cost time and carry no information.",
        (
            Advice("use fewer units", "hidden"),
            Advice("lower the learning rate", "learning_rate"),
            Advice("use another initialisation, recurrent_init='orthogonal'", "recurrent_init"),
        ),
    ),
    Rule(
        "redundant units",
        lambda of: len({unit for pair in of.redundant for unit in pair}) / len(of.deviation),
        0.2,
        "{share:.0%} of the units are nearly the same as another unit.",
        (
            Advice("use fewer units", "hidden"),
            Advice("drop some of their values in training", "dropout"),
            Advice("use recurrent_dropout", "recurrent_dropout"),
        ),
    ),
)
"""The rules that `diagnose` applies to every layer."""
UNUSED = 0.01
"""A memory is not used if the loss without it is larger by at most this share."""
NOT_USED = (
    Advice(
        "check that the target depends on earlier steps, and compare with a network that "
        "reads the last step alone"
    ),
    Advice("let the network read a longer history", "history"),
    Advice("train for longer", "steps"),
    Advice("use fewer units", "hidden"),
)
NOT_REACHED = (
    Advice("check that its output is used"),
    Advice("use fewer layers", "layers"),
    Advice("connect the layers below with the output", "connections"),
)
UNREACHED = 1e-4
"""A layer hardly learns if the gradient of its recurrent weights is less than this share of the
largest such gradient in the model."""


def diagnose(
    model: nn.Module,
    batches: Sequence[Any],
    loss: Callable[[Any], Tensor] | None = None,
    options: Collection[str] | None = None,
) -> list[Diagnosis]:
    """Apply all rules to every recurrent layer of a model, in one pass over some data.

    Args:
        model: as for `gated.explain.trace`.
        batches: inputs of the model, each alone (also packed) or as a pair (input, lengths).
        loss: function from the model's output on the first batch to a scalar. With it, trained
            layers whose recurrent weights the gradient does not reach are found too; the first
            batch runs once more for this.
        options: names of the options of the task that trained the model: only these are advised.
            None for a model of one's own.

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
                title, advice = title_of(of_layer), advised(rule.advice, options)
                findings.append(
                    Diagnosis(
                        rule.name,
                        layer,
                        title,
                        measured,
                        rule.threshold,
                        words,
                        advice,
                    )
                )
    if loss is not None:
        first, lengths = input_and_lengths(batches[0])
        given = {} if lengths is None else {"lengths": lengths}
        with evaluating(model), torch.enable_grad():
            findings += _unreached(model, found, loss(model(first, **given)), options)
    return findings


def title_of(of: Statistics) -> str:
    """Return the title of a layer of which there are statistics."""
    return layer_title(of.name, of.layer, of.reverse, None)


def unused(
    of: Statistics, layer: int, loss: float, without: float, options: Collection[str] | None
) -> list[Diagnosis]:
    """Return the finding that a layer's memory is not used, where it is not.

    Args:
        of: the layer's statistics.
        layer: its index in `gated.explain.Trace.layers`.
        loss: of some data.
        without: the same with the gate that keeps the memory held shut at every step.
        options: as for `diagnose`.
    """
    change = (without - loss) / abs(loss) if loss else math.copysign(math.inf, without - loss)
    if not change <= UNUSED:
        return []
    words = (
        (
            "With the gate that keeps the memory held shut at every step the loss changes by "
            f"{change:+.1%}: the network predicts as well without its memory."
        )
        .replace("+-", "-")
        .replace("-", "−")
    )
    return [
        Diagnosis(
            "memory not used",
            layer,
            title_of(of),
            change,
            UNUSED,
            words,
            advised(NOT_USED, options),
        )
    ]


def _unreached(
    model: nn.Module, found: Sequence[Statistics], loss: Tensor, options: Collection[str] | None
) -> list[Diagnosis]:
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
            title_of(found[layer]),
            norm / largest if largest else 0.0,
            UNREACHED,
            "The gradient of the loss hardly reaches this layer's recurrent weights: "
            f"{norm:.1e}, where another layer gets {largest:.1e}.",
            advised(NOT_REACHED, options),
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
