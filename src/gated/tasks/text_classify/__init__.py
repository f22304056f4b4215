"""A label for a text, by a network that may have learnt to read before."""

from gated.tasks.text_classify.classifier import TextClassifier
from gated.tasks.text_classify.config import TextClassifyConfig, TextClassifyTraining

__all__ = ["TextClassifier", "TextClassifyConfig", "TextClassifyTraining"]
