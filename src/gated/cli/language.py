"""`gated generate`."""

from __future__ import annotations

import sys
import time
from itertools import islice
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from gated.cli.output import print_json
from gated.cli.run_directory import trained
from gated.errors import ConfigurationError
from gated.tasks.language import LanguageModel
from gated.tasks.language.generation import Sampling
from gated.tasks.language.model import cut


def generate(
    run: Path,
    *,
    prompt: tuple[str, ...] = (),
    length: int = 400,
    stop: tuple[str, ...] = (),
    sampling: Annotated[Sampling | None, Parameter(name="*", group="Sampling")] = None,
    json: bool = False,
) -> None:
    """Continue a prompt with text that a trained language model draws.

    Parameters
    ----------
    run
        Directory of a trained language model.
    prompt
        Text to continue, by default a new line; several are continued at once, and printed one
        after the other.
    length
        Characters, or bytes, to write.
    stop
        Stop before any of these texts.
    json
        Print prompts and continuations as one JSON document.
    """
    if length < 1:
        raise ConfigurationError(f"--length is {length}; it must be 1 or more.")
    model = trained(LanguageModel, run)
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
            print_json([{"prompt": beginning, "text": text} for beginning, text in pairs])
        else:
            for beginning, text in zip(prompt, texts, strict=True):
                print(f"{beginning}{text}\n")
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
