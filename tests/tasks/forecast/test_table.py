import gzip
from contextlib import suppress
from dataclasses import replace
from datetime import date, datetime

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gated.errors import ConfigurationError, DataError, GatedError
from gated.tasks.forecast.config import ForecastConfig
from gated.tasks.forecast.inputs import Prepared
from gated.tasks.forecast.preparation import prepare
from gated.tasks.forecast.reading import read_table

CONFIG = ForecastConfig(time="day", target="sales", horizon=2)
SERIES = ForecastConfig(time="day", target="sales", series="shop", horizon=2)


@pytest.fixture
def csv(tmp_path):
    def write(text, name="shop.csv"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def micros(*days):
    return [np.datetime64(day, "us").astype(np.int64) for day in days]


def test_reads_numbers_texts_and_times(csv):
    table = read_table(
        csv("day,sales,price,kind\n2024-01-01,1,2.5,a\n2024-01-02,-3e2,,b\n2024-01-03,4,1, \n"),
        CONFIG,
    )
    assert table.times.tolist() == micros("2024-01-01", "2024-01-02", "2024-01-03")
    np.testing.assert_array_equal(table.target, [1, -300, 4])
    np.testing.assert_array_equal(table.numbers["price"], [2.5, np.nan, 1])
    assert table.texts["kind"].values == ("a", "b")
    assert table.texts["kind"].codes.tolist() == [0, 1, -1]
    assert table.lines.tolist() == [2, 3, 4]


@pytest.mark.parametrize("marker", ["", "NA", "NaN", "null", "N/A", "?", "-", " ", "None", "nan"])
def test_missing_markers(csv, marker):
    table = read_table(csv(f"day,sales,x\n2024-01-01,1,2\n2024-01-02,{marker},3\n"), CONFIG)
    np.testing.assert_array_equal(table.target, [1, np.nan])


def test_a_series_may_be_called_na(csv):
    table = read_table(csv("day,sales,shop\n2024-01-01,1,NA\n2024-01-01,2,DE\n"), SERIES)
    assert table.series.values == ("DE", "NA")
    with pytest.raises(DataError, match=r"line 3: column 'shop'.*name of the series is missing"):
        read_table(csv("day,sales,shop\n2024-01-01,1,NA\n2024-01-01,2,\n"), SERIES)


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_separators_newlines_and_byte_order_mark(csv, separator, newline, mark):
    text = newline.join(["day,sales", "2024-01-01,1", "2024-01-02,2", ""]).replace(",", separator)
    assert read_table(csv(mark + text.encode()), CONFIG).target.tolist() == [1, 2]


def test_gzip(csv):
    packed = gzip.compress(b"day,sales\n2024-01-01,1\n")
    assert read_table(csv(packed, "shop.csv.gz"), CONFIG).target.tolist() == [1]
    with pytest.raises(DataError, match="damaged gzip"):
        read_table(csv(packed[:-12], "shop.csv.gz"), CONFIG)
    with pytest.raises(DataError, match="damaged gzip"):
        read_table(csv(packed[:12] + b"\xff" * 20, "shop.csv.gz"), CONFIG)


def test_true_and_false_are_numbers(csv):
    table = read_table(csv("day,sales,open\n2024-01-01,1,True\n2024-01-02,1,false\n"), CONFIG)
    assert table.numbers["open"].tolist() == [1, 0]


def test_unnamed_columns_are_not_read(csv):
    table = read_table(csv(",day,sales\n0,2024-01-01,1\n1,2024-01-02,3\n"), CONFIG)
    assert table.numbers == {}
    assert [finding.column for finding in table.findings] == ["unnamed column 1"]


def test_only_the_columns_asked_for(csv):
    config = ForecastConfig(time="day", target="sales", known=("b",), past=(), horizon=1)
    table = read_table(csv("day,sales,a,b\n2024-01-01,1,2,3\n"), config)
    assert list(table.numbers) == ["b"]


BAD = {
    "day,sales\n2024-01-01,1\n2024-01-02,two\n": r"line 3: column 'sales', value 'two' is not a",
    "day,sales\n2024-01-01,1\n\n\n2024-01-02,two\n": r"line 5: column 'sales', value 'two'",
    'day,sales,x\n2024-01-01,1,"a\nb"\n2024-01-02,two,c\n': r"line 4: column 'sales'",
    "\n\nday,sales\n2024-01-01,1\n2024-01-02,two\n": r"line 5: column 'sales'",
    "day,sales\n2024-01-01,1\n2024-31-31,2\n": r"line 3: column 'day', value '2024-31-31' is not",
    "day,sales\n2024-01-01,1\n,2\n": r"line 3: column 'day', value '' is missing",
    "day,sales\n2024-01-01,inf\n": r"line 2: column 'sales', value 'inf' is infinite",
    "day,sales\n2024-01-01,1e999\n": r"line 2: column 'sales', value '1e999' is infinite",
    "day,sales\n2024-01-01,1e200\n": r"line 2: column 'sales', value '1e200' is too large",
    "day,sales\n1,1.5\n2,2.5\n3,$2.50 x\n": r"line 4: column 'sales', value '\$2.50 x' is not a",
    "day;sales\n1;1,5\n2;2,5\n3;2.5\n": r"line 4: .* separates decimals otherwise than most",
    "day;sales\n1;1,5 %\n2;2 %\n3;0,2\n": r"line 4: .*value '0,2' has no '%', as most have",
    "day;sales\n1;1 €\n2;2 €\n3;$3\n": r"line 4: .*'\$3' has another unit than most, .* '€'",
    'day,sales\n1,"1,234"\n2,"2,345"\n': "line 2.*'1,234'.*decimal=',' or decimal='[.]' settles it",
    "day,sale\n2024-01-01,1\n": r"no column 'sales'\. Did you mean 'sale'\? .*are: day, sale\.",
    "day,sales,day\n2024-01-01,1,2\n": "two columns are named 'day'",
    "day,sales\n2024-01-01,1\n2024-01-02,1,2\n": "line 3: 3 values where the header has 2",
    "": "is empty",
    "\n \n": "is empty",
    "day,sales\n": "has a header and no rows",
    "day,sales": "has a header and no rows",
    "day,sales\n,\n\n": "has a header and no rows",
    "day,sales,x\n" + "2024-01-01,1,5\n" * 20 + "2024-01-02,1,oops\n": "line 22: column 'x'",
}


def test_a_series_without_a_name(csv):
    config = ForecastConfig(time="day", target="sales", series="shop", horizon=1)
    with pytest.raises(DataError, match=r"line 3: column 'shop', value '': the name of the series"):
        read_table(csv("day,shop,sales\n1,a,1\n2,,2\n"), config)


@pytest.mark.parametrize("text", BAD, ids=range(len(BAD)))
def test_what_bad_input_gets(csv, text):
    with pytest.raises(DataError, match=BAD[text]):
        read_table(csv(text), CONFIG)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (["1,05", "2"], [1.05, 2]),
        (["1.234,5", "12.345", "7"], [1234.5, 12345, 7]),
        (["10,012.57", "1,234", "7"], [10012.57, 1234, 7]),
        (["1,234,567", "1.5"], [1234567, 1.5]),
        (["0,125", "1,250"], [0.125, 1.25]),
        (["1.234", "2.5"], [1.234, 2.5]),
        (["1\u202f234,5", "1\u2009234", "1\u00a0234", "1 234"], [1234.5, 1234, 1234, 1234]),
        (["1'234.50", "1’234"], [1234.5, 1234]),
        (["12,34,567.5"], [1234567.5]),
        (["€ 1.234,50", "5,00 €", "7"], [1234.5, 5, 7]),
        (["-$5.20", "$-5", "($5)", "5-", "\u22125"], [-5.2, -5, -5, -5, -5]),
        (["5 %", "12,5%"], [5, 12.5]),
        (["EUR 3,50", "CHF"], None),
        (["1,5e3", "1E2"], [1500, 100]),
    ],
    ids=str,
)
def test_numbers_as_people_write_them(csv, written, meant):
    rows = "".join(f"{i};{number};{number}\n" for i, number in enumerate(written))
    if meant is None:
        with pytest.raises(DataError, match="line 3: column 'sales', value 'CHF' is not a number"):
            read_table(csv("day;sales;x\n" + rows), CONFIG)
        return
    table = read_table(csv("day;sales;x\n" + rows), CONFIG)
    np.testing.assert_allclose(table.target, meant)
    np.testing.assert_allclose(table.numbers["x"], meant)


