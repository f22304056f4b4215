"""The results that `gated explain` reports: computed here, drawn in `gated.report.explain`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gated.errors import DataError
from gated.explain._diagnose import Diagnosis, diagnose, unused
from gated.explain._flow import Flow, flow
from gated.explain._intervene import intervene
from gated.explain._intervention import Intervention
from gated.explain._layer_trace import LayerTrace, layer_title
from gated.explain._looking import evaluating
from gated.explain._probe import Probe
from gated.explain._statistics import Statistics, statistics
from gated.explain._trace import trace
from gated.phases import phase

MOST_LAYERS = 4
"""Layers and directions that are explained by default."""
MOST_PRODUCTS = 5e10
"""Products of Jacobians are computed if the sum of T · H³ over layers is at most this: seconds."""


@dataclass(frozen=True)
class ExplainedLayer:
    """The results for one layer in one direction."""

    place: int
    """Index in `gated.explain.Trace.layers`."""
    traced: LayerTrace
    """Its gates and states on the probe's first batch."""
    statistics: Statistics
    """Its statistics over all batches."""
    forgetting: float | None
    """The loss of the first batch when the gate that keeps the memory is held shut, so that nothing
    is kept from one step to the next; None without such a gate or without a loss."""

    @property
    def title(self) -> str:
        """The module's name, and which layer and direction of it."""
        of = self.traced
        return layer_title(of.name, of.layer, of.reverse, of.call)

    @property
    def by_memory(self) -> NDArray[np.int64]:
        """(H,), indices of the units from the longest memory to the shortest.

        An RNN has no gate that keeps its state: its units are sorted from those that change most
        slowly, relative to their variance.
        """
        memory = self.statistics.memory
        if memory is None:
            change = np.square(np.diff(self.traced.output.astype(np.float64), axis=0)).mean((0, 1))
            memory = self.statistics.deviation**2 / np.maximum(change, 1e-12)
        return np.argsort(-memory, kind="stable")


@dataclass(frozen=True)
class Explanation:
    """The results for a network on some data."""

    probe: Probe
    layers: Sequence[ExplainedLayer]
    """The layers that were explained."""
    count: int
    """Number of layers and directions that the model has."""
    findings: Sequence[Diagnosis]
    """From `gated.explain.diagnose`, and the memories that are not used."""
    loss: float | None
    """The loss of the first batch, without interventions."""
    flow: Flow | None
    """The gradient of that loss through all layers, back in time."""
    left_out: dict[str, str]
    """Recurrent layers and cells that could not be examined: from name to reason."""

    @property
    def verdict(self) -> str:
        """The probe's note, the problems found, and how far back the gradient reaches."""
        if self.findings:
            named = [f"{finding.rule} ({finding.title})" for finding in self.findings]
            verdict = f"{len(named)} finding{'s' * (len(named) > 1)}: {', '.join(named)}."
        else:
            verdict = f"No rule finds anything wrong with {_counted(self.count)}."
        said = [self.probe.note, verdict, self._reach if self.flow else ""]
        return " ".join(filter(None, said))

    @property
    def _reach(self) -> str:
        """How far back the gradient reaches, in the layer that cuts it, or else in the first."""
        assert self.flow is not None  # noqa: S101 - the caller checks it
        cut, first = self.flow.cut, self.flow.layers[0]
        if cut is not None:
            layer, why = cut
            return f"The gradient is cut in {layer.title}: {why}."
        return f"In {first.title}, {first.verdict}"

    def to_dict(self) -> dict[str, Any]:
        """Return the results as JSON values."""
        return {
            "verdict": self.verdict,
            "loss": self.loss,
            "findings": [finding._asdict() for finding in self.findings],
            "reach": [
                {"name": of.title, "steps": of.reach(), "of": len(of.hidden), "factor": of.factor}
                for of in (self.flow.layers if self.flow else ())
            ],
            "layers": [
                {
                    "layer": layer.place,
                    "name": layer.title,
                    "cell": layer.statistics.kind,
                    "units": layer.traced.size,
                    "memory": _listed(layer.statistics.memory),
                    "left": {gate: of.tolist() for gate, of in layer.statistics.left.items()},
                    "right": {gate: of.tolist() for gate, of in layer.statistics.right.items()},
                    "dead": layer.statistics.dead.tolist(),
                    "redundant": layer.statistics.redundant,
                    "loss_without_memory": layer.forgetting,
                }
                for layer in self.layers
            ],
            "left_out": self.left_out,
        }


def explain(probe: Probe, layers: Sequence[int] | None = None) -> Explanation:
    """Examine a network: gates and states, statistics, diagnosis, and the loss without memory.

    Args:
        probe: the network and its data.
        layers: indices in `gated.explain.Trace.layers`; the first 4 by default.

    Raises:
        ConfigurationError: the network has no recurrent layer that can be examined.
        DataError: there are no data, or there is no such layer.
    """
    if not probe.batches or not probe.sequences:
        raise DataError("explain: the data hold no sequence to run through the network")
    x, lengths = probe.batches[0]
    # The layers that the model has: one unit and one step of each suffice.
    every = trace(probe.model, x, lengths=lengths, units=[0], steps=[0]).layers
    count = len(every)
    for place in layers or ():
        if not 0 <= place < count:
            raise DataError(
                f"layer: the network has {_counted(count)}, from 0 to {count - 1}, got {place}"
            )
    places = sorted(set(layers)) if layers else list(range(min(count, MOST_LAYERS)))
    with phase("Examining the network", len(places) + 4) as done:
        traced = trace(probe.model, x, lengths=lengths, layers=places)
        done()
        counted = statistics(probe.model, probe.batches, layers=places)
        done()
        followed = None
        if probe.loss is not None:
            work = sum(of.time * of.size**3 for of in every)
            samples = int(work <= MOST_PRODUCTS)
            followed = flow(probe.model, x, probe.loss, lengths=lengths, samples=samples)
        done()
        explained = []
        for place, of, figures in zip(places, traced.layers, counted, strict=True):
            explained.append(ExplainedLayer(place, of, figures, _without_memory(probe, place, of)))
            done()
        loss = _loss(probe)
        idle = [
            finding
            for of in explained
            if loss is not None and of.forgetting is not None
            for finding in unused(of.statistics, of.place, loss, of.forgetting, probe.options)
        ]
        found = diagnose(probe.model, probe.batches, probe.loss, probe.options)
        done()
    return Explanation(
        probe=probe,
        layers=explained,
        count=count,
        findings=[*found, *idle],
        loss=loss,
        flow=followed,
        left_out=traced.left_out,
    )


def _without_memory(probe: Probe, place: int, traced: LayerTrace) -> float | None:
    gate = traced.keeping_gate
    return None if gate is None else _loss(probe, Intervention(gate, value=0.0, layer=place))


def _loss(probe: Probe, *held: Intervention) -> float | None:
    if probe.loss is None:
        return None
    x, lengths = probe.batches[0]
    options = {} if lengths is None else {"lengths": lengths}
    with evaluating(probe.model), torch.no_grad(), intervene(probe.model, *held):
        return float(probe.loss(probe.model(x, **options)))


def _listed(values: NDArray[np.float64] | None) -> list[float] | None:
    return None if values is None else values.tolist()


def _counted(count: int) -> str:
    return "1 recurrent layer" if count == 1 else f"{count} recurrent layers"
