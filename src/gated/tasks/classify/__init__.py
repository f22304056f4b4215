"""A label, or a number, for a whole sequence."""

from gated.errors import require

require("sklearn", extra="classify")

from gated.tasks.classify.config import ClassifyConfig, SequenceTraining  # noqa: E402
from gated.tasks.classify.estimators import SequenceClassifier, SequenceRegressor  # noqa: E402

__all__ = ["ClassifyConfig", "SequenceClassifier", "SequenceRegressor", "SequenceTraining"]
