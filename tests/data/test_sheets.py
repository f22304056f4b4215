"""Sheets of Excel and LibreOffice, wherever a CSV is read."""

from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest
from tests.sheets import write_ods, write_xlsx

from gated.data.bad_rows import BadRows
from gated.data.manifest import read_rows
from gated.data.raw_table import open_table
from gated.errors import ConfigurationError, DataError
from gated.tasks.classify.config import SourceOptions
from gated.tasks.classify.table import read_sequences
from gated.tasks.forecast import ForecastConfig
from gated.tasks.forecast.reading import read_table
from gated.tasks.speech.config import SpeechConfig
from gated.tasks.speech.manifest import read_manifest as read_recordings
from gated.tasks.text_classify.config import TextClassifyConfig
from gated.tasks.text_classify.texts import read_texts
from gated.tasks.translate.pairs import read_pairs
from gated.tasks.video.config import VideoConfig
from gated.tasks.video.manifest import read_manifest as read_segments

DAYS = [date(2024, 3, 1) + timedelta(k) for k in range(4)]
ROWS = [
    ["day", "sold", "price", "note"],
    [DAYS[0], 3, 1.5, "a"],
    [DAYS[1], None, 2.0, "=b"],
    [None] * 4,
    [DAYS[2], -5, 2.5, "c"],
]


@pytest.fixture(params=["xlsx", "ods"])
def sheet(request: pytest.FixtureRequest, tmp_path: Path):
    """Write rows as a sheet of either kind."""

    def write(rows: list[list]) -> Path:
        path = tmp_path / f"table.{request.param}"
        return write_ods(path, rows) if request.param == "ods" else write_xlsx(path, {"one": rows})

    return write


def test_numbers_dates_and_texts_keep_their_types(sheet) -> None:
    table = open_table(sheet(ROWS), index="")
    assert table.frame["day"].cast(pl.Date).to_list() == DAYS[:3]
    assert table.frame["day"].dtype.is_temporal()
    assert table.frame["sold"].to_list() == [3, None, -5]
    assert table.frame["sold"].dtype.is_numeric()
    assert table.frame["note"].to_list() == ["a", "=b", "c"]
    assert (table.lines.tolist(), table.place) == ([2, 3, 5], "row")
    assert table.findings == ()


def test_a_column_of_numbers_with_a_text_far_down_loses_nothing(sheet) -> None:
    table = open_table(sheet([["n"], *([k] for k in range(3000)), ["many"]]), index="")
    assert table.frame["n"].to_list()[-2:] == ["2999", "many"]


def test_a_forecast_reads_a_sheet_as_it_reads_a_csv(sheet, tmp_path: Path) -> None:
    rows = [["day", "sold", "shop"]]
    rows += [[DAYS[0] + timedelta(k), k * 1.5, "x"] for k in range(40)]
    config = ForecastConfig(time="day", target="sold", series="shop", horizon=2)
    ours = read_table(sheet(rows), config)
    path = tmp_path / "table.csv"
    path.write_text("\n".join(",".join(map(str, row)) for row in rows))
    theirs = read_table(path, config)
    assert ours.times.tolist() == theirs.times.tolist()
    assert ours.target.tolist() == theirs.target.tolist()


def test_every_list_is_read_from_a_sheet_and_by_the_names_given(sheet) -> None:
    path = sheet([["Review", "stars", "extra"], ["good", 5, "x"], ["bad", 1, "y"], [None, 2, "z"]])
    bad = BadRows(skip=True)
    config = TextClassifyConfig(text="Review", label="stars")
    texts = read_texts(path, config, bad, labelled=True)
    assert texts == [("good", "5", 2), ("bad", "1", 3)]
    ignored, left_out = map(str, bad.findings)
    assert ignored == "column 'extra': not asked for; ignored."
    assert "row 4: the text is empty" in left_out
    recordings = read_recordings(
        path, SpeechConfig(path="Review", text="extra"), BadRows(skip=True)
    )
    assert [(of.path.name, of.text) for of in recordings] == [("good", "x"), ("bad", "y")]
    clips = read_segments(
        path, VideoConfig(clip="Review", label="extra", end="stars"), labelled=True, bad=bad
    )
    assert [(of.clip.name, of.label, of.end) for of in clips] == [("good", "x", 5), ("bad", "y", 1)]
    pairs = read_pairs(path, BadRows(skip=False), ("Review", "extra"))
    assert [(of.source, of.target) for of in pairs] == [("good", "x"), ("bad", "y"), ("", "z")]


