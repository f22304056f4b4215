"""The benchmarks measure what they say."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from benchmarks import page, profile
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
