"""`gated fit speech`, `gated transcribe`, and what other commands do for a speech recogniser."""

from __future__ import annotations

import shlex
import sys
import time
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Annotated

from cyclopts import Parameter

from gated.cli.outcome import Outcome, lenient, tell, tell_left_out
from gated.cli.output import print_json, print_table, stdout_console
from gated.cli.run_directory import Run, begun, check_free
from gated.cli.training_bar import TrainingBar, training_bars
from gated.data.manifest import BadRows
from gated.errors import ConfigurationError, DataError, require
from gated.explain import Probe
from gated.tasks.language import LanguageModel
from gated.tasks.language.letters import NextLetter
from gated.tasks.speech.audio import blocks_of, raw_blocks
from gated.tasks.speech.config import SpeechConfig, SpeechTraining
from gated.tasks.speech.page import score_table, write_speech_report
from gated.tasks.speech.recogniser import TASK, SpeechRecogniser
from gated.tasks.speech.score import Evaluation
from gated.tasks.speech.search import Search
from gated.training.model_files import write_atomically
from gated.training.processes import is_main_process

BLOCK = 0.04
"""Seconds of sound that are taken at once from a recording that is streamed."""
SUBSTITUTIONS = 8
"""How many of the most frequent are printed; the report has more."""
LANGUAGE_MODEL = "language_model"
"""Key of the run of a language model that the search asks."""


def fit(
    manifest: Path,
    *,
    out: Path,
    language_model: Path | None = None,
    config: Annotated[SpeechConfig | None, Parameter(name="*", group="Speech")] = None,
    training: Annotated[SpeechTraining | None, Parameter(name="*", group="Training")] = None,
    json: bool = False,
) -> None:
    """Train a network to write down what is said, and score it on texts that are held back.

    Parameters
    ----------
    manifest
        CSV file with the columns path (from the manifest's directory) and text.
    out
        New directory for the run: model, scores, report.
    language_model
        Run of `gated fit language` whose expectations the search for transcripts takes into
        account; how much is chosen on the validation part.
    json
        Print the result as one JSON document.
    """
    require("matplotlib", extra="explain")  # before the training, not after it
    if is_main_process():
        check_free(out)
    config, training = config or SpeechConfig(), training or SpeechTraining()
    recogniser = SpeechRecogniser(config, training).prepare(manifest)
    language = _language(recogniser, language_model)
    asked = config.to_dict() | {LANGUAGE_MODEL: language_model and str(language_model.resolve())}
    with begun(out, Run(TASK, manifest, asked, training)):
        _train_and_report(recogniser, language, out, json=json, resume=False)


def resume(run: Path, asked: Run, *, json: bool = False) -> None:
    """Go on with the interrupted training that was `asked` for in `run`."""
    saved = dict(asked.config)
    path = saved.pop(LANGUAGE_MODEL)
    recogniser = SpeechRecogniser(SpeechConfig.from_dict(saved), asked.training)
    recogniser.prepare(asked.data)
    language = _language(recogniser, Path(path) if path else None)
    _train_and_report(recogniser, language, run, json=json, resume=True)


def _language(recogniser: SpeechRecogniser, run: Path | None) -> NextLetter | None:
    """Ask the language model of a run for the letters that the recogniser writes."""
    if run is None:
        return None
    return NextLetter(LanguageModel.load(run), recogniser.alphabet.letters)


def _train_and_report(
    recogniser: SpeechRecogniser,
    language: NextLetter | None,
    out: Path,
    *,
    json: bool,
    resume: bool,
) -> None:
    """Train a prepared recogniser in `out`, save it, score it, and say how it went."""
    with training_bars() as bars:
        recogniser.train(directory=out, resume=resume, progress=TrainingBar(bars, recogniser.name))
    if not is_main_process():
        return
    if language:
        recogniser.choose_search(language)
    recogniser.save(out)
    write_atomically(out / "history.json", recogniser.history.to_json().encode())
    evaluation = recogniser.score(language=language)
    command = shlex.join(["gated", *sys.argv[1:]])
    report = write_speech_report(out, recogniser, evaluation, command=command, language=language)
    outcome = Outcome(
        run=out,
        report=report,
        parameters=recogniser.parameters,
        history=recogniser.history,
        findings=recogniser.findings,
    )
    tell(outcome, evaluation, _print_scores, json=json)


def _print_scores(evaluation: Evaluation) -> None:
    stdout_console().print(f"\n{evaluation.verdict}\n", style="bold", markup=False)
    table = score_table(evaluation)
    count = len(evaluation.references)
    print_table(f"Errors over {count:,} recordings", table.header, table.rows, best=0)
    if evaluation.substitutions:
        taken = ", ".join(
            f"{right} → {wrong} ({times})"
            for right, wrong, times in evaluation.substitutions[:SUBSTITUTIONS]
        )
        stdout_console().print(f"Words taken for others: {taken}", markup=False)


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
    """Write down what is said in recordings.

    Parameters
    ----------
    run
        Directory of a trained recogniser.
    files
        Recordings, in any format that libsndfile or FFmpeg decodes.
    stream
        Read one recording piece by piece, and print each word as soon as it is heard, by greedy
        search; with a network that was trained with --streaming. Without a recording standard input
        is read: 16-bit samples of one channel, the lower byte first.
    rate
        Samples a second of standard input.
    language_model
        Run of `gated fit language` whose expectations the search takes into account.
    skip_bad
        Go on after recordings that cannot be used, and list them in the end.
    json
        Print a JSON document with the words of each recording and their times, in seconds.
    """
    if stream:
        if len(files) > 1 or language_model or search or json:
            raise ConfigurationError(
                "--stream takes one recording, or none for standard input, and neither a search, a "
                "language model nor --json."
            )
        _stream(SpeechRecogniser.load(run), files[0] if files else None, rate)
        return
    if not files:
        raise ConfigurationError("Give a recording, or --stream to read standard input.")
    recogniser = SpeechRecogniser.load(run)
    recogniser.search = search or recogniser.search
    language = _language(recogniser, language_model)
    documents, bad = [], BadRows(skip=skip_bad, what="recording")
    for path in files:
        try:
            transcript = recogniser.transcribe(path, language)
        except (DataError, FileNotFoundError) as error:
            bad(DataError(str(error)))
            continue
        if json:
            documents.append({"path": str(path)} | asdict(transcript))
        elif len(files) == 1:
            print(transcript.text)
        else:
            print(path, transcript.text, sep="\t")
    if json:
        print_json(documents)
    tell_left_out(bad.findings)


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
    told = f"{spent / heard:.3f} s of computation for a second of sound"
    if delays:
        told += f"; a word was told {median(delays):.2f} s after its end (median)"
    print(f"{told}.", file=sys.stderr)


def evaluate(run: Path, data: Path, *, skip_bad: bool = False, json: bool = False) -> None:
    """Score on the recordings of another manifest."""
    recogniser = lenient(SpeechRecogniser.load(run), skip_bad)
    evaluation = recogniser.score(data)
    tell_left_out(recogniser.findings)
    print_json(evaluation.to_dict()) if json else _print_scores(evaluation)


def explain(run: Path, data: Path, *, skip_bad: bool = False) -> Probe:
    """Offer the network on the recordings of a manifest."""
    recogniser = lenient(SpeechRecogniser.load(run), skip_bad)
    probe = recogniser.probe(data)
    tell_left_out(recogniser.findings)
    return probe
