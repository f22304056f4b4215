"""`gated fit classify` and `regress`, and the commands on their runs."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from tests.tasks.classify.conftest import bumps, ts_text

from gated.cli.app import run
from gated.data.bad_rows import BadRows
from gated.tasks.classify import baselines
from gated.tasks.classify.config import SourceOptions
from gated.tasks.classify.evaluation import evaluate_classes
from gated.tasks.classify.learner import ClassLearner
from gated.tasks.classify.table import read_sequences

QUICK = ["--hidden", "16", "--steps", "80", "--learning-rate", "0.01", "--threads", "1"]


@pytest.fixture(scope="module")
def trained(ts_files, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "bumps"
    train, test = map(str, ts_files)
    assert run(["fit", "classify", train, "--test-data", test, "--out", str(out), *QUICK]) == 0
    return out


def test_an_option_given_leaves_the_task_its_other_defaults(trained) -> None:
    asked = json.loads((trained / "run.json").read_text())["training"]
    assert (asked["steps"], asked["batch_size"], asked["validate_every"]) == (80, 16, 25)


def test_a_run_scores_beside_its_baselines_and_explains_itself(trained, ts_files, capsys) -> None:
    page = (trained / "report.html").read_text()
    for told in ("1-NN, time warping", "linear", "most frequent class", "early"):
        assert told in page
    assert run(["evaluate", str(trained), str(ts_files[1]), "--json"]) == 0
    scores = json.loads(capsys.readouterr().out)
    assert scores["scores"]["LSTM"]["accuracy"] == 1
    assert scores["confusion"] == [[15, 0], [0, 15]]
    assert run(["predict", str(trained), str(ts_files[1])]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["predicted"] for row in rows] == ["early", "late"] * 15
    assert rows[0]["sequence"] == "test.ts, line 6"
    looked = trained.parent / "looked.html"
    assert run(["explain", str(trained), str(ts_files[1]), "--out", str(looked)]) == 0
    assert ClassLearner.load(trained).probe(ts_files[1]).loss is not None
    assert "channel 1" in looked.read_text()


def test_what_was_trained_on_and_what_was_not_compared_is_told(
    trained, ts_files, tmp_path, capsys
) -> None:
    train, test = map(str, ts_files)
    assert run(["evaluate", str(trained), train]) == 0
    assert "of them were trained on" in " ".join(capsys.readouterr().out.split())
    fit = ["fit", "classify", train, "--hidden", "8", "--steps", "2", "--threads", "1"]
    assert run([*fit, "--test-data", train, "--out", str(tmp_path / "same")]) == 2
    assert "are also in the training data" in " ".join(capsys.readouterr().err.split())
    out = ["--out", str(tmp_path / "alone"), "--no-baseline", "--json"]
    assert run([*fit, "--test-data", test, *out]) == 0
    told = json.loads(capsys.readouterr().out)
    assert set(told["scores"]) == {"LSTM", "most frequent class"}
    assert "Left out: 1-NN, time warping (with --no-baseline)." in told["verdict"]


def test_warping_that_would_take_hours_is_said_to_be_left_out(trained, ts_files, monkeypatch):
    monkeypatch.setattr(baselines, "MOST_CELLS", 10)
    train, test = (read_sequences(path, SourceOptions(), labelled=True, bad=BadRows(skip=False))
                   for path in ts_files)  # fmt: skip
    found = evaluate_classes(ClassLearner.load(trained), train, test)
    assert "1-NN, time warping" not in found.scores
    told = f"Left out: 1-NN, time warping ({len(test)} × {len(train)} sequences of these lengths"
    assert told in str(found.verdict)


def test_an_interrupted_run_goes_on_to_the_same_weights(trained, ts_files, tmp_path) -> None:
    for name in ("run.json", "checkpoint.safetensors"):
        (tmp_path / name).write_bytes((trained / name).read_bytes())
    assert run(["resume", str(tmp_path)]) == 0
    (ours,), (theirs,) = (sorted(of.glob("weights-*")) for of in (tmp_path, trained))
    assert ours.name == theirs.name


def test_a_number_of_a_sequence(tmp_path: Path, capsys) -> None:
    arrays, _ = bumps(30, seed=0)
    lengths = np.array([len(array) for array in arrays])
    path = tmp_path / "lengths.ts"
    path.write_text(ts_text(arrays, lengths, "@targetLabel true"))
    out = str(tmp_path / "run")
    assert run(["fit", "regress", str(path), "--out", out, *QUICK, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert set(told["scores"]) == {"LSTM", "1-NN, time warping", "linear", "mean"}
    assert told["n"] == 8
    assert told["judged"]["outcome"] == "too few"
    assert "; it takes 10." in told["verdict"]
    assert run(["predict", out, str(path)]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "row,sequence,predicted"


@pytest.mark.parametrize("command", ["predict", "evaluate", "explain"])
def test_what_a_run_is_asked_about_can_be_bad(trained, tmp_path, capsys, command: str) -> None:
    path = tmp_path / "asked.ts"
    path.write_text(ts_text(*bumps(6, 0)) + "1,x:2,3:late\n1,2:early\n")
    out = ["--out", str(tmp_path / "page.html")] if command == "explain" else []
    assert run([command, str(trained), str(path), *out]) == 2
    assert "asked.ts, line 12 holds 'x'" in capsys.readouterr().err
    assert run([command, str(trained), str(path), *out, "--skip-bad"]) == 0
    told = capsys.readouterr()
    assert "line 12 holds 'x', which is not a number.); left out" in told.err
    assert "line 13 has 1 channels" in told.err
    if command == "predict":
        rows = list(csv.DictReader(io.StringIO(told.out)))
        assert [row["row"] for row in rows] == [str(line) for line in range(6, 14)]
        assert [bool(row["predicted"]) for row in rows] == [True] * 6 + [False] * 2
        assert "'x', which is not a number" in rows[6]["reason"]
        assert rows[7]["sequence"] == "asked.ts, line 13"


def test_where_no_row_can_be_used_the_output_says_so(trained, tmp_path, capsys) -> None:
    path, out = tmp_path / "asked.ts", tmp_path / "out.csv"
    head = ts_text(*bumps(1, 0)).partition("@data\n")[0] + "@data\n"
    path.write_text(head + "1,x:2,3:late\n1,2:early\n")
    command = ["predict", str(trained), str(path)]
    assert run([*command, "--out", str(out)]) == 2
    assert not out.exists()
    capsys.readouterr()
    assert run([*command, "--skip-bad", "--out", str(out)]) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert "error: None of the 2 rows could be used, so nothing is predicted; the column" in told
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert [row["predicted"] for row in rows] == ["", ""]
    assert "'x', which is not a number" in rows[0]["reason"]
    assert "has 1 channels" in rows[1]["reason"]
    assert list(rows[0])[:3] == ["row", "sequence", "predicted"]
    assert run([*command, "--skip-bad", "--json"]) == 2
    printed = capsys.readouterr()
    assert [row["predicted"] for row in json.loads(printed.out)] == [None, None]
    assert "None of the 2 rows could be used" in " ".join(printed.err.split())
    assert run(["evaluate", *command[1:], "--skip-bad"]) == 2
    assert "holds no usable sequence. 2 left out, the first: " in " ".join(
        capsys.readouterr().err.split()
    )


def test_a_table_of_a_run_may_have_its_columns_in_another_order(tmp_path, capsys) -> None:
    rows = [
        (f"r{k}", *step, label)
        for k, (array, label) in enumerate(zip(*bumps(16, 0), strict=True))
        for step in array
    ]
    ours = "".join(f"{name},{a:.4f},{b:.4f},{label}\n" for name, a, b, label in rows)
    theirs = "".join(f"{b:.4f},{a:.4f},{name}\n" for name, a, b, _ in rows)
    (tmp_path / "ours.csv").write_text("run,a,b,what\n" + ours)
    (tmp_path / "theirs.csv").write_text("b,a,run\n" + theirs)
    out, columns = str(tmp_path / "run"), ["--series", "run", "--label", "what"]
    command = ["fit", "classify", str(tmp_path / "ours.csv"), "--out", out, *columns]
    assert run([*command, *QUICK]) == 0
    capsys.readouterr()
    told = []
    for name in ("ours.csv", "theirs.csv"):
        assert run(["predict", out, str(tmp_path / name)]) == 0
        told.append(capsys.readouterr().out)
    assert told[0] == told[1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (ts_text(bumps(8, 0)[0], np.array(["one"] * 8)), "one class"),
        ("not sequences", "@data"),
    ],
)
def test_bad_input_leaves_nothing_behind(tmp_path: Path, capsys, text: str, message: str) -> None:
    path = tmp_path / "bad.ts"
    path.write_text(text)
    out = tmp_path / "run"
    assert run(["fit", "classify", str(path), "--out", str(out), *QUICK]) == 2
    assert message in capsys.readouterr().err
    assert not out.exists()
