"""The page of `gated explain`: a summary, then gates, memory, gradients and units."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gated.errors import ConfigurationError, DataError, option
from gated.explain import ExplainedLayer, Explanation, LayerFlow
from gated.phases import phase
from gated.report.drawing import METHOD_COLOURS, Picture, style
from gated.report.gate_pictures import gates_picture
from gated.report.gradients import Line, gradient_picture
from gated.report.ledger_pictures import ledger_pictures
from gated.report.page import Block, Code, Drawing, Page, Section, Table, Text, write_page
from gated.report.timeline import View
from gated.report.unit_pictures import memory_picture, saturation_picture

MOST_STEPS = 120
"""Steps that are drawn by default: the last ones of the sequence."""


def write_explanation(
    out: Path | str,
    explanation: Explanation,
    *,
    command: str,
    sequence: int = 0,
    steps: tuple[int, int] | None = None,
) -> Path:
    """Write the page of an explanation and its pictures as PNG and SVG; return the page's path.

    Args:
        out: as for `gated.report.page.write_page`.
        explanation: from `gated.explain.explain`.
        command: the command that reproduces the page; it is printed there.
        sequence: index of the probe's sequence to draw.
        steps: the first and the last step to draw; by default the last 120 of the sequence.

    Raises:
        DataError: there is no such sequence, or no such steps in any layer.
    """
    probe = explanation.probe
    views = _views(explanation, probe.sequence(sequence), steps)
    name = probe.sequences[probe.sequence(sequence)]
    sections = [Section("Summary", _summary(explanation))]
    with style(), phase("Drawing", len(views) + 2) as done:
        for view in views:
            sections.append(_layer_section(view, name))
            done()
        sections += _gradient_section(explanation)
        done()
        sections.append(Section("Units", _units(explanation.layers)))
        done()
    sections.append(Section("Reproduce", [Code(command)]))
    page = Page(
        title=probe.title,
        verdict=explanation.verdict,
        good=not explanation.findings,
        sections=sections,
        facts=[
            f"{layer.title}: {layer.statistics.kind}, {layer.traced.size} units, statistics over "
            f"{layer.statistics.steps:,} steps"
            for layer in explanation.layers
        ],
    )
    return write_page(Path(out), page, svg=True)


def _views(explanation: Explanation, sequence: int, steps: tuple[int, int] | None) -> list[View]:
    """Return a view of the steps to draw for each layer that has them."""
    views = []
    for layer in explanation.layers:
        length = int(layer.traced.lengths[sequence])
        first, last = steps or (max(0, length - MOST_STEPS), length - 1)
        if 0 <= first <= last < length:
            timeline = explanation.probe.timeline(layer.traced.name, sequence, length)
            views.append(View(layer, timeline, sequence, first, last))
    if not views:
        lengths = {int(layer.traced.lengths[sequence]) for layer in explanation.layers}
        has = " or ".join(map(str, sorted(lengths)))
        wanted = f", got {steps[0]} to {steps[1]}" if steps else ""
        raise DataError(f"{option('steps')}: this sequence has {has}, counted from 0{wanted}")
    return views


def _summary(explanation: Explanation) -> list[Block]:
    blocks: list[Block] = []
    if explanation.findings:
        rows = [(of.title, of.rule, of.words, of.advice) for of in explanation.findings]
        blocks.append(Table(("", "finding", "what was found", "what to do"), rows, prose=True))
    blocks += [Text(_memory_in_words(layer, explanation.loss)) for layer in explanation.layers]
    if explanation.flow is not None:
        blocks += [Text(line) for line in explanation.flow.verdict.splitlines()]
    if explanation.count > len(explanation.layers):
        blocks.append(
            Text(
                f"{len(explanation.layers)} of {explanation.count} layers and directions are "
                "shown; choose others with --layer."
            )
        )
    blocks += [
        Text(f"{name} is not explained: {why}") for name, why in explanation.left_out.items()
    ]
    return blocks


def _memory_in_words(layer: ExplainedLayer, loss: float | None) -> str:
    memory = layer.statistics.memory
    if memory is None:
        return f"{layer.title} computes its state anew at each step: no gate keeps a memory."
    lengths = (
        f"{layer.title}: half of the {layer.traced.size} units lose their content within "
        f"{np.median(memory):.1f} steps (to 1/e); the unit with the longest memory loses it in "
        f"{memory.max():,.1f}."
    )
    if loss is None or layer.forgetting is None:
        return lengths
    change = f"{(layer.forgetting - loss) / loss if loss else 0.0:+.1%}".replace("-", "−")
    return (
        f"{lengths} With the gate that keeps the memory held shut at every step the loss is "
        f"{layer.forgetting:.4g} instead of {loss:.4g} ({change})."
    )


def _layer_section(view: View, name: str) -> Section:
    pictures = [gates_picture(view)]
    try:
        pictures += ledger_pictures(view)
        why = ""
    except ConfigurationError as error:
        why = f" {str(error)[:1].upper()}{str(error)[1:]}."
    length = int(view.layer.traced.lengths[view.sequence])
    drawn = (
        f"all {length} steps" if view.count == length
        else f"steps {view.first} to {view.last} of {length}"
    )  # fmt: skip
    return Section(
        f"Layer {view.layer.place}: {view.layer.title}",
        [Text(f"{name}, {drawn}.{why}"), *map(Drawing, pictures)],
    )


def _gradient_section(explanation: Explanation) -> list[Section]:
    layers = [of for of in (explanation.flow.layers if explanation.flow else ()) if of.hidden.any()]
    if not layers:
        return []
    pictures = [_gradient(layers)]
    if any(of.jacobian is not None for of in layers):
        pictures.append(_jacobian(layers))
    return [Section("Gradient flow", [*map(Drawing, pictures)])]


def _gradient(layers: Sequence[LayerFlow]) -> Picture:
    paths = [
        (f"{of.title}, {path}", _shares(norms))
        for of in layers
        for path, norms in (("hidden state", of.hidden), ("cell state", of.cell))
        if norms is not None and norms.any()
    ]
    return gradient_picture(
        _lines(paths),
        name="gradient",
        xlabel="steps back from the layer's last",
        caption="From how far back the network learns: the norm of the gradient of the loss with "
        "respect to the states after each step. Below the dashed line, a hundredth of the largest, "
        "hardly anything is learned. A loss over all steps has a gradient at every step; how far "
        "the influence of a single step reaches is in the next picture.",
    )


def _jacobian(layers: Sequence[LayerFlow]) -> Picture:
    products = [
        # An infinite norm is drawn as the largest number.
        (of.title, _shares(np.minimum(of.jacobian[::-1], np.finfo(float).max)))
        for of in layers
        if of.jacobian is not None
    ]
    return gradient_picture(
        _lines(products),
        name="jacobian",
        xlabel="steps between two states",
        ylabel="change, share of its largest",
        caption="The largest share of a small change of the states that is left so many steps "
        "later: the spectral norm of the product of the Jacobians from state to state. It falls "
        "where the gradient vanishes and rises where it explodes, independently of the loss.",
    )


def _lines(paths: Sequence[tuple[str, NDArray[np.float64]]]) -> list[Line]:
    return [
        Line(label, METHOD_COLOURS[place % len(METHOD_COLOURS)], norms)
        for place, (label, norms) in enumerate(paths)
    ]


def _shares(norms: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return norms as shares of the largest; NaN after the last step that the loss depends on."""
    shares: NDArray[np.float64] = norms / norms.max()
    shares[np.flatnonzero(norms)[-1] + 1 :] = np.nan
    return shares


def _units(layers: Sequence[ExplainedLayer]) -> list[Block]:
    pictures: list[Picture] = []
    if any(layer.statistics.left for layer in layers):
        pictures.append(saturation_picture(layers))
    if any(layer.statistics.memory is not None for layer in layers):
        pictures.append(memory_picture(layers))
    rows = [
        (
            layer.title,
            str(layer.traced.size),
            str(len(layer.statistics.dead)),
            str(len({unit for pair in layer.statistics.redundant for unit in pair})),
        )
        for layer in layers
    ]
    table = Table(("", "units", "dead (never change)", "redundant (same as another)"), rows)
    return [*map(Drawing, pictures), table]
