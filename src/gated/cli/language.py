"""`gated fit language` and `gated generate`, and what commands on a run do for language models."""

from __future__ import annotations

import shlex
import sys
import time
from itertools import islice
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from gated.cli.outcome import Outcome, tell
from gated.cli.output import print_json, print_table, stdout_console
from gated.cli.run_directory import Run, begun, check_free
from gated.cli.training_bar import TrainingBar, training_bars
from gated.errors import ConfigurationError, require
from gated.explain import Probe
from gated.tasks.language import LanguageConfig, LanguageModel, LanguageTraining
from gated.tasks.language.generation import Sampling
from gated.tasks.language.model import TASK, cut
from gated.tasks.language.page import score_table, write_language_report
from gated.tasks.language.score import Evaluation
from gated.training.model_files import write_atomically
from gated.training.processes import is_main_process

TEXTS = "texts"
"""Key of a run's files: there can be several."""


def fit(
    texts: list[Path],
    *,
    out: Path,
    config: Annotated[LanguageConfig | None, Parameter(name="*", group="Language")] = None,
    training: Annotated[LanguageTraining | None, Parameter(name="*", group="Training")] = None,
    json: bool = False,
) -> None:
    """Train a network to say what comes next in a text, and score it on the text's end.

    Parameters
    ----------
    texts
        Files in UTF-8 of any size, read one after the other.
    out
        New directory for the run: model, scores, report.
    json
        Print the result as one JSON document.
    """
    require("matplotlib", extra="explain")  # before the training, not after it
    if is_main_process():
        check_free(out)
    config, training = config or LanguageConfig(), training or LanguageTraining()
    model = LanguageModel(config, training).prepare(texts)
    model.check_test_part()
    asked = {**config.to_dict(), TEXTS: [str(path.resolve()) for path in texts]}
    with begun(out, Run(TASK, texts[0], asked, training)):
        _train_and_report(model, out, json=json)


def resume(run: Path, asked: Run, *, json: bool = False) -> None:
    """Go on with the interrupted training that was `asked` for in `run`."""
    saved = dict(asked.config)
    texts = saved.pop(TEXTS)
    model = LanguageModel(LanguageConfig.from_dict(saved), asked.training).prepare(texts)
    _train_and_report(model, run, json=json, resume=True)


def _train_and_report(model: LanguageModel, out: Path, *, json: bool, resume: bool = False) -> None:
    """Train a prepared model in `out`, save it, score it, and say how it went."""
    with training_bars() as bars:
        bar = TrainingBar(bars, f"{model.name} of {model.config.hidden} units")
        model.train(directory=out, resume=resume, progress=bar)
    if not is_main_process():
        return
    model.save(out)
    write_atomically(out / "history.json", model.history.to_json().encode())
    evaluation = model.score()
    command = shlex.join(["gated", *sys.argv[1:]])
    report = write_language_report(out, model, evaluation, command=command)
    outcome = Outcome(
        run=out,
        report=report,
        parameters=model.parameters,
        history=model.history,
        findings=model.findings,
    )
    tell(outcome, evaluation, _print_scores, json=json)


def _print_scores(evaluation: Evaluation) -> None:
    stdout_console().print(f"\n{evaluation.verdict}\n", style="bold", markup=False)
    table = score_table(evaluation)
    print_table(f"Scores over {evaluation.count:,} {evaluation.unit}s", table.header, table.rows)


def evaluate(run: Path, data: Path, *, json: bool = False) -> None:
    """Score on another text."""
    evaluation = LanguageModel.load(run).evaluate([data])
    if json:
        print_json(evaluation.to_dict())
        return
    _print_scores(evaluation)
    if evaluation.unknown:
        stdout_console().print(
            f"{evaluation.unknown:,} characters were never seen in training, and read as one "
            "unknown: what stands in their place was not told apart."
        )


def explain(run: Path, data: Path) -> Probe:
    """Offer the network on stretches of a text."""
    return LanguageModel.load(run).probe([data])


def generate(
    run: Path,
    *,
    prompt: tuple[str, ...] = (),
    length: int = 400,
    stop: tuple[str, ...] = (),
    sampling: Annotated[Sampling | None, Parameter(name="*", group="Sampling")] = None,
    json: bool = False,
) -> None:
    """Write on from a prompt, as it is drawn.

    Parameters
    ----------
    run
        Directory of a trained language model.
    prompt
        What to go on with, by default a new line; several are written side by side, and printed
        one after the other.
    length
        Characters, or bytes, to write.
    stop
        Texts before which to stop.
    json
        Print prompts and continuations as one JSON document.
    """
    if length < 1:
        raise ConfigurationError(f"--length is {length}; it must be 1 or more.")
    model = LanguageModel.load(run)
    prompt = prompt or (model.known_start(),)
    for text in prompt:
        if unknown := model.unknown_in(text):
            letters = ", ".join(repr(letter) for letter in unknown)
            print(f"Never seen in training, and read as unknown: {letters}.", file=sys.stderr)
    started = time.perf_counter()
    if len(prompt) == 1 and not json:
        count = _stream(model, prompt[0], length, stop, sampling)
    else:
        texts = model.generate(prompt, length=length, sampling=sampling, stop=stop)
        count = length * len(prompt)
        if json:
            pairs = zip(prompt, texts, strict=True)
            print_json([{"prompt": asked, "text": text} for asked, text in pairs])
        else:
            for asked, text in zip(prompt, texts, strict=True):
                print(f"{asked}{text}\n")
    seconds = time.perf_counter() - started
    print(f"{count / seconds:,.0f} {model.config.unit}s a second", file=sys.stderr)


def _stream(
    model: LanguageModel,
    prompt: str,
    length: int,
    stop: tuple[str, ...],
    sampling: Sampling | None,
) -> int:
    """Print what is written while it is written; return how many steps it took."""
    longest = max((len(of) for of in stop), default=0)
    if "" in stop:
        raise ConfigurationError("--stop: an empty text stops nothing; leave it out.")
    waiting, count = "", 0
    for (piece,) in islice(model.writing([prompt], sampling), length):
        if count == 0:  # a prompt that cannot be read is not printed
            print(prompt, end="", flush=True)
        count, waiting = count + 1, waiting + piece
        if cut(waiting, stop) != waiting:
            break
        # What may yet become a stop text is held back.
        sure = max(0, len(waiting) - max(0, longest - 1))
        print(waiting[:sure], end="", flush=True)
        waiting = waiting[sure:]
    print(cut(waiting, stop), flush=True)
    return count
