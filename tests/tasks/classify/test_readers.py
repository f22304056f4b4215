"""`.ts` files and tables as sequences."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from tests.tasks.classify.conftest import bumps, ts_text

from gated.data.bad_rows import BadRows
from gated.errors import ConfigurationError, DataError
from gated.tasks.classify.config import SourceOptions
from gated.tasks.classify.parts import read_parts
from gated.tasks.classify.sequences import sequences_of
from gated.tasks.classify.table import read_sequences

COLUMNS = SourceOptions(series="run", label="what", time="t")


def read(path: Path, options: SourceOptions = COLUMNS):
    return read_sequences(path, options, labelled=True)


def test_a_ts_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    arrays, labels = bumps(5, seed=0)
    arrays[2][3, 1] = np.nan
    path = tmp_path / "a.ts"
    path.write_text(ts_text(arrays, labels))
    found = read(path)
    assert found.values.tolist() == labels.tolist()
    assert found.names[2] == "a.ts, line 8"
    for ours, theirs in zip(found.arrays, arrays, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=5e-5)


@pytest.mark.parametrize(
    "times",
    [("0", "1.5", "20"), ("2007-01-01", "2007-01-01 00:00:30", "2007-02-01 12:30")],
)
def test_time_stamps_put_the_steps_in_order(tmp_path: Path, times: tuple[str, ...]) -> None:
    path = tmp_path / "timed.ts"
    first, second, third = times
    one = f"({third},3),({first},1):({second},5):up"
    other = f"({first},7) , ({third},?):({third},8):down"
    path.write_text(f"@timeStamps true\n@classLabel true up down\n@data\n{one}\n{other}\n")
    found = read(path)
    expected = [[1, np.nan], [np.nan, 5], [3, np.nan]], [[7, np.nan], [np.nan, 8]]
    for ours, theirs in zip(found.arrays, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert found.values.tolist() == ["up", "down"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("(0,1),(0,2):a", "line 4 has two values at the time 0 in a channel"),
        ("(0,1),(2020-01-01,2):a", "line 4 has times that cannot be compared"),
        ("(2020-01-01,1),(2020-01-02T00:00Z,2):a", "line 4 has times that cannot be compared"),
        ("(0,1),(x,2):a", "line 4 has the time 'x', which is neither a number nor a date"),
        ("(0,1),(nan,2):a", "line 4 has the time 'nan'"),
        ("(0,1),(1,2,3):a", "line 4 has the time '1,2'"),
        ("(0,1),2:a", "line 4 holds '(0,1),2'; expected pairs"),
        ("(0,1),(1,y):a", "line 4 holds 'y', which is not a number"),
        ("1,2:a", "line 4 holds '1,2'; expected pairs"),
        ("(0,1),(1,2)", "line 4 has no label"),
    ],
)
def test_bad_time_stamps_are_named(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "timed.ts"
    path.write_text(f"@timeStamps true\n@classLabel true a\n@data\n{line}\n")
    with pytest.raises(DataError, match=re.escape(message)):
        read(path)


def test_a_table_gives_the_same_whatever_the_order_of_its_rows(tmp_path: Path) -> None:
    arrays, labels = bumps(4, seed=1)
    frame = pl.concat(
        pl.DataFrame(
            {"run": f"r{k}", "t": range(len(of)), "a": of[:, 0], "b": of[:, 1]}
        ).with_columns(what=pl.lit(str(labels[k])))
        for k, of in enumerate(arrays)
    )
    path = tmp_path / "long.csv"
    frame.sample(fraction=1, shuffle=True, seed=3).write_csv(path)
    found = read(path)
    assert found.names == ["r0", "r1", "r2", "r3"]
    assert found.values.tolist() == labels.tolist()
    for ours, theirs in zip(found.arrays, arrays, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)
    with pytest.raises(ConfigurationError, match="series and label"):
        read(path, SourceOptions())


def test_rows_are_sorted_by_dates_and_hold_numbers_as_people_write_them(tmp_path: Path) -> None:
    path = tmp_path / "long.csv"
    rows = [
        "a;01.02.2024;3,5;up",
        "a;31.01.2024;2,5;up",
        "b;1.2.2024;1,5;down",
        "b;30.1.2024;1;down",
    ]
    path.write_text("\n".join(["run;t;x;what", *rows]))
    found = read(path)
    assert [array[:, 0].tolist() for array in found.arrays] == [[2.5, 3.5], [1, 1.5]]
    path.write_text("run,t,x,what\na,01/02/2024,1,up\na,02/01/2024,2,up\n")
    with pytest.raises(DataError, match="no row tells which"):
        read(path)
    first = read(path, replace(COLUMNS, day_first=True)).arrays[0][:, 0]
    assert first.tolist() == [2, 1]
    # What is no time keeps its place in the alphabet.
    path.write_text("run,t,x,what\na,step b,1,up\na,step a,2,up\n")
    assert read(path).arrays[0][:, 0].tolist() == [2, 1]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1,2,x:3,4,5:early", "bad.ts, line 4 holds 'x'"),
        ("1,2,3:early", "line 4 has 1 channels; the others, 2"),
        ("?,?:?,?:early", "line 4 holds no value"),
        ("1,inf:1,2:early", "line 4 is infinite at step 1, channel 0"),
        ("1,2:3,4:", "line 4 has no label"),
    ],
)
def test_a_bad_line_is_named_or_skipped(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "bad.ts"
    good = "1,2:3,4:early\n1,2:3,5:late\n" * 4
    path.write_text(f"@classLabel true\n@data\n1,2:3,4:early\n{line}\n{good}")
    with pytest.raises(DataError, match=message):
        read_parts(path, SourceOptions(), 0, stratified=True)
    parts = read_parts(path, SourceOptions(skip_bad=True), 0, stratified=True)
    assert len(parts.training) + len(parts.test) == 9
    (finding,) = parts.findings
    assert message in finding.example


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,2,3\n", "no line `@data`"),
        ("@classLabel true\n@data\n", "no usable sequence"),
        ("@classLabel false\n@data\n1,2\n", "holds no labels"),
    ],
)
def test_a_file_that_is_none_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "none.ts"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        read(path)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("a,0,1,up\na,1,2,down\n", "has the labels down, up"),
        ("a,0,1,\n", "has no label"),
        ("a,0,one,up\n", "column 'x', value 'one' is not a number"),
        ("a,0,inf,up\n", "column 'x', value 'inf' is infinite"),
        (",0,1,up\n", "line 2 has nothing in the column 'run'"),
        ("a,,1,up\n", "line 2 has nothing in the column 't'"),
        ("a,0,1,up,3\n", "line 2: 5 values where the header has 4 columns"),
    ],
)
def test_a_bad_table_is_named_or_skipped(tmp_path: Path, rows: str, message: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(f"run,t,x,what\n{rows}b,0,1,up\nc,0,2,down\n")
    with pytest.raises(DataError, match=message) as told:
        read(path)
    assert "skip_bad" in str(told.value)
    bad = BadRows(skip=True)
    assert read_sequences(path, COLUMNS, labelled=True, bad=bad).names == ["b", "c"]
    assert message.replace("\\", "") in str(bad.findings[0])


def test_a_quoted_line_break_does_not_move_the_lines_behind_a_wide_row(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('run,t,x,what\n"a\na",0,1,up\nb,0,1,up,3\nc,0,one,up\nd,0,1,up\n')
    bad = BadRows(skip=True)
    assert read_sequences(path, COLUMNS, labelled=True, bad=bad).names == ["a\na", "d"]
    first, second = map(str, bad.findings)
    assert "line 4: 5 values" in first
    assert "line 5: column 'x'" in second


def test_channels_of_a_table_are_found_by_name(tmp_path: Path) -> None:
    options = SourceOptions(series="run", label="what", test_data=tmp_path / "test.csv")
    (tmp_path / "train.csv").write_text("run,a,b,what\nr,1,2,up\ns,3,4,down\n")
    (tmp_path / "test.csv").write_text("b,run,note,what,a\n6,t,?,up,5\n")
    parts = read_parts(tmp_path / "train.csv", options, 0, stratified=True)
    assert parts.training.columns == ("a", "b")
    assert parts.test.arrays[0].tolist() == [[5, 6]]
    (tmp_path / "test.csv").write_text("run,a,what\nt,5,up\n")
    with pytest.raises(DataError, match="no column 'b'"):
        read_parts(tmp_path / "train.csv", options, 0, stratified=True)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1,2:3,4:never", "test.ts, line 3: the label 'never' was not trained on; known are"),
        ("1,2:early", "test.ts, line 3 has 1 channels; the others, 2"),
    ],
)
def test_a_test_sequence_that_cannot_be_scored_is_named_before_training(
    tmp_path: Path, line: str, message: str
) -> None:
    train, test = tmp_path / "train.ts", tmp_path / "test.ts"
    train.write_text("@classLabel true\n@data\n1,2:3,4:early\n1,2:3,5:late\n")
    test.write_text(f"@classLabel true\n@data\n{line}\n")
    with pytest.raises(DataError, match=message):
        read_parts(train, SourceOptions(test_data=test), 0, stratified=True)
    with test.open("a") as file:
        file.write("1,2,3:3,4,5:late\n")
    options = SourceOptions(test_data=test, skip_bad=True)
    assert len(read_parts(train, options, 0, stratified=True).test) == 1


@pytest.mark.parametrize("value", ["ten", "inf"])
def test_what_is_no_number_to_learn_is_named_or_skipped(tmp_path: Path, value: str) -> None:
    path = tmp_path / "a.ts"
    good = "".join(f"1,2,{k}:{k}\n" for k in range(8))
    path.write_text(f"@targetLabel true\n@data\n{good}1,2,3:{value}\n")
    message = f"a.ts, line 11: the label '{value}' is not a finite number"
    with pytest.raises(DataError, match=message):
        read_parts(path, SourceOptions(), 0, stratified=False)
    parts = read_parts(path, SourceOptions(skip_bad=True), 0, stratified=False)
    assert len(parts.training) + len(parts.test) == 8


def test_arrays_of_python_come_in_several_shapes() -> None:
    cube = np.arange(24.0).reshape(2, 4, 3)
    assert [of.shape for of in sequences_of(cube)] == [(4, 3), (4, 3)]
    assert [of.shape for of in sequences_of(cube[..., 0])] == [(4, 1), (4, 1)]
    assert [of.shape for of in sequences_of([cube[0], cube[1, :2]])] == [(4, 3), (2, 3)]
    with pytest.raises(DataError, match="Sequence 1 has 2 channels; the others, 3"):
        sequences_of([cube[0], cube[1, :, :2]])
    with pytest.raises(DataError, match="Reshape your data"):
        sequences_of(np.zeros(3))


def test_wide_and_arff_files_give_what_a_ts_file_gives(tmp_path: Path) -> None:
    """Missing values at the end are no steps, those between are."""
    wide, arff, several = tmp_path / "a.tsv", tmp_path / "a.arff", tmp_path / "b.arff"
    wide.write_text("2\t1.5\t-2\tNaN\t4\n1\t3\t4\tNaN\tNaN\n")
    arff.write_text("% about\n@relation a\n@data\n1.5,-2,?,4,2\n3,4,?,?,1\n")
    for path in (wide, arff):
        found = read(path, SourceOptions())
        assert found.values.tolist() == ["2", "1"]
        assert [of.shape for of in found.arrays] == [(4, 1), (2, 1)]
        np.testing.assert_array_equal(found.arrays[0][:, 0], [1.5, -2, np.nan, 4])
    several.write_text("@DATA\n'1,2,3\\n4,5,6',up\n'1,2,3\\n4,5',down\n'7,8\\n9,10',down\n")
    bad = BadRows(skip=True)
    found = read_sequences(several, SourceOptions(), labelled=True, bad=bad)
    assert [of.tolist() for of in found.arrays] == [[[1, 4], [2, 5], [3, 6]], [[7, 9], [8, 10]]]
    assert found.names == ["b.arff, line 2", "b.arff, line 4"]
    assert "line 3 has channels of unlike length" in str(bad.errors[0])
    header = tmp_path / "long.tsv"
    header.write_text("run\tx\tlabel\na\t1\tup\n")
    with pytest.raises(ConfigurationError, match="series and label"):
        read(header, SourceOptions())
