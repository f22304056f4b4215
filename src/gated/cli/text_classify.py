"""`gated fit text-classify`, and what commands on a run do for it."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import polars as pl
from cyclopts import Parameter

from gated.cli.outcome import Outcome, give_table, lenient, tell, tell_left_out
from gated.cli.output import print_json
from gated.cli.run_directory import Run, begun, check_free
from gated.cli.training_bar import TrainingBar, training_bars
from gated.cli.video import print_scores
from gated.data.manifest import BadRows
from gated.errors import require
from gated.explain import Probe
from gated.tasks.text_classify import TextClassifier, TextClassifyConfig, TextClassifyTraining
from gated.tasks.text_classify.classifier import TASK
from gated.tasks.text_classify.page import write_text_report
from gated.tasks.text_classify.texts import read_texts
from gated.training.model_files import write_atomically
from gated.training.processes import is_main_process


def fit(
    data: Path,
    *,
    out: Path,
    config: Annotated[TextClassifyConfig | None, Parameter(name="*", group="Texts")] = None,
    training: Annotated[TextClassifyTraining | None, Parameter(name="*", group="Training")] = None,
    json: bool = False,
) -> None:
    """Train a network to tell what a text is, and score it on texts held back.

    Parameters
    ----------
    data
        CSV file with the columns text and label.
    out
        New directory for the run: model, scores, report.
    json
        Print the result as one JSON document.
    """
    require("matplotlib", extra="explain")  # before the training, not after it
    if is_main_process():
        check_free(out)
    config, training = config or TextClassifyConfig(), training or TextClassifyTraining()
    classifier = TextClassifier(config, training).prepare(data)
    classifier.check_test_part()
    with begun(out, Run(TASK, data, config.to_dict(), training)):
        _train_and_report(classifier, out, json=json)


def resume(run: Path, asked: Run, *, json: bool = False) -> None:
    """Go on with the interrupted training that was `asked` for in `run`."""
    classifier = TextClassifier(TextClassifyConfig.from_dict(asked.config), asked.training)
    _train_and_report(classifier.prepare(asked.data), run, json=json, resume=True)


def _train_and_report(
    classifier: TextClassifier, out: Path, *, json: bool, resume: bool = False
) -> None:
    """Train a prepared classifier in `out`, save it, score it, and say how it went."""
    label = f"{classifier.name} on {len(classifier.parts['training'])} texts"
    with training_bars() as bars:
        classifier.train(directory=out, resume=resume, progress=TrainingBar(bars, label))
    if not is_main_process():
        return
    classifier.save(out)
    write_atomically(out / "history.json", classifier.history.to_json().encode())
    evaluation = classifier.score()
    command = shlex.join(["gated", *sys.argv[1:]])
    report = write_text_report(out, classifier, evaluation, command=command)
    outcome = Outcome(
        run=out,
        report=report,
        parameters=classifier.parameters,
        history=classifier.history,
        findings=classifier.findings,
    )
    tell(outcome, evaluation, print_scores, json=json)


def predict(
    run: Path,
    data: Path,
    *,
    out: Path | None = None,
    skip_bad: bool = False,
    json: bool = False,
) -> None:
    """Tell the label of each text of a table (.csv), or of each line of another file."""
    classifier = TextClassifier.load(run)
    bad = BadRows(skip=skip_bad)
    texts = [of.text for of in read_texts(data, bad, labelled=False)]
    tell_left_out(bad.findings)
    told = classifier.predict_proba(texts)
    columns = {"text": texts, "label": [classifier.labels[k] for k in told.argmax(1)]}
    table = pl.DataFrame(columns | dict(zip(classifier.labels, told.T, strict=True)))
    give_table(table, out, json=json)


def evaluate(run: Path, data: Path, *, skip_bad: bool = False, json: bool = False) -> None:
    """Score on the texts of another table."""
    classifier = lenient(TextClassifier.load(run), skip_bad)
    evaluation = classifier.evaluate(data)
    tell_left_out(classifier.findings)
    print_json(evaluation.to_dict()) if json else print_scores(evaluation)


def explain(run: Path, data: Path, *, skip_bad: bool = False) -> Probe:
    """Offer the network on the texts of a table (.csv), or on the lines of another file."""
    classifier = lenient(TextClassifier.load(run), skip_bad)
    probe = classifier.probe(data)
    tell_left_out(classifier.findings)
    return probe
