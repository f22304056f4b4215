from __future__ import annotations

import json
import math
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.training.adding import Adding

from gated.report.training import learning_curves
from gated.training.history import History, Transfer, Validation
from gated.training.loop import train
from gated.training.options import TrainingOptions

numbers = st.floats(allow_nan=False, allow_infinity=False)
columns = st.lists(
    st.tuples(numbers, numbers | st.just(math.inf), st.booleans(), st.booleans(), numbers, numbers)
)
validations = st.lists(
    st.builds(
        Validation,
        st.integers(1),
        st.fixed_dictionaries({"loss": numbers}, optional={"smape": numbers}),
    )
)
names = st.lists(st.text()).map(tuple)
transfers = st.none() | st.builds(Transfer, st.text(), names, names, names, names)


@settings(deadline=None)
@given(columns, validations, st.sampled_from(["", "steps", "patience", "time"]), transfers)
def test_json_and_back(rows, validated, stopped, transfer) -> None:
    each = [list(column) for column in zip(*rows, strict=True)] or [[] for _ in range(6)]
    history = History(*each, validations=validated, stopped=stopped, transfer=transfer)
    text = history.to_json()
    assert History.from_json(text) == history
    json.loads(text, parse_constant=lambda name: 1 / 0)  # no NaN, no Infinity: any reader's JSON


def test_a_score_without_a_value_stays_so() -> None:
    history = History(validations=[Validation(1, {"loss": 1.0, "mase": math.nan})])
    (validation,) = History.from_json(history.to_json()).validations
    assert validation.loss == 1.0
    assert math.isnan(validation.scores["mase"])


def test_the_best_validation_is_the_first_of_the_lowest() -> None:
    history = History(validations=[Validation(i, {"loss": x}) for i, x in enumerate([3, 1, 2, 1])])
    assert history.best == Validation(1, {"loss": 1})
    assert history.since_best == 2
    assert (History().best, History().since_best) == (None, 0)


def test_the_loss_is_drawn_by_the_measure_of_the_task(monkeypatch) -> None:
    """Training and validation share an axis only by one measure, the result has its own."""
    drawn: dict[str, Any] = {}

    def keep(figure: Any, name: str, **_: Any) -> Any:
        drawn[name] = figure

    monkeypatch.setattr("gated.report.training.finish", keep)
    task = Adding()
    task.unit = "squared error", 100.0
    options = TrainingOptions(steps=4, validate_every=2, threads=1)
    history = train(task, options)
    assert (history.measure, history.factor, history.score) == ("squared error", 100.0, None)
    assert History.from_json(history.to_json()) == history
    learning_curves(history, options)
    loss, norm, _ = drawn["training"].axes
    assert (loss.get_title(), norm.get_title()[:13]) == ("Squared error", "Gradient norm")
    each, mean, validated, *_ = (list(line.get_ydata()) for line in loss.lines)
    assert each == mean == [100 * of for of in history.loss]
    assert validated == [100 * of.loss for of in history.validations]
    for place, validation in enumerate(history.validations):
        validation.scores.update({"accuracy": 0.5 + place / 4, "squared error": 7.0 + place})
    learning_curves(history, options)
    loss, scored, *_ = drawn["training"].axes
    assert list(loss.lines[2].get_ydata()) == [7.0, 8.0]
    assert scored.get_title() == "Accuracy on validation"
    assert list(scored.lines[0].get_ydata()) == [0.5, 0.75]
