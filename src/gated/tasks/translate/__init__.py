"""Translation: from pairs of sentences to a translator with attention, and its scores."""

from gated.errors import require

require("torch", extra="train")

from gated.tasks.translate.config import TranslateConfig  # noqa: E402
from gated.tasks.translate.translation import Translation  # noqa: E402
from gated.tasks.translate.translator import Translator  # noqa: E402

__all__ = ["TranslateConfig", "Translation", "Translator"]
