"""Everything that `gated explain` says of a network, found once and drawn later."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gated.errors import DataError
from gated.explain.diagnosis import Finding, diagnose
from gated.explain.intervene import Intervention, intervene
from gated.explain.probe import Probe
from gated.explain.statistics import KEEPING, Statistics, statistics
from gated.explain.trace import LayerTrace, evaluating, trace

MOST_LAYERS = 4
"""Layers and directions that are looked into where none is chosen."""


@dataclass(frozen=True)
class Layer:
    """One layer in one direction."""

    place: int
    """In `gated.explain.trace.Trace.layers`."""
    title: str
    """What to call it: the module's name, and which layer and direction of it."""
    traced: LayerTrace
    """Of the probe's first batch."""
    statistics: Statistics
    """Of all its batches."""
    forgetting: float | None
    """The loss of the first batch when the gate that keeps the memory is held shut, so that nothing
    is kept from one step to the next; None without such a gate or without a loss."""

    @property
    def by_memory(self) -> NDArray[np.int64]:
        """(H), the units from the longest memory to the shortest.

        Of an RNN, which has no gate to tell, from the slowest to the quickest.
        """
        memory = self.statistics.memory
        if memory is None:
            change = np.square(np.diff(self.traced.hidden.astype(np.float64), axis=0)).mean((0, 1))
            memory = self.statistics.deviation**2 / np.maximum(change, 1e-12)
        return np.argsort(-memory, kind="stable")


@dataclass(frozen=True)
class Explanation:
    """What was found in a network on some data."""

    probe: Probe
    layers: Sequence[Layer]
    """Those that were looked into."""
    count: int
    """The layers and directions that the model has."""
    findings: Sequence[Finding]
    loss: float | None
    """Of the first batch, as the network is."""
    left: dict[str, str]
    """What could not be looked into, by name, and why."""

    @property
    def verdict(self) -> str:
        """What ails the network, and how far it learns from."""
        if self.findings:
            named = [f"{finding.rule} (layer {finding.layer})" for finding in self.findings]
            verdict = f"{len(named)} finding{'s' * (len(named) > 1)}: {', '.join(named)}."
        else:
            verdict = f"No rule finds anything wrong with {_counted(self.count)}."
        reaches = [
            f"{flow.reach()} of {len(flow.hidden)} steps back through the {name}"
            for name, flow in self.probe.flows.items()
        ]
        return f"{verdict} It learns from {_and(reaches)}." if reaches else verdict

    def to_dict(self) -> dict[str, Any]:
        """Return what was found as JSON values."""
        return {
            "verdict": self.verdict,
            "loss": self.loss,
            "findings": [finding._asdict() for finding in self.findings],
            "reach": {
                name: {"steps": flow.reach(), "of": len(flow.hidden)}
                for name, flow in self.probe.flows.items()
            },
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
            "left_out": self.left,
        }


def explain(probe: Probe, layers: Sequence[int] | None = None) -> Explanation:
    """Look into a network: gates and states, statistics, diagnosis, and what forgetting costs.

    Args:
        probe: the network and its data.
        layers: places in `gated.explain.trace.Trace.layers`; the first few by default.

    Raises:
        ConfigurationError: the network has no recurrent layer that can be looked into.
        DataError: there is no data, or no such layer.
    """
    if not probe.batches or not probe.sequences:
        raise DataError("explain: the data hold no sequence to run through the network")
    x, lengths = probe.batches[0]
    # One unit of one step of each, to know which there are.
    every = trace(probe.model, x, lengths=lengths, units=[0], steps=[0]).layers
    count = len(every)
    for place in layers or ():
        if not 0 <= place < count:
            raise DataError(
                f"layer: the network has {_counted(count)}, from 0 to {count - 1}, got {place}"
            )
    places = list(range(min(count, MOST_LAYERS))) if layers is None else list(layers)
    traced = trace(probe.model, x, lengths=lengths, layers=places)
    return Explanation(
        probe=probe,
        layers=[
            Layer(
                place,
                _title(of, every),
                of,
                statistics(probe.model, probe.batches, layer=place),
                _without_memory(probe, place, of),
            )
            for place, of in zip(places, traced.layers, strict=True)
        ],
        count=count,
        findings=diagnose(probe.model, probe.batches, probe.loss),
        loss=_loss(probe),
        left=traced.left,
    )


def _title(traced: LayerTrace, every: Sequence[LayerTrace]) -> str:
    parts = [traced.name]
    if any(other.name == traced.name and other.layer != traced.layer for other in every):
        parts.append(f"layer {traced.layer}")
    return ", ".join(parts + ["backwards"] * traced.reverse)


def _without_memory(probe: Probe, place: int, traced: LayerTrace) -> float | None:
    gate = KEEPING.get(traced.kind)
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


def _and(parts: Sequence[str]) -> str:
    """Join parts as a sentence does.

    >>> _and(["one", "two", "three"])
    'one, two and three'
    """
    return " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]])) if parts else ""
