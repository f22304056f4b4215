"""The wheel, installed where nothing else of gated is, and the source distribution.

The wheel is built where the core is compiled already: compiling it anew takes minutes.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

CHECK = ROOT / "tests" / "wheel_check.py"


def run(*command: str | Path, directory: Path) -> str:
    """What the command prints; its whole output in the failure if it fails."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [str(word) for word in command],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def build(what: str, place: Path) -> None:
    pytest.importorskip("build")
    options = ["--no-isolation", what, "--outdir", place]
    run(sys.executable, "-m", "build", *options, ROOT, directory=place)


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a new environment that holds the wheel and NumPy alone."""
    place = tmp_path_factory.mktemp("wheel")
    build("--wheel", place)
    (wheel,) = place.glob("gated-*.whl")
    venv.create(place / "environment", with_pip=True)
    python = place / "environment" / "bin" / "python"
    run(python, "-m", "pip", "install", "--no-deps", "--no-index", wheel, directory=place)
    # NumPy comes from the environment of the tests, so that none of this needs a network.
    packages = run(
        python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", directory=place
    )
    installed = Path(sysconfig.get_path("platlib"))
    for name in ("numpy", "numpy.libs"):
        if (installed / name).exists():
            (Path(packages.strip()) / name).symlink_to(installed / name)
    return python


@pytest.mark.slow
def test_the_wheel_works_away_from_the_checkout(stranger: Path, tmp_path: Path) -> None:
    run(stranger, CHECK, directory=tmp_path)
    told = run(stranger, "-m", "gated", "--help", directory=tmp_path)
    assert "Score a trained network" in told
    assert "pip install 'gated[train]'" in told


def test_the_source_distribution_holds_all_that_a_build_reads(tmp_path: Path) -> None:
    build("--sdist", tmp_path)
    (archive,) = tmp_path.glob("gated-*.tar.gz")
    with tarfile.open(archive) as opened:
        held = {name.partition("/")[2] for name in opened.getnames()}
    needed = [
        ROOT / "CMakeLists.txt",
        ROOT / "pyproject.toml",
        ROOT / "README.md",
        ROOT / "LICENSE",
    ]
    for room in ("native", "src/gated"):
        needed += [path for path in (ROOT / room).rglob("*") if path.is_file()]
    names = {str(path.relative_to(ROOT)) for path in needed if path.parent.name != "__pycache__"}
    assert names <= held


def test_released_wheels_are_checked_by_the_same_file() -> None:
    options = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["cibuildwheel"]
    assert options["test-command"].replace("{project}", str(ROOT)).split()[1] == str(CHECK)
    workflow = (ROOT / ".github" / "workflows" / "wheels.yml").read_text("utf-8")
    for platform in ("manylinux-x86_64", "manylinux-aarch64", "macos-arm64", "windows-amd64"):
        assert f"of: {platform}," in workflow
