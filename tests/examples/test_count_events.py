"""The smallest task, through the command as any other: a folder and a line of registration."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
FOLDER = EXAMPLES / "count_events"


def gated(*arguments: str, expected: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "count_events", *arguments],
        cwd=EXAMPLES,
        env=os.environ | {"COLUMNS": "120"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == expected, done.stderr
    return done


@pytest.fixture(scope="module")
def streams(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("streams") / "streams.csv"
    program = [sys.executable, "-m", "count_events.streams", str(path)]
    subprocess.run(program, cwd=EXAMPLES, check=True)
    return path


@pytest.fixture(scope="module")
def trained(streams: Path) -> tuple[Path, dict]:
    out = streams.parent / "run"
    done = gated("fit", "count-events", str(streams), "--out", str(out), "--threads", "1", "--json")
    return out, json.loads(done.stdout)


def test_it_is_one_small_folder() -> None:
    lines = sum(len(path.read_text().splitlines()) for path in FOLDER.glob("*.py"))
    assert lines < 250


def test_streams_hold_events_and_spikes_that_are_none(streams: Path) -> None:
    table = pl.read_csv(streams)
    assert table["stream"].n_unique() == 300
    (first, *_) = table.partition_by("stream", maintain_order=True)
    high = (first["value"] > 0.5).to_list()
    events, spikes = 0, 0
    for before, value, after in zip([False, *high], high, [*high[1:], False], strict=False):
        events += value and after and not before
        spikes += value and not after and not before
    assert events == first["count"][-1] > 0
    assert spikes > 0


def test_it_learns_to_count_and_says_so(trained: tuple[Path, dict]) -> None:
    out, told = trained
    assert told["scores"]["LSTM"]["MAE"] < 0.8 * told["scores"]["mean rate"]["MAE"]
    assert told["verdict"].startswith("LSTM beats the best baseline (mean rate): MAE 0.")
    assert (out / "report.html").exists()


def test_it_predicts_what_it_is_not_told(
    streams: Path, trained: tuple[Path, dict], tmp_path: Path
) -> None:
    asked = tmp_path / "asked.csv"
    table = pl.read_csv(streams)
    table.select("stream", "value").write_csv(asked)
    out = tmp_path / "counts.csv"
    gated("predict", str(trained[0]), str(asked), "--out", str(out))
    counts = pl.read_csv(out)
    assert counts["stream"].to_list() == table["stream"].to_list()
    error = (counts["count"] - table["count"]).abs().mean()
    assert error == pytest.approx(trained[1]["scores"]["LSTM"]["MAE"], rel=0.25)


def test_it_evaluates_as_it_scored(
    streams: Path, trained: tuple[Path, dict], tmp_path: Path
) -> None:
    done = gated("evaluate", str(trained[0]), str(streams), "--json")
    assert json.loads(done.stdout)["scores"]["mean rate"]["MAE"] > 0.4
    unlabelled = tmp_path / "unlabelled.csv"
    pl.read_csv(streams).select("stream", "value").write_csv(unlabelled)
    refused = gated("evaluate", str(trained[0]), str(unlabelled), expected=2)
    assert "has no column 'count'" in refused.stderr


def test_killed_it_resumes_to_the_same_weights(streams: Path, tmp_path: Path) -> None:
    options = ["--threads", "1", "--steps", "100", "--checkpoint-every", "5"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    process = subprocess.Popen(
        [sys.executable, "-m", "count_events", "fit", "count-events", str(streams), *options,
         "--out", str(killed)],
        cwd=EXAMPLES,
    )  # fmt: skip
    while not (killed / "checkpoint.safetensors").exists():
        assert process.poll() is None
        time.sleep(0.002)
    process.kill()
    process.wait()
    assert not (killed / "model.json").exists()
    gated("resume", str(killed))
    gated("fit", "count-events", str(streams), "--out", str(whole), *options)
    names = [{path.name for path in of.glob("weights-*")} for of in (whole, killed)]
    assert len(names[0]) == 1
    assert names[0] == names[1]  # they hold the digests of the weights
