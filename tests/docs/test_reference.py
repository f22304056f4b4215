"""The reference has every public name, each with a docstring and a summary in Chinese."""

import ast
import re

import pytest
from web.site.public_names import (
    ROOT,
    PublicName,
    exporting_modules,
    exports,
    public_name,
    reference,
)

MODULES = {module: names for page in reference() for module, names in page["modules"].items()}
NAMES = [public_name(module, name) for module, names in MODULES.items() for name in names]
PYTHON = re.compile(r"^```python$(.*?)^```$", re.MULTILINE | re.DOTALL)
PAGES = sorted([*(ROOT / "docs").rglob("*.md"), *ROOT.glob("README*.md")])


@pytest.mark.parametrize("module", exporting_modules())
def test_whatever_a_package_exports_is_in_the_reference(module: str) -> None:
    assert sorted(MODULES.get(module, {})) == sorted(exports(module))


def test_whatever_a_page_imports_is_in_the_reference() -> None:
    imported = set()
    for page in PAGES:
        for code in PYTHON.findall(page.read_text(encoding="utf-8")):
            for line in code.splitlines():
                if line.startswith("from gated") and "…" not in line:
                    (statement,) = ast.parse(line).body
                    assert isinstance(statement, ast.ImportFrom)
                    imported |= {(statement.module, alias.name) for alias in statement.names}
    assert len(imported) > 30
    known = {(module, name) for module, names in MODULES.items() for name in names}
    assert sorted(imported - known) == []


@pytest.mark.parametrize("name", NAMES, ids=lambda name: name.anchor)
def test_a_public_name_says_what_it_is_in_both_languages(name: PublicName) -> None:
    assert name.summary, f"{name.origin} has no docstring"
    assert name.undocumented == ()
    assert re.search("[\u3002\u4e00-\u9fff]", MODULES[name.module][name.name])


def test_names_are_found_where_they_are_defined() -> None:
    assert public_name("gated.cells", "cell").origin == "gated.cells.language.cell"
    assert public_name("gated.nn", "init").origin == "gated.nn.init"
    assert public_name("gated.nn", "LSTM").origin == "gated.nn.layers.LSTM"
    with pytest.raises(LookupError, match="has no lstm"):
        public_name("gated.nn", "lstm")
