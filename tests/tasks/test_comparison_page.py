import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from gated.tasks.comparison import Comparison, Row
from gated.tasks.comparison_page import comparison_table, write_comparison_report
from gated.tasks.forecast import ForecastConfig
from gated.training.history import History, Validation
from gated.training.options import TrainingOptions


def row(cell: str, seed: int, mae: float, parameters: int, validated: bool = True) -> Row:
    history = History(
        loss=[1.0, 0.5],
        gradient_norm=[1.0, 1.0],
        clipped_by_norm=[False, False],
        clipped_by_value=[False, False],
        learning_rate=[0.1, 0.1],
        seconds=[0.5, 0.5],
        validations=[Validation(2, {"loss": mae})] if validated else [],
    )
    return Row(
        cell=cell,
        seed=seed,
        parameters=parameters,
        seconds_per_epoch=2.0,
        seconds_to_best=1.0,
        better=True,
        scores={"MAE": mae, "MASE": mae / 2},
        gradient_norms=0.5 ** np.arange(8, -1, -1.0),
        gradient_reach=7,
        history=history,
    )


def comparison(*rows: Row) -> Comparison:
    return Comparison(
        task="forecast",
        config=ForecastConfig(time="t", target="<b>温度</b>", horizon=3),
        training=TrainingOptions(steps=2),
        rows=rows,
        baselines={"naive": {"MAE": 3.0, "MASE": 1.5}},
        higher_is_better=frozenset(),
    )


def test_the_table_has_means_and_spreads_and_marks_the_best_cell() -> None:
    table = comparison_table(
        comparison(row("rnn", 0, 2.0, 10), row("rnn", 1, 4.0, 10), row("lstm", 0, 1.0, 40))
    )
    column = list(table.header).index("MAE")
    assert [cells[0] for cells in table.rows] == ["RNN", "LSTM", "naive"]
    assert table.rows[0][column] == "3.000 ± 1.414"
    assert table.rows[1][column] == "1.000"
    assert table.rows[2][column] == "3.000"
    assert table.best[column - 1] == 1


@pytest.mark.parametrize("validated", [True, False])
def test_the_page_opens_with_the_verdict_and_escapes_names(tmp_path, validated: bool) -> None:
    compared = comparison(row("gru", 0, 2.0, 30, validated), row("lstm", 0, 1.5, 40, validated))
    path = write_comparison_report(tmp_path, compared, command="gated compare forecast d.csv")
    page = path.read_text()
    assert page.index("LSTM has the best MAE") < page.index("<h1>")
    assert "<b>温度" not in page
    assert "温度" in page
    names = {picture.name for picture in (tmp_path / "figures").iterdir()}
    assert names == {"error_by_cell.png", "learning_by_cell.png", "gradient_by_cell.png"}
    for svg in page.split("<svg")[1:]:
        ElementTree.fromstring("<svg" + svg[: svg.index("</svg>") + 6])
