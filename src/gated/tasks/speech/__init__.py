"""Speech: from recordings with their text to a network that transcribes speech."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gated.tasks.speech.config import SpeechConfig
    from gated.tasks.speech.recogniser import SpeechRecogniser

__all__ = ["SpeechConfig", "SpeechRecogniser"]


def __getattr__(name: str) -> Any:
    """Import what learns when it is first used: what transcribes needs no torch."""
    if name == "SpeechConfig":
        from gated.tasks.speech.config import SpeechConfig

        return SpeechConfig
    if name == "SpeechRecogniser":
        from gated.errors import require

        require("torch", extra="train")
        from gated.tasks.speech.recogniser import SpeechRecogniser

        return SpeechRecogniser
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
