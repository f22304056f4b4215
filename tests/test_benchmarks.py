"""The benchmarks measure what they say."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from benchmarks import memory, memory_page, page, profile
from benchmarks.cases import CASES, Case
from benchmarks.contenders import CONTENDERS
from benchmarks.turns import installed
from tests.comparison import assert_agree

TINY = [
    Case("train", "lstm", 5, 3, 4, 6, 1.0),
    Case("train", "gru", 5, 3, 4, 6, 1.0, ("torch", "jax")),
    Case("train", "rnn_tanh", 5, 1, 4, 6, 1.0, ("torch", "jax")),
    Case("train", "lstm", 6, 3, 4, 6, 1.0, ragged=True),
    Case("train", "lstm", 5, 3, 4, 6, 1.0, projected=2),
    Case("train", "lstm", 5, 3, 4, 6, 1.0, ("torch",), layer_norm=True),
    Case("infer", "lstm", 5, 3, 4, 6, 1.0, ("torch", "onnxruntime", "openvino", "jax")),
    Case("infer", "gru", 5, 3, 4, 6, 1.0, ("torch", "onnxruntime", "openvino", "jax")),
    Case("trace", "lstm", 5, 3, 4, 6, 1.0, ("plain",)),
    Case("step", "lstm", 1, 1, 4, 6, 1.0, ("torch", "onnxruntime")),
]


@pytest.mark.parametrize("case", TINY, ids=lambda case: case.name)
def test_contenders_compute_the_same(case: Case) -> None:
    run, output = CONTENDERS["gated"](case, 1)
    run()
    ours = output()
    assert np.abs(ours).max() > 0
    # JAX starts threads that other tests' forks would break; every race compares its output.
    for peer in sorted({peer for peer in case.peers if installed(peer)} - {"jax"}):
        theirs, its_output = CONTENDERS[peer](case, 1)
        theirs()
        assert_agree(np.array(its_output()), np.array(ours), peer, relative=1e-4, absolute=1e-4)


def test_operations_are_those_of_the_products() -> None:
    case = Case("train", "lstm", 3, 2, 5, 7, 1.0)
    assert case.operations == 3 * 2 * (3 * 2) * (28 * 5 + 28 * 7)
    ragged = case._replace(ragged=True, work="infer")
    assert ragged.operations == 2 * int(ragged.lengths.sum()) * (28 * 5 + 28 * 7)
    projected = case._replace(projected=4, work="infer")
    assert projected.operations == 2 * (3 * 2) * (28 * 5 + 28 * 4 + 7 * 4)
    assert len({case.name for case in CASES}) == len(CASES)


def test_the_page_is_filled_between_its_marks_alone(tmp_path: Path) -> None:
    row = {
        "name": CASES[0].name,
        "case": CASES[0]._asdict(),
        "seconds": {"gated": {"median": 0.01}, "torch": {"median": 0.025}},
        "best_peer": "torch",
        "ratio": 2.5,
        "of_limit": 0.5,
    }
    memory = {"memory": {"T": 50}, "bytes": {"gated": 2**20, "torch": 2**21}}
    path = tmp_path / "page.md"
    path.write_text(f"before\n{page.BEGIN}\nold\n{page.END}\nafter\n", encoding="utf-8")
    page.write(path, {"processor": "any"}, [row], [memory])
    text = path.read_text(encoding="utf-8")
    assert text.startswith("before\n")
    assert text.endswith(f"{page.END}\nafter\n")
    assert "old" not in text
    assert "| 10.00 ms | torch 25.00 ms | **2.50×** | 1.6× | 50% |" in text
    assert "| 50 | 1 MiB | 2 MiB |" in text
    assert "2.50×" in page.line(row)
    path.write_text("no marks", encoding="utf-8")
    with pytest.raises(ValueError, match="has no part between"):
        page.write(path, {}, [row], [])
    assert path.read_text(encoding="utf-8") == "no marks"


def test_a_profile_compares_each_product_with_the_limit() -> None:
    """Two threads of 1 GFLOP/s each; all phases but one take a tenth of the step's 20 s."""
    case = Case("train", "lstm", 3, 2, 5, 7, 1.0)
    spent = dict.fromkeys(profile.PHASES, 2.0) | {"hidden product": 4.0, "step": 10.0}
    rows = profile.lines(case, spent, {"threads": 2, "peak_gflops": 2e-6})
    cells = {row.split("|")[1].strip(): row.split("|")[2:] for row in rows}
    of_hidden = 2 * (2 * (3 * 2) * (28 * 7)) / 4.0 / 1e3
    assert [c.strip() for c in cells["hidden product"]] == [
        "2000.00",
        "20%",
        f"{of_hidden:.0%}",
        "",
    ]
    assert [c.strip() for c in cells["waiting"]] == ["1000.00", "10%", "", ""]
    assert cells["outside the core"][1].strip() == "20%"


def test_only_what_is_there_takes_part() -> None:
    assert installed("gated")
    assert installed("torch")
    assert installed("jax") == (importlib.util.find_spec("jax") is not None)


def test_memory_runs_are_done_once_and_become_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = memory.Setting(4, 1e-2, batch=4)
    results = tmp_path / "memory.jsonl"
    monkeypatch.setattr(memory, "LENGTHS", {"adding": 12, "copy": 5})
    monkeypatch.setattr(
        memory,
        "runs",
        lambda: [("adding", "lem", tiny), ("copy", "gru-chrono", tiny), ("copy", "lem", tiny)],
    )
    command = ["memory", "--minutes", "1e-4", "--results", str(results), "--only"]
    for only, lines in (("adding", 1), ("copy/lem", 2), ("copy/lem", 2), ("", 3)):
        monkeypatch.setattr("sys.argv", [*command, only])
        memory.main()
        assert len(memory.finished(results)) == lines
    runs = memory.finished(results)
    assert [run["stopped"] for run in runs] == ["time"] * 3
    assert all(run["curve"][-1][:2] == [run["seconds"], run["steps"]] for run in runs)
    assert len(runs[0]["gradient"]["before"]["norms"]) == 12
    runs[0] |= {"score": 0.01, "seconds": 90.0}
    runs[2] |= {"problem": "fashion", "solved_below": None, "score": 0.125, "T": 64}
    table = memory_page.tables(runs, memory_page.WORDS["en"])
    assert "**solved**, 0.01 | 1.5 |" in next(line for line in table if "`lem` | 4" in line)
    assert "| 12.5%" not in "".join(table)
    assert "| 87.5% |" in next(line for line in table if "gru-chrono" in line)
    assert "not solved: " in next(line for line in table[::-1] if "`lem`" in line)
    assert "| 0.0 (of 0.0002 only) |" in next(line for line in table[::-1] if "`lem`" in line)
    longer = {**runs[0], "minutes": 20, "score": 0.001}
    kept = memory_page.longest([longer, *runs])
    assert len(kept) == 3
    assert longer in kept
    drawn = memory_page.pictures(runs)
    assert set(drawn) == {
        "memory_long",
        "memory_long_gradient_before",
        "memory_long_gradient_after",
    }


def test_every_memory_run_has_a_cell_and_a_length() -> None:
    names = [(problem, cell) for problem, cell, _ in memory.runs()]
    assert len(names) == len(set(names)) == 24
    for problem, cell, of in memory.runs():
        network = memory.MemoryNetwork(
            cell, of.units, memory.problem_of(problem, memory.LENGTHS[problem]), 0, layers=of.layers
        )
        assert memory.options_of(problem, of, 20, 0).processor_minutes == 20
        assert network.encoder.num_layers == of.layers
