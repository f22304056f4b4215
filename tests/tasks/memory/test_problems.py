"""The problems ask what they say they ask."""

from __future__ import annotations

import gzip
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from gated.errors import ConfigurationError, DataError
from gated.tasks.memory.problems import PROBLEMS, Digits, Fashion, Problem, problem_of, problems_of

LENGTHS = {"adding": 30, "copy": 30, "digits": 144, "permuted-digits": 144}
LENGTHS |= {"fashion": 784, "permuted-fashion": 64}


@pytest.fixture(autouse=True)
def fashion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files in Fashion-MNIST's format, of random images: each shows its own number."""
    random = np.random.default_rng(0)
    for part, count in (("train", 5100), ("t10k", 200)):
        images = random.integers(0, 256, (count, 28, 28), np.uint8)
        labels = random.integers(0, 10, count, np.uint8)
        for kind, values in (("images", images), ("labels", labels)):
            head = bytes([0, 0, 8, values.ndim]) + np.array(values.shape, ">i4").tobytes()
            path = tmp_path / f"{part}-{kind}-idx{values.ndim}-ubyte.gz"
            path.write_bytes(gzip.compress(head + values.tobytes(), 1))
    monkeypatch.setenv("GATED_FASHION_MNIST", str(tmp_path))


@pytest.fixture(params=PROBLEMS)
def problem(request: pytest.FixtureRequest) -> Problem:
    return problem_of(request.param, LENGTHS[request.param])


def test_parts_and_seeds_differ_and_repeat(problem: Problem) -> None:
    first = problem.draw("training", 5, 3)
    again = problem.draw("training", 5, 3)
    assert torch.equal(first.x, again.x)
    assert torch.equal(first.target, again.target)
    for other in (problem.draw("training", 5, 4), problem.draw("test", 5, 3)):
        assert not torch.equal(first.x, other.x)
    assert first.x.shape[1:] == (5, problem.inputs)
    assert first.x.dtype == torch.float32


def test_who_remembers_nothing_has_the_score_of_chance(problem: Problem) -> None:
    """Answers that are best without having seen the sequence."""
    target = problem.draw("validation", 4000, 0).target
    answers = torch.zeros(*target.shape, problem.outputs)
    if problem.name == "adding":
        answers += 1
    if isinstance(problem, (Digits, Fashion)):
        answers = torch.rand(answers.shape, generator=torch.Generator().manual_seed(0))
    assert problem.score(answers, target).mean() == pytest.approx(problem.chance, rel=0.05)
    assert problem.solved < problem.chance / 5


def test_the_sum_is_that_of_the_two_marked() -> None:
    x, target = problem_of("adding", 31).draw("training", 400, 0)
    numbers, marks = x.unbind(-1)
    assert torch.equal(marks.sum(0), torch.full((400,), 2.0))
    assert torch.equal(marks[:15].sum(0), torch.ones(400))
    torch.testing.assert_close((numbers * marks).sum(0), target[0])
    # Every place of each half is marked now and then.
    assert (marks.sum(1) > 0).all()
    assert problem_of("adding", 31).score(target.unsqueeze(-1), target).eq(0).all()


def test_symbols_are_asked_for_after_the_sign() -> None:
    problem = problem_of("copy", 30)
    x, target = problem.draw("training", 6, 0)
    seen = x.argmax(-1)
    assert x.shape == (50, 6, 10)
    assert torch.equal(x.sum(-1), torch.ones(50, 6))
    assert torch.equal(seen[:10], target)
    assert (seen[10:39] == 8).all()
    assert (seen[39] == 9).all()
    assert (seen[40:] == 8).all()
    right = torch.nn.functional.one_hot(target, 8).float() * 30
    assert problem.score(right, target).max() < 1e-6
    assert problem.score(right.roll(1, -1), target).min() > math.log(8)


def test_digits_keep_their_pixels_and_parts_share_no_image() -> None:
    plain, permuted = (problem_of(name, 64) for name in ("digits", "permuted-digits"))
    images = {part: plain.draw(part, 3000, 0) for part in ("training", "validation", "test")}
    known = {
        part: {(column.tobytes(), int(label)) for column, label in zip(x, y, strict=True)}
        for part, (x, y) in (
            (part, (batch.x[..., 0].T.contiguous().numpy(), batch.target[0]))
            for part, batch in images.items()
        )
    }
    assert not known["training"] & known["test"]
    assert not known["training"] & known["validation"]
    assert not known["validation"] & known["test"]
    assert 300 < len(known["test"]) <= 360
    shown = plain.draw("test", 20, 1).x
    shuffled = permuted.draw("test", 20, 1).x
    assert not torch.equal(shown, shuffled)
    np.testing.assert_array_equal(np.sort(shown, axis=0), np.sort(shuffled, axis=0))
    assert problem_of("digits", 256).draw("test", 2, 0).x.shape == (256, 2, 1)


def test_fashion_scores_the_whole_test_once() -> None:
    problem = problem_of("fashion", 784)
    assert problem.held_out("test") == [500] * 20
    turns = [problem.draw("test", 50, turn) for turn in range(4)]
    seen = {column.numpy().tobytes() for x, _ in turns for column in x[..., 0].T}
    assert len(seen) == 200
    trained = problem.draw("training", 400, 0).x[..., 0].T
    validation = {c.numpy().tobytes() for c in problem.draw("validation", 5000, 0).x[..., 0].T}
    assert len(validation) == 5000
    assert not any(column.numpy().tobytes() in validation for column in trained)
    assert trained.max() == 1
    assert problem_of("fashion", 64).draw("test", 2, 0).x.shape == (64, 2, 1)


def test_missing_files_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATED_FASHION_MNIST", str(tmp_path / "none"))
    with pytest.raises(DataError, match=r"none/train-images.*dataset-fashion-mnist of Debian"):
        problem_of("fashion", 784).draw("training", 1, 0)


@pytest.mark.parametrize(
    ("name", "length", "message"),
    [
        ("adding", 3, "lengths of adding are 4 or more, not 3"),
        ("digits", 100 + 1, "squares, the pixels of an image: 100 or 121, not 101"),
        ("digits", 49, "64 or more"),
        ("sorting", 10, "'sorting' is not one of adding, copy, digits, permuted-digits, fashion"),
    ],
)
def test_what_cannot_be_posed_is_refused(name: str, length: int, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        problem_of(name, length)


@pytest.mark.parametrize("name", PROBLEMS)
def test_each_problem_has_lengths_of_its_own(name: str) -> None:
    lengths = [problem.length for problem in problems_of(name)]
    assert len(lengths) > 3
    assert lengths == sorted(set(lengths))
