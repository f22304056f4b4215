"""`gated transcribe`."""

from __future__ import annotations

import sys
import time
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Annotated

from cyclopts import Parameter

from gated.cli.failures import NothingPredictedError
from gated.cli.outcome import tell_left_out
from gated.cli.output import print_json
from gated.cli.run_directory import trained
from gated.data.manifest import BadRows
from gated.errors import ConfigurationError, DataError
from gated.tasks.speech.audio import blocks_of, raw_blocks
from gated.tasks.speech.recogniser import SpeechRecogniser
from gated.tasks.speech.search import Search

BLOCK = 0.04
"""Seconds of sound that are taken at once from a recording that is streamed."""


def transcribe(
    run: Path,
    *files: Path,
    stream: bool = False,
    rate: int = 16000,
    language_model: Path | None = None,
    search: Annotated[Search | None, Parameter(name="*", group="Search")] = None,
    skip_bad: bool = False,
    json: bool = False,
) -> None:
    """Transcribe recordings: write down the words that are spoken in them.

    Parameters
    ----------
    run
        Directory of a trained recogniser.
    files
        Recordings, in any format that libsndfile or FFmpeg decodes.
    stream
        Read one recording in short blocks, and print each word as soon as it is heard, by greedy
        search; with a network that was trained with --streaming. Without a recording standard input
        is read: 16-bit samples of one channel, little-endian.
    rate
        Sampling rate of standard input, in Hz.
    language_model
        Run of `gated fit language` whose probabilities are added in the search.
    skip_bad
        Go on after recordings that cannot be used, and list them in the end; their text is empty.
    json
        Print a JSON document with the words of each recording and their times, in seconds.
    """
    if stream:
        if len(files) > 1 or language_model or search or json:
            raise ConfigurationError(
                "--stream takes one recording, or none for standard input, and neither a search, a "
                "language model nor --json."
            )
        _stream(trained(SpeechRecogniser, run), files[0] if files else None, rate)
        return
    if not files:
        raise ConfigurationError("Give a recording, or --stream to read standard input.")
    recogniser = trained(SpeechRecogniser, run)
    recogniser.search = search or recogniser.search
    language = recogniser.letters_by(language_model) if language_model else None
    documents, bad = [], BadRows(skip=skip_bad, what="recording")
    for path in files:
        transcript, reason = None, ""
        try:
            transcript = recogniser.transcribe(path, language)
        except (DataError, FileNotFoundError) as error:
            reason = str(error)
            bad(DataError(reason))
        text = transcript.text if transcript else ""
        if json:
            document = asdict(transcript) if transcript else {"text": "", "reason": reason}
            documents.append({"path": str(path)} | document)
        elif len(files) == 1:
            print(text, flush=True)
        else:
            print(path, text, sep="\t", flush=True)
    if json:
        print_json(documents)
    tell_left_out(bad.findings)
    if len(bad.errors) == len(files):
        raise NothingPredictedError(f"None of the {len(files)} recordings could be used.")


def _stream(recogniser: SpeechRecogniser, path: Path | None, rate: int) -> None:
    """Print the words of a recording as they come, and how long they took to."""
    if rate < 1:
        raise ConfigurationError(f"--rate is {rate}; it is samples a second, 1 or more.")
    if path is None:
        blocks = raw_blocks(sys.stdin.buffer, rate, BLOCK)
    else:
        rate, blocks = blocks_of(path, BLOCK)
    listener = recogniser.listener(rate)
    samples, spent, delays = 0, 0.0, []
    for block in blocks:
        began = time.perf_counter()
        words = listener.hear(block)
        took = time.perf_counter() - began
        samples, spent = samples + len(block), spent + took
        for word in words:
            delays.append(samples / rate + took - word.end)
            print(word.text, end=" ", flush=True)
    print(" ".join(word.text for word in listener.finish()), flush=True)
    heard = samples / rate
    summary = f"{spent / heard:.3f} s of computation for a second of sound"
    if delays:
        summary += f"; words came {median(delays):.2f} s after their end (median)"
    print(f"{summary}.", file=sys.stderr)
