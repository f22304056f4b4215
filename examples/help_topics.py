"""Write paragraphs of LibreOffice's help with the program that each is about, as CSV: text, label.

    apt-get download libreoffice-help-en-us
    dpkg -x libreoffice-help-en-us*.deb help
    python examples/help_topics.py help > topics.csv

The package (Debian, MPL-2.0) keeps the pages of each program in a folder of its own. Paragraphs
that stand in the folders of several programs are left out, and so are those of fewer letters than
`FEWEST`: a heading says too little.
"""

import csv
import sys
from pathlib import Path

from libreoffice_help import PAGES, paragraphs

PROGRAMS = {
    "sbasic": "Basic",
    "scalc": "Calc",
    "schart": "Chart",
    "sdatabase": "Base",
    "simpress": "Impress",
    "smath": "Math",
    "swriter": "Writer",
}
FEWEST = 30


def main(folder: Path) -> None:
    pages = folder / PAGES / "en-US" / "text"
    if not pages.is_dir():
        sys.exit(f"{pages} is not there: unpack the package into {folder}.")
    told: dict[str, set[str]] = {}
    for program, name in PROGRAMS.items():
        for page in sorted((pages / program).rglob("*.html")):
            for text in paragraphs(page).texts:
                if sum(map(str.isalpha, text)) >= FEWEST:
                    told.setdefault(" ".join(text.split()), set()).add(name)
    table = csv.writer(sys.stdout)
    table.writerow(("text", "label"))
    table.writerows((text, *names) for text, names in told.items() if len(names) == 1)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(f"usage: python {sys.argv[0]} FOLDER > topics.csv")
    main(Path(sys.argv[1]))
