"""Reading the first sheet of an Excel or LibreOffice workbook as a frame."""

from __future__ import annotations

import logging
import re
import zipfile
import zlib
from pathlib import Path
from typing import Any

import polars as pl

from gated.data.findings import Finding
from gated.errors import DataError, require

SHEETS = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods")
"""Suffixes of the files that hold sheets."""
MERGED = re.compile(
    rb'<mergeCell ref="([A-Z0-9:]+)"|table:number-(?:rows|columns)-spanned="(?!1")(\d+)"'
)


def open_sheet(path: Path) -> tuple[list[str], pl.DataFrame, tuple[Finding, ...]]:
    """Return the header of the first sheet, the rows below it, and the findings.

    Numbers, dates and booleans keep their types; a column that mixes them with texts is of texts.

    Raises:
        DataError: the file is no workbook, or its first sheet is empty.
    """
    fastexcel = require("fastexcel", extra="train")
    logging.getLogger("fastexcel").setLevel(logging.ERROR)  # it warns of columns without a value
    try:
        reader = fastexcel.read_excel(path)
        names = list(reader.sheet_names)
        header = _loaded(reader, header_row=None, n_rows=1)
        frame = _loaded(reader, header_row=0)
    except fastexcel.FastExcelError as error:
        reason = str(error).split("\n", 1)[0]
        raise DataError(
            f"{path.name} cannot be read as sheets ({reason}). A table of text is called .csv."
        ) from error
    others = [f"'{name}'" for name in names[1:]]
    if not header.width:
        hint = f" Put the table first; there is also {', '.join(others)}." if others else ""
        raise DataError(f"{path.name}: its sheet '{names[0]}' is empty.{hint}")
    findings = _merged(path, names[0])
    if others:
        findings = (
            Finding(
                kind="sheets",
                count=len(others),
                what=f"sheets beside '{names[0]}', the first, which is read",
                action="left out",
                example=others[0],
            ),
            *findings,
        )
    return [cell or "" for cell in header.row(0)], frame, findings


def _loaded(reader: Any, **options: Any) -> pl.DataFrame:
    sheet = reader.load_sheet(0, schema_sample_rows=None, **options)
    frame: pl.DataFrame = sheet.to_polars()
    return frame


def _merged(path: Path, sheet: str) -> tuple[Finding, ...]:
    """Return a finding if the first sheet has merged cells: all but the first of each are empty."""
    try:
        with zipfile.ZipFile(path) as archive:
            first = {"content.xml", "xl/worksheets/sheet1.xml"} & set(archive.namelist())
            found = [match for name in first for match in MERGED.findall(archive.read(name))]
    except (zipfile.BadZipFile, zlib.error, OSError):
        return ()  # .xls files are not archives
    if not found:
        return ()
    return (
        Finding(
            kind="merged",
            count=len(found),
            what=f"merged cells in the sheet '{sheet}'",
            action="all but the first of each read as empty",
            example=found[0][0].decode(),
        ),
    )
