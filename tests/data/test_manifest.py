"""Lists of examples: rows as they stand there, and rows that cannot be used."""

from pathlib import Path

import pytest

from gated.data.bad_rows import BadRows
from gated.data.manifest import read_rows
from gated.errors import DataError

KNOWN = ("path", "text", "speed")
COLUMNS = {name: name for name in KNOWN}


def rows_of(tmp_path: Path, table: str | bytes, bad: BadRows) -> list[tuple[int, dict[str, str]]]:
    path = tmp_path / "list.csv"
    path.write_bytes(table if isinstance(table, bytes) else table.encode())
    return list(read_rows(path, COLUMNS, KNOWN[:2], "A list of examples", bad))


def test_rows_are_stripped_and_numbered_by_their_lines(tmp_path: Path) -> None:
    table = '\ufeffpath, text\r\na.wav,"one,\r\ntwo"\r\n\r\n b.wav , three \r\nc.wav\r\n'
    assert rows_of(tmp_path, table, BadRows(skip=False)) == [
        (2, {"path": "a.wav", "text": "one,\ntwo"}),
        (5, {"path": "b.wav", "text": "three"}),
        (6, {"path": "c.wav", "text": ""}),
    ]


@pytest.mark.parametrize("separator", [";", "\t"])
def test_other_separators_are_found(tmp_path: Path, separator: str) -> None:
    table = f"path{separator}text\na.wav{separator}one, two\n"
    ((row, values),) = rows_of(tmp_path, table, BadRows(skip=False))
    assert (row, values["text"]) == (2, "one, two")


def test_a_text_longer_than_the_reader_takes_by_default(tmp_path: Path) -> None:
    ((_, values),) = rows_of(tmp_path, f"path,text\na,{'x' * 200_000}\n", BadRows(skip=False))
    assert len(values["text"]) == 200_000


def test_a_row_with_too_many_values_is_named_or_left_out(tmp_path: Path) -> None:
    table = "path,text\na.wav,one\nb.wav,two, three\nc.wav,four\n"
    message = "row 3: 3 values where the header has 2 columns; put a text with ',' in it"
    with pytest.raises(DataError, match=message):
        rows_of(tmp_path, table, BadRows(skip=False))
    bad = BadRows(skip=True)
    assert [row for row, _ in rows_of(tmp_path, table, bad)] == [2, 4]
    assert message in str(bad.findings[0])
    assert "1 left out, the first: row 3" in bad.summary


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("", "is empty"),
        ('path,text\na.wav,one\nb.wav,"two\nc.wav,three\n', "the row after row 2 cannot be read"),
        ("path,text,text\na,b,c\n", "two columns are named 'text'"),
        (b"path,text\na.wav,t\xe9\n", "line 2: the file is not UTF-8"),
        (b"\x00\x01\x02" * 50, "holds bytes that are not text"),
        ("path,words\na,b\n", "no column 'text' .it has path, words.*A list of examples has the"),
    ],
)
def test_a_file_that_is_no_list_is_refused(
    tmp_path: Path, table: str | bytes, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        rows_of(tmp_path, table, BadRows(skip=True))
