"""Settings for every test."""

from __future__ import annotations

import os
import sys

import hypothesis
import pytest

# Kernels for GPUs run in Triton's interpreter, which must be asked for before Triton is imported.
os.environ.setdefault("TRITON_INTERPRET", "1")

# A machine under load is no reason to fail, and the same examples come on every run.
hypothesis.settings.register_profile("gated", deadline=None, derandomize=True)
hypothesis.settings.register_profile("few", deadline=None, derandomize=True, max_examples=25)
hypothesis.settings.load_profile(os.environ.get("GATED_HYPOTHESIS", "gated"))


def pytest_configure(config: pytest.Config) -> None:
    """Torch says once that its projected LSTM is a slow one; that is no fault of a test."""
    config.addinivalue_line(
        "filterwarnings", "ignore:LSTM with projections is not supported with oneDNN"
    )
    if os.environ.get("GATED_TESTS") == "bare":
        # As on a machine without fonts of its own: those that matplotlib brings.
        from matplotlib.font_manager import fontManager

        fontManager.ttflist[:] = [
            font for font in fontManager.ttflist if font.name.startswith("DejaVu")
        ]


@pytest.fixture(autouse=True)
def _torch() -> None:
    """Every test starts from the same seed, and small arrays are no work for several threads."""
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    if "absl.logging" in sys.modules:
        # Keras brings it. Where logging is set up anew, it closes the stream that it found at its
        # import, unless this is the process's own: it must not be pytest's.
        sys.modules["absl.logging"].get_absl_handler().python_handler.setStream(sys.__stderr__)
