"""`gated fit translate`, `gated translate`, and what other commands do for a translator."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count, islice
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from gated.cli.app import complain
from gated.cli.outcome import Outcome, tell
from gated.cli.output import print_json, print_table, stdout_console
from gated.cli.run_directory import Run, begun, check_free
from gated.cli.training_bar import TrainingBar, training_bars
from gated.errors import ConfigurationError, DataError, require
from gated.explain import Probe
from gated.report.drawing import style
from gated.tasks.translate.config import TranslateConfig
from gated.tasks.translate.page import attention_picture, score_table, write_translate_report
from gated.tasks.translate.pairs import Source, lines_of, text_lines
from gated.tasks.translate.score import Evaluation
from gated.tasks.translate.translation import Translation
from gated.tasks.translate.translator import TASK, Translator
from gated.training.model_files import write_atomically
from gated.training.options import TrainingOptions
from gated.training.processes import is_main_process

TARGET = "target"
"""Key of a run's second file, where the pairs are in two."""
AT_ONCE = 256
"""Lines read before they are translated, where nobody waits at a terminal."""

TranslateFields = Annotated[TranslateConfig | None, Parameter(name="*", group="Translation")]
TrainingFields = Annotated[TrainingOptions | None, Parameter(name="*", group="Training")]


def fit(
    data: Path,
    target: Path | None = None,
    *,
    out: Path,
    config: TranslateFields = None,
    training: TrainingFields = None,
    json: bool = False,
) -> None:
    """Train a translator on pairs of sentences and score it on pairs that are held back.

    Parameters
    ----------
    data
        Pairs in UTF-8: lines of a sentence, a tab and its translation; or gettext's .po; or, with
        a second file, the sentences alone.
    target
        The translations of `data`, line by line.
    out
        New directory for the run: model, scores, report.
    json
        Print the result as one JSON document.
    """
    require("matplotlib", extra="explain")  # before the training, not after it
    config, training = config or TranslateConfig(), training or TrainingOptions()
    if is_main_process():
        check_free(out)
    translator = Translator(config, training).prepare(_source(data, target))
    second = {TARGET: str(target.resolve())} if target else {}
    with begun(out, Run(TASK, data, config.to_dict() | second, training)):
        _train_and_report(translator, out, json=json, resume=False)


def _source(data: Path, target: Path | None) -> Source:
    return data if target is None else (data, target)


def _train_and_report(translator: Translator, out: Path, *, json: bool, resume: bool) -> None:
    """Train a prepared translator in `out`, save it, score it, and say how it went."""
    translator.check_test_part()
    with training_bars() as bars:
        translator.train(directory=out, resume=resume, progress=TrainingBar(bars, translator.name))
    if not is_main_process():
        return
    translator.save(out)
    write_atomically(out / "history.json", translator.history.to_json().encode())
    evaluation = translator.score()
    report = write_translate_report(
        out,
        evaluation=evaluation,
        examples=translator.examples(evaluation),
        history=translator.history,
        findings=translator.findings,
        config=translator.config,
        training=translator.training,
        command=shlex.join(["gated", *sys.argv[1:]]),
        facts=translator.facts,
    )
    outcome = Outcome(
        run=out,
        report=report,
        parameters=translator.parameters,
        history=translator.history,
        findings=translator.findings,
    )
    tell(outcome, evaluation, _print_scores, json=json)


def _print_scores(evaluation: Evaluation) -> None:
    console = stdout_console()
    for finding in evaluation.findings:
        console.print(f"· {finding}", style="dim", markup=False)
    console.print(f"\n{evaluation.verdict}\n", style="bold", markup=False)
    table = score_table(evaluation)
    count = len(evaluation.sources)
    print_table(f"Scores of {count:,} sentences", table.header, table.rows, best=0)
    for name, signature in zip(("BLEU", "chrF"), evaluation.signatures, strict=True):
        console.print(f"{name} {signature}", style="dim", markup=False)


