"""The list of recordings: a CSV file with a row for each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gated.data.bad_rows import BadRows
from gated.data.manifest import read_rows
from gated.errors import DataError
from gated.tasks.speech.config import SpeechConfig


@dataclass(frozen=True)
class Recording:
    """A file and its transcript."""

    path: Path
    text: str
    row: int | None = None
    """Line of the manifest."""
    speaker: str = ""
    """Who speaks, where that is known."""

    def __str__(self) -> str:
        """Say where it stands.

        >>> print(Recording(Path("one.wav"), "one", row=3))
        row 3 (one.wav)
        """
        return f"row {self.row} ({self.path})" if self.row else str(self.path)


def read_manifest(path: Path, config: SpeechConfig, bad: BadRows) -> list[Recording]:
    """Read paths, texts and, if given, speakers; paths begin in the directory of the manifest.

    Raises:
        DataError: the file is no such table, or holds no row.
        FileNotFoundError: there is no such file.
    """
    recordings = []
    columns = {"path": config.path, "text": config.text, "speaker": config.speaker}
    for row, values in read_rows(path, columns, ("path", "text"), "A list of recordings", bad):
        if not values["path"]:
            bad(DataError(f"row {row}: the path is empty; give that of a recording."))
        elif not values["text"]:
            bad(DataError(f"row {row} ({values['path']}): the text is empty; write what is said."))
        else:
            speaker = values.get("speaker", "")
            recordings.append(Recording(path.parent / values["path"], values["text"], row, speaker))
    if not recordings:
        raise DataError(f"{path} holds no usable row. Give recordings with their text.")
    return recordings