def test_pairs_are_read_from_a_csv_with_a_header(tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text('target,source\n"eins, zwei",one\n')
    assert read_pairs(path) == [("one", "eins, zwei", 2)]
    with pytest.raises(DataError, match=r"no column 'german'.*target name others"):
        read_pairs(path, columns=("source", "german"))


def test_texts_are_no_channels_unless_they_are_asked_for(sheet) -> None:
    rows = [["run", "x", "who", "y", "what"]]
    rows += [[run, k, "me", -k, what] for run, what in ((1, "up"), (2, "down")) for k in range(3)]
    path, bad = sheet(rows), BadRows(skip=False)
    columns = SourceOptions(series="run", label="what")
    assert read_sequences(path, columns, labelled=True, bad=bad).columns == ("x", "y")
    assert list(map(str, bad.findings)) == ["column 'who': no channel; ignored."]
    chosen = SourceOptions(series="run", label="what", channels=("y",))
    read = read_sequences(path, chosen, labelled=True)
    assert read.columns == ("y",)
    assert read.arrays[0].ravel().tolist() == [0, -1, -2]
    with pytest.raises(DataError, match="has no column 'z'"):
        read_sequences(
            path, SourceOptions(series="run", label="what", channels=("z",)), labelled=True
        )


def test_the_first_of_several_sheets_is_read_and_the_others_are_told(tmp_path: Path) -> None:
    path = write_xlsx(tmp_path / "t.xlsx", {"sales": ROWS, "notes": [["x"]]}, merged="A6:B7")
    told = list(map(str, open_table(path, index="").findings))
    assert told == [
        "sheets beside 'sales', the first, which is read (1, first: 'notes'); left out.",
        "merged cells in the sheet 'sales' (1, first: A6:B7); all but the first of each read as "
        "empty.",
    ]
    path = write_xlsx(tmp_path / "u.xlsx", {"cover": [], "sales": ROWS})
    with pytest.raises(DataError, match=r"its sheet 'cover' is empty.*there is also 'sales'"):
        open_table(path, index="")
    path = write_xlsx(tmp_path / "v.xlsx", {"sales": ROWS[:1]})
    with pytest.raises(DataError, match="has a header and no rows"):
        open_table(path, index="")


def test_headers_are_judged_as_those_of_a_csv(tmp_path: Path) -> None:
    path = write_xlsx(tmp_path / "t.xlsx", {"a": [["x", "x"], [1, 2]]})
    with pytest.raises(DataError, match="two columns are named 'x'"):
        open_table(path, index="")
    path = write_xlsx(tmp_path / "u.xlsx", {"a": [["x", None, "y"], [1, 2, 3]]})
    table = open_table(path, index="")
    assert table.frame.columns == ["x", "y"]
    assert "unnamed column 2" in str(table.findings[0])


@pytest.mark.parametrize("name", ["t.xlsx", "t.ods", "t.xls"])
def test_what_is_no_workbook_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"PK no archive")
    with pytest.raises(DataError, match=f"{name} cannot be read as sheets.*called .csv"):
        open_table(tmp_path / name, index="")


@pytest.mark.parametrize("name", ["t.json", "t.numbers", "t.csv.zip"])
def test_other_files_are_refused_by_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("x,y\n1,2\n")
    told = rf"{name}: .* files are not read as tables.*\.xlsx"
    with pytest.raises(DataError, match=told):
        open_table(tmp_path / name, index="")
    with pytest.raises(DataError, match=told):
        list(read_rows(tmp_path / name, {"x": "x"}, ("x",), "", BadRows(skip=False)))


def test_one_column_cannot_be_two_things(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("x,y\n1,2\n")
    with pytest.raises(ConfigurationError, match="two roles: text=x, label=x"):
        read_texts(
            tmp_path / "t.csv", TextClassifyConfig(text="x", label="x"), BadRows(skip=False),
            labelled=True,
        )  # fmt: skip
