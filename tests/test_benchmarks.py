"""The benchmarks measure what they say."""

from __future__ import annotations

import importlib.util
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from benchmarks import memory, memory_page, models, page, profile, turns
from benchmarks.cases import CASES, Case
from benchmarks.contenders import contender
from benchmarks.machine import NARROW, narrow_instructions
from benchmarks.turns import TOLERANCE, RefusedError, installed
from tests.comparison import assert_agree

from gated.errors import TrainingDivergedError

TINY = [
    Case("train", "lstm", 5, 3, 4, 6, 1.0),
    Case("train", "gru", 5, 3, 4, 6, 1.0, ("torch", "jax")),
    Case("train", "rnn_tanh", 5, 1, 4, 6, 1.0, ("torch", "jax")),
    Case("train", "lstm", 6, 3, 4, 6, 1.0, ragged=True),
    Case("train", "lstm", 5, 3, 4, 6, 1.0, projected=2),
    Case("train", "lstm", 5, 3, 4, 6, 1.0, ("torch",), layer_norm=True),
    Case("train", "gru", 5, 3, 4, 6, None, ("plain",), recompute=True),
    Case("infer", "lstm", 5, 3, 4, 6, 1.0, ("torch", "onnxruntime", "openvino", "jax")),
    Case("infer", "gru", 5, 3, 4, 6, 1.0, ("torch", "onnxruntime", "openvino", "jax")),
    Case("trace", "lstm", 5, 3, 4, 6, 1.0, ("plain",)),
    Case("step", "lstm", 1, 1, 4, 6, 1.0, ("torch", "onnxruntime")),
    *(
        Case(
            "step", "lstm", 1, 1, 8, 16, 4.0,
            ("torch", "torch float32", "onnxruntime float32", "onnxruntime int8"),
            precision=precision,
        )
        for precision in ("bfloat16", "int8")
    ),
]  # fmt: skip


@pytest.mark.parametrize("case", TINY, ids=lambda case: case.name)
def test_contenders_compute_the_same(case: Case) -> None:
    run, output = contender("gated", case, 1)
    run()
    ours = output()
    assert np.abs(ours).max() > 0
    narrow = case.precision != "float32"
    within = TOLERANCE[case.precision] if narrow else 1e-4
    # JAX starts threads that other tests' forks would break; every race compares its output.
    for peer in sorted({peer for peer in case.peers if installed(peer)} - {"jax"}):
        theirs, its_output = contender(peer, case, 1)
        theirs()
        found = np.array(its_output())
        assert_agree(found, np.array(ours), peer, relative=1e-4, absolute=within)
        # A peer that was not narrow after all would be at a rounding's distance from float32.
        if peer in ("torch", "onnxruntime int8") and narrow:
            exact = contender(f"{peer.split()[0]} float32", case, 1)[1]()
            assert np.abs(found - exact).max() > 1e-5


def test_operations_are_those_of_the_products() -> None:
    case = Case("train", "lstm", 3, 2, 5, 7, 1.0)
    assert case.operations == 3 * 2 * (3 * 2) * (28 * 5 + 28 * 7)
    ragged = case._replace(ragged=True, work="infer")
    assert ragged.operations == 2 * int(ragged.lengths.sum()) * (28 * 5 + 28 * 7)
    projected = case._replace(projected=4, work="infer")
    assert projected.operations == 2 * (3 * 2) * (28 * 5 + 28 * 4 + 7 * 4)
    assert len({case.name for case in CASES}) == len(CASES)


def measured_row(case: Case, ours: float, theirs: float, instructions: str = "none") -> Any:
    return {
        "name": case.name,
        "case": case._asdict(),
        "seconds": {"gated": {"median": ours}, case.peers[0]: {"median": theirs}},
        "refused": {},
        "best_peer": case.peers[0],
        "ratio": theirs / ours,
        "of_limit": 0.5,
        "machine": {"for_narrow_numbers": instructions},
    }


