"""Whole training steps, torch.nn's layers against gated.nn's in the same model and one process.

    python -m benchmarks.models

The other tables measure a layer by itself. In a model its caches and threads are shared with an
embedding, a linear layer, a loss and an optimiser, here also with the other network, since the two
take turns step by step. Each row has the time of a step, how much of it the layer is, and what that
layer takes in the model and by itself: what is lost between.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

import gated.nn
from benchmarks import page
from benchmarks.grid import ratios
from benchmarks.machine import described
from benchmarks.side_by_side import Step, side_by_side

BEGIN, END = "<!-- models: begin -->", "<!-- models: end -->"
GOAL, MOST = 1.2, 0.5
"""The ratio that is meant where the layer is at least this share of torch's step."""
SYMBOLS, CLASSES, SERIES = 256, 9, 100
TURN = 0.2
"""Seconds of a turn in which a layer has the caches to itself."""
HORIZON = 24
"""Steps that are forecast."""


class Model(NamedTuple):
    """One row: T steps, B sequences, I features of the layer's input, H hidden units."""

    kind: str
    """language, forecast or tag."""
    cell: str
    """The name of a layer, LSTM or GRU, of torch.nn and of gated.nn."""
    T: int
    B: int
    I: int  # noqa: E741
    H: int

    @property
    def name(self) -> str:
        return f"{self.kind}, {self.cell}  {self.T}, {self.B}, {self.I}, {self.H}"


MODELS = [
    Model("language", "LSTM", 100, 32, 64, 128),
    Model("language", "LSTM", 100, 64, 256, 256),
    Model("language", "LSTM", 50, 64, 1024, 1024),
    Model("language", "GRU", 100, 32, 64, 128),
    Model("forecast", "LSTM", 168, 64, 16, 128),
    Model("forecast", "LSTM", 168, 64, 16, 256),
    Model("forecast", "LSTM", 48, 64, 16, 1024),
    Model("forecast", "GRU", 168, 64, 16, 128),
    Model("tag", "LSTM", 100, 32, 64, 128),
    Model("tag", "LSTM", 100, 32, 64, 256),
    Model("tag", "LSTM", 50, 32, 256, 1024),
    Model("tag", "GRU", 100, 32, 64, 128),
]


class _Mark(torch.autograd.Function):
    """Passes a tensor on, and calls a function when its gradient comes by."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, passed: Callable[[], None]) -> Tensor:
        ctx.passed = passed
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        ctx.passed()
        return gradient, None


def _marked(value: Any, passed: Callable[[], None]) -> Any:
    """`value` with a mark on each tensor that takes part in the gradient."""
    if isinstance(value, PackedSequence):
        return value._replace(data=_marked(value.data, passed))
    if isinstance(value, tuple):
        return tuple(_marked(part, passed) for part in value)
    if isinstance(value, Tensor) and value.requires_grad:
        return _Mark.apply(value, passed)
    return value


def _leaves(value: Any) -> Any:
    """`value` cut off from what came before, with gradients of its own."""
    if isinstance(value, PackedSequence):
        return value._replace(data=_leaves(value.data))
    if isinstance(value, tuple):
        return tuple(_leaves(part) for part in value)
    return value.detach().requires_grad_(value.requires_grad) if value is not None else None


class Watched(nn.Module):
    """A recurrent layer in a model; `seconds` are those it takes while it is `watched`."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer
        self.watched = False
        self.seconds = self._passed = 0.0
        self.given: tuple[Any, ...] = ()

    def forward(self, *given: Any) -> Any:
        if not self.watched:
            return self.layer(*given)
        self.given = _leaves(given)
        given = tuple(_marked(value, self._left) for value in given)
        begun = time.perf_counter()
        output = self.layer(*given)
        self.seconds += time.perf_counter() - begun
        return _marked(output, self._entered)

    def _entered(self) -> None:
        """A gradient of the output has come: the layer's own begin after the last one."""
        self._passed = time.perf_counter()

    def _left(self) -> None:
        now = time.perf_counter()
        self.seconds += now - self._passed
        self._passed = now

    def alone(self) -> None:
        """The layer's work of a step by itself, on what it was given when last watched."""
        output, states = self.layer(*self.given)
        if isinstance(output, PackedSequence):
            output = output.data
        last = states if isinstance(states, Tensor) else states[0]
        torch.autograd.backward([output.sum(), last.sum()])


class LanguageModel(nn.Module):
    """The next of `SYMBOLS` at each step."""

    def __init__(self, layers: Any, model: Model) -> None:
        super().__init__()
        self.embedding = nn.Embedding(SYMBOLS, model.I)
        self.recurrent = Watched(getattr(layers, model.cell)(model.I, model.H))
        self.head = nn.Linear(model.H, SYMBOLS)

    def forward(self, symbols: Tensor, following: Tensor) -> Tensor:
        hidden, _ = self.recurrent(self.embedding(symbols))
        return nn.functional.cross_entropy(self.head(hidden).flatten(0, 1), following.flatten())


