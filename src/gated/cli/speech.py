"""`gated transcribe`."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Annotated, Literal

from cyclopts import Parameter

from gated.cli.failures import NothingPredictedError
from gated.cli.output import print_json, tell_left_out, to_json
from gated.cli.training_bar import Bars
from gated.data.bad_rows import BadRows
from gated.errors import ConfigurationError, DataError
from gated.model_files import FILE_NAME as MODEL
from gated.model_files import UNTRAINED
from gated.tasks.speech.audio import Samples, blocks_of, piped_blocks
from gated.tasks.speech.pieces import LONGEST
from gated.tasks.speech.raw_sound import Doubts
from gated.tasks.speech.search import Search, Word
from gated.tasks.speech.subtitles import to_srt, to_vtt
from gated.tasks.speech.transcriber import Transcriber, Transcript, load

BLOCK = 0.04
"""Seconds of sound that are taken at once from a recording that is streamed."""
PIPE = Path("-")
"""Stands for standard input, where no file is given."""


def transcribe(
    run: Path,
    *files: Path,
    stream: bool = False,
    rate: int | None = None,
    channels: int = 1,
    language_model: Path | None = None,
    word_model: Path | None = None,
    search: Annotated[Search | None, Parameter(name="*", group="Search")] = None,
    longest: float = LONGEST,
    format: Literal["text", "srt", "vtt", "json"] = "text",
    skip_bad: bool = False,
    json: bool = False,
) -> None:
    """Transcribe recordings: write down the words that are spoken in them.

    Parameters
    ----------
    run
        Directory of a trained recogniser.
    files
        Recordings, in any format that libsndfile or FFmpeg decodes; by default standard input, a
        recording with its header, as of WAV, or bare samples of 16 bits, little-endian.
    stream
        Read one recording in short blocks, and print each word as soon as it is heard, by greedy
        search; with a network that was trained with --streaming.
    rate
        Sampling rate, in Hz, of bare samples on standard input.
    channels
        Channels of these samples, which come in turn.
    language_model
        Run of `gated fit language` whose probabilities are added in the search.
    word_model
        Text of a sentence a line, or n-grams of words as an ARPA file, for the search.
    search
        What is not given is as it was chosen in the training.
    longest
        Longer recordings are cut at pauses into pieces of so many seconds at most.
    format
        Text, subtitles as SRT or WebVTT, or JSON with the times and confidences of words.
    skip_bad
        Go on after recordings that cannot be used, and list them in the end; their text is empty.
    json
        The same as --format json; with --stream, a line of JSON for each word as it comes, and for
        the word that is being spoken.
    """
    format = "json" if json else format
    if longest < 1:
        raise ConfigurationError(f"--longest is {longest:g}; it is seconds, 1 or more.")
    if not files and sys.stdin.isatty():
        raise ConfigurationError("Give a recording, or pipe one into the command.")
    files = files or (PIPE,)
    if stream:
        if len(files) > 1 or language_model or word_model or search or format in ("srt", "vtt"):
            raise ConfigurationError(
                "--stream takes one recording, and neither a search, a language model, a word "
                "model nor subtitles."
            )
        transcriber = _transcriber(run)
        source = _Source(files[0], rate, channels)
        _stream(transcriber, source, as_json=format == "json")
        return
    if format in ("srt", "vtt") and len(files) > 1:
        raise ConfigurationError(f"--format {format} takes one recording at a time.")
    transcriber = _transcriber(run)
    if search is not None:
        given = {name: getattr(search, name) for name in search.given}
        transcriber.search = replace(transcriber.search, **given)
    language = transcriber.letters_by(language_model) if language_model else None
    words = transcriber.words_by(word_model) if word_model else None
    if transcriber.search.only_known_words and words is None:
        raise ConfigurationError("--only-known-words needs the words: give --word-model.")
    documents, bad = [], BadRows(skip=skip_bad, what="recording")
    for path in files:
        transcript, reason = None, ""
        try:
            with Bars().shown():
                if path == PIPE:
                    of_pipe, blocks = _Source(path, rate, channels).blocks(transcriber)
                    transcript = transcriber.transcribe_samples(
                        blocks, of_pipe, language, words, longest
                    )
                else:
                    transcript = transcriber.transcribe(path, language, words, longest)
        except (DataError, FileNotFoundError) as error:
            reason = str(error)
            bad(DataError(reason))
        if format == "json":
            document = asdict(transcript) if transcript else {"text": "", "reason": reason}
            documents.append({"path": str(path)} | document)
        else:
            _print(transcript, format, "" if len(files) == 1 else f"{path}\t")
    if format == "json":
        print_json(documents)
    tell_left_out(bad.findings)
    if len(bad.errors) == len(files):
        raise NothingPredictedError(f"None of the {len(files)} recordings could be used.")


def _transcriber(run: Path) -> Transcriber:
    """Load what transcribes, without torch; from a training that has not ended, with it."""
    if (run / MODEL).exists() or not (run / UNTRAINED).exists():
        return load(run)
    from gated.cli.run_directory import trained
    from gated.tasks.speech.recogniser import SpeechRecogniser

    return trained(SpeechRecogniser, run).transcriber


def _print(transcript: Transcript | None, format: str, before: str) -> None:
    words = transcript.words if transcript else []
    if format == "srt":
        print(to_srt(words), end="", flush=True)
    elif format == "vtt":
        print(to_vtt(words), end="", flush=True)
    else:
        print(f"{before}{transcript.text if transcript else ''}", flush=True)


@dataclass(frozen=True)
class _Source:
    """A recording, or what comes on standard input."""

    path: Path
    rate: int | None
    channels: int

    def blocks(self, transcriber: Transcriber) -> tuple[int, Iterator[Samples]]:
        """Return the sampling rate and the blocks; doubts about bare samples are printed."""
        if self.path != PIPE:
            return blocks_of(self.path, BLOCK)
        rate, blocks = piped_blocks(sys.stdin.buffer, self.rate, self.channels, BLOCK)
        return rate, _doubted(
            blocks, Doubts(transcriber.mean, transcriber.config.sample_rate, rate)
        )


def _doubted(blocks: Iterator[Samples], doubts: Doubts) -> Iterator[Samples]:
    """Yield blocks, and print doubts about them when these arise."""
    for block in blocks:
        for doubt in doubts.take(block):
            print(doubt, file=sys.stderr)
        yield block


def _stream(transcriber: Transcriber, source: _Source, *, as_json: bool) -> None:
    """Print the words of a recording as they come, and how long they took to."""
    rate, blocks = source.blocks(transcriber)
    listener = transcriber.listener(rate)
    samples, spent, delays, partial = 0, 0.0, [], ""
    for block in blocks:
        began = time.perf_counter()
        words = listener.hear(block)
        took = time.perf_counter() - began
        samples, spent = samples + len(block), spent + took
        for word in words:
            delays.append(samples / rate + took - word.end)
            if as_json:
                _print_line(word)
            else:
                print(word.text, end=" ", flush=True)
        if as_json and listener.partial != partial:
            partial = listener.partial
            print(to_json({"partial": partial}, indent=None), flush=True)
    last = listener.finish()
    heard = samples / rate
    if as_json:
        for word in last:
            _print_line(word)
        delay = {"median_delay": median(delays)} if delays else {}
        document = {"seconds": heard, "real_time_factor": spent / heard, **delay}
        print(to_json(document, indent=None), flush=True)
        return
    print(" ".join(word.text for word in last), flush=True)
    summary = f"{spent / heard:.3f} s of computation for a second of sound"
    if delays:
        summary += f"; words came {median(delays):.2f} s after their end (median)"
    print(f"{summary}.", file=sys.stderr)


def _print_line(word: Word) -> None:
    print(to_json(asdict(word), indent=None), flush=True)
