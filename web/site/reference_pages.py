"""Pages of the reference: a table of summaries, then signatures and docstrings."""

from __future__ import annotations

from typing import Any

from public_names import public_name

WORDS = {
    "en": {
        "name": "name",
        "summary": "summary",
        "note": "",
    },
    "zh": {
        "name": "名称",
        "summary": "说明",
        "note": "签名与详细说明直接取自源代码的文档字符串，为英文。",
    },
}
VERBS = ("fit", "score", "evaluate", "predict", "explain", "save", "load")
"""What every learner has from `Learner`."""


def reference_page(page: dict[str, Any], language: str) -> str:
    """Return a page of `reference.toml` in Markdown."""
    words = WORDS[language]
    lines = [f"# {page[language]}", "", words["note"], ""]
    for module, names in page["modules"].items():
        known = [public_name(module, name) for name in names]
        lines += [f"## {module} {{#{module}}}", ""]
        lines += [f"| {words['name']} | {words['summary']} |", "| --- | --- |"]
        for name in known:
            summary = name.summary if language == "en" else names[name.name]
            summary = summary.replace("|", "\\|")
            lines.append(f"| [`{name.name}`](#{name.anchor}) | {summary} |")
        lines.append("")
        for name in known:
            lines += _entry(name.anchor, name.origin, name.name)
    return "\n".join(lines)


def _entry(anchor: str, origin: str, name: str) -> list[str]:
    lines = [f'<a id="{anchor}"></a>' if anchor != origin else "", "", f"::: {origin}"]
    lines += ["    options:", f'      heading: "{name}"', f'      toc_label: "{name}"']
    if anchor in ("gated.cells", "gated.nn", "gated.nn.init"):  # modules with a part of their own
        lines += ["      members: false"]
    if anchor.startswith("gated.tasks.") and anchor.count(".") == 3:
        lines += [f"      inherited_members: [{', '.join(VERBS)}]"]
    return [*lines, ""]
