"""A trained run of any task, loaded with NumPy and safetensors alone."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gated.model_files import load_description

if TYPE_CHECKING:
    from gated.core.arguments import StoredAs

OF_TASKS = {
    "forecast": "gated.tasks.forecast.runtime:load_live",
    "speech": "gated.tasks.speech.transcriber:load",
}
"""What loads runs of tasks that take more than a network; all others hold a program."""


def load(run: Path | str, stored_as: StoredAs | None = None) -> Any:
    """Load what a run has learned: NumPy and safetensors are enough, torch is not used.

    Args:
        run: its directory, or one that `gated.live.write` wrote.
        stored_as: how the weights of products are stored, see `gated.live.load`; not of a
            forecaster.

    Returns:
        A `gated.live.Model`; of a forecaster, which takes rows and forecasts what follows them, a
        `gated.tasks.forecast.live.LiveForecaster`; of a recogniser of speech, which takes sound, a
        `gated.tasks.speech.transcriber.Transcriber`.

    Raises:
        ModelFileError: there is no model, it is damaged, or it has no program.
        MissingExtraError: a forecaster was fitted with options that take more than NumPy; the
            message names them.
    """
    description = load_description(Path(run))
    other = OF_TASKS.get(str(description.get("task")))
    if other is None or "config" not in description:  # a program alone is a network alone
        from gated.live import model  # which a forecaster does not wait for

        return model.loaded(run, description, stored_as)
    module, _, name = other.partition(":")
    return getattr(import_module(module), name)(Path(run), stored_as)
