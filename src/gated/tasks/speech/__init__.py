"""Speech: from recordings with their text to a network that transcribes speech."""

from gated.errors import require

require("torch", extra="train")

from gated.tasks.speech.config import SpeechConfig  # noqa: E402
from gated.tasks.speech.recogniser import SpeechRecogniser  # noqa: E402

__all__ = ["SpeechConfig", "SpeechRecogniser"]
