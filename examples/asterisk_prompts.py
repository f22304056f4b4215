"""Write a manifest of Asterisk's voice prompts as CSV: the path of a recording, and its text.

    apt-get download asterisk-core-sounds-en asterisk-core-sounds-en-wav
    for package in asterisk-core-sounds-*.deb; do dpkg -x $package prompts; done
    python examples/asterisk_prompts.py prompts en > prompts/en.csv

The packages (Debian, CC-BY-SA-3.0) hold about 550 telephone prompts of one speaker, at 8 kHz;
`es`, `fr`, `it` and `ru` give other languages. What is no speech, tones and silence, is left out;
digits are spelled as they are spoken.
"""

import csv
import gzip
import re
import sys
from pathlib import Path

DIGITS = {
    "en": "zero one two three four five six seven eight nine",
    "es": "cero uno dos tres cuatro cinco seis siete ocho nueve",
    "fr": "zéro un deux trois quatre cinq six sept huit neuf",
    "it": "zero uno due tre quattro cinque sei sette otto nove",
    "ru": "ноль один два три четыре пять шесть семь восемь девять",
}


def spoken(text: str, language: str) -> str:
    """Return `text` without remarks in brackets, its single digits as words."""
    text = re.sub(r"\[[^\]]*\]|\([^)]*\)", " ", text)
    digits = DIGITS[language].split()
    return " ".join(re.sub(r"(?<!\d)\d(?!\d)", lambda one: digits[int(one[0])], text).split())


def main(folder: Path, language: str) -> None:
    texts = folder / f"usr/share/doc/asterisk-core-sounds-{language}/core-sounds-{language}.txt.gz"
    voices = sorted((folder / "usr/share/asterisk/sounds").glob(f"{language}_*"))
    if not texts.exists() or not voices:
        sys.exit(f"{folder} lacks the text or sounds of {language!r}: unpack both packages there.")
    rows = csv.writer(sys.stdout)
    rows.writerow(("path", "text"))
    for line in gzip.decompress(texts.read_bytes()).decode("utf-8-sig").splitlines():
        name, colon, text = line.partition(":")
        path = voices[0] / f"{name.strip()}.wav"
        said = spoken(text, language)
        # What is written in digits still, years and such, could be spoken in several ways.
        if colon and path.exists() and re.search(r"[^\W\d]", said) and not re.search(r"\d", said):
            rows.writerow((path.relative_to(folder), said))


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[2] not in DIGITS:
        sys.exit(f"usage: python {sys.argv[0]} FOLDER {{{','.join(DIGITS)}}} > FOLDER/prompts.csv")
    main(Path(sys.argv[1]), sys.argv[2])
