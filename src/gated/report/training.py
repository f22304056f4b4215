"""Sections on how a network was trained; the same for every task."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

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
from gated.training.history import History
from gated.training.options import TrainingOptions


def training_section(
    history: History, options: TrainingOptions, network: Mapping[str, str]
) -> Section:
    """Learning curves, and every technique with its value; `network` adds those inside it."""
    blocks: list[Any] = [
        Drawing(learning_curves(history, options)),
        Table(("technique", "setting"), _techniques(history, options, network), prose=True),
    ]
    if history.transfer:
        transfer = history.transfer
        blocks.append(
            Text(
                f"Transfer: started from {transfer.source}, with {len(transfer.loaded)} tensors "
                f"taken over, {len(transfer.other_shape)} of another shape and "
                f"{len(transfer.absent)} absent there, which started anew."
            )
        )
    return Section("Training", blocks)


def learning_curves(history: History, options: TrainingOptions) -> Picture:
    """Draw loss, gradient norm with the clipped steps marked, and learning rate over the steps."""
    figure, (loss, norm, rate) = new_figure(5.6, nrows=3, sharex=True, height_ratios=(3, 2, 1))
    steps = np.arange(1, history.steps + 1)
    loss.set_title("Loss")
    loss.plot(steps, history.loss, color=BLUE, alpha=0.35, linewidth=1, label="training, each step")
    window = max(1, history.steps // 40)
    loss.plot(
        steps[window - 1 :],
        np.convolve(history.loss, np.full(window, 1 / window), "valid"),
        color=BLUE,
        label=f"training, mean of {window}",
    )
    if history.validations:
        loss.plot(
            [validation.step for validation in history.validations],
            [validation.loss for validation in history.validations],
            "o-",
            color=ORANGE,
            markersize=4,
            label="validation",
        )
    if history.best:
        loss.axvline(history.best.step, color=MUTED, linewidth=1, linestyle=":")
        loss.plot(
            history.best.step,
            history.best.loss,
            "*",
            color=ORANGE,
            markersize=13,
            label=f"best, step {history.best.step}",
        )
    loss.set_yscale("log")
    loss.minorticks_off()
    loss.yaxis.set_major_formatter("{x:.3g}")
    _few_log_ticks(loss)
    loss.legend(loc="upper right", ncols=2)

    norms = np.array(history.gradient_norm)
    clipped = np.array(history.clipped_by_norm) | np.array(history.clipped_by_value)
    norm.set_title("Gradient norm before clipping")
    norm.plot(steps, norms, color=MUTED, linewidth=1)
    if clipped.any():
        norm.plot(
            steps[clipped], norms[clipped], "x", color=VERMILION, markersize=4, label="clipped"
        )
        norm.legend(loc="upper right")
    if options.clip_norm is not None:
        norm.axhline(options.clip_norm, color=VERMILION, linewidth=1, linestyle="--")
    if np.isfinite(norms).any() and np.nanmin(norms) > 0:
        norm.set_yscale("log")
        norm.minorticks_off()
        norm.yaxis.set_major_formatter("{x:.3g}")
        _few_log_ticks(norm)
    rate.set_title("Learning rate")
    rate.plot(steps, history.learning_rate, color=MUTED)
    rate.set_xlabel("step")
    rate.set_ylim(bottom=0)
    return finish(
        figure,
        "training",
        description=f"Learning curves over {history.steps} steps.",
        caption=f"{_acted(history, options)} {_chosen(history)}",
    )


def _few_log_ticks(axes: Any) -> None:
    """Put two to five ticks on a log axis, also where it spans less than a decade."""
    from matplotlib.ticker import LogLocator, NullFormatter

    low, high = axes.get_ylim()
    subs = (1.0, 2.0, 5.0) if high / low < 100 else (1.0,)
    axes.yaxis.set_major_locator(LogLocator(subs=subs, numticks=6))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _acted(history: History, options: TrainingOptions) -> str:
    if options.clip_norm is None and options.clip_value is None:
        return "Gradients were not clipped."
    told = []
    if options.clip_norm is not None:
        count = sum(history.clipped_by_norm)
        told.append(f"by norm (at {options.clip_norm:g}) at {_share(count, history.steps)}")
    if options.clip_value is not None:
        count = sum(history.clipped_by_value)
        told.append(f"by value (±{options.clip_value:g}) at {_share(count, history.steps)}")
    return f"Gradient clipping acted {' and '.join(told)}."


def _share(count: int, steps: int) -> str:
    return f"{count:,} of {steps:,} steps ({count / max(steps, 1):.0%})"


def _chosen(history: History) -> str:
    if history.best is None:
        return "Nothing was held out for validation: the last weights are the result."
    return f"The weights of step {history.best.step:,}, best on validation, are the result."


def _techniques(
    history: History, options: TrainingOptions, network: Mapping[str, str]
) -> list[tuple[str, str]]:
    early = f"patience of {options.patience} validations" if options.patience else "off"
    if history.stopped == "patience":
        early += f"; stopped at step {history.steps:,}"
    transfer = str(options.init_from) if options.init_from else "off"
    if options.init_from:
        frozen = ", ".join(options.freeze) or "none"
        transfer += (
            f"; frozen: {frozen}; thawed one group each {options.thaw_every} steps"
            if options.thaw_every
            else f"; frozen: {frozen}; all others trained from the start"
        )
        transfer += f"; each depth at {options.layer_rate_decay:g} times the rate above it"
    return [
        ("gradient clipping", _acted(history, options)),
        *network.items(),
        ("weight decay", f"{options.weight_decay:g}, on matrices"),
        ("pre-training and transfer", transfer),
        (
            "learning rate",
            f"{options.schedule}, peak {options.learning_rate:g} after {options.warmup:.0%}",
        ),
        ("early stopping", early),
        ("precision", options.precision),
        ("batch", f"{options.batch_size} sequences in {options.accumulate} part(s)"),
        ("processes", f"{options.devices} on {options.nodes} machine(s)"),
        ("seed", str(options.seed)),
        ("time", f"{sum(history.seconds):.1f} s in {history.steps:,} steps"),
    ]


def reproduction_section(command: str, *configurations: Mapping[str, Any]) -> Section:
    """The command, and every option as a TOML file that `--config` reads."""
    lines = [
        f"{name} = {_toml(value)}"
        for fields in configurations
        for name, value in fields.items()
        if value is not None
    ]
    return Section(
        "To do it again",
        [
            Text("The command:"),
            Code(command),
            Text("Every option, as a file for --config; data and --out stay on the command line:"),
            Code("\n".join(lines)),
        ],
    )


def _toml(value: Any) -> str:
    """Return a TOML value; JSON strings, numbers and lists of them are TOML too.

    >>> _toml(["a", 1e-05, True])
    '["a", 1e-05, true]'
    """
    return json.dumps(value, ensure_ascii=False)
