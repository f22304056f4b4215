"""Language models over characters or bytes."""

from gated.tasks.language.config import LanguageConfig, LanguageTraining
from gated.tasks.language.model import LanguageModel

__all__ = ["LanguageConfig", "LanguageModel", "LanguageTraining"]
