"""A network without weight in the median is not credited with it, in any report."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl
import pytest

from gated.explain import explain
from gated.tasks.forecast import ForecastConfig, Forecaster
from gated.tasks.forecast.credit import Credit, credit_of
from gated.tasks.forecast.mixture import trust
from gated.tasks.forecast.page import body, notes, score_table
from gated.tasks.learner import document
from gated.training.options import TrainingOptions

NONE = "The LSTM has no weight in the median here"


@pytest.fixture(scope="module")
def fitted() -> Forecaster:
    """Of two series, with random weights but for two steps, and trusted all the same."""
    steps = np.arange(140)
    table = pl.concat(
        pl.DataFrame({"t": steps, "s": name, "y": 20 + np.sin(steps / 4 + place)})
        for place, name in enumerate("ab")
    )
    config = ForecastConfig(
        time="t", target="y", series="s", horizon=5, history=12, season=25, test=20,
        hidden=4, partner="none", members=1,
    )  # fmt: skip
    return Forecaster(config, TrainingOptions(steps=2)).fit(table)


@pytest.fixture
def weightless(fitted: Forecaster) -> Iterator[Forecaster]:
    trust(fitted.network, 0.0)
    yield fitted
    trust(fitted.network, 1.0)


def test_the_verdict_names_smoothing_and_what_the_network_is_used_for(weightless) -> None:
    evaluation = weightless.score()
    said = str(evaluation.verdict)
    assert "LSTM beats" not in said
    assert "LSTM does NOT" not in said
    assert "smoothing" in said.split("best baseline")[0]
    assert NONE in said
    assert said.endswith(("The LSTM is used for the interval alone.", "what it promises."))
    assert (evaluation.verdict.network, evaluation.verdict.instead) == ("smoothing", "smoothing")
    # Programs find the figures where they were.
    assert next(iter(evaluation.overall)) == "LSTM"
    assert document(evaluation)["network_weights"] == {"a": 0.0, "b": 0.0}
    weights = weightless.outlook.credit(weightless.prepared, weightless.parts.test.origins).weights
    assert weights == {"a": 0.0, "b": 0.0}


def test_so_do_tables_notes_and_pictures_of_the_report(weightless) -> None:
    evaluation = weightless.score()
    assert score_table(evaluation).rows[0][0] == "smoothing"
    assert notes(evaluation)[-1].startswith("smoothing has the lowest MAE")
    page = body(weightless, evaluation)
    drawn = "".join(
        block.picture.svg for section in page.sections for block in section.blocks
        if hasattr(block, "picture")
    )  # fmt: skip
    assert "smoothing" in drawn
    assert "LSTM" not in drawn
    assert "With 0% the network moves no median." in weightless.chosen


def test_explain_says_so_first(weightless) -> None:
    probe = weightless.probed(weightless.parts.test)
    assert explain(probe).verdict.startswith(NONE)


def test_a_network_with_a_weight_is_credited_as_ever(fitted) -> None:
    trust(fitted.network, 0.25)
    evaluation = fitted.score()
    assert NONE not in str(evaluation.verdict)
    assert evaluation.verdict.network == "LSTM"
    assert evaluation.verdict.instead == ""
    assert score_table(evaluation).rows[0][0] == "LSTM"
    assert evaluation.as_credited is evaluation
    assert fitted.probed(fitted.parts.test).note == ""


def credit(weights: list[float], own: float, partner: float, width: float = 1.0) -> Credit:
    ones = np.ones(len(weights))
    return credit_of(
        "GRU", ["a", "b"], np.array(weights), {"GRU": own * ones, "ets": partner * ones},
        own_width=width, interval=True,
    )  # fmt: skip


def test_partners_and_single_series() -> None:
    both = credit([0, 0], 0.3, 0.7)
    assert (both.name, both.shapes_interval) == ("smoothing + ets", True)
    alone = credit([0, 0], 0.0, 1.0)
    assert alone.name == "ets"
    assert "so the median is that of ets. The interval does not depend on it either." in (
        alone.sentence
    )
    assert not credit([0, 0], 0.3, 0.7, width=0.0).shapes_interval
    some = credit([0, 0.5], 1.0, 0.0)
    assert (some.name, some.without) == ("GRU", ("a",))
    assert some.sentence.startswith("In 1 of 2 series the GRU has no weight in the median")
    assert credit([0.5, 1], 1.0, 0.0).sentence == ""
