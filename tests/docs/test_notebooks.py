"""Notebooks: the same in both languages, as their scripts have them, and they run."""

import importlib.util
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = sorted((ROOT / "notebooks").glob("*.py"))
NAMES = [script.stem for script in SCRIPTS]


def kept(name: str, language: str) -> list[Any]:
    path = ROOT / "docs" / language / "notebooks" / f"{name}.ipynb"
    return list(json.loads(path.read_text(encoding="utf-8"))["cells"])


def code(cells: list[Any]) -> list[Any]:
    return [cell for cell in cells if cell["cell_type"] == "code"]


def prose(cells: list[Any]) -> list[str]:
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]


def test_there_are_six() -> None:
    assert NAMES == ["accelerate", "explain", "forecast", "live", "own_cell", "speech"]
    for language in ("en", "zh"):
        folder = ROOT / "docs" / language / "notebooks"
        assert sorted(path.stem for path in folder.glob("*.ipynb")) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_both_languages_show_the_same(name: str) -> None:
    english, chinese = kept(name, "en"), kept(name, "zh")
    assert code(english) == code(chinese)
    assert [cell["cell_type"] for cell in english] == [cell["cell_type"] for cell in chinese]
    assert not re.search("[\u4e00-\u9fff]", "".join(prose(english)))
    for text in prose(chinese):
        assert re.search("[\u4e00-\u9fff]", text)
        assert not re.search("[\u4e00-\u9fff][,;:!?()]|[,;:!?()][\u4e00-\u9fff]", links_off(text))
    for text in prose(english) + prose(chinese):
        for link in re.findall(r"\]\(([^)#:]+)", text):
            assert (ROOT / "docs" / "en" / "notebooks" / link).exists()


def links_off(text: str) -> str:
    return re.sub(r"`[^`]*`|\]\([^)]*\)", "", text)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_shown_has_run(name: str) -> None:
    script = (ROOT / "notebooks" / f"{name}.py").read_text(encoding="utf-8")
    for cell in code(kept(name, "en")):
        assert "".join(cell["source"]) in script, "run `make notebooks`"
    assert any(cell["outputs"] for cell in code(kept(name, "en")))


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS, ids=NAMES)
def test_it_runs(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packages = ("jupytext", "nbclient", "ipykernel")
    if any(importlib.util.find_spec(package) is None for package in packages):
        told = "needs the group `docs`: run `make docs`"
        assert os.environ.get("GATED_TESTS") != "all", told
        pytest.skip(told)
    from web.site.run_notebooks import in_language, read, run

    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    notebook = run(read(script))
    for language in ("en", "zh"):
        ran = in_language(notebook, language).cells
        there = kept(script.stem, language)
        assert [cell.source for cell in ran] == ["".join(cell["source"]) for cell in there]
