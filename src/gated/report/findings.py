"""The report's section on what was found in the data and what was done about it."""

from __future__ import annotations

from collections.abc import Sequence

from gated.data.findings import Finding
from gated.report.page import Section, Table, Text


def cleaning_section(findings: Sequence[Finding], note: str = "") -> Section:
    """Return a section with a row for each finding, under a `note` of the task."""
    if not findings:
        return Section("Data cleaning", [Text("Nothing had to be cleaned.")])
    header = ["column", "found", "done", "first"]
    rows = [
        [
            finding.column or "",
            # A finding about a whole column has no example; its count, 1, is not shown.
            f"{finding.count:,} {finding.what}" if finding.example else finding.what,
            finding.action,
            finding.example,
        ]
        for finding in findings
    ]
    if not any(finding.column for finding in findings):
        header, rows = header[1:], [row[1:] for row in rows]
    text = Text(f"In the order in which it was found. {note}".strip())
    return Section("Data cleaning", [text, Table(header, rows, prose=True)])
