"""Tables of docs/en/forecast_bench.md and docs/zh/forecast_bench.md, from the lines of a file."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.forecast_methods import METHODS
from benchmarks.page import BEGIN, END, fill
from gated.scoring.judge import judge
from gated.scoring.verdict import Measure
from gated.tasks.forecast.score import MAE, WINDOWS

Line = Mapping[str, Any]
DOCS = Path("docs")
OURS = tuple(name for name in METHODS if name.startswith("gated"))
STATISTICAL = tuple(name for name, method in METHODS.items() if method.statistical)
MASE = Measure("MASE {}", relative=True)
TARGET = (0.75, 0.85)
"""Coverage of the 80 % interval that counts as right."""
WORDS: Mapping[str, Mapping[str, Any]] = {
    "en": {
        "compared": "row | windows | {ours} | best statistical method, in hindsight | {ours} ÷ it "
        "| the one the stretch before chose | {ours} ÷ it | judged against the best",
        "row": "row",
        "mean": "geometric mean of ours ÷ theirs, {count} rows",
        "ratios": "geometric mean of the error ÷ the best in hindsight",
        "outcomes": {
            "better": "ahead", "worse": "**behind**", "undecided": "level", "too few": "too few",
        },
        "tables": {
            "mase": "MASE, the best of a row in bold",
            "mae": "MAE, in the unit of the row",
            "pinball": "Pinball loss of 10 %, 50 % and 90 %, in the unit of the row",
            "coverage": "Coverage of the 80 % interval in percent; in bold from 75 to 85",
            "seconds": "Seconds of processor time, fitting and forecasting",
        },
        "pooled": "all rows, each value once",
        "shift": "naive error, test ÷ validation",
        "failed": "Not computed",
    },
    "zh": {
        "compared": "行 | 窗口 | {ours} | 事后看最好的统计方法 | {ours} ÷ 它 "
        "| 测试段之前选出的方法 | {ours} ÷ 它 | 与最好者相比的判定",
        "row": "行",
        "mean": "比值的几何平均，{count} 行",
        "ratios": "误差 ÷ 事后最好者，几何平均",
        "outcomes": {
            "better": "领先", "worse": "**落后**", "undecided": "持平", "too few": "太少",
        },
        "tables": {
            "mase": "MASE，每行最好的用粗体",
            "mae": "MAE，单位随行而定",
            "pinball": "10 %、50 %、90 % 三个分位数的弹球损失，单位随行而定",
            "coverage": "80 % 区间的覆盖率（百分比），75 到 85 用粗体",
            "seconds": "处理器时间（秒），含拟合与预测",
        },
        "pooled": "所有行合计，每个值算一次",
        "shift": "朴素误差，测试 ÷ 验证",
        "failed": "没有算出来的",
    },
}  # fmt: skip


def write(lines: Sequence[Line], order: Sequence[str]) -> None:
    """Fill the tables of both pages; rows in the given order."""
    for language, words in WORDS.items():
        fill(DOCS / language / "forecast_bench.md", BEGIN, END, tables(lines, order, words))


def tables(lines: Sequence[Line], order: Sequence[str], words: Mapping[str, Any]) -> list[str]:
    """All tables: ours against the best, then each figure of every method."""
    by_row = {
        row: {line["method"]: line for line in lines if line["row"] == row and "mae" in line}
        for row in order
    }
    by_row = {row: of for row, of in by_row.items() if of}
    # Where a statistical method has not been tried yet, the best of them is not known.
    tried = {row: {line["method"] for line in lines if line["row"] == row} for row in order}
    whole = {row for row in order if tried[row].issuperset(STATISTICAL)}
    text: list[str] = []
    for ours in OURS:
        if any(ours in of for of in by_row.values()):
            text += compared({row: by_row[row] for row in by_row if row in whole}, ours, words)
    for figure, title in words["tables"].items():
        text += ["", f"**{title}**", "", *of_figure(by_row, figure, words, whole)]
    failed = [line for line in lines if "refused" in line]
    if failed:
        text += ["", f"**{words['failed']}**", ""]
        text += [f"- {line['row']}, {line['method']}: {line['refused']}" for line in failed]
    return [*text, ""]


def error(line: Line, scores: Line | None = None) -> float:
    """The error that counts in a row, of the test part or of `scores`; infinite if unknown."""
    value = (line if scores is None else scores)[line["compared_by"]]
    return np.inf if value is None else float(value)


def hindsight(of: Mapping[str, Line]) -> str | None:
    """The statistical method with the lowest error in the test part."""
    return min(
        (name for name in STATISTICAL if name in of), key=lambda n: error(of[n]), default=None
    )


def chosen(of: Mapping[str, Line]) -> str | None:
    """The one with the lowest error in the stretch before the test part."""
    known = [name for name in STATISTICAL if name in of and of[name]["before"]]
    return min(known, key=lambda name: error(of[name], of[name]["before"]), default=None)


def verdict(of: Mapping[str, Line], ours: str) -> str:
    """What the judge says of ours against the best statistical method."""
    names = [ours, *(name for name in STATISTICAL if name in of)]
    scaled = of[ours]["compared_by"] == "mase"
    sums, counts = ("scaled", "scaled_values") if scaled else ("absolute", "values")
    measure = MASE if scaled else MAE
    sizes = np.array(of[ours]["by_time"][counts])
    there = sizes > 0
    values = {name: np.array(of[name]["by_time"][sums])[there] for name in names}
    return judge(values, measure, WINDOWS, sizes=sizes[there]).outcome


def compared(
    by_row: Mapping[str, Mapping[str, Line]], ours: str, words: Mapping[str, Any]
) -> list[str]:
    """One of our methods against the best statistical one."""
    head = words["compared"].format(ours=ours)
    text = ["", f"| {head} |", "| --- " * 8 + "|"]
    against: dict[str, list[float]] = {"best": [], "chosen": []}
    for row, of in by_row.items():
        best, before = hindsight(of), chosen(of)
        if ours not in of or best is None:
            continue
        cells = [row, f"{of[ours]['windows']:,}", f"{error(of[ours]):.3g}"]
        for kind, name in (("best", best), ("chosen", before)):
            if name is None:
                cells += ["–", "–"]
                continue
            ratio = error(of[ours]) / error(of[name])
            against[kind].append(ratio)
            cells += [f"{error(of[name]):.3g}, {name}", f"{ratio:.2f}"]
        text.append(f"| {' | '.join(cells)} | {words['outcomes'][verdict(of, ours)]} |")
    mean = words["mean"].format(count=len(against["best"]))
    best_mean, chosen_mean = (f"**{geometric(ratios)}**" for ratios in against.values())
    return [*text, f"| {mean} | | | | {best_mean} | | {chosen_mean} | |"]


def of_figure(
    by_row: Mapping[str, Mapping[str, Line]],
    figure: str,
    words: Mapping[str, Any],
    whole: Collection[str],
) -> list[str]:
    """A figure of all methods, a row each; means of ratios over the `whole` rows."""
    names = [name for name in METHODS if any(name in of for of in by_row.values())]
    heads = [words["row"], *([words["shift"]] if figure == "coverage" else []), *names]
    text = [f"| {' | '.join(heads)} |", "| --- " * len(heads) + "|"]
    for row, of in by_row.items():
        values = {name: of[name][figure] for name in names if name in of}
        known = [value for value in values.values() if value is not None]
        best = min(known, default=None) if figure == "mase" else None
        cells = [cell(values.get(name), figure, best) for name in names]
        if figure == "coverage":
            shift = of.get("naive", {}).get("shift")
            cells.insert(0, f"{shift:.2g}" if shift else "–")
        text.append(f"| {row} | {' | '.join(cells)} |")
    if figure == "mase":
        counted = [of for row, of in by_row.items() if row in whole]
        means = [geometric(of for row in counted for of in to_best(row, name)) for name in names]
        text.append(f"| {words['ratios']} | {' | '.join(means)} |")
    if figure == "coverage":
        pools = [cell(pooled(by_row.values(), name), figure, None) for name in names]
        text.append(f"| {words['pooled']} | | {' | '.join(pools)} |")
    return text


def cell(value: float | None, figure: str, best: float | None) -> str:
    """A figure as text, bold where it is the best or as it should be."""
    if value is None:
        return "–"
    if figure == "coverage":
        text, bold = f"{100 * value:.0f}", TARGET[0] <= value <= TARGET[1]
    else:
        text, bold = f"{value:.3g}" if value < 1000 else f"{value:,.0f}", value == best
    return f"**{text}**" if bold else text


def to_best(of: Mapping[str, Line], name: str) -> list[float]:
    """The error of a method in a row, divided by that of the best statistical one; or nothing."""
    best = hindsight(of)
    return [error(of[name]) / error(of[best])] if best and name in of else []


def pooled(rows: Iterable[Mapping[str, Line]], name: str) -> float | None:
    """Coverage over the values of all rows."""
    found = [
        (of[name]["coverage"], sum(of[name]["by_time"]["values"]))
        for of in rows
        if name in of and of[name]["coverage"] is not None
    ]
    covered, counts = np.array(found).T if found else (np.zeros(0), np.zeros(0))
    return float(covered @ counts / counts.sum()) if found else None


def geometric(ratios: Iterable[float]) -> str:
    """The geometric mean as text."""
    values = list(ratios)
    return f"{np.exp(np.mean(np.log(values))):.2f}" if values else "–"
