"""Write sentence pairs from LibreOffice's help as PAIRS.tsv: English, tab, the other language.

    apt-get download libreoffice-help-en-us libreoffice-help-zh-cn
    for package in libreoffice-help-*.deb; do dpkg -x $package help; done
    python examples/libreoffice_help.py help zh-CN > pairs.tsv

The packages (Debian, MPL-2.0) hold the same pages in many languages; `fr` and `libreoffice-help-fr`
give French. The paragraphs and headings of a page are taken for each other's translation where
both languages have the same ones in the same order, as nearly all pages do; what is only said
twice, or not translated, is left out.
"""

import sys
from html.parser import HTMLParser
from pathlib import Path

TEXT = {"p", "h1", "h2", "h3", "h4", "h5", "h6"}
PAGES = "usr/share/libreoffice/help"


class Paragraphs(HTMLParser):
    """The paragraphs and headings of a page, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.inside = False
        self.foot = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.foot |= tag == "footer"  # tells which page this is, in English everywhere
        if tag in TEXT and not self.foot:
            self.tags.append(tag)
            self.texts.append("")
            self.inside = True

    def handle_endtag(self, tag: str) -> None:
        if tag in TEXT:
            self.inside = False

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.texts[-1] += data


def paragraphs(page: Path) -> Paragraphs:
    parser = Paragraphs()
    parser.feed(page.read_text("utf-8"))
    return parser


def main(folder: Path, language: str) -> None:
    pages = folder / PAGES
    if not (pages / "en-US").is_dir() or not (pages / language).is_dir():
        sys.exit(f"{pages} does not hold en-US and {language}: unpack both packages into {folder}.")
    pairs: dict[tuple[str, str], None] = {}
    aligned = others = 0
    for page in sorted((pages / "en-US").rglob("*.html")):
        translated = pages / language / page.relative_to(pages / "en-US")
        if not translated.exists():
            continue
        english, other = paragraphs(page), paragraphs(translated)
        if english.tags != other.tags:
            others += 1
            continue
        aligned += 1
        for source, target in zip(english.texts, other.texts, strict=True):
            pair = " ".join(source.split()), " ".join(target.split())
            if all(pair) and pair[0] != pair[1]:
                pairs[pair] = None
    for source, target in pairs:
        print(source, target, sep="\t")
    print(f"{aligned} pages aligned, {others} not; {len(pairs)} pairs", file=sys.stderr)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(f"usage: python {sys.argv[0]} FOLDER LANGUAGE > pairs.tsv")
    main(Path(sys.argv[1]), sys.argv[2])
