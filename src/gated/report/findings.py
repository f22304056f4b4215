"""The section on what was found in the data and done about it; the same for every task."""

from __future__ import annotations

from collections.abc import Sequence

from gated.data.findings import Finding
from gated.report.page import Section, Table, Text


def cleaning_section(findings: Sequence[Finding], note: str = "") -> Section:
    """Return a row for each kind of finding, under a `note` of the task's own."""
    if not findings:
        return Section("What was cleaned", [Text("Nothing: the data were complete and in order.")])
    header = ["column", "found", "done", "first"]
    rows = [
        [
            finding.column or "",
            # What concerns a whole column has no first example, and no count worth showing.
            f"{finding.count:,} {finding.what}" if finding.example else finding.what,
            finding.action,
            finding.example,
        ]
        for finding in findings
    ]
    if not any(finding.column for finding in findings):
        header, rows = header[1:], [row[1:] for row in rows]
    text = Text(f"In the order of finding. {note}".strip())
    return Section("What was cleaned", [text, Table(header, rows, prose=True)])