class Forecaster(nn.Module):
    """Three quantiles of the next `HORIZON` steps: an encoder of the history, and a decoder."""

    def __init__(self, layers: Any, model: Model) -> None:
        super().__init__()
        self.series = nn.Embedding(SERIES, model.I // 2)
        self.encoder = Watched(getattr(layers, model.cell)(model.I, model.H))
        self.decoder = Watched(getattr(layers, model.cell)(model.I, model.H))
        self.head = nn.Linear(model.H, 3)
        self.register_buffer("quantiles", torch.tensor([0.1, 0.5, 0.9]))

    def forward(self, series: Tensor, past: Tensor, future: Tensor, target: Tensor) -> Tensor:
        which = self.series(series)
        past, future = (
            torch.cat([x, which.expand(len(x), -1, -1)], dim=-1) for x in (past, future)
        )
        _, states = self.encoder(past)
        hidden, _ = self.decoder(future, states)
        error = target[..., None] - self.head(hidden)
        return torch.maximum(self.quantiles * error, (self.quantiles - 1) * error).mean()


class Tagger(nn.Module):
    """One of `CLASSES` at each step, from both directions, of sequences of many lengths."""

    def __init__(self, layers: Any, model: Model) -> None:
        super().__init__()
        self.embedding = nn.Embedding(SYMBOLS, model.I)
        self.recurrent = Watched(getattr(layers, model.cell)(model.I, model.H, bidirectional=True))
        self.head = nn.Linear(2 * model.H, CLASSES)

    def forward(self, symbols: Tensor, lengths: Tensor, tags: Tensor) -> Tensor:
        packed = pack_padded_sequence(self.embedding(symbols), lengths, enforce_sorted=False)
        hidden, _ = self.recurrent(packed)
        expected = pack_padded_sequence(tags, lengths, enforce_sorted=False)
        return nn.functional.cross_entropy(self.head(hidden.data), expected.data)


NETWORKS = {"language": LanguageModel, "forecast": Forecaster, "tag": Tagger}


def batches(model: Model, count: int) -> list[tuple[Tensor, ...]]:
    """What the network of `model` is called with, for `count` steps."""
    random = torch.Generator().manual_seed(0)
    T, B = model.T, model.B

    def codes(most: int, *shape: int) -> Tensor:
        return torch.randint(most, shape, generator=random)

    def batch() -> tuple[Tensor, ...]:
        if model.kind == "language":
            text = codes(SYMBOLS, T + 1, B)
            return text[:-1], text[1:]
        if model.kind == "tag":
            lengths = T // 2 + codes(T - T // 2 + 1, B)
            lengths[0] = T
            return codes(SYMBOLS, T, B), lengths, codes(CLASSES, T, B)
        values = torch.randn(T + HORIZON, B, model.I - model.I // 2, generator=random)
        return codes(SERIES, B), values[:T], values[T:], values[T:, :, 0].clone()

    return [batch() for _ in range(count)]


def networks(model: Model) -> list[nn.Module]:
    """Ours and torch's, with the same weights."""
    torch.manual_seed(0)
    both = [NETWORKS[model.kind](layers, model) for layers in (gated.nn, torch.nn)]
    both[0].load_state_dict(both[1].state_dict())
    return both


def training_step(network: nn.Module, given: list[tuple[Tensor, ...]]) -> Step:
    """Return a function that trains `network` on one of the batches and gives its loss."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4, fused=True)

    def step(number: int) -> Tensor:
        loss = network(*given[number % len(given)])
        torch.autograd.backward(loss)
        optimizer.step()
        optimizer.zero_grad()
        return loss.detach()

    return step


class Watch(NamedTuple):
    """What a step took that was watched."""

    seconds: float
    layer: float
    """Seconds of its recurrent layers."""
    faults: int
    """Pages that were touched for the first time, as memory given back to the system is."""
    sleeps: int
    """How often a thread of the process went to sleep."""


def watched(network: nn.Module, step: Step, number: int) -> Watch:
    """Take a step and watch it."""
    layers = _watched_layers(network)
    for layer in layers:
        layer.watched, layer.seconds = True, 0.0
    before, begun = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    step(number)
    seconds = time.perf_counter() - begun
    after = resource.getrusage(resource.RUSAGE_SELF)
    for layer in layers:
        layer.watched = False
    return Watch(
        seconds,
        sum(layer.seconds for layer in layers),
        after.ru_minflt - before.ru_minflt,
        after.ru_nvcsw - before.ru_nvcsw,
    )


def _watched_layers(network: nn.Module) -> list[Watched]:
    return [module for module in network.modules() if isinstance(module, Watched)]


def measured(model: Model, seconds: float) -> dict[str, Any]:
    """One row: steps in turn, their layers in turn, and the layers by themselves.

    Raises:
        RuntimeError: the networks' losses differ, before the first step or after the last.
    """
    both, given = networks(model), batches(model, 4)
    steps = [training_step(network, given) for network in both]
    begun = time.perf_counter()
    for step in steps:
        step(0)
    count = min(200, max(5, int(seconds / 2 / (time.perf_counter() - begun))))
    in_turn = side_by_side(*steps, lambda _: model.T * model.B, count)
    watches = [
        [watched(network, step, number) for network, step in zip(both, steps, strict=True)]
        for number in range(max(3, count // 4))
    ]
    layer = [statistics.median(turn[k].layer for turn in watches) for k in range(2)]
    losses = [float(step(0)) for step in steps]
    if abs(losses[0] - losses[1]) > 1e-3 * abs(losses[1]):
        raise RuntimeError(f"{model.name}: the losses after {count} steps are {losses}")

    def alone(network: nn.Module) -> Callable[[], None]:
        layers = _watched_layers(network)
        return lambda: [layer.alone() for layer in layers] and None

    works = [alone(network) for network in both]
    alone_in_turn = statistics.median(ratios(*works, turns=max(3, count // 8)))
    short = min(layer) < TURN
    step_seconds = [model.T * model.B / in_turn[of] for of in ("gated", "torch.nn")]
    return {
        "model": model._asdict(),
        "name": model.name,
        "steps": count,
        "losses": losses,
        "seconds": dict(zip(("gated", "torch"), step_seconds, strict=True)),
        "ratio": in_turn["ratio"],
        "layer_seconds": dict(zip(("gated", "torch"), layer, strict=True)),
        "layer_share": statistics.median(turn[1].layer / turn[1].seconds for turn in watches),
        "layer_ratio": layer[1] / layer[0],
        "alone_in_turn": alone_in_turn,
        "alone": statistics.median(ratios(*works, turns=5, at_least=TURN))
        if short
        else alone_in_turn,
        "faults": [statistics.median(turn[k].faults for turn in watches) for k in range(2)],
        "sleeps": [statistics.median(turn[k].sleeps for turn in watches) for k in range(2)],
    }


HEAD = (
    "| model | T, B, I, H | step, ours | step, torch | ratio | layer's share "
    "| layer in the model | layer in turn | layer by itself | pages | sleeps |"
)


def line(row: dict[str, Any]) -> str:
    """One row of the table."""
    work, _, sizes = row["name"].partition("  ")
    ours, theirs = (f"{1e3 * of:.1f} ms" for of in row["seconds"].values())
    behind = row["ratio"] < GOAL and row["layer_share"] >= MOST
    return (
        f"| {work} | {sizes} | {ours} | {theirs} | **{row['ratio']:.2f}×**{' behind' * behind} "
        f"| {row['layer_share']:.0%} | {row['layer_ratio']:.2f}× | {row['alone_in_turn']:.2f}× "
        f"| {row['alone']:.2f}× | {row['faults'][0]:.0f}, {row['faults'][1]:.0f} "
        f"| {row['sleeps'][0]:.0f}, {row['sleeps'][1]:.0f} |"
    )


def table(rows: list[dict[str, Any]], machine: dict[str, Any]) -> list[str]:
    """The part of the page: the machine, and a line for each row."""
    return [
        page.machine_line(machine),
        "",
        HEAD,
        "|" + " --- |" * (HEAD.count("|") - 1),
        *map(line, rows),
    ]


def run(machine: dict[str, Any], seconds: float, only: str = "") -> list[dict[str, Any]]:
    """Measure the models whose name contains `only`, and print each as it is measured."""
    torch.set_num_threads(machine["threads"])
    rows = []
    print(HEAD)
    for model in MODELS:
        if only.lower() in model.name.lower():
            rows.append(measured(model, seconds) | {"machine": machine})
            print(line(rows[-1]), flush=True)
    return rows


def main() -> None:
    """Print the table, and write it where it is asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.models", description=__doc__)
    parser.add_argument("--threads", type=int, help="all processors if left out")
    parser.add_argument("--seconds", type=float, default=8.0, help="for each row, about")
    parser.add_argument("--only", default="", help="rows whose name contains this text")
    parser.add_argument("--json", type=Path, help="append the rows to this file, one a line")
    parser.add_argument("--page", type=Path, nargs="+", default=[], help="write into these pages")
    options = parser.parse_args()
    machine = described(options.threads)
    rows = run(machine, options.seconds, options.only)
    if options.json:
        with options.json.open("a") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)
    for path in options.page:
        page.fill(path, BEGIN, END, table(rows, machine))


if __name__ == "__main__":
    main()
