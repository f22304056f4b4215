"""Transcripts as subtitles: SubRip (SRT) and WebVTT."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gated.tasks.speech.search import Word

LINE = 42
"""Characters of a line at most; a subtitle has two."""
SECONDS = 7.0
"""Seconds of a subtitle at most."""
PAUSE = 0.8
"""Seconds of silence after which a new one begins."""
UNSURE = 0.5
"""Confidence below which a word is marked in WebVTT."""


def captions(words: Sequence[Word]) -> Iterator[list[Word]]:
    """Group words into subtitles: two lines, seven seconds, no long pause."""
    shown: list[Word] = []
    for word in words:
        if shown and (
            word.start - shown[-1].end > PAUSE
            or word.end - shown[0].start > SECONDS
            or len(_lines([*shown, word])) > 2
        ):
            yield shown
            shown = []
        shown.append(word)
    if shown:
        yield shown


def to_srt(words: Sequence[Word]) -> str:
    """Return SubRip subtitles; their format has no place for confidences.

    >>> print(to_srt([Word("wait", 0.5, 0.75, 0.9)]))
    1
    00:00:00,500 --> 00:00:00,750
    wait
    <BLANKLINE>
    """
    parts = []
    for number, shown in enumerate(captions(words), 1):
        times = f"{clock(shown[0].start, ',')} --> {clock(shown[-1].end, ',')}"
        text = "\n".join(" ".join(word.text for word in line) for line in _lines(shown))
        parts.append(f"{number}\n{times}\n{text}\n")
    return "\n".join(parts)


def to_vtt(words: Sequence[Word]) -> str:
    """Return WebVTT subtitles: each word with its time, unsure ones of the class `unsure`.

    A note before each states the confidences of its words.

    >>> print(to_vtt([Word("wait", 0.5, 0.75, 0.9), Word("here", 1.0, 1.5, 0.4)]))
    WEBVTT
    <BLANKLINE>
    NOTE confidences 0.90 0.40
    <BLANKLINE>
    00:00:00.500 --> 00:00:01.500
    <00:00:00.500>wait <00:00:01.000><c.unsure>here</c>
    <BLANKLINE>
    """
    parts = ["WEBVTT\n"]
    for shown in captions(words):
        sure = " ".join(f"{word.confidence:.2f}" for word in shown)
        times = f"{clock(shown[0].start)} --> {clock(shown[-1].end)}"
        text = "\n".join(" ".join(map(_marked, line)) for line in _lines(shown))
        parts.append(f"NOTE confidences {sure}\n\n{times}\n{text}\n")
    return "\n".join(parts)


def clock(seconds: float, point: str = ".") -> str:
    """Return a time as both formats write it.

    >>> clock(3723.0456, ",")
    '01:02:03,046'
    """
    whole = round(seconds * 1000)
    minutes, milliseconds = divmod(whole, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{milliseconds // 1000:02d}{point}{milliseconds % 1000:03d}"


def _lines(words: Sequence[Word]) -> list[list[Word]]:
    """Break words into lines."""
    lines: list[list[Word]] = [[]]
    for word in words:
        width = sum(len(of.text) + 1 for of in lines[-1]) + len(word.text)
        if lines[-1] and width > LINE:
            lines.append([])
        lines[-1].append(word)
    return lines


def _marked(word: Word) -> str:
    text = word.text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    if word.confidence < UNSURE:
        text = f"<c.unsure>{text}</c>"
    return f"<{clock(word.start)}>{text}"
