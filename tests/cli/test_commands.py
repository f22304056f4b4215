"""The command as a user types it, on a small table of two shops."""

import json
import os
import signal
import subprocess
import sys
import time
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.documents import write_document

from gated.cli.app import run

QUICK = ["--steps", "12", "--hidden", "6", "--validate-every", "6", "--threads", "1"]


@pytest.fixture(scope="module")
def sales(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """200 days of two shops, weekly pattern and a price that is known ahead."""
    rng = np.random.default_rng(0)
    lines = ["date,shop,sold,price"]
    for shop, level in (("north", 40), ("south", 90)):
        for day in range(200):
            price = 5 + rng.integers(0, 3)
            sold = level + 10 * np.sin(2 * np.pi * day / 7) - 4 * price + rng.normal()
            lines.append(f"{date(2024, 1, 1) + timedelta(day)},{shop},{sold:.2f},{price}")
    path = tmp_path_factory.mktemp("data") / "sales.csv"
    path.write_text("\n".join(lines))
    return path


COLUMNS = {"time": "date", "target": "sold", "series": "shop", "known": "price", "horizon": "7"}


def fit_arguments(data: Path, out: Path, *more: str, **changed: str) -> list[str]:
    options = [part for name, value in (COLUMNS | changed).items() for part in (f"--{name}", value)]
    return ["fit", "forecast", str(data), *options, "--out", str(out), *more]


@pytest.fixture(scope="module")
def trained(sales: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "sales"
    assert run(fit_arguments(sales, out, *QUICK)) == 0
    return out


def test_fit_leaves_a_model_a_report_and_what_was_asked(trained: Path) -> None:
    names = {path.name for path in trained.iterdir()}
    assert {"run.json", "model.json", "history.json", "report.html", "figures"} <= names
    asked = json.loads((trained / "run.json").read_text())
    assert asked["task"] == "forecast"
    assert asked["config"]["known"] == ["price"]
    assert asked["training"]["steps"] == 12


def test_a_fit_on_all_data_says_that_it_has_no_score(
    sales: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "all"
    assert run(fit_arguments(sales, out, *QUICK, "--test", "0")) == 0
    assert "no score: the network learned from all data (--test 0)" in capsys.readouterr().out
    assert "no score" in (out / "report.html").read_text()


def test_fit_as_json_is_one_document(
    sales: Path, tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gated.cli.training_bar.SECONDS_BETWEEN_LINES", 1e9)  # of a slow machine
    assert run(fit_arguments(sales, tmp_path / "run", *QUICK, "--json")) == 0
    printed = capsys.readouterr()
    document = json.loads(printed.out)
    assert document["training"]["steps"] == 12
    assert set(document["overall"]) == {"LSTM", "naive", "seasonal naive"}
    assert document["overall"]["naive"]["mae"] > 0
    assert printed.err == ""  # no bar where nobody looks at a terminal


def test_a_long_training_writes_a_line_now_and_then_into_a_log(
    sales: Path, tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gated.cli.training_bar.SECONDS_BETWEEN_LINES", 0.0)
    monkeypatch.setattr("gated.cli.training_bar.SECONDS_BETWEEN_LOOKS", 0.001)
    assert run(fit_arguments(sales, tmp_path / "run", *QUICK, "--json")) == 0
    told = capsys.readouterr().err
    for begins in ("Reading windows: ", "Training LSTM on ", "Drawing the report: "):
        assert f"\n{begins}" in f"\n{told}"
    assert ", pinball loss, scaled 0." in told
    assert ", validation MAE " in told


def test_predict_prints_the_next_week_of_each_shop(sales: Path, trained: Path, capsys) -> None:
    future = sales.read_text().splitlines()
    for shop in ("north", "south"):
        future += [f"{date(2024, 7, 19) + timedelta(k)},{shop},,6" for k in range(7)]
    table = trained.parent / "future.csv"
    table.write_text("\n".join(future))
    assert run(["predict", str(trained), str(table)]) == 0
    header, *rows = capsys.readouterr().out.splitlines()
    assert header == "shop,date,q10,q50,q90"
    assert len(rows) == 14
    assert rows[0].startswith("north,2024-07-19,")
    assert rows[-1].startswith("south,2024-07-25,")
    assert run(["predict", str(trained), str(table), "--json"]) == 0
    assert [row["shop"] for row in json.loads(capsys.readouterr().out)] == ["north"] * 7 + [
        "south"
    ] * 7


def test_predict_draws_paths_of_each_shop(
    sales: Path, trained: Path, tmp_path: Path, capsys
) -> None:
    future = sales.read_text().splitlines()
    for shop in ("north", "south"):
        future += [f"{date(2024, 7, 19) + timedelta(k)},{shop},,6" for k in range(7)]
    table = tmp_path / "future.csv"
    table.write_text("\n".join(future))
    printed = []
    for seed in ("0", "0", "1"):
        assert run(["predict", str(trained), str(table), "--paths", "3", "--seed", seed]) == 0
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1] != printed[2]
    header, *rows = printed[0].splitlines()
    assert header == "shop,date,path,value"
    assert len(rows) == 2 * 3 * 7
    assert rows[7].startswith("north,2024-07-19,1,")
    assert run(["predict", "pretrained", str(sales), "--paths", "3"]) == 2
    assert "--paths" in capsys.readouterr().err


def test_predict_without_the_known_covariate_says_so(sales: Path, trained: Path, capsys) -> None:
    assert run(["predict", str(trained), str(sales)]) == 2
    message = capsys.readouterr().err
    assert "price" in message
    assert "2024-07-19" in message


def test_evaluate_scores_what_fit_scored(sales: Path, trained: Path, capsys) -> None:
    assert run(["evaluate", str(trained), str(sales), "--json"]) == 0
    evaluated = json.loads(capsys.readouterr().out)
    # The last tenth of 200 days, at a week each, for two shops.
    assert evaluated["windows"] == 4
    assert evaluated["overlap"] == 0


def test_explain_writes_a_page_with_its_pictures_beside_it_once(
    sales: Path, trained: Path, tmp_path: Path, capsys
) -> None:
    page = tmp_path / "memory.html"
    arguments = ["explain", str(trained), str(sales), "--layer", "1", "--steps", "2", "5"]
    assert run([*arguments, "--sequence", "-1", "--out", str(page), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["report"] == str(page)
    assert [layer["name"] for layer in document["layers"]] == ["decoder, layer 0"]
    assert document["verdict"] in page.read_text("utf-8")
    assert "steps 2 to 5 of 7" in page.read_text("utf-8")
    assert (tmp_path / "memory_figures" / "gates_1.svg").exists()
    assert run([*arguments, "--out", str(page)]) == 2
    assert "exists already" in capsys.readouterr().err
    page.unlink()
    assert run([*arguments, "--out", str(page)]) == 2  # the pictures would be written over
    assert "memory_figures is not empty" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (["--layer", "2"], "2 recurrent layers, from 0 to 1, got 2"),
        (["--steps", "5", "99"], "got 5 to 99"),
        (["--sequence", "40"], "sequence: there are"),
    ],
)
def test_explain_refuses_what_is_not_there_and_writes_nothing(
    sales: Path, trained: Path, tmp_path: Path, capsys, option: list[str], message: str
) -> None:
    out = tmp_path / "report"
    assert run(["explain", str(trained), str(sales), "--out", str(out), *option]) == 2
    assert message in capsys.readouterr().err
    assert not out.exists()


def test_backtest_counts_windows_that_were_trained_on(sales: Path, trained: Path, capsys) -> None:
    arguments = ["backtest", str(trained), str(sales), "--start", "2024-03-01"]
    assert run([*arguments, "--end", "2024-03-14", "--stride", "7", "--json"]) == 0
    tested = json.loads(capsys.readouterr().out)
    assert tested["windows"] == 4
    assert tested["overlap"] == 4


def test_options_from_a_file_and_the_command_line_goes_first(
    sales: Path, tmp_path: Path, capsys
) -> None:
    file = tmp_path / "options.toml"
    file.write_text(
        f'data = "{sales}"\ntime = "date"\ntarget = "sold"\nseries = "shop"\nknown = ["price"]\n'
        "horizon = 7\nsteps = 900\nhidden = 6\nthreads = 1\nvalidate_every = 6\n"
    )
    out = tmp_path / "run"
    arguments = ["fit", "forecast", "--config", str(file), "--out", str(out), "--steps", "6"]
    assert run([*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["training"]["steps"] == 6


def test_the_report_holds_a_configuration_that_runs(
    sales: Path, trained: Path, tmp_path: Path
) -> None:
    page = (trained / "report.html").read_text()
    toml = page[page.index("time = ") :]
    toml = toml[: toml.index("</code>")].replace("&#34;", '"').replace("&#39;", "'")
    file = tmp_path / "again.toml"
    file.write_text(toml)
    out = tmp_path / "again"
    assert run(["fit", "forecast", str(sales), "--config", str(file), "--out", str(out)]) == 0
    assert weights(out) == weights(trained)


def test_what_is_left_to_the_data_can_be_turned_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr("gated.cli.fit.fit_into", lambda *given, **_: asked.append(given[1]))
    for options in (["--no-day-first"], ["--day-first"], ["--no-keep-rows"]):
        assert run([*fit_arguments(tmp_path / "sales.csv", tmp_path / "run"), *options]) == 0
    assert [learner.config.day_first for learner in asked] == [False, True, None]
    assert [learner.config.no_keep_rows for learner in asked] == [False, False, True]


def weights(directory: Path) -> str:
    """The name of the weights, which holds their digest."""
    (path,) = directory.glob("weights-*.safetensors")
    return path.name


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"target": "sould"}, ["sould", "sold"]),
        ({"target": "date"}, ["date", "two roles"]),
        ({"series": "price", "known": "shop"}, ["date", "line"]),
        ({"horizon": "0"}, ["horizon", "0"]),
        ({"horizon": "seven"}, ["horizon", "seven"]),
        ({"history": "500"}, ["500", "Too few"]),
        ({"learning-rate": "-1"}, ["--learning-rate", "-1"]),
        ({"init-from": "nowhere"}, ["nowhere"]),
        ({"freeze": "cellar"}, ["cellar", "encoder"]),
        ({"colour": "red"}, ["--colour"]),
    ],
)
def test_what_cannot_be_meant_is_named_and_nothing_written(
    sales: Path, tmp_path: Path, capsys, change: dict[str, str], words: list[str]
) -> None:
    out = tmp_path / "run"
    assert run(fit_arguments(sales, out, "--steps", "12", **change)) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert "Traceback" not in printed.err
    for word in words:
        assert word in printed.err
    assert not out.exists()


def test_errors_as_json(tmp_path: Path, capsys) -> None:
    assert run([*fit_arguments(tmp_path / "none.csv", tmp_path / "run"), "--json"]) == 2
    assert "none.csv" in json.loads(capsys.readouterr().out)["message"]


def test_a_run_is_never_overwritten(sales: Path, trained: Path, capsys) -> None:
    before = {path: path.stat().st_mtime_ns for path in trained.rglob("*")}
    assert run(fit_arguments(sales, trained, *QUICK)) == 2
    assert "already holds a run" in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in trained.rglob("*")} == before


@pytest.mark.parametrize("command", ["predict", "evaluate", "backtest"])
def test_a_directory_without_a_run_is_refused(
    sales: Path, tmp_path: Path, capsys, command: str
) -> None:
    assert run([command, str(tmp_path), str(sales)]) == 2
    assert "model.json" in capsys.readouterr().err


def test_a_killed_run_resumes_to_the_same_weights(sales: Path, tmp_path: Path) -> None:
    slow = ["--steps", "60", "--hidden", "6", "--checkpoint-every", "5", "--threads", "1"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    environment = os.environ | {"PYTHONWARNINGS": "ignore"}

    def start(out: Path) -> "subprocess.Popen[bytes]":
        arguments = [sys.executable, "-m", "gated", *fit_arguments(sales, out, *slow)]
        return subprocess.Popen(
            arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment
        )

    process = start(killed)
    while not (killed / "checkpoint.safetensors").exists():
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (killed / "model.json").exists()
    process = start(whole)
    _, complaints = process.communicate()
    assert process.returncode == 0, complaints
    assert run(["resume", str(killed)]) == 0
    assert weights(killed) == weights(whole)
    assert (killed / "report.html").exists()


def test_help_does_not_wait_for_torch() -> None:
    code = (
        "import sys\nfrom gated.cli.app import run\n"
        "assert run(['--help']) == 0\nassert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for command in ("fit", "predict", "evaluate", "backtest", "resume", "compare"):
        assert command in done.stdout


def test_compare_prints_the_cells_beside_each_other(sales: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "compared"
    arguments = fit_arguments(sales, out, *QUICK, "--seeds", "0", "--cells", "rnn", "lstm")
    assert run(["compare", *arguments[1:]]) == 0
    printed = capsys.readouterr().out
    assert "RNN" in printed
    assert "LSTM" in printed
    assert "GRU" not in printed
    document = json.loads((out / "comparison.json").read_text())
    assert [row["cell"] for row in document["rows"]] == ["rnn", "lstm"]
    assert (out / "report.html").exists()


def test_a_run_of_an_unknown_task_says_what_is_known(trained: Path, tmp_path: Path, capsys) -> None:
    asked = json.loads((trained / "run.json").read_text()) | {"task": "dreams"}
    write_document(tmp_path / "run.json", asked)
    assert run(["predict", str(tmp_path), "sales.csv"]) == 2
    assert "'dreams', which this version" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("files", [[], ["a", "b"]])
def test_a_run_asks_for_as_many_files_as_its_task_reads(
    trained: Path, capsys, files: list[str]
) -> None:
    assert run(["evaluate", str(trained), *files]) == 2
    told = f"reads one file, and got {len(files)}"
    assert told in " ".join(capsys.readouterr().err.split())


def test_a_series_too_short_for_a_test_part_is_learned_from_whole(tmp_path: Path, capsys) -> None:
    lines = [f"{2020 + month // 12}-{month % 12 + 1:02d}-01,{100 + month}" for month in range(24)]
    (tmp_path / "s.csv").write_text("\n".join(["month,sold", *lines]))
    asked = {"time": "month", "horizon": "12", "target": "sold"}
    options = [part for name, value in asked.items() for part in (f"--{name}", value)]
    out = tmp_path / "run"
    assert (
        run(["fit", "forecast", str(tmp_path / "s.csv"), *options, "--out", str(out), *QUICK]) == 0
    )
    said = " ".join(capsys.readouterr().out.split())
    assert "24 steps are too few to hold a test part of 12 back" in said
    assert "There is no score" in said
    assert "Scores over" not in said  # a table without a figure
    assert run(["predict", str(out), str(tmp_path / "s.csv")]) == 0
    assert capsys.readouterr().out.count("\n") == 13
