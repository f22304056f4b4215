"""Speak twenty command words by the voices of espeak-ng, and list the recordings as CSV.

    apt-get install espeak-ng
    python examples/spoken_words.py words            # words/words.csv: 800 recordings
    gated fit speech words/words.csv --config examples/spoken_words.toml --out runs/words

espeak-ng (GPL-3.0-or-later) makes the sounds. Each of 40 of its voices, in an accent of English in
turn, says each word once, at a speed and a pitch that are drawn, and is a speaker of its own.
"""

import csv
import random
import shutil
import subprocess
import sys
from itertools import cycle
from pathlib import Path

WORDS = (
    "yes no stop go left right up down on off open close start cancel help back next play pause one"
)
ACCENTS = "en-us en-gb en-gb-scotland en-gb-x-rp en-gb-x-gbclan en-gb-x-gbcwmd en-029 en-us-nyc"
VOICES = (
    "m1 m2 m3 m4 m5 m6 m7 m8 f1 f2 f3 f4 f5 adam Alex Alicia Andrea Andy Annie antonio anika aunty "
    "belinda benjamin boris caleb david ed edward Gene john linda marcelo max Michael norbert rob "
    "sandro steph travis"
)


def main(folder: Path) -> None:
    if shutil.which("espeak-ng") is None:
        sys.exit("espeak-ng is not installed: apt-get install espeak-ng")
    drawn = random.Random(0)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "words.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("path", "text", "speaker"))
        for accent, name in zip(cycle(ACCENTS.split()), VOICES.split(), strict=False):
            voice = f"{accent}+{name}"
            for word in WORDS.split():
                path = folder / f"{name}-{word}.wav"
                speed, pitch = drawn.randint(120, 190), drawn.randint(30, 70)
                options = ["-v", voice, "-s", str(speed), "-p", str(pitch), "-w", str(path)]
                subprocess.run(["espeak-ng", *options, word], check=True)
                rows.writerow((path.name, word, name))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(f"usage: python {sys.argv[0]} FOLDER")
    main(Path(sys.argv[1]))
