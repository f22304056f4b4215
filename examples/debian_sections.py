"""Write descriptions of Debian packages with the section that each is in, as CSV: text, label.

    apt-cache dumpavail | python examples/debian_sections.py > sections.csv

The sections are the `SECTIONS` largest. Of several packages with the same description, as those
made of one source, one is kept; a description that stands in several sections is left out.
"""

import csv
import sys
from collections import Counter
from collections.abc import Iterable

SECTIONS = 20


def main(lines: Iterable[str]) -> None:
    sections: dict[str, set[str]] = {}
    text = section = ""
    for line in (*lines, ""):
        name, _, value = line.strip().partition(": ")
        if name == "Description":
            text = value
        elif name == "Section":
            section = value
        elif not name and text and section:
            sections.setdefault(text, set()).add(section)
            text = section = ""
    if not sections:
        sys.exit("There is no description: give the output of `apt-cache dumpavail`.")
    sure = {text: next(iter(of)) for text, of in sorted(sections.items()) if len(of) == 1}
    largest = {of for of, _ in Counter(sure.values()).most_common(SECTIONS)}
    table = csv.writer(sys.stdout)
    table.writerow(("text", "label"))
    table.writerows((text, of) for text, of in sure.items() if of in largest)


if __name__ == "__main__":
    if len(sys.argv) != 1:
        sys.exit(f"usage: apt-cache dumpavail | python {sys.argv[0]} > sections.csv")
    main(sys.stdin)
