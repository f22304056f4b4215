"""`gated fit video`, and what commands on a run do for video."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from gated.cli.outcome import Outcome, give_table, lenient, tell, tell_left_out
from gated.cli.output import print_json, print_table, stdout_console
from gated.cli.run_directory import Run, begun, check_free
from gated.cli.training_bar import TrainingBar, training_bars
from gated.errors import require
from gated.explain import Probe
from gated.report.labels import score_table
from gated.report.video import write_video_report
from gated.scoring.label_scores import Evaluation
from gated.tasks.video.classifier import TASK, VideoClassifier
from gated.tasks.video.config import VideoConfig, VideoTraining
from gated.training.model_files import write_atomically
from gated.training.processes import is_main_process


def fit(
    manifest: Path,
    *,
    out: Path,
    config: Annotated[VideoConfig | None, Parameter(name="*", group="Video")] = None,
    training: Annotated[VideoTraining | None, Parameter(name="*", group="Training")] = None,
    json: bool = False,
) -> None:
    """Train a network to tell what clips show, and score it on segments that are held back.

    Parameters
    ----------
    manifest
        CSV file with the columns clip (from the manifest's directory), label and, where wanted,
        start and end in seconds and speed (2 is double, -1 backwards).
    out
        New directory for the run: model, scores, report.
    json
        Print the result as one JSON document.
    """
    require("matplotlib", extra="explain")  # before the training, not after it
    if is_main_process():
        check_free(out)
    config, training = config or VideoConfig(), training or VideoTraining()
    classifier = VideoClassifier(config, training).prepare(manifest)
    with begun(out, Run(TASK, manifest, config.to_dict(), training)):
        train_and_report(classifier, out, json=json, resume=False)


def resume(run: Path, asked: Run, *, json: bool = False) -> None:
    """Go on with the interrupted training that was `asked` for in `run`."""
    classifier = VideoClassifier(VideoConfig.from_dict(asked.config), asked.training)
    train_and_report(classifier.prepare(asked.data), run, json=json, resume=True)


def train_and_report(classifier: VideoClassifier, out: Path, *, json: bool, resume: bool) -> None:
    """Train a prepared classifier in `out`, save it, score it, and say how it went."""
    label = f"{classifier.config.cell.upper()} on {len(classifier.labels)} labels"
    with training_bars() as bars:
        classifier.train(directory=out, resume=resume, progress=TrainingBar(bars, label))
    if not is_main_process():
        return
    classifier.save(out)
    write_atomically(out / "history.json", classifier.history.to_json().encode())
    evaluation = classifier.score()
    command = shlex.join(["gated", *sys.argv[1:]])
    report = write_video_report(out, classifier, evaluation, command=command)
    outcome = Outcome(
        run=out,
        report=report,
        parameters=classifier.parameters,
        history=classifier.history,
        findings=classifier.findings,
    )
    tell(outcome, evaluation, print_scores, json=json)


def print_scores(evaluation: Evaluation) -> None:
    """Print the verdict and the table of scores."""
    stdout_console().print(f"\n{evaluation.verdict}\n", style="bold", markup=False)
    table = score_table(evaluation)
    print_table(f"Scores over {evaluation.scope.unit}", table.header, table.rows, best=0)


def predict(
    run: Path,
    data: Path,
    *,
    out: Path | None = None,
    skip_bad: bool = False,
    json: bool = False,
) -> None:
    """Tell the labels of a clip, or of the segments of a manifest (.csv)."""
    classifier = lenient(VideoClassifier.load(run), skip_bad)
    table = classifier.predict(data)
    tell_left_out(classifier.findings)
    give_table(table, out, json=json)


def evaluate(run: Path, data: Path, *, skip_bad: bool = False, json: bool = False) -> None:
    """Score on the segments of another manifest."""
    classifier = lenient(VideoClassifier.load(run), skip_bad)
    evaluation = classifier.evaluate(data)
    tell_left_out(classifier.findings)
    print_json(evaluation.to_dict()) if json else print_scores(evaluation)


def explain(run: Path, data: Path, *, skip_bad: bool = False) -> Probe:
    """Offer the network on a clip, or on the segments of a manifest (.csv)."""
    classifier = lenient(VideoClassifier.load(run), skip_bad)
    probe = classifier.probe(data)
    tell_left_out(classifier.findings)
    return probe
