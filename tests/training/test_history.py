from __future__ import annotations

import json
import math

from hypothesis import given, settings
from hypothesis import strategies as st

from gated.training.history import History, Transfer, Validation

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
