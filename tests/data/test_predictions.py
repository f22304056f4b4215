"""Tables of predictions: names that never collide, rows in their places, harmless CSV."""

import csv
import io

import numpy as np
import polars as pl
import pytest

from gated.data.findings import RowError
from gated.data.predictions import PREDICTED, prediction_table, probability_of, to_csv


def test_what_is_predicted_never_takes_the_name_of_a_column_of_the_input():
    labels = ("text", "predicted", "row", "p(text)")
    predicted = {PREDICTED: ["text"]} | {probability_of(label): [0.25] for label in labels}
    table = prediction_table({"p(row)": ["a"], "predicted": ["b"]}, predicted, [7], [])
    assert table.columns == [
        "row", "p(row)", "predicted", "predicted_", "p(text)", "p(predicted)", "p(row)_",
        "p(p(text))", "reason",
    ]  # fmt: skip
    assert table.row(0)[:4] == (7, "a", "b", "text")


def test_rows_that_could_not_be_used_stand_in_their_places():
    left_out = [RowError("row 3: no text", 3), RowError("row 9: no clip", 9, of="z")]
    told = {PREDICTED: ["x", "y"], "p(x)": [0.9, 0.1]}
    table = prediction_table({"text": ["a", "b"]}, told, [2, 4], left_out)
    assert table.rows() == [
        (2, "a", "x", 0.9, None),
        (3, None, None, None, "row 3: no text"),
        (4, "b", "y", 0.1, None),
        (9, "z", None, None, "row 9: no clip"),
    ]
    assert prediction_table({"text": ["a", "b"]}, told, [2, 4]).columns[-1] == "p(x)"


def test_where_no_row_could_be_used_each_stands_there() -> None:
    left_out = [RowError("row 3: no text", 3), RowError("row 2: no clip", 2, of="z")]
    predicted = {PREDICTED: [], "p(x)": np.zeros(0)}
    table = prediction_table({"text": []}, predicted, [], left_out)
    assert table.columns == ["row", "text", "predicted", "p(x)", "reason"]
    assert table.rows() == [
        (2, "z", None, None, "row 2: no clip"),
        (3, None, None, None, "row 3: no text"),
    ]


@pytest.mark.parametrize("text", ["=1+1", "+cmd", "-2+3", "@SUM(A1)", "\t=1", "\r=1"])
def test_a_text_that_a_spreadsheet_would_compute_is_made_harmless(text):
    ((header,), (cell,)) = csv.reader(io.StringIO(to_csv(pl.DataFrame({text: [text]})), newline=""))
    assert (header, cell) == (f"'{text}", f"'{text}")


@pytest.mark.parametrize("text", ["-5", "+1.5", "-1e-3", "a=b", "", "'=1"])
def test_numbers_and_other_texts_are_left_alone(text):
    (_, (cell,)) = csv.reader(io.StringIO(to_csv(pl.DataFrame({"a": [text]}))))
    assert cell == text


def test_numbers_have_one_form_with_what_a_float_holds():
    table = pl.DataFrame({"a": [1 / 3, -123456789.123, 0.5, None], "n": [1, 2, 3, -4]})
    assert to_csv(table) == "a,n\n0.333333333,1\n-123456789.123,2\n0.5,3\n,-4\n"