def test_columns_settle_the_decimals_of_each_other(csv):
    text = "day;sales;x\n1;1.234;{}\n2;2.500;7\n"
    assert read_table(csv(text.format("1,5")), CONFIG).target.tolist() == [1234, 2500]
    assert read_table(csv(text.format("1.5")), CONFIG).target.tolist() == [1.234, 2.5]
    german = replace(CONFIG, decimal=",")
    assert read_table(csv(text.format("1,234")), german).target.tolist() == [1234, 2500]
    assert read_table(csv(text.format("1,234")), german).numbers["x"].tolist() == [1.234, 7]
    english = replace(CONFIG, decimal=".")
    assert read_table(csv(text.format("1,234")), english).numbers["x"].tolist() == [1234, 7]
    # What is certain needs no option, and none overrules it.
    assert read_table(csv(text.format("1,5")), english).numbers["x"].tolist() == [1.5, 7]
    assert read_table(csv(text.format("1,5")), CONFIG).decimal == ","


def test_what_was_read_of_numbers_is_a_finding(csv):
    table = read_table(csv("day;sales;x\n1;1,5 €;2,5\n2;2,5 €;1\n"), CONFIG)
    assert [str(finding) for finding in table.findings] == [
        "column 'sales': numbers such as '1,5 €' (2, first: line 2); read as 1.5.",
        "column 'x': numbers such as '2,5' (1, first: line 2); read as 2.5.",
    ]


