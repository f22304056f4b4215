"""Run the notebooks and keep them, with their outputs, in both languages.

    python web/site/run_notebooks.py [name]

A notebook is written once, as a script in notebooks/: its prose in both languages, its code once.
It is run once, too, so that the notebooks in docs/en and docs/zh show the same outputs.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import jupytext
import nbclient
import nbformat

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "notebooks"
LANGUAGES = ("en", "zh")
SECONDS = 300
"""Most that a cell may take, on a machine that does other work too."""


def read(script: Path) -> Any:
    """Return the notebook of a script, without outputs."""
    notebook = jupytext.read(script)
    notebook.metadata = {
        "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}
    }
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"
    return notebook


def run(notebook: Any) -> Any:
    """Run all cells, and drop from their outputs what differs from run to run without a reason.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell has failed.
    """
    nbclient.NotebookClient(notebook, timeout=SECONDS, kernel_name="python3").execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", ()):
            if "execution_count" in output:
                output["execution_count"] = None
        if cell.cell_type == "code":
            cell.execution_count = None
            cell.outputs = [one for one in cell.outputs if one.get("name") != "stderr"]
    return notebook


def in_language(notebook: Any, language: str) -> Any:
    """Return a copy with the prose of one language."""
    copy = nbformat.from_dict(notebook)
    copy.cells = [
        cell for cell in notebook.cells if cell.metadata.get("lang", language) == language
    ]
    return copy


def place(script: Path, language: str) -> Path:
    """Where a notebook is kept."""
    return ROOT / "docs" / language / "notebooks" / f"{script.stem}.ipynb"


def main(names: list[str]) -> None:
    """Run those with these names, or all."""
    for script in sorted(SCRIPTS.glob("*.py")):
        if not names or script.stem in names:
            notebook = run(read(script))
            for language in LANGUAGES:
                kept = place(script, language)
                kept.parent.mkdir(exist_ok=True)
                nbformat.write(in_language(notebook, language), kept)


if __name__ == "__main__":
    main(sys.argv[1:])