def test_the_page_names_rows_that_are_behind_or_short_of_their_goal_and_what_did_not_run() -> None:
    far = next(case for case in CASES if case.limit_goal)
    plain = next(case for case in CASES if case.layer_norm and case.peers == ("plain",))
    narrow = next(case for case in CASES if (case.work, case.precision) == ("train", "bfloat16"))
    ahead, slow = measured_row(far, 1.0, 1.5), measured_row(CASES[0], 1.0, 0.9)
    without = measured_row(narrow, 1.0, 1.2)
    refused = measured_row(narrow, 1.0, 1.0, "avx512_bf16") | {"refused": {"gated": "no such"}}
    del refused["ratio"], refused["of_limit"]
    del refused["seconds"]["gated"]
    lines = page.remarks([ahead, slow, measured_row(plain, 1.0, 0.85), without, refused])
    listed: dict[str, list[str]] = {}
    heading = ""
    for line in filter(None, lines):
        if line.startswith("- "):
            listed[heading].append(line[2:])
        else:
            heading = line[:11]
            listed[heading] = []

    def names(*cases: Case) -> list[str]:
        return [" ".join(case.name.split()) for case in cases]

    assert listed == {
        "Behind the ": names(CASES[0]),
        "Short of th": names(far, CASES[0]),  # the first has its ratio, but half of the limit
        "Goals in br": names(narrow),
        "Did not run": [f"{names(narrow)[0]}: gated (no such)"],
    }
    assert page.goal_applies(refused)
    assert not page.goal_applies(without)
    table = page.results({"processor": "any"}, [without, refused], [])
    assert "| (1.5×) |" in "\n".join(table)
    assert "| did not run | torch 1000.00 ms | – | 1.5× |" in "\n".join(table)
    assert "did not run: no such; torch 1000.00 ms" in page.line(refused)


def test_the_page_is_filled_between_its_marks_alone(tmp_path: Path) -> None:
    row = measured_row(CASES[0], 0.01, 0.025)
    memory = {"memory": {"T": 50}, "bytes": {"gated": 2**20, "bfloat16": None, "torch": 2**21}}
    path = tmp_path / "page.md"
    path.write_text(f"before\n{page.BEGIN}\nold\n{page.END}\nafter\n", encoding="utf-8")
    page.write(path, {"processor": "any"}, [row], [memory])
    text = path.read_text(encoding="utf-8")
    assert text.startswith("before\n")
    assert text.endswith(f"{page.END}\nafter\n")
    assert "old" not in text
    assert "| 10.00 ms | torch 25.00 ms | **2.50×** | 1.7× | 50% |" in text
    assert "| 50 | 1 MiB | – | 2 MiB |" in text
    assert "2.50×" in page.line(row)
    path.write_text("no marks", encoding="utf-8")
    with pytest.raises(ValueError, match="has no part between"):
        page.write(path, {}, [row], [])
    assert path.read_text(encoding="utf-8") == "no marks"


def test_a_race_says_who_did_not_take_part_and_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GATED_RTNEURAL", raising=False)

    class Started:
        def __init__(self, peer: str, case: Case, threads: int) -> None:
            if peer == "openvino":
                raise RefusedError("no such precision")
            self.peer, self.output = peer, np.full((1, 1, 6), 0.5 + 0.04 * (peer != "gated"))

        def turn(self) -> float:
            return 1.0 if self.peer == "gated" else 3.0

        def close(self) -> None:
            pass

    monkeypatch.setattr(turns, "Contender", Started)
    monkeypatch.setattr(turns, "REST", 0)
    monkeypatch.setattr(turns, "installed", lambda peer: peer != "rtneural")
    case = Case(
        "step", "lstm", 1, 1, 4, 6, 1.0, ("torch", "openvino", "rtneural"), precision="int8"
    )
    times, refused = turns.race(case, 1, 0.0)
    assert refused == {"openvino": "no such precision", "rtneural": "not installed"}
    assert {peer: of["median"] for peer, of in times.items()} == {"gated": 1.0, "torch": 3.0}
    with pytest.raises(ValueError, match=r"the output of torch differs by 0\.04"):
        turns.race(case._replace(precision="float32"), 1, 0.0)


def test_a_race_has_five_turns_or_two_of_slow_contenders() -> None:
    assert not turns._enough(20, over=-0.1, seconds=4.0)
    assert turns._enough(5, over=0.1, seconds=4.0)
    assert not turns._enough(4, over=0.1, seconds=4.0)
    assert turns._enough(2, over=4.1, seconds=4.0)
    assert not turns._enough(1, over=100.0, seconds=4.0)


