"""What a package index shows: the README, with links that work there, and the addresses."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
HOME = PYPROJECT["project"]["urls"]["Repository"]
README = PYPROJECT["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]


def on_an_index() -> str:
    text = "".join(
        (ROOT / fragment["path"]).read_text(encoding="utf-8") for fragment in README["fragments"]
    )
    for rule in README["substitutions"]:
        text = re.sub(rule["pattern"], rule["replacement"], text)
    return text


def test_the_links_of_the_readme_are_whole_on_an_index() -> None:
    links = re.findall(r"(!?)\[[^\]]*\]\(([^)\s]+)\)", on_an_index())
    pictures = [link for mark, link in links if mark]
    assert len(links) > 20
    assert pictures
    for mark, link in links:
        start = f"{HOME}/{'raw' if mark else 'blob'}/HEAD/"
        assert link.startswith(start)
        assert (ROOT / link.removeprefix(start).partition("#")[0]).exists()


def test_one_address_is_the_project_s() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert set(re.findall(r"https?://[\w.]+/[\w-]+", text)) == {HOME}
    assert {*PYPROJECT["project"]["urls"]} >= {"Repository", "Documentation", "Changelog", "Issues"}
