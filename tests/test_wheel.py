"""The wheel, built from the source distribution and installed where nothing else of gated is."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

STEPS_OF_A_STRANGER = """
import sys
import numpy as np
import gated
from gated.core import ops
from gated.core.layout import Weights

assert "torch" not in sys.modules, "import gated imports torch"
assert gated.__file__.startswith(sys.prefix), gated.__file__

random = np.random.default_rng(0)
x = random.standard_normal((12, 5, 3))
layer = Weights(*(random.standard_normal(n) / 3 for n in ((28, 3), (28, 7), 28, 28)))
hidden, cell = np.zeros((5, 7)), np.zeros((5, 7))
result = ops.forward("lstm", x, layer)
for t in range(12):
    sums = x[t] @ layer.weight_ih.T + layer.bias_ih + hidden @ layer.weight_hh.T + layer.bias_hh
    i, f, g, o = np.split(sums, 4, axis=1)
    i, f, o = (1 / (1 + np.exp(-gate)) for gate in (i, f, o))
    cell = f * cell + i * np.tanh(g)
    hidden = o * np.tanh(cell)
    np.testing.assert_allclose(result.output[t], hidden, rtol=0, atol=1e-13)
np.testing.assert_allclose(result.final, (hidden, cell), rtol=0, atol=1e-13)
"""


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


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a new environment that holds the wheel and NumPy alone."""
    pytest.importorskip("build")
    place = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", place, ROOT, directory=place)
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
    run(stranger, "-c", STEPS_OF_A_STRANGER, directory=tmp_path)
    told = run(stranger, "-m", "gated", "--help", directory=tmp_path)
    assert "Score a trained network" in told
    assert "pip install 'gated[train]'" in told