def test_how_files_are_encoded(csv):
    text = "day,sales,größe\n2024-01-01,1,ä\n2024-01-02,2,ö\n"
    for encoding in ("utf-8-sig", "utf-16", "utf-32"):
        assert read_table(csv(text.encode(encoding)), CONFIG).texts["größe"].values == ("ä", "ö")
    latin = csv(text.encode("windows-1252"))
    with pytest.raises(DataError, match=r"line 1: .* not UTF-8 text.*with encoding"):
        read_table(latin, CONFIG)
    named = replace(CONFIG, encoding="windows-1252")
    assert read_table(latin, named).texts["größe"].values == ("ä", "ö")
    assert read_table(csv(text), named).texts["größe"].values == ("ä", "ö")
    unmarked = replace(CONFIG, encoding="utf-16-le")
    assert "größe" in read_table(csv(text.encode("utf-16-le")), unmarked).texts
    with pytest.raises(ConfigurationError, match="'latin-99', which is no encoding"):
        read_table(latin, replace(CONFIG, encoding="latin-99"))


def test_a_header_that_does_not_tell_the_separator_alone(csv):
    config = replace(CONFIG, target="sales, net")
    assert read_table(csv("day;sales, net\n1;5\n2;6\n"), config).target.tolist() == [5, 6]
    assert read_table(csv("sep=;\nday;sales\n1;5\n2;6\n"), CONFIG).lines.tolist() == [3, 4]


def test_a_header_in_the_middle_is_left_out(csv):
    table = read_table(csv("day,sales\n1,5\nday,sales\n2,6\n"), CONFIG)
    assert (table.target.tolist(), table.lines.tolist()) == ([5, 6], [2, 4])
    assert str(table.findings[0]) == "rows that repeat the header (1, first: line 3); left out."


