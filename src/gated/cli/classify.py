"""`gated fit classify` and `gated fit regress`, and what commands on a run do for them."""

from __future__ import annotations

import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import polars as pl
from cyclopts import Parameter

from gated.cli.outcome import Outcome, give_table, tell, tell_left_out
from gated.cli.output import print_json, print_table, stdout_console
from gated.cli.run_directory import FILE_NAME, Run, begun, check_free, read_run
from gated.cli.training_bar import TrainingBar, training_bars
from gated.data.manifest import BadRows
from gated.errors import require
from gated.explain import Probe
from gated.tasks.classify import (
    ClassifyConfig,
    SequenceClassifier,
    SequenceRegressor,
    SequenceTraining,
)
from gated.tasks.classify.config import SourceOptions
from gated.tasks.classify.evaluation import Result, evaluate_learner
from gated.tasks.classify.learner import TASK, SequenceLearner
from gated.tasks.classify.page import score_table_of, write_classify_report
from gated.tasks.classify.parts import Parts, read_parts, those_that_fit
from gated.tasks.classify.sequences import Sequences
from gated.tasks.classify.table import read_sequences
from gated.training.model_files import load_description, write_atomically
from gated.training.options import TrainingOptions
from gated.training.processes import is_main_process

KINDS: dict[str, type[SequenceLearner]] = {
    kind.__name__: kind for kind in (SequenceClassifier, SequenceRegressor)
}
Network = Annotated[ClassifyConfig | None, Parameter(name="*", group="Network")]
Data = Annotated[SourceOptions | None, Parameter(name="*", group="Data")]
Training = Annotated[SequenceTraining | None, Parameter(name="*", group="Training")]


def fit_classes(
    data: Path,
    *,
    out: Path,
    source: Data = None,
    config: Network = None,
    training: Training = None,
    json: bool = False,
) -> None:
    """Train a network to tell the class of a sequence, and score it on sequences held back.

    Parameters
    ----------
    data
        A .ts file of the time-series archives; or a CSV or Parquet table with a row for each step:
        --series names the column of the sequence, --label that of its class, all others but --time
        are channels.
    out
        New directory for the run: model, scores, report.
    json
        Print the result as one JSON document.
    """
    _fit("SequenceClassifier", data, out, source, config, training, json=json)


def fit_numbers(
    data: Path,
    *,
    out: Path,
    source: Data = None,
    config: Network = None,
    training: Training = None,
    json: bool = False,
) -> None:
    """Train a network to tell a number of a sequence, and score it on sequences held back.

    Parameters
    ----------
    data
        A .ts file of the time-series archives; or a CSV or Parquet table with a row for each step:
        --series names the column of the sequence, --label that of its number, all others but --time
        are channels.
    out
        New directory for the run: model, scores, report.
    json
        Print the result as one JSON document.
    """
    _fit("SequenceRegressor", data, out, source, config, training, json=json)


def _fit(
    kind: str,
    data: Path,
    out: Path,
    source: SourceOptions | None,
    config: ClassifyConfig | None,
    training: TrainingOptions | None,
    *,
    json: bool,
) -> None:
    require("matplotlib", extra="explain")  # before the training, not after it
    if is_main_process():
        check_free(out)
    source, config = source or SourceOptions(), config or ClassifyConfig()
    training = training or SequenceTraining()
    parts = read_parts(data, source, training.seed, stratified=kind == "SequenceClassifier")
    asked = {
        "kind": kind,
        "source": source.to_dict(),
        "columns": list(parts.training.columns),
        "network": config.to_dict(),
    }
    with begun(out, Run(TASK, data, asked, training)):
        _train_and_report(KINDS[kind].of(config, training), parts, source, out, json=json)


def resume(run: Path, asked: Run, *, json: bool = False) -> None:
    """Go on with the interrupted training that was `asked` for in `run`."""
    source = SourceOptions.from_dict(asked.config["source"])
    kind = asked.config["kind"]
    learner = KINDS[kind].of(ClassifyConfig.from_dict(asked.config["network"]), asked.training)
    stratified = kind == "SequenceClassifier"
    parts = read_parts(asked.data, source, asked.training.seed, stratified=stratified)
    _train_and_report(learner, parts, source, run, json=json, resume=True)


