"""Labels for texts, by a network that may start from a language model."""

from gated.tasks.text_classify.classifier import TextClassifier
from gated.tasks.text_classify.config import TextClassifyConfig, TextClassifyTraining

__all__ = ["TextClassifier", "TextClassifyConfig", "TextClassifyTraining"]
