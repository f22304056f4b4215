"""Several numbers of a sequence at once; one is the case of a single column."""

import csv
import io
import json
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from sklearn.metrics import r2_score
from tests.comparison import assert_agree
from tests.tasks.classify.conftest import bumps

import gated
from gated.cli.app import run
from gated.configuration import from_json_values, json_values
from gated.errors import ConfigurationError, DataError
from gated.live.emit_c import source
from gated.tasks.classify import SequenceClassifier, SequenceRegressor
from gated.tasks.classify.config import SourceOptions
from gated.tasks.classify.evaluation import evaluate_numbers
from gated.tasks.classify.learner import NumberLearner
from gated.tasks.classify.network import losses
from gated.tasks.classify.page import score_table
from gated.tasks.classify.parts import read_parts
from gated.tasks.classify.ridge import ridge
from gated.tasks.classify.score import NumberEvaluation
from gated.tasks.classify.sequences import Sequences
from gated.tasks.classify.targets import Numbers
from gated.training.options import TrainingOptions

ARRAYS, _ = bumps(24, 0)
PAIRS = np.array([[100 + 30 * of.mean(), 1e6 * of[:, 1].max()] for of in ARRAYS])
"""(N, 2), of unlike units."""
SMALL = {"hidden": 4, "training": TrainingOptions(steps=3, batch_size=8, threads=1)}
FEW = {"kernel_features": 84}


@pytest.fixture(scope="module")
def pair() -> SequenceRegressor:
    return SequenceRegressor(**SMALL, **FEW).fit(ARRAYS, PAIRS)


@pytest.mark.parametrize("options", [FEW, {"members": 2, **FEW}, {"validation": 0.25, **FEW}])
def test_one_column_is_one_number_to_the_bit(options: dict) -> None:
    weights = np.linspace(0.5, 2, 24)
    flat = SequenceRegressor(**SMALL, **options).fit(ARRAYS, PAIRS[:, 0], weights)
    column = SequenceRegressor(**SMALL, **options).fit(ARRAYS, PAIRS[:, :1], weights)
    assert flat.predict(ARRAYS).shape == (24,)
    np.testing.assert_array_equal(column.predict(ARRAYS), flat.predict(ARRAYS)[:, None])
    assert column.history_.loss == flat.history_.loss
    assert [of.scores for of in column.history_.validations] == [
        of.scores for of in flat.history_.validations
    ]


def test_several_are_predicted_saved_and_run_without_torch(pair, tmp_path: Path) -> None:
    found = pair.predict(ARRAYS)
    assert found.shape == (24, 2)
    assert pair.score(ARRAYS, PAIRS) == r2_score(PAIRS, found)
    pair.save(tmp_path / "pair")
    np.testing.assert_array_equal(SequenceRegressor.load(tmp_path / "pair").predict(ARRAYS), found)
    model = gated.load(tmp_path / "pair")
    assert model.labels == ("target 0", "target 1")
    assert_agree(model(ARRAYS), found, "numbers", relative=1e-5)
    frame = pl.DataFrame({"low": PAIRS[:, 0], "high": PAIRS[:, 1]})
    named = SequenceRegressor(**SMALL, **FEW).fit(ARRAYS, frame)
    np.testing.assert_array_equal(named.predict(ARRAYS), found)
    assert named.learner_.targets.names == ("low", "high")


def test_a_stream_in_c_has_the_names_and_the_units(tmp_path: Path) -> None:
    options = {**SMALL, "kernel_features": 0, "filters": 0, "one_way": True}
    SequenceRegressor(**options).fit(ARRAYS, PAIRS).save(tmp_path / "one_way")
    found = source(gated.load(tmp_path / "one_way"), "pair")
    assert '"target 0",\n    "target 1",' in found.code
    assert "#define PAIR_OUTPUTS 2" in found.header
    rescaled = re.findall(r"_mean\[2\] = \{(.*?)\};", found.code, re.DOTALL)[-1]
    means = [float(of) for of in re.findall(r"[-+\d.e]+(?=f)", rescaled)]
    np.testing.assert_allclose(means, PAIRS.mean(0), rtol=1e-6)


