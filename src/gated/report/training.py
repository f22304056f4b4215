"""The report's sections on the training and how to reproduce it, for every task."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np

from gated.configuration import Configuration, json_values
from gated.report.drawing import (
    BLUE,
    MUTED,
    ORANGE,
    VERMILION,
    Picture,
    finish,
    new_figure,
)
from gated.report.page import Code, Drawing, Section, Table, Text
from gated.training.history import History, Transfer, Validation
from gated.training.options import TrainingOptions


def training_section(
    history: History, options: TrainingOptions, network: Mapping[str, str]
) -> Section:
    """Return the section with learning curves and every technique with its setting.

    Args:
        history: of the training.
        options: of the training.
        network: further techniques, inside the network, with their settings.
    """
    blocks: list[Any] = [
        Drawing(learning_curves(history, options)),
        Table(("technique", "setting"), _techniques(history, options, network), prose=True),
    ]
    if history.transfer:
        blocks += _transferred(history.transfer)
    return Section("Training", blocks)


def _transferred(transfer: Transfer) -> list[Text | Table]:
    kinds = {
        "loaded": transfer.loaded,
        "of another shape, initialised anew": transfer.other_shape,
        "not in that model, initialised anew": transfer.absent,
        "only in that model, not used": transfer.unused,
    }
    rows = [(f"{len(names)} {kind}", ", ".join(names)) for kind, names in kinds.items() if names]
    return [
        Text(f"The training started from weights of {transfer.source}:"),
        Table(("weights", "names"), rows, prose=True),
    ]


def learning_curves(history: History, options: TrainingOptions) -> Picture:
    """Draw loss, validation score, gradient norm and learning rate over the steps."""
    scored, rows = history.score, (3, 2, 2, 1)
    figure, axes = new_figure(
        6.6 if scored else 5.6, nrows=4 if scored else 3, sharex=True,
        height_ratios=rows if scored else rows[:1] + rows[2:],
    )  # fmt: skip
    loss, norm, rate = axes[0], axes[-2], axes[-1]
    steps, losses = np.arange(1, history.steps + 1), history.factor * np.array(history.loss)
    loss.set_title(history.measure[:1].upper() + history.measure[1:])
    loss.plot(steps, losses, color=BLUE, alpha=0.35, linewidth=1, label="training, each step")
    window = max(1, history.steps // 40)
    loss.plot(
        steps[window - 1 :],
        np.convolve(losses, np.full(window, 1 / window), "valid"),
        color=BLUE,
        label=f"training, mean of {window}",
    )
    _validated(loss, history, history.validation_loss)
    _log_scale(loss, losses.tolist())
    _legend_beside_title(loss)
    if scored:
        axes[1].set_title(f"{scored[:1].upper()}{scored[1:]} on validation")
        _validated(axes[1], history, lambda of: of.scores[scored])

    norms = np.array(history.gradient_norm)
    clipped = np.array(history.clipped_by_norm) | np.array(history.clipped_by_value)
    norm.set_title("Gradient norm before clipping")
    norm.plot(steps, norms, color=MUTED, linewidth=1)
    if clipped.any():
        norm.plot(
            steps[clipped], norms[clipped], "x", color=VERMILION, markersize=4, label="clipped"
        )
    if options.clip_norm is not None:
        norm.axhline(options.clip_norm, color=VERMILION, linewidth=1, linestyle="--", label="limit")
    if norm.get_legend_handles_labels()[0]:
        _legend_beside_title(norm)
    _log_scale(norm, history.gradient_norm)
    rate.set_title("Learning rate")
    rate.plot(steps, history.learning_rate, color=MUTED)
    rate.set_xlabel("step")
    rate.set_ylim(bottom=0)
    return finish(
        figure,
        "training",
        description=f"Learning curves over {history.steps} steps.",
        caption=f"{_clipped(history, options)} {_chosen(history)}",
    )


def _validated(axes: Any, history: History, value: Callable[[Validation], float]) -> None:
    """Draw a score of the validations, and mark the one whose weights are the result."""
    if (best := history.best) is None:
        return
    steps = [validation.step for validation in history.validations]
    values = [value(validation) for validation in history.validations]
    axes.plot(steps, values, "o-", color=ORANGE, markersize=4, label="validation")
    axes.axvline(best.step, color=MUTED, linewidth=1, linestyle=":")
    label = f"best, step {best.step}"
    axes.plot(best.step, value(best), "*", color=ORANGE, markersize=13, label=label)


def _legend_beside_title(axes: Any) -> None:
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=4, borderaxespad=0.1)


def _log_scale(axes: Any, values: Sequence[float]) -> None:
    """Make the y axis logarithmic if all `values` are positive, with two to five ticks."""
    from matplotlib.ticker import LogLocator

    if not all(value > 0 for value in values) or not any(map(math.isfinite, values)):
        return
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    subs = (1.0, 2.0, 5.0) if high / low < 100 else (1.0,)
    axes.yaxis.set_major_locator(LogLocator(subs=subs, numticks=6))
    axes.yaxis.set_major_formatter("{x:.3g}")
    axes.minorticks_off()


def _clipping(history: History, options: TrainingOptions) -> dict[str, str]:
    """Return, for each way of clipping, its limit and how often it was applied."""
    norm, value = options.clip_norm, options.clip_value
    by_norm, by_value = sum(history.clipped_by_norm), sum(history.clipped_by_value)
    return {
        "by norm": f"above {norm:g}, {_acted(by_norm, history.steps)}" if norm else "off",
        "by value": f"beyond ±{value:g}, {_acted(by_value, history.steps)}" if value else "off",
    }


def _acted(count: int, steps: int) -> str:
    if count == 0:
        return f"not reached in {steps:,} steps"
    return f"applied at {count:,} of {steps:,} steps ({count / steps:.1%})"


def _clipped(history: History, options: TrainingOptions) -> str:
    on = {way: setting for way, setting in _clipping(history, options).items() if setting != "off"}
    if not on:
        return "Gradients were not clipped."
    return " ".join(f"Gradient clipping {way}, {setting}." for way, setting in on.items())


def _chosen(history: History) -> str:
    if history.best is None:
        return "Nothing was held out for validation: the last weights are used."
    return f"The weights of step {history.best.step:,}, the best on validation, are used."


def _techniques(
    history: History, options: TrainingOptions, network: Mapping[str, str]
) -> list[tuple[str, str]]:
    clipping = _clipping(history, options).items()
    parts = f", in {options.accumulate} parts" if options.accumulate > 1 else ""
    machines = f" on each of {options.nodes} machines" if options.nodes > 1 else ""
    seconds = sum(history.seconds)
    return [
        *((f"gradient clipping {way}", setting) for way, setting in clipping),
        *network.items(),
        ("weight decay", f"{options.weight_decay:g}, on matrices"),
        ("learning rate", _schedule(options)),
        ("early stopping", _early_stopping(history, options)),
        ("pre-training and transfer", _transfer(options)),
        ("precision", options.precision),
        ("batch", f"{options.batch_size} sequences{parts}"),
        ("processes", f"{options.devices}{machines}, {options.accelerator}"),
        ("seed", str(options.seed)),
        ("budget", f"{options.budget}; {history.ended}"),
        ("time", f"{seconds:.1f} s in {history.steps:,} steps"),
    ]


def _schedule(options: TrainingOptions) -> str:
    peak = f"{options.schedule}, peak {options.learning_rate:g}"
    return f"{peak} after {options.warmup:.0%} of the steps" if options.warmup else peak


def _early_stopping(history: History, options: TrainingOptions) -> str:
    if options.patience is None:
        return "off"
    rule = f"after {options.patience} validations without improvement"
    stopped = history.stopped == "patience"
    return f"{rule}; stopped at step {history.steps:,}" if stopped else f"{rule}; not reached"


def _transfer(options: TrainingOptions) -> str:
    parts = [f"from {options.init_from}"] if options.init_from else []
    if options.freeze:
        parts.append(f"frozen: {', '.join(options.freeze)}")
    if options.thaw_every:
        parts.append(f"one more depth group unfrozen every {options.thaw_every} steps")
    if options.layer_rate_decay != 1:
        parts.append(
            f"each depth group at {options.layer_rate_decay:g} times the learning rate above it"
        )
    return "; ".join(parts) or "off"


def reproduction_section(command: str, *configurations: Configuration) -> Section:
    """Return the section with the command, and every option as a TOML file for `--config`."""
    return Section(
        "Reproduce",
        [
            Text("The command:"),
            Code(command),
            Text("Every option, as a file for --config; give data and --out on the command line:"),
            Code("\n".join(line for options in configurations for line in _toml_lines(options))),
        ],
    )


def _toml_lines(options: Configuration) -> Iterator[str]:
    """Write each option; one that is None only where that is not what it is by default."""
    saved = json_values(options)
    for field in fields(options):
        value = saved[field.name]
        if value is not None:
            yield f"{field.name} = {_toml(value)}"
        elif field.default is not None:
            yield f'{field.name} = "none"'


def _toml(value: Any) -> str:
    """Return a TOML value; JSON strings, numbers and lists of them are TOML too.

    >>> _toml(["a", 1e-05, True])
    '["a", 1e-05, true]'
    """
    return json.dumps(value, ensure_ascii=False).replace("\x7f", r"\u007f")
