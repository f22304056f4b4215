"""The tasks of gated, one folder each; no task imports another."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gated.errors import ModelFileError

if TYPE_CHECKING:
    from gated.tasks.learner import Learner

LEARNERS = {
    "classify": "gated.tasks.classify.learner:ClassLearner",
    "forecast": "gated.tasks.forecast.forecaster:Forecaster",
    "language": "gated.tasks.language.model:LanguageModel",
    "memory": "gated.tasks.memory.learner:MemoryLearner",
    "regress": "gated.tasks.classify.learner:NumberLearner",
    "speech": "gated.tasks.speech.recogniser:SpeechRecogniser",
    "text_classify": "gated.tasks.text_classify.classifier:TextClassifier",
    "translate": "gated.tasks.translate.translator:Translator",
    "video": "gated.tasks.video.classifier:VideoClassifier",
}
"""Where the learner of each task stands: this line is all that registers one."""


def learner_of(task: str) -> type[Learner[Any, Any, Any]]:
    """Return the learner class of a task, imported only here: listing the tasks imports none.

    Raises:
        ModelFileError: there is no such task.
    """
    if task not in [*LEARNERS]:
        raise ModelFileError(
            f"This run is of the task {task!r}, which this version of gated does not know; it "
            f"knows {', '.join(LEARNERS)}. Install a newer gated to use the run."
        )
    module, _, name = LEARNERS[task].partition(":")
    learner: type[Learner[Any, Any, Any]] = getattr(import_module(module), name)
    return learner


def load(run: Path) -> Learner[Any, Any, Any]:
    """Read the trained learner of a run, whichever its task.

    Raises:
        ModelFileError: there is no model, or it is damaged.
    """
    from gated.model_files import load_description

    return learner_of(load_description(run).get("task", "")).load(run)