def test_units_do_not_decide_what_is_learned(pair) -> None:
    in_others = SequenceRegressor(**SMALL, **FEW).fit(ARRAYS, PAIRS * [1024, 2.0**-12])
    np.testing.assert_allclose(
        in_others.predict(ARRAYS), pair.predict(ARRAYS) * [1024, 2.0**-12], rtol=1e-6
    )


def test_the_ridge_regression_of_each_is_that_of_it_alone() -> None:
    random = np.random.default_rng(0)
    x, weights = random.normal(size=(40, 6)), random.uniform(0.5, 2, 40)
    y = np.stack([x[:, 0] + 2, random.normal(size=40)], axis=1)
    both = ridge(x, y, weights, groups=[slice(0, 1), slice(1, 2)])
    for place in (0, 1):
        alone = ridge(x, y[:, [place]], weights)
        assert alone.penalty == both.penalty[place]
        np.testing.assert_allclose(both.weights[:, [place]], alone.weights, atol=1e-12)
        np.testing.assert_allclose(both.left_out[:, [place]], alone.left_out, atol=1e-12)
    assert both.penalty[0] < 1e-3 < 1 < both.penalty[1]
    together = ridge(x, y, weights)
    assert together.penalty[0] == together.penalty[1]


def test_the_loss_is_the_mean_over_the_targets() -> None:
    answers, targets = torch.tensor([[1.0, 2.0], [0.0, 5.0]]), torch.tensor([[1.0, 4.0], [3.0, 5]])
    assert losses(answers, targets).tolist() == [2.0, 4.5]


@pytest.mark.parametrize("y", [np.full(24, 3.0), np.stack([PAIRS[:, 0], np.full(24, 3.0)], 1)])
def test_a_constant_target_is_predicted_as_that_number_by_the_network_alone(
    y: np.ndarray,
) -> None:
    alone = SequenceRegressor(**SMALL, kernel_features=0).fit(ARRAYS, y)
    assert (alone.predict(ARRAYS).reshape(24, -1)[:, -1] == 3).all()


def test_what_is_trained_in_double_precision_predicts_in_single() -> None:
    options = TrainingOptions(steps=1, batch_size=8, threads=1, precision="64-true")
    double = SequenceRegressor(hidden=4, training=options, **FEW).fit(ARRAYS, PAIRS)
    assert np.isfinite(double.predict(ARRAYS)).all()


def test_numbers_are_scaled_one_by_one_and_constants_left_alone() -> None:
    numbers = Numbers.of(np.array([[0.1, 1e12], [0.1, 3e12], [0.1, 5e12]]), ("still", "huge"))
    assert numbers.constants(np.array([[0.1, 1.0], [0.1, 2.0]])) == (0,)
    assert numbers.mean.tolist() == [0.1, 3e12]
    learnt = numbers.learnt(np.array([[0.1, 5e12]]))
    np.testing.assert_allclose(learnt, [[0, np.sqrt(1.5)]], rtol=1e-6)
    assert numbers.predicted(np.array([[0.0, 0.0]])).tolist() == [[0.1, 3e12]]
    assert numbers.guess(np.array([[0.1, 1.0], [0.1, 2.0]]))[0] == 0.5
    assert from_json_values(Numbers, json_values(numbers)).names == ("still", "huge")
    earlier = from_json_values(Numbers, {"mean": 2.5, "deviation": 0.5})
    assert (earlier.mean.tolist(), earlier.outputs, earlier.names) == ([2.5], 1, ())


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.where(np.arange(48).reshape(24, 2) == 7, np.nan, PAIRS), "Target 3 of 'target 1' is"),
        (PAIRS[:5], "24 sequences, and 5 labels"),
        (PAIRS[:, :0], r"shape \(24, 0\): give one column"),
        ([[1.0, 2.0], [3.0]] * 12, r"y is no array: .* the same O for each"),
        (PAIRS[..., None], "dim 3"),
        (PAIRS * [1, 1e200], r"The target 'target 1' reaches .*e\+20\d, too much to be squared"),
        (PAIRS * [1, 1e-300], "The target 'target 1' differs by .*, too little to be squared"),
        (pl.DataFrame({"a": ["x"] * 24, "b": [1.0] * 24}), "not a number"),
    ],
)
def test_what_cannot_be_targets_is_refused(y, message) -> None:
    with pytest.raises((DataError, ValueError), match=message):
        SequenceRegressor(**SMALL).fit(ARRAYS, y)


