"""`gated quantize`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from gated.cli.fit import files_of
from gated.cli.outcome import page_of
from gated.cli.output import print_json, print_table, stdout_console, tell_left_out
from gated.cli.places import check_new_directory
from gated.cli.run_directory import source_of
from gated.cli.runs import loaded
from gated.core.arguments import StoredAs
from gated.errors import ConfigurationError, ModelFileError
from gated.live.int8 import matrices_of
from gated.live.model import read_program
from gated.live.recurrence import Product
from gated.model_files import load_description, load_model, narrowed, save_narrow
from gated.nn.sequences import Sequences
from gated.scoring.verdict import significant

ALLOWED = 0.01
"""Relative loss that needs no `--accept`."""


def quantize(
    run: Path,
    *data: Path,
    to: Literal["int8", "bfloat16"] = "int8",
    out: Path,
    accept: bool = False,
    skip_bad: bool = False,
    json: bool = False,
) -> None:
    """Store a trained network in fewer bits, and measure on data what that costs.

    Forecasters are refused: what they take is mostly rows and settings, not weights.

    Parameters
    ----------
    run
        Directory of a trained run of any task but forecast.
    data
        Data with labels or targets, of the form that the run was trained on.
    to
        `int8`: weights as whole numbers of eight bits with a scale for each row, a quarter of the
        bytes; `bfloat16`: half of the bytes, with less loss.
    out
        New directory for the run with these weights.
    accept
        Write it although the deciding score is more than 1 % worse.
    skip_bad
        Leave out rows that cannot be used, and list them, where otherwise the first is an error.
    json
        Print the scores as one JSON document.
    """
    check_new_directory(out)
    if load_description(run).get("task") == "forecast":
        raise ConfigurationError(
            f"{run} is a forecaster, and gated quantize takes none: `gated.load({str(run)!r})` "
            "and `gated serve` run it as it is, in 32 bits."
        )
    program = read_program(run)
    weights, _ = load_model(run)
    names = [name for name in matrices_of(program) if name in weights]
    if not names:
        raise ModelFileError(f"The model in {run} has no matrices to store in fewer bits.")
    learner = loaded(run, skip_bad=skip_bad)
    source = source_of(files_of(type(learner), list(data)))
    before = learner.evaluate(source)
    tell_left_out(learner.findings)
    _as_the_runtime(learner.network, narrowed({of: weights[of] for of in names}, to)[1], to)
    after = learner.evaluate(source)
    name, figures = next(iter(before.figures.items()))  # of the network, the deciding score first
    (score, was), *_ = figures.items()
    becomes = after.figures[name][score]
    loss = relative_loss(was, becomes, higher_is_better=score in before.higher_is_better)
    if not loss <= ALLOWED and not accept:  # also if it is no number
        other = "Try --to bfloat16, or take" if to == "int8" else "Take"
        raise ConfigurationError(
            f"In {to}, the network's {score} goes from {significant(was)} to "
            f"{significant(becomes)}, {100 * loss:.2g} % worse: more than {ALLOWED:.0%}, so "
            f"nothing was written. {other} it with --accept."
        )
    size = save_narrow(run, out, names, to)
    if json:
        scores = {"float32": figures, to: after.figures[name]}
        print_json({"scores": scores, "loss": loss, "bytes": size, "out": str(out)})
        return
    table, narrow = page_of(learner).score_table(before), page_of(learner).score_table(after)
    own = [next(row for row in of.rows if row[0] == name) for of in (table, narrow)]
    rows = [["float32", *own[0][1:]], [to, *own[1][1:]]]
    stdout_console().print(f"\n{after.verdict}\n", style="bold", markup=False)
    print_table(f"Scores over {learner.counted}", table.header, rows)
    change = "no worse" if loss <= 0 else f"{100 * loss:.2g} % worse"
    stdout_console().print(
        f"{score} is {change}. The weights take {size[1]:,} bytes in place of {size[0]:,}: "
        f"gated.load({str(out)!r})",
        markup=False,
    )


def relative_loss(before: float, after: float, *, higher_is_better: bool) -> float:
    """Return by what share of the former score the new one is worse; below 0 if it is better.

    >>> relative_loss(0.5, 0.49, higher_is_better=True), relative_loss(0, 1, higher_is_better=False)
    (0.020000000000000018, inf)
    """
    worse = before - after if higher_is_better else after - before
    if not worse:
        return 0.0
    return worse / abs(before) if before else math.copysign(math.inf, worse)


def _as_the_runtime(network: nn.Module, weights: Any, stored_as: StoredAs) -> None:
    """Let a network compute as `gated.live` does with weights in these bits."""
    state = network.state_dict()
    network.load_state_dict(state | {name: torch.tensor(of) for name, of in weights.items()})
    for name, module in network.named_modules():
        if isinstance(module, Sequences):
            module.stored_as = stored_as
        elif type(module) is nn.Linear and f"{name}.weight" in weights:
            bias = None if module.bias is None else module.bias.detach().numpy()
            product = Product(module.weight.detach().numpy(), bias, stored_as)
            module.forward = _Rows(product, module.out_features)  # type: ignore[assignment]


class _Rows:
    """A product for whatever tensor has the right last dimension."""

    def __init__(self, product: Product, outputs: int) -> None:
        self._product, self._outputs = product, outputs

    def __call__(self, x: Tensor) -> Tensor:
        rows = x.detach().reshape(-1, 1, x.shape[-1]).numpy()
        found = self._product(rows) if len(rows) else rows[..., :0]
        return torch.from_numpy(found).reshape(*x.shape[:-1], self._outputs)