def test_bytes_that_are_not_text(csv):
    with pytest.raises(DataError, match="line 2: the file is not UTF-8"):
        read_table(csv(b"day,sales\n2024-01-01,\xff\n"), CONFIG)
    with pytest.raises(FileNotFoundError, match="no file"):
        read_table("nowhere.csv", CONFIG)
    with pytest.raises(DataError, match="Expected a path or a polars or pandas frame, not list"):
        read_table([1, 2], CONFIG)


def test_parquet(tmp_path):
    frame = pl.DataFrame({"day": [date(2024, 1, 1), date(2024, 1, 2)], "sales": [1, None]})
    frame.write_parquet(tmp_path / "shop.parquet")
    table = read_table(tmp_path / "shop.parquet", CONFIG)
    assert table.times.tolist() == micros("2024-01-01", "2024-01-02")
    np.testing.assert_array_equal(table.target, [1, np.nan])
    (tmp_path / "bad.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match="not a Parquet file"):
        read_table(tmp_path / "bad.parquet", CONFIG)


def test_frames_of_pandas_and_polars_are_read_alike():
    times = pd.date_range("2024-03-31", periods=4, freq="h", tz="Europe/Berlin")
    columns = {
        "sales": pd.array([1, None, 3, 4], dtype="Int64"),
        "shop": ["a", "a", "b", "b"],
        "price": [1.5, np.nan, 2.5, 3.5],
        "kind": pd.Categorical(["u", None, "v", "u"]),
        "open": [True, False, True, True],
    }
    pandas = pd.DataFrame({"day": times, **columns})
    polars = pl.DataFrame(
        {
            "day": pl.Series(times.tz_convert("UTC").tz_localize(None).to_numpy())
            .dt.replace_time_zone("UTC")
            .dt.convert_time_zone("Europe/Berlin"),
            "sales": [1, None, 3, 4],
            "shop": ["a", "a", "b", "b"],
            "price": [1.5, None, 2.5, 3.5],
            "kind": pl.Series(["u", None, "v", "u"], dtype=pl.Categorical),
            "open": [True, False, True, True],
        }
    )
    one, other = read_table(pandas, SERIES), read_table(polars, SERIES)
    assert one.clock == other.clock
    assert one.clock.zone == "Europe/Berlin"
    np.testing.assert_array_equal(one.times, other.times)
    assert one.times[0] == np.datetime64("2024-03-30T23:00", "us").astype(np.int64)
    np.testing.assert_array_equal(one.target, other.target)
    np.testing.assert_array_equal(one.numbers["price"], other.numbers["price"])
    np.testing.assert_array_equal(one.numbers["open"], [1, 0, 1, 1])
    assert one.texts["kind"].values == other.texts["kind"].values == ("u", "v")
    assert one.texts["kind"].codes.tolist() == other.texts["kind"].codes.tolist() == [0, -1, 1, 0]
    assert one.series.values == ("a", "b")


def test_the_index_of_a_pandas_frame_may_be_the_time():
    frame = pd.DataFrame({"sales": [1.0, 2.0]}, pd.date_range("2024-01-01", periods=2, name="day"))
    assert read_table(frame, CONFIG).times.tolist() == micros("2024-01-01", "2024-01-02")
    with pytest.raises(DataError, match="no column 'day'"):
        read_table(frame.reset_index(drop=True), CONFIG)


def test_columns_that_are_neither_numbers_nor_texts():
    frame = pl.DataFrame({"day": [1], "sales": [1.0], "seen": [datetime(2024, 1, 1)]})
    table = read_table(frame, CONFIG)
    assert [finding.column for finding in table.findings] == ["seen"]
    asked = ForecastConfig(time="day", target="sales", past=("seen",), horizon=1)
    with pytest.raises(DataError, match="column 'seen' holds Datetime"):
        read_table(frame, asked)


PLAIN = ForecastConfig(time="t", target="y", horizon=1, history=2)
MANY = ForecastConfig(time="t", target="y", series="s", horizon=1, history=2)
quietly = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def read_or_refuse(path, config):
    """Fails on any other exception than ours."""
    with suppress(GatedError):
        assert isinstance(prepare(path, config), Prepared)


@quietly
@given(st.one_of(st.binary(max_size=40), st.text(max_size=80).map(str.encode)), st.booleans())
def test_random_bytes_are_read_or_refused(tmp_path, content, headed):
    path = tmp_path / "random.csv"
    path.write_bytes((b"t,y\n1,2\n2,3\n3,5\n4,1\n5,3\n" if headed else b"") + content)
    read_or_refuse(path, PLAIN)


cells = st.one_of(
    st.integers(-5, 5).map(str),
    st.integers().map(str),
    st.floats().map(str),
    st.datetimes().map(str),
    st.dates().map(str),
    st.sampled_from(["", "NA", "a", "b", '"', '"x,y"', "1,5", "é", "\x00", "true", "2024-02-30"]),
    st.text(max_size=4),
)
rows = st.lists(st.tuples(cells, cells, cells, cells), max_size=8)
NAMES = ["t", "y", "s", "x"]


@st.composite
def damaged_tables(draw):
    """Twelve sound rows of two series, of which a few cells and rows are not what they were."""
    step = draw(st.sampled_from([1, 3600, 86400, 604800, 2678400, 10**12]))
    begin = draw(st.sampled_from([0, 10**9, 1_700_000_000]))
    days = draw(st.booleans()) and step >= 86400 and step < 10**12
    table = [
        [begin + i // 2 * step, i * i % 7, "ab"[i % 2], ["u", "v", "w"][i % 3]] for i in range(24)
    ]
    for row in table:
        row[0] = np.datetime64(row[0], "s").astype("M8[D]") if days else row[0]
    for _ in range(draw(st.integers(0, 3))):
        row = draw(st.integers(0, len(table) - 1))
        table[row][draw(st.integers(0, 3))] = draw(cells)
    for _ in range(draw(st.integers(0, 3))):
        table.insert(draw(st.integers(0, 20)), table.pop(draw(st.integers(0, 20))))
    if draw(st.booleans()):
        table.append(table[draw(st.integers(0, 20))])
    return [[str(cell) for cell in row] for row in table]


@quietly
@given(
    st.permutations(NAMES),
    st.one_of(rows, damaged_tables()),
    st.sampled_from([",", ";"]),
    st.sampled_from([PLAIN, MANY]),
)
def test_random_cells_are_read_or_refused(tmp_path, order, rows, separator, config):
    lines = [dict(zip(NAMES, row, strict=True)) for row in rows]
    text = "\n".join([separator.join(order), *(separator.join(r[c] for c in order) for r in lines)])
    path = tmp_path / "random.csv"
    path.write_bytes(text.encode(errors="replace"))
    read_or_refuse(path, config)


def lists_of(cells):
    return st.lists(cells, min_size=8, max_size=8)


columns = st.one_of(
    st.just(list(range(8))),
    st.just([datetime(2024, 1, day) for day in range(1, 9)]),
    lists_of(st.integers(-(2**63), 2**63 - 1)),
    lists_of(st.floats()),
    lists_of(st.one_of(st.none(), st.floats(-9, 9))),
    lists_of(st.datetimes()),
    lists_of(st.one_of(st.none(), st.text(max_size=3))),
    lists_of(st.booleans()),
    lists_of(st.binary(max_size=3)),
    lists_of(st.lists(st.integers(0, 3), max_size=2)),
)


@quietly
@given(st.fixed_dictionaries({"t": columns, "y": columns, "s": columns, "x": columns}))
def test_random_frames_are_read_or_refused(columns):
    read_or_refuse(pl.DataFrame(columns), PLAIN)