def test_several_labels_of_a_classification_are_refused_with_advice(tmp_path, capsys) -> None:
    with pytest.raises(DataError, match="one label: fit one for each column, or join"):
        SequenceClassifier().fit(ARRAYS, np.array([["a", "b"]] * 24))
    path = _table(tmp_path)
    command = ["fit", "classify", str(path), "--series", "run", "--label", "low, °C", "高"]
    assert run([*command, "--out", str(tmp_path / "run")]) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert "--label names 2 columns, and a classification learns one" in told
    assert "regress predicts several at once" in told


def test_another_run_gives_its_weights_but_no_head_of_other_targets(pair, tmp_path: Path) -> None:
    pair.save(tmp_path)
    training = TrainingOptions(steps=1, learning_rate=1e-9, threads=1, init_from=tmp_path)
    same = SequenceRegressor(training=training).fit(ARRAYS, PAIRS + 5)
    assert same.learner_.targets.mean.tolist() == pair.learner_.targets.mean.tolist()
    frame = pl.DataFrame({"low": PAIRS[:, 0], "high": PAIRS[:, 1]})
    for values in (PAIRS[:, 0], frame):
        other = SequenceRegressor(training=training).fit(ARRAYS, values)
        assert other.history_.transfer.absent == ("members.0.head.bias", "members.0.head.weight")


def test_scores_are_of_each_target_and_of_all_in_deviations() -> None:
    truth = np.stack([np.arange(20.0), np.full(20, 7.1), 1000 * np.arange(20.0)], axis=1)
    gains = np.tile([0.5, 1.5], 10)[:, None]
    found = NumberEvaluation(
        targets=("a", "still", "c"),
        scales=np.array([1.0, 1.0, 1000.0]),
        truth=truth,
        predicted={
            "LSTM": truth + np.array([3, 0, 1000]),
            "linear": truth + gains * np.array([2, 0, 5000]),
        },
    )
    assert found.scores["LSTM"].mae == pytest.approx((3 + 0 + 1) / 3)
    assert found.figures["LSTM"]["MAE, c"] == 1000
    assert np.isnan(found.by_target["still"]["LSTM"].r2)
    known = [found.by_target[name]["LSTM"].r2 for name in "ac"]
    assert found.scores["LSTM"].r2 == pytest.approx(np.mean(known))
    assert "scaled MAE 1.33 against 2.33" in str(found.verdict)
    assert found.verdict.examples == found.verdict.clusters == 20
    assert [of.outcome for of in found.verdicts.values()] == ["worse", "undecided", "better"]
    assert score_table(found).header == ("", "scaled MAE", "scaled RMSE", "R²")


def _table(directory: Path, *, missing: bool = False) -> Path:
    """Write a table with two numbers of each sequence, whose names are not plain words."""
    lines = ['run,a,b,"low, °C",高']
    for place, (array, (low, high)) in enumerate(zip(ARRAYS, PAIRS, strict=True)):
        cell = "" if missing and place == 3 else f"{high:.3f}"
        lines += [f"s{place},{a:.4f},{b:.4f},{low:.3f},{cell}" for a, b in array]
    path = directory / "runs.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


COLUMNS = ["--series", "run", "--label", "low, °C", "高"]