def test_a_contender_in_its_process_gives_times_or_its_reason() -> None:
    case = Case("step", "lstm", 1, 1, 4, 6, 1.0, ("torch",))
    times, refused = turns.race(case, 1, 0.2)
    assert times["gated"]["turns"] >= 2
    assert 0 < times["gated"]["best"] <= times["gated"]["median"]
    assert not refused
    times, refused = turns.race(case._replace(precision="float16"), 1, 0.0)
    assert list(times) == ["torch"]
    assert refused["gated"].startswith("ConfigurationError: stored_as must be one of float32,")


def test_instructions_for_narrow_numbers_are_those_that_the_processor_lists() -> None:
    found = narrow_instructions()
    assert set(found) == set(NARROW)
    assert all(set(found[of]) <= set(NARROW[of]) for of in NARROW)


@pytest.mark.parametrize("kind", ["language", "forecast", "tag"])
@pytest.mark.parametrize("cell", ["LSTM", "GRU"])
def test_models_train_alike_on_both_layers_and_the_layer_is_a_part_of_the_step(
    kind: str, cell: str
) -> None:
    model = models.Model(kind, cell, 6, 3, 4, 5)
    ours, theirs = models.networks(model)
    given = models.batches(model, 2)
    steps = [models.training_step(network, given) for network in (ours, theirs)]
    for number in range(4):
        losses = [float(step(number)) for step in steps]
        assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    for own, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(own, other, rtol=1e-4, atol=1e-5)
    before = [parameter.detach().clone() for parameter in ours.parameters()]
    begun = time.perf_counter()
    watch = models.watched(ours, steps[0], 0)
    assert 0 < watch.layer < watch.seconds < time.perf_counter() - begun
    assert any(not torch.equal(*both) for both in zip(before, ours.parameters(), strict=True))


def test_a_row_of_a_model_has_all_that_the_table_shows() -> None:
    model = models.Model("forecast", "LSTM", 6, 3, 4, 5)
    torch.set_num_threads(1)
    row = models.measured(model, 0.01)
    assert row["losses"][0] == pytest.approx(row["losses"][1], rel=1e-3)
    assert 0 < row["layer_share"] < 1
    row |= {"ratio": 1.1, "layer_share": 0.8, "seconds": {"gated": 0.01, "torch": 0.011}}
    row |= {"layer_ratio": 1.2, "alone_in_turn": 1.3, "alone": 1.4, "faults": [0, 20]}
    row["sleeps"] = [1, 2]
    assert models.line(row) == (
        "| forecast, LSTM | 6, 3, 4, 5 | 10.0 ms | 11.0 ms | **1.10×** behind | 80% | 1.20× "
        "| 1.30× | 1.40× | 0, 20 | 1, 2 |"
    )
    assert "behind" not in models.line(row | {"ratio": 1.25})
    assert "behind" not in models.line(row | {"layer_share": 0.3})


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


def test_a_memory_run_that_diverges_is_a_line_with_its_last_score(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = tmp_path / "memory.jsonl"
    tiny = memory.Setting(4, 1e-2, batch=4)
    monkeypatch.setattr(memory, "LENGTHS", {"adding": 12})
    monkeypatch.setattr(memory, "runs", lambda: [("adding", "lem", tiny)])

    def diverge(task: Any, options: Any, progress: memory.Curve) -> None:
        progress.validation(step=7, scores={"loss": 0.5}, best=True)
        raise TrainingDivergedError("Training diverged at step 9.")

    monkeypatch.setattr(memory, "train", diverge)
    monkeypatch.setattr("sys.argv", ["memory", "--minutes", "10", "--results", str(results)])
    memory.main()
    memory.main()  # it is done, however often it is asked for
    (run,) = memory.finished(results)
    assert (run["stopped"], run["steps"], run["loss"]) == ("diverged", 7, 0.5)
    words = memory_page.WORDS["en"]
    assert memory_page.result(run, words).endswith("training loss 0.5, then diverged")


def test_every_memory_run_has_a_cell_and_a_length() -> None:
    names = [(problem, cell) for problem, cell, _ in memory.runs()]
    assert len(names) == len(set(names)) == 24
    for problem, cell, of in memory.runs():
        network = memory.MemoryNetwork(
            cell, of.units, memory.problem_of(problem, memory.LENGTHS[problem]), 0, layers=of.layers
        )
        assert memory.options_of(problem, of, 20, 0).processor_minutes == 20
        assert network.encoder.num_layers == of.layers
