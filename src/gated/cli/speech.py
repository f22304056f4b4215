"""`gated fit speech`, `gated transcribe`, and what other commands do for a speech recogniser."""

from __future__ import annotations

import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from gated.cli.outcome import Outcome, tell
from gated.cli.output import print_json, print_table, stdout_console
from gated.cli.run_directory import Run, begun, check_free
from gated.cli.training_bar import TrainingBar, training_bars
from gated.errors import require
from gated.explain import Probe
from gated.report.speech import score_table, write_speech_report
from gated.tasks.language import LanguageModel
from gated.tasks.language.letters import NextLetter
from gated.tasks.speech.config import SpeechConfig, SpeechTraining
from gated.tasks.speech.recogniser import TASK, SpeechRecogniser
from gated.tasks.speech.score import Evaluation
from gated.tasks.speech.search import Search
from gated.training.model_files import write_atomically
from gated.training.processes import is_main_process

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
    report = write_speech_report(out, recogniser, evaluation, command=command)
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


def transcribe(
    run: Path,
    *files: Path,
    language_model: Path | None = None,
    search: Annotated[Search | None, Parameter(name="*", group="Search")] = None,
    json: bool = False,
) -> None:
    """Write down what is said in recordings.

    Parameters
    ----------
    run
        Directory of a trained recogniser.
    files
        Recordings, in any format that libsndfile or FFmpeg decodes.
    language_model
        Run of `gated fit language` whose expectations the search takes into account.
    json
        Print a JSON document with the words of each recording and their times, in seconds.
    """
    recogniser = SpeechRecogniser.load(run)
    recogniser.search = search or recogniser.search
    language = _language(recogniser, language_model)
    documents = []
    for path in files:
        transcript = recogniser.transcribe(path, language)
        if json:
            documents.append({"path": str(path)} | asdict(transcript))
        elif len(files) == 1:
            print(transcript.text)
        else:
            print(path, transcript.text, sep="\t")
    if json:
        print_json(documents)


def evaluate(run: Path, data: Path, *, json: bool = False) -> None:
    """Score on the recordings of another manifest."""
    evaluation = SpeechRecogniser.load(run).score(data)
    print_json(evaluation.to_dict()) if json else _print_scores(evaluation)


def explain(run: Path, data: Path) -> Probe:
    """Offer the network on the recordings of a manifest."""
    return SpeechRecogniser.load(run).probe(data)