def test_the_command_takes_several_columns(tmp_path: Path, capsys) -> None:
    path, out = str(_table(tmp_path)), str(tmp_path / "run")
    quick = ["--hidden", "4", "--steps", "2", "--threads", "1", "--kernel-features", "84"]
    command = [
        "fit",
        "regress",
        path,
        *COLUMNS,
        *quick,
        "--test",
        "0.5",
        "--out",
        out,
        "--no-baseline",
    ]
    assert run([*command, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert set(told["by_target"]) == {"low, °C", "高"}
    assert (
        told["by_target"]["高"]["mean"]["mae"] > 1000 > told["by_target"]["low, °C"]["mean"]["mae"]
    )
    assert "scaled MAE" in told["verdict"]
    assert set(told["judged_by_target"]) == {"low, °C", "高"}
    page = (tmp_path / "run" / "report.html").read_text()
    assert "low, °C, LSTM" in page
    assert run(["predict", out, path]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert list(rows[0]) == ["row", "sequence", "predicted(low, °C)", "predicted(高)"]
    learner = NumberLearner.load(out)
    np.testing.assert_allclose(float(rows[0]["predicted(高)"]), learner.numbers(ARRAYS[:1])[0, 1],
                               rtol=1e-4)  # fmt: skip
    assert learner.probe(path).loss is not None
    assert learner.probe(path).title == "LSTM that predicts low, °C, 高"


def test_a_missing_number_is_named_by_row_and_column(tmp_path: Path) -> None:
    path = _table(tmp_path, missing=True)
    options = {"series": "run", "label": ("low, °C", "高")}
    with pytest.raises(
        DataError, match=r"Series 's3' \(line \d+\) has no label in the column '高'"
    ):
        read_parts(path, SourceOptions(**options), 0, stratified=False)
    some = SourceOptions(**options, skip_bad=True)
    read = read_parts(path, some, 0, stratified=False)
    assert len(read.training) + len(read.test) == 23
    assert read.training.values.shape[1] == 2
    path.write_text(path.read_text().replace(",\n", ",inf\n"))
    with pytest.raises(DataError, match=r"s3, column '高': the label 'inf' is not a finite number"):
        read_parts(path, SourceOptions(**options), 0, stratified=False)


def test_columns_that_are_not_there_and_files_of_one_label_are_named(tmp_path, ts_files) -> None:
    with pytest.raises(DataError, match=r"no column '低'.*Its columns are: run, a, b"):
        read_parts(
            _table(tmp_path), SourceOptions(series="run", label=("高", "低")), 0, stratified=False
        )
    with pytest.raises(ConfigurationError, match=r"names 2 columns, and a \.ts file has one label"):
        read_parts(ts_files[0], SourceOptions(label=("a", "b")), 0, stratified=False)
    with pytest.raises(ConfigurationError, match="names a column twice"):
        SourceOptions(label=("a", "a"))
    assert SourceOptions(label=("a",)).label == "a"


def test_numbers_have_no_classes_to_balance() -> None:
    with pytest.raises(ConfigurationError, match="balance weighs classes, and numbers have none"):
        SequenceRegressor(balance=True, **SMALL).fit(ARRAYS, PAIRS)


def test_fixed_features_of_each_target_are_read_as_for_it_alone() -> None:
    noise = np.random.default_rng(0).normal(size=24)
    several = np.stack([PAIRS[:, 0], noise], axis=1)  # noise asks for another penalty
    both = SequenceRegressor(**SMALL, **FEW).fit(ARRAYS, several).learner_.network.fixed
    for place in (0, 1):
        alone = SequenceRegressor(**SMALL, **FEW).fit(ARRAYS, several[:, place])
        fixed = alone.learner_.network.fixed
        assert_agree(both.weight[place].numpy(), fixed.weight[0].numpy(), "weights", absolute=1e-6)
        assert float(both.bias[place]) == pytest.approx(float(fixed.bias[0]), abs=1e-6)


def test_errors_over_all_targets_are_in_deviations_of_each(pair) -> None:
    learner = pair.learner_
    tested = Sequences(ARRAYS, PAIRS, [str(place) for place in range(24)])
    found = evaluate_numbers(learner, None, tested)
    errors = np.abs(pair.predict(ARRAYS) - PAIRS).mean(0)
    assert found.scores[learner.name].mae == pytest.approx((errors / PAIRS.std(0)).mean())


def test_losses_are_shown_in_the_unit_of_one_target_and_in_deviations_of_several(pair) -> None:
    single = SequenceRegressor(**SMALL, kernel_features=0).fit(ARRAYS, PAIRS[:, 1])
    assert single.history_.factor == pytest.approx(PAIRS[:, 1].var())
    assert pair.history_.factor == 1