def translate(
    run: Path,
    text: Path | None = None,
    *,
    beam: int | None = None,
    n_best: int = 1,
    length_penalty: float | None = None,
    coverage_penalty: float | None = None,
    attention: Path | None = None,
    json: bool = False,
) -> None:
    """Translate lines of a file or of standard input, at a terminal one after the other.

    Parameters
    ----------
    run
        Directory of a trained translator.
    text
        File of sentences, one a line, in UTF-8; by default standard input.
    beam
        Translations kept at each step of the search, 1 for a greedy one; by default the run's.
    n_best
        Different translations of each line; above 1, each is printed with the number of its line
        and its score.
    length_penalty
        0 favours short translations, 1 the mean per subword; by default the run's.
    coverage_penalty
        Above 0 favours translations that read all the source; by default the run's.
    attention
        New directory for pictures of where each translation looked, as PNG.
    json
        Print a JSON document with every translation, score, and the subwords of both sides.
    """
    if attention is not None:
        require("matplotlib", extra="explain")
        if attention.exists() and (attention.is_file() or any(attention.iterdir())):
            raise ConfigurationError(f"--attention: {attention} exists; give a new directory.")
    translator = Translator.load(run)
    ask = partial(
        translator.translate,
        beam=beam,
        n_best=n_best,
        length_penalty=length_penalty,
        coverage_penalty=coverage_penalty,
    )
    ask([])  # refuses what cannot be meant before anything is read
    documents: list[Any] = []
    number = 0
    for translations in _typed(ask) if text is None and sys.stdin.isatty() else _read(ask, text):
        for best in translations:
            number += 1
            if attention is not None:
                _draw(attention, number, best[0])
            if json:
                documents.append([_document(translation) for translation in best])
            else:
                _print_translations(number, best, n_best)
        sys.stdout.flush()
    if json:
        print_json(documents)


Translations = list[list[Translation]]


def _typed(ask: Callable[..., Translations]) -> Iterator[Translations]:
    """Translate what is typed line by line; what cannot be is told, and the next one asked for."""
    for number in count(1):
        try:
            yield ask([input("> ")], first=number)
        except EOFError:
            print()
            return
        except UnicodeDecodeError as error:
            complain(DataError(f"What was typed is not UTF-8: {error}."), as_json=False)
        except DataError as error:
            complain(error, as_json=False)


def _read(ask: Callable[..., Translations], text: Path | None) -> Iterator[Translations]:
    """Translate the lines of a file, or of a pipe, some at a time."""
    lines = text_lines(sys.stdin.buffer, "standard input") if text is None else lines_of(text)
    first = 1
    while portion := list(islice(lines, AT_ONCE)):
        yield ask(portion, first=first)
        first += len(portion)


def _print_translations(number: int, best: list[Translation], n_best: int) -> None:
    for translation in best:
        if n_best == 1:
            print(translation.text)
        else:
            print(number, f"{translation.score:.4f}", translation.text, sep="\t")


def _document(translation: Translation) -> dict[str, Any]:
    return {
        "text": translation.text,
        "score": translation.score,
        "source": translation.source,
        "subwords": translation.subwords,
        "attention": translation.attention.round(4).tolist(),
    }


def _draw(directory: Path, number: int, translation: Translation) -> None:
    if not translation.attention.size:
        return
    try:
        with style():
            picture = attention_picture(translation)
    except DataError as error:
        complain(DataError(f"Line {number:,} is not drawn. {error}"), as_json=False)
        return
    directory.mkdir(parents=True, exist_ok=True)
    write_atomically(directory / f"{number:04d}.png", picture.png)


def resume(run: Path, asked: Run, *, json: bool = False) -> None:
    """Go on with the interrupted training that was `asked` for in `run`."""
    saved = dict(asked.config)
    target = saved.pop(TARGET, None)
    translator = Translator(TranslateConfig.from_dict(saved), asked.training)
    translator.prepare(_source(asked.data, target and Path(target)))
    _train_and_report(translator, run, json=json, resume=True)


def evaluate(run: Path, data: Path, target: Path | None = None, *, json: bool = False) -> None:
    """Score translations of pairs in a file, or in two, beside the baselines."""
    evaluation = Translator.load(run).score(_source(data, target))
    print_json(evaluation.to_dict()) if json else _print_scores(evaluation)


def explain(run: Path, data: Path) -> Probe:
    """Offer the network on pairs of sentences in a file."""
    return Translator.load(run).probe(data)
