"""Predictions as a table and as CSV, in one form for all tasks."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from polars import selectors

from gated.data.findings import RowError

ROW, PREDICTED, REASON = "row", "predicted", "reason"
DIGITS, DECIMALS = 9, 3
"""Significant digits of numbers in CSV, as many as single precision holds; and decimals at least,
so that large numbers that are close to each other stay apart."""
FORMULA = r"^[=+\-@\t\r]"
"""Matches texts that a spreadsheet would take for a formula."""


def probability_of(label: str) -> str:
    """Return the name of the column with a label's probability, which no other column has.

    >>> probability_of("text")
    'p(text)'
    """
    return f"p({label})"


def label_columns(labels: Sequence[str], probabilities: NDArray[np.float64]) -> dict[str, Any]:
    """Return the likeliest of (C,) labels, and what (N, C) says of each, as columns.

    >>> label_columns(["no", "yes"], np.array([[0.25, 0.75]]))["predicted"]
    ['yes']
    """
    likeliest = {PREDICTED: [labels[place] for place in probabilities.argmax(1)]}
    return likeliest | dict(zip(map(probability_of, labels), probabilities.T, strict=True))


def number_columns(targets: Sequence[str], numbers: NDArray[np.float64]) -> dict[str, Any]:
    """Return predicted numbers (N, O) as columns, one that has no name as `PREDICTED`.

    >>> [*number_columns(["low", "high"], np.zeros((1, 2)))]
    ['predicted(low)', 'predicted(high)']
    """
    names = [f"{PREDICTED}({target})" for target in targets] or [PREDICTED]
    return dict(zip(names, numbers.T, strict=True))


def prediction_table(
    given: Mapping[str, Sequence[Any] | pl.Series],
    predicted: Mapping[str, Any],
    rows: Sequence[int] | None = None,
    left_out: Sequence[RowError] | None = None,
) -> pl.DataFrame:
    """Return predictions beside the columns of the input that they belong to, in its order.

    Columns of the input keep their names; an underscore is added to any other column of the same
    name.

    Args:
        given: columns of the input that identify a row; the first is a text.
        predicted: predicted columns.
        rows: (N,), line or row number of each row in the input; without it there is no such column.
        left_out: rows of the input that could not be used: each is in its place in the table, with
            a reason and without a prediction. None where such rows are an error.

    >>> prediction_table({"row": ["a"]}, {"predicted": [1]}, [2], []).columns
    ['row_', 'row', 'predicted', 'reason']
    """
    names = {name: _free(name, given) for name in (ROW, *predicted, REASON)}
    place = {} if rows is None else {names[ROW]: list(rows)}
    table = pl.DataFrame(place | dict(given) | {names[of]: predicted[of] for of in predicted})
    if left_out is None:
        return table
    missing = [
        {names[ROW]: one.row, next(iter(given)): one.of, names[REASON]: str(one)}
        for one in left_out
    ]
    texts = dict.fromkeys((next(iter(given)), names[REASON]), pl.String())
    schema = pl.Schema({**table.schema, **texts})
    if place:
        schema[names[ROW]] = pl.Int64()
    joined = pl.concat(
        [table.with_columns(pl.lit(None, pl.String).alias(names[REASON])).cast(schema),
         pl.DataFrame(missing, schema=schema)]
    )  # fmt: skip
    return joined.sort(names[ROW], nulls_last=True, maintain_order=True) if place else joined


def to_csv(table: pl.DataFrame) -> str:
    r"""Return a table as CSV, with numbers rounded alike and formulas made harmless.

    A text that begins with one of `= + - @`, a tab or a carriage return, and is no number, is
    preceded by a single quote, so that a spreadsheet does not compute it.

    >>> to_csv(pl.DataFrame({"=a": ["=1+1", "-5", "a-b"], "n": [-1.0, 1 / 3, None]}))
    "'=a,n\n'=1+1,-1.0\n-5,0.333333333\na-b,\n"
    >>> to_csv(pl.DataFrame({"q10": [9_999_999_993.8812345], "q50": [1e10]}))
    'q10,q50\n9999999993.881,10000000000.0\n'
    """
    harmless = table.with_columns(
        pl.when(selectors.float().abs() < 10.0 ** (DIGITS - DECIMALS))
        .then(selectors.float().round_sig_figs(DIGITS))
        .otherwise(selectors.float().round(DECIMALS)),
        *(_harmless(name) for name in table.select(selectors.string()).columns),
    )
    harmless.columns = [
        f"'{name}" if re.match(FORMULA, name) else name for name in harmless.columns
    ]
    return harmless.write_csv()


def _harmless(name: str) -> pl.Expr:
    text = pl.col(name)
    computed = text.str.contains(FORMULA) & text.cast(pl.Float64, strict=False).is_null()
    return pl.when(computed).then(pl.concat_str(pl.lit("'"), text)).otherwise(text).alias(name)


def _free(name: str, taken: Mapping[str, Any]) -> str:
    while name in taken:
        name += "_"
    return name