def _train_and_report(
    learner: SequenceLearner,
    parts: Parts,
    source: SourceOptions,
    out: Path,
    *,
    json: bool,
    resume: bool = False,
) -> None:
    """Train in `out`, save, score, and say how it went."""
    label = f"{learner.cell.upper()} on {len(parts.training)} sequences"
    with training_bars() as bars:
        bar = TrainingBar(bars, label)
        known = parts.training
        learner.fit(known.arrays, known.values, directory=out, resume=resume, progress=bar)
    if not is_main_process():
        return
    learner.save(out)
    write_atomically(out / "history.json", learner.history_.to_json().encode())
    result = evaluate_learner(learner, parts.training, parts.test)
    command = shlex.join(["gated", *sys.argv[1:]])
    report = write_classify_report(out, learner, parts, source, result, command=command)
    outcome = Outcome(
        run=out,
        report=report,
        parameters=learner.parameters_,
        history=learner.history_,
        findings=parts.findings,
    )
    tell(outcome, result, _print_scores, json=json)


def _print_scores(result: Result) -> None:
    stdout_console().print(f"\n{result.verdict}\n", style="bold", markup=False)
    table = score_table_of(result)
    print_table("Scores over sequences", table.header, table.rows, best=0)


def predict(
    run: Path,
    data: Path,
    *,
    out: Path | None = None,
    skip_bad: bool = False,
    json: bool = False,
) -> None:
    """Tell the class, or the number, of each sequence of a file."""
    learner, read = _read(run, data, skip_bad, values="ignored")
    columns: dict[str, Any] = {"sequence": read.names}
    if isinstance(learner, SequenceClassifier):
        probabilities = learner.predict_proba(read.arrays)
        columns["label"] = learner.classes_[probabilities.argmax(1)]
        columns |= {
            str(name): of for name, of in zip(learner.classes_, probabilities.T, strict=True)
        }
    else:
        columns["value"] = learner.predict(read.arrays)
    table = pl.DataFrame(columns)
    give_table(table, out, json=json)


def evaluate(run: Path, data: Path, *, skip_bad: bool = False, json: bool = False) -> None:
    """Score on the sequences of another file."""
    learner, read = _read(run, data, skip_bad, values="needed")
    result = evaluate_learner(learner, None, read)
    print_json(result.to_dict()) if json else _print_scores(result)


def explain(run: Path, data: Path, *, skip_bad: bool = False) -> Probe:
    """Offer the network on the sequences of a file; where they are labelled, with its loss."""
    learner, read = _read(run, data, skip_bad, values="taken")
    known = read.values if len(read.values) else None
    return learner.probe(read.arrays, known, read.names)


def _read(
    run: Path, data: Path, skip_bad: bool, *, values: Literal["needed", "taken", "ignored"]
) -> tuple[SequenceLearner, Sequences]:
    """Return the learner of a run, and the sequences of a file that it can be asked about."""
    learner, source, columns = _loaded(run)
    bad = BadRows(skip=skip_bad or source.skip_bad)
    channels, labelled = learner.n_features_in_, values == "needed"
    read = read_sequences(
        data, source, labelled=labelled, columns=columns, channels=channels, bad=bad
    )
    if values == "ignored":
        read = replace(read, values=read.values[:0])
    labels = {str(label) for label in getattr(learner, "classes_", ())} or None
    read = those_that_fit(read, bad, channels=channels, labels=labels)
    tell_left_out(bad.findings)
    return learner, read


def _loaded(run: Path) -> tuple[SequenceLearner, SourceOptions, list[str]]:
    """Return the learner of a run, how its files are read, and its channels in a table."""
    kind = KINDS[load_description(run).get("kind", "SequenceClassifier")]
    # A model that was saved from Python has no run beside it: `.ts` files need no options.
    asked = read_run(run).config if (run / FILE_NAME).exists() else {}
    source = SourceOptions.from_dict(asked["source"]) if asked else SourceOptions()
    return kind.load(run), source, asked.get("columns", [])
