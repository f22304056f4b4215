"""The committed page is built from the source beside it."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "web" / "explorer"
PAGE = ROOT / "src" / "gated" / "serve" / "explorer"
TOP = ("index.html", "package-lock.json", "package.json", "tsconfig.json", "vite.config.mjs")


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_page_was_built_from_this_source_and_not_touched_since() -> None:
    said = json.loads((PAGE / "build.json").read_text())
    names = sorted([*TOP, *(f"src/{path.name}" for path in (SOURCE / "src").iterdir())])
    listed = "".join(f"{name} {digest(SOURCE / name)}\n" for name in names)
    assert hashlib.sha256(listed.encode()).hexdigest() == said["sources"], "run `make explorer`"
    built = {path.name: digest(path) for path in PAGE.iterdir() if path.name != "build.json"}
    assert built == said["files"], "run `make explorer`"


def test_a_new_build_is_the_committed_one(tmp_path: Path, page_tools: Path) -> None:
    place = tmp_path / "web" / "explorer"
    place.parent.mkdir()
    shutil.copytree(SOURCE, place, ignore=shutil.ignore_patterns("node_modules"))
    (place / "node_modules").symlink_to(page_tools)
    done = subprocess.run(
        ["npm", "run", "build"], cwd=place, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    again = tmp_path / "src" / "gated" / "serve" / "explorer"
    for path in PAGE.iterdir():
        assert (again / path.name).read_bytes() == path.read_bytes(), f"{path.name} differs"
