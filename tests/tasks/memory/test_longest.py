"""The longest length solved: found, stopped at, told."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import gated.nn
from gated.cells.named import cells
from gated.cli.app import run
from gated.errors import ConfigurationError
from gated.explain import flow
from gated.tasks.memory import gradient
from gated.tasks.memory.gradient import Reach, reach
from gated.tasks.memory.longest import MemoryTest, Trial, memory_test
from gated.tasks.memory.network import MemoryNetwork
from gated.tasks.memory.problems import problem_of
from gated.tasks.memory.task import MemoryTask
from gated.training.history import History
from gated.training.loop import _Training
from gated.training.options import TrainingOptions
from gated.training.task import Shard

QUICK = TrainingOptions(steps=400, batch_size=32, learning_rate=1e-2, validate_every=20, threads=1)


def test_a_cell_is_tried_up_to_the_first_length_that_it_does_not_solve() -> None:
    tested = memory_test(
        "adding", cells=("gru",), lengths=(6, 500), seeds=(0,), units=16, training=QUICK
    )
    solved = tested.trials[0]
    assert tested.of("gru", 6) == [solved]
    assert solved.solved
    assert solved.score < 1 / 60
    assert solved.history.stopped == "goal"
    assert solved.history.steps < 400
    # The goal was met on validation sequences, the score is that of the test's.
    assert solved.history.validations[-1].loss < 1 / 60
    assert solved.history.validations[-1].loss != solved.score
    # The gates moved, and with them the gradient's way back.
    assert len(solved.before.norms) == len(solved.after.norms) == 6
    assert solved.after.norms[0] > solved.before.norms[0]


def test_the_verdict_is_of_the_solved_lengths() -> None:
    hopeless = TrainingOptions(steps=1, batch_size=4, validate_every=1, threads=1)
    tested = memory_test(
        "copy",
        cells=("rnn", "lstm-chrono"),
        lengths=(5, 10),
        seeds=(4, 7),
        units=4,
        training=hopeless,
    )
    assert [(t.cell, t.length, t.seed, t.solved) for t in tested.trials] == [
        ("rnn", 5, 4, False),
        ("rnn", 5, 7, False),
        ("lstm-chrono", 5, 4, False),
        ("lstm-chrono", 5, 7, False),
    ]
    assert tested.longest("rnn") == 0
    assert tested.of("rnn", 10) == []
    assert np.isnan(tested.score("rnn", 10))
    assert tested.score("rnn", 5) == np.mean([t.score for t in tested.of("rnn", 5)])
    assert tested.of("rnn", 5)[0].score != tested.of("rnn", 5)[1].score
    assert tested.verdict == "copy, 1 step of training: rnn solves none, lstm-chrono solves none."


@pytest.mark.parametrize(
    ("scores", "solved"), [((1, 1, 9), True), ((1, 9), False), ((1, 9, 9), False)]
)
def test_most_seeds_must_solve_a_length(scores: tuple[int, ...], solved: bool) -> None:
    trials = tuple(
        Trial(
            cell="gru",
            length=length,
            seed=seed,
            score=score,
            solved=score < 5,
            before=Reach(np.ones(length)),
            after=Reach(np.ones(length)),
            history=History(),
        )
        for length in (10, 20)
        for seed, score in enumerate(scores if length == 20 else (1,) * len(scores))
    )
    tested = MemoryTest(
        problem="adding",
        units=1,
        layers=1,
        lengths=(10, 20),
        seeds=tuple(range(len(scores))),
        training=QUICK,
        trials=trials,
    )
    assert tested.solves("gru", 20) is solved
    assert tested.longest("gru") == (20 if solved else 10)
    assert tested.score("gru", 20) == np.median(scores)


@pytest.mark.parametrize("cell", cells())
def test_every_cell_makes_a_network(cell: str) -> None:
    network = MemoryNetwork(cell, 5, problem_of("adding", 8), seed=1)
    assert network.encoder.cell.name == ("rnn_tanh" if cell == "rnn" else cell.replace("-", "_"))
    assert all(parameter.isfinite().all() for parameter in network.parameters())


@pytest.mark.parametrize(
    "cell",
    [
        "rnn-orthogonal",
        "rnn-modrelu-exp",
        "gru-chrono",
        "lstm-chrono-orthogonal",
        "lstm-layer-norm",
        "lem",
        "indrnn",
        "janet-chrono",
        "cornn",
        "unicornn",
        "antisymmetric-rnn",
        "gru_reset_before-chrono",
    ],
)
def test_a_network_trains_and_is_its_seed(cell: str) -> None:
    problem = problem_of("adding", 8)
    network = MemoryNetwork(cell, 5, problem, seed=1)
    same, other = (MemoryNetwork(cell, 5, problem, seed=seed) for seed in (1, 2))
    for ours, theirs in zip(network.parameters(), same.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert not torch.equal(network.head.weight, other.head.weight)
    task = MemoryTask(network, problem, seed=0)
    whole = task.training_batch(0, 6, Shard(0, 1))
    halves = [task.training_batch(0, 6, Shard(i, 2)) for i in range(2)]
    assert torch.equal(torch.cat([half.x for half in halves], 1), whole.x[:, [0, 2, 4, 1, 3, 5]])
    total, weight = task.loss(network, whole)
    total.backward()
    assert weight == 6
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


def test_the_gradient_is_that_of_flow_in_pieces_too(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = problem_of("adding", 23)
    network = MemoryNetwork("gru", 6, problem, seed=1)
    layer = gated.nn.GRU(2, 6)
    layer.load_state_dict(network.encoder.state_dict())
    x, target = problem.draw("validation", gradient.FOLLOWED, 1)

    def loss(encoded: tuple) -> torch.Tensor:
        return problem.loss(network.head(encoded[0][-1:]), target).mean()

    of_flow = flow(layer, x, loss, samples=0).layers[-1].strongest
    whole = reach(network, problem)
    np.testing.assert_allclose(whole.norms, of_flow, rtol=1e-4)
    monkeypatch.setattr(gradient, "POINTS", 6)
    pieces = reach(network, problem)
    assert pieces.every == 4
    np.testing.assert_allclose(pieces.norms, whole.norms[2::4], rtol=1e-4)
    assert abs(pieces.steps - whole.steps) <= 4


def test_indrnn_keeps_its_bound_in_training() -> None:
    problem = problem_of("adding", 10)
    network = MemoryNetwork("indrnn", 5, problem, seed=0, layers=2)
    with torch.no_grad():
        network.encoder.u_l1 += 1
    x, _ = problem.draw("training", 2, 0)
    network(x)
    assert network.encoder.u_l1.max().item() == pytest.approx(2 ** (1 / 10))
    assert network.encoder.u_l0.max() < 2 ** (1 / 10)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cells": ("lstmm",)}, "'lstmm' is no cell of the library; did you mean lstm"),
        ({"cells": ("gru-crono",)}, "'gru-crono' has 'crono' behind gru; did you mean chrono"),
        ({"cells": ("rnn-chrono",)}, "rnn_tanh has no gate that keeps a state"),
        ({"cells": ("lstm-exp",)}, "lstm has no recurrent matrix of one gate"),
        ({"cells": ()}, "at least one of each"),
        ({"seeds": ()}, "at least one of each"),
        ({"lengths": (20, 10)}, "lengths must grow, got 20, 10"),
        ({"lengths": (10, 10)}, "lengths must grow"),
    ],
)
def test_what_cannot_be_meant_is_refused(options: dict, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        memory_test("adding", **options)


def test_the_command_leaves_figures_and_a_report(tmp_path: Path, capsys) -> None:
    out = tmp_path / "memory"
    arguments = [
        "memory-test",
        "adding",
        "--out",
        str(out),
        "--cells",
        "gru",
        "rnn",
        "--units",
        "8",
    ]
    arguments += ["--lengths", "6", "8", "--steps", "4", "--validate-every", "2", "--threads", "1"]
    assert run([*arguments, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["longest"] == {"gru": 0, "rnn": 0}
    assert told["training"]["steps"] == 4
    saved = json.loads((out / "memory.json").read_text())
    assert saved["trials"] == told["trials"]
    page = (out / "report.html").read_text()
    assert "gru solves none" in page
    assert "Hochreiter and Schmidhuber 1997" in page
    assert {p.name for p in (out / "figures").iterdir()} == {
        "gradient_after.png",
        "gradient_before.png",
        "score_by_length.png",
    }
    assert run([*arguments, "--seeds", "7"]) == 2  # the directory is taken


def test_an_interrupted_test_goes_on_where_it_stopped(
    tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked(out: Path, *more: str) -> list[str]:
        grid = ["--cells", "rnn", "gru", "--lengths", "5", "8", "--seeds", "0", "1"]
        small = ["--units", "4", "--steps", "6", "--checkpoint-every", "2", "--threads", "1"]
        return ["memory-test", "copy", "--out", str(out), *grid, *small, *more]

    trained: list[int] = []
    step, out = _Training.step, tmp_path / "a test"

    def interrupted(self: _Training) -> None:
        trained.append(1)
        if len(trained) == 10:  # of the second trial
            raise KeyboardInterrupt
        step(self)

    monkeypatch.setattr(_Training, "step", interrupted)
    assert run(asked(out)) == 130
    message = " ".join(capsys.readouterr().err.split())
    assert f"1 training of the memory test ended; {out} keeps them" in message
    assert f"Go on with: gated resume '{out}'" in message
    assert run(asked(out, "--layers", "2")) == 2
    assert "holds a memory test with other options" in capsys.readouterr().err
    assert run(["resume", str(out)]) == 0
    # Four trials of six steps; of the second, three were done, and two kept.
    assert len(trained) == 9 + 1 + 4 + 12
    assert run(asked(tmp_path / "whole")) == 0
    told = [json.loads((of / "memory.json").read_text()) for of in (out, tmp_path / "whole")]
    for document in told:
        for trial in document["trials"]:
            del trial["seconds"]
    assert told[0] == told[1]
    assert len(told[0]["trials"]) == 4
    assert not list(out.rglob("checkpoint*"))
    before = len(trained)
    assert run(asked(out)) == 0  # it has ended: its result, without a training
    assert len(trained) == before
    (damaged,) = list(out.glob("trials/gru-5-1/*.json"))
    damaged.write_bytes(damaged.read_bytes()[:-20])
    assert run(["resume", str(out)]) == 2
    assert "trial.json" in capsys.readouterr().err
