"""Tables and pictures of docs/en/memory.md and docs/zh/memory.md, from the runs of a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.page import BEGIN, END, fill
from gated.report.drawing import MUTED, finish, method_colours, new_figure, style
from gated.report.gradients import Line, gradient_picture

Run = Mapping[str, Any]
DOCS = Path("docs")
BUDGET = 20
"""Minutes of processor time."""
WORDS = {
    "en": {
        "adding": "Adding, T = 2,000: squared error, without memory 0.167, solved below 0.0167",
        "copy": "Copying, T = 500: cross-entropy, without memory 2.08, solved below 0.208",
        "fashion": "Fashion-MNIST pixel by pixel, T = 784: accuracy on the 10,000 of the test",
        "permuted-fashion": "The same, pixels in an order of chance",
        "head": "cell | units | weights | result | minutes | steps | "
        "gradient before training | after",
        "solved": "**solved**, {score:.2g}",
        "open": "not solved: {score:.3g}, training loss {loss:.3g}",
        "of": "{reach:,} of {all:,} steps",
        "all": "all {all:,} steps",
        "budget": "(of {minutes:g} only)",
        "diverged": ", then diverged",
    },
    "zh": {
        "adding": "加法，T = 2000：均方误差，没有记忆时为 0.167，低于 0.0167 算解决",
        "copy": "复制，T = 500：每个符号的交叉熵，没有记忆时为 2.08，低于 0.208 算解决",
        "fashion": "Fashion-MNIST 逐像素，T = 784：10,000 张测试图像上的准确率",
        "permuted-fashion": "同上，像素顺序随机打乱",
        "head": "单元 | 神经元 | 权重 | 结果 | 分钟 | 步数 | 训练前梯度 | 训练后",
        "solved": "**解决**，{score:.2g}",
        "open": "未解决：{score:.3g}，训练损失 {loss:.3g}",
        "of": "{all:,} 步中的 {reach:,} 步",
        "all": "全部 {all:,} 步",
        "budget": "（预算只有 {minutes:g}）",
        "diverged": "，之后发散",
    },
}


def write(runs: Sequence[Run]) -> None:
    """Fill the tables of both pages, and draw the pictures that they show."""
    for language, words in WORDS.items():
        fill(DOCS / language / "memory.md", BEGIN, END, tables(runs, words))
    with style():
        for name, image in pictures(runs).items():
            (DOCS / "images" / f"{name}.png").write_bytes(image)


def tables(runs: Sequence[Run], words: Mapping[str, str]) -> list[str]:
    """A table for each problem, the best run first."""
    lines = []
    runs = longest(runs)
    for problem in dict.fromkeys(run["problem"] for run in runs):
        lines += ["", f"**{words[problem]}**", "", f"| {words['head']} |", "| --- " * 8 + "|"]
        of = [run for run in runs if run["problem"] == problem]
        for run in sorted(of, key=lambda run: (not solved(run), ranked(run))):
            begin, end = run["gradient"]["before"], run["gradient"]["after"]
            reaches = [reached(run, one, words) for one in (begin, end)]
            lines.append(
                f"| `{run['cell']}` | {units(run['setting'])} | {run['parameters']:,} | "
                f"{result(run, words)} | {minutes(run, words)} | {run['steps']:,} | "
                f"{reaches[0]} | {reaches[1]} |"
            )
    return [*lines, ""]


def longest(runs: Sequence[Run]) -> list[Run]:
    """Of several runs of one cell on a problem, that with the largest budget; by problem."""
    ordered = sorted(runs, key=lambda run: run["minutes"])
    kept = {(run["problem"], run["cell"], run["seed"]): run for run in ordered}
    return sorted(kept.values(), key=lambda run: list(WORDS["en"]).index(run["problem"]))


def minutes(run: Run, words: Mapping[str, str]) -> str:
    """What it took of its budget, which is said where it was not the whole one."""
    took = f"{run['seconds'] / 60:.1f}"
    whole = run["minutes"] >= BUDGET or solved(run)
    return took if whole else f"{took} {words['budget'].format(minutes=run['minutes'])}"


def units(setting: Mapping[str, Any]) -> str:
    """How many, and in how many layers where there are several."""
    return f"{setting['layers']} × {setting['units']}" if setting["layers"] > 1 else str(
        setting["units"]
    )  # fmt: skip


def steps(run: Run) -> int:
    """Of its sequences: copying has twenty for what is said and said again."""
    return int(run["T"]) + 20 * (run["problem"] == "copy")


def reached(run: Run, gradient: Mapping[str, Any], words: Mapping[str, str]) -> str:
    """How far back a gradient comes: all steps, if to the first of those at which it was taken."""
    whole = gradient["reach"] + gradient["every"] > steps(run)
    return words["all" if whole else "of"].format(reach=gradient["reach"], all=steps(run))


def solved(run: Run) -> bool:
    """Whether the test's score is below what counts as solved, where anything does."""
    return run["solved_below"] is not None and run["score"] < run["solved_below"]


