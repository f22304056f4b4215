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
from gated.tasks.speech.config import SpeechConfig, SpeechTraining
from gated.tasks.speech.recogniser import TASK, SpeechRecogniser
from gated.tasks.speech.score import Evaluation
from gated.training.model_files import write_atomically
from gated.training.processes import is_main_process


def fit(
    manifest: Path,
    *,
    out: Path,
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
    json
        Print the result as one JSON document.
    """
    require("matplotlib", extra="explain")  # before the training, not after it
    if is_main_process():
        check_free(out)
    config, training = config or SpeechConfig(), training or SpeechTraining()
    recogniser = SpeechRecogniser(config, training).prepare(manifest)
    with begun(out, Run(TASK, manifest, config.to_dict(), training)):
        _train_and_report(recogniser, out, json=json, resume=False)


def resume(run: Path, asked: Run, *, json: bool = False) -> None:
    """Go on with the interrupted training that was `asked` for in `run`."""
    recogniser = SpeechRecogniser(SpeechConfig.from_dict(asked.config), asked.training)
    _train_and_report(recogniser.prepare(asked.data), run, json=json, resume=True)


def _train_and_report(recogniser: SpeechRecogniser, out: Path, *, json: bool, resume: bool) -> None:
    """Train a prepared recogniser in `out`, save it, score it, and say how it went."""
    with training_bars() as bars:
        recogniser.train(directory=out, resume=resume, progress=TrainingBar(bars, recogniser.name))
    if not is_main_process():
        return
    recogniser.save(out)
    write_atomically(out / "history.json", recogniser.history.to_json().encode())
    evaluation = recogniser.score()
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
    stdout_console().print(f"Real-time factor: {evaluation.real_time_factor:.3f}", markup=False)


def transcribe(run: Path, *files: Path, json: bool = False) -> None:
    """Write down what is said in recordings.

    Parameters
    ----------
    run
        Directory of a trained recogniser.
    files
        Recordings, in any format that libsndfile or FFmpeg decodes.
    json
        Print a JSON document with the words of each recording and their times, in seconds.
    """
    recogniser = SpeechRecogniser.load(run)
    documents = []
    for path in files:
        transcript = recogniser.transcribe(path)
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