def ranked(run: Run) -> float:
    """What solved runs are sorted by, their time, and others: their score."""
    return float(run["seconds"] if solved(run) else run["score"])


def result(run: Run, words: Mapping[str, str]) -> str:
    """The score in words."""
    if run["solved_below"] is None:
        score = f"{1 - run['score']:.1%}"
    else:
        kind = "solved" if solved(run) else "open"
        score = words[kind].format(score=run["score"], loss=run["loss"])
    return score + (words["diverged"] if run["stopped"] == "diverged" else "")


def pictures(runs: Sequence[Run]) -> dict[str, bytes]:
    """Scores by processor time, and how far the gradient comes at the start."""
    from matplotlib.ticker import LogLocator

    runs = longest(runs)
    problems = list(dict.fromkeys(run["problem"] for run in runs))
    colours = method_colours(sorted({run["cell"] for run in runs}))
    figure, places = new_figure(3.0 * -(-len(problems) // 2), nrows=-(-len(problems) // 2), ncols=2)
    for axes in np.ravel(places)[len(problems) :]:
        axes.remove()
    drawn: dict[str, Any] = {}
    for axes, problem in zip(np.ravel(places), problems, strict=False):
        of = [run for run in runs if run["problem"] == problem]
        for run in of:
            seconds, _, scores = np.array(run["curve"]).T
            images = run["solved_below"] is None
            drawn[run["cell"]], *_ = axes.plot(
                seconds / 60, 1 - scores if images else scores, color=colours[run["cell"]]
            )
        if of[0]["solved_below"] is not None:
            axes.set_yscale("log")
            axes.minorticks_off()
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_major_formatter("{x:g}")
            axes.axhline(of[0]["solved_below"], color=MUTED, linewidth=1, linestyle="--")
        axes.set_title(f"{problem}, T = {of[0]['T']:,}", fontsize=10)
        axes.set_xlabel("minutes of processor time")
        axes.set_ylabel("accuracy" if of[0]["solved_below"] is None else of[0]["unit"])
    figure.legend(drawn.values(), drawn, loc="outside upper left", ncols=3)
    made = {
        "memory_long": finish(
            figure, "memory_long", description="Scores by processor time.", caption=""
        ).png
    }
    for when in ("before", "after"):
        of = [run for run in runs if run["problem"] == problems[0]]
        lines = [
            Line(run["cell"], colours[run["cell"]], np.array(follows["norms"]), follows["every"])
            for run in of
            for follows in (run["gradient"][when],)
        ]
        name = f"memory_long_gradient_{when}"
        xlabel = f"steps back from the end, {problems[0]}, T = {of[0]['T']:,}, {when} training"
        made[name] = gradient_picture(lines, xlabel=xlabel, name=name, caption="").png
    return made
