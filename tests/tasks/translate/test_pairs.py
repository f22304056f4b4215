"""Reading pairs: each form, and what is wrong named with its place."""

from pathlib import Path

import pytest

from gated.errors import DataError
from gated.tasks.translate.pairs import Pair, read_pairs

PO = r"""
msgid ""
msgstr "Content-Type: text/plain; charset=UTF-8\n"

msgid "Open"
msgstr "打开"

#, fuzzy
msgid "Save"
msgstr "不知道"

msgid "%d \"file\""
msgid_plural "%d files"
msgstr[0] "%d fichier"
msgstr[1] "%d "
"fichiers"

#~ msgid "Old"
#~ msgstr "旧"
"""


def test_lines_with_a_tab(tmp_path: Path) -> None:
    path = tmp_path / "pairs.tsv"
    path.write_bytes("\ufeffOpen\t打开\r\n\r\nSave\t保存".encode())
    assert read_pairs(path) == [Pair("Open", "打开", 1), Pair("", "", 2), Pair("Save", "保存", 3)]


def test_two_files(tmp_path: Path) -> None:
    (tmp_path / "en").write_text("Open\nSave\n", "utf-8")
    (tmp_path / "zh").write_text("打开\n保存\n", "utf-8")
    pairs = read_pairs((tmp_path / "en", tmp_path / "zh"))
    assert pairs == [Pair("Open", "打开", 1), Pair("Save", "保存", 2)]


def test_gettext_gives_finished_translations_with_their_plurals(tmp_path: Path) -> None:
    path = tmp_path / "fr.po"
    path.write_text(PO, "utf-8")
    assert [pair[:2] for pair in read_pairs(path)] == [
        ("Open", "打开"),
        ('%d "file"', "%d fichier"),
        ("%d files", "%d fichiers"),
    ]


FORMS = r"""
msgid ""
msgstr "Content-Type: text/plain; charset=UTF-8\n"

msgid "%d sheep"
msgid_plural "%d sheep"
msgstr[1] "%d moutons"
msgstr[0] "%d mouton"

msgid "%d row"
msgid_plural "%d rows"
msgstr[0] "%d 行"

msgid "%d day"
msgid_plural "%d days"
msgstr[0] "%d день"
msgstr[1] "%d дня"
msgstr[2] "%d дней"

msgid "%d hour"
msgid_plural "%d hours"
msgstr ""
"""


def test_plural_forms_are_paired_by_their_numbers(tmp_path: Path) -> None:
    path = tmp_path / "forms.po"
    path.write_text(FORMS, "utf-8")
    assert [pair[:2] for pair in read_pairs(path)] == [
        ("%d sheep", "%d mouton"),
        ("%d sheep", "%d moutons"),
        ("%d row", "%d 行"),
        ("%d rows", "%d 行"),
        ("%d day", "%d день"),
        ("%d days", "%d дней"),
        ("%d hour", ""),
        ("%d hours", ""),
    ]


def test_pairs_from_python() -> None:
    assert read_pairs([("a", "b")]) == [Pair("a", "b", 1)]
    with pytest.raises(DataError, match=r"Pair 2 is not UTF-8 at character 4: '\\udcff'"):
        read_pairs([("a", "b"), ("caf\udcff", "b")])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a\tb\nc\n", "line 2: 1 column and not 2"),
        (b"a\tb\nc\td\te\n", "line 2: 3 columns and not 2"),
        (b"a\tb\nc\tab\xff\n", "line 2, byte 5: 0xff is not UTF-8"),
        (b"\x7fELF\0\0\t\n", "line 1: there is a zero byte"),
        (b"", "is empty"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(tmp_path: Path, content, message) -> None:
    path = tmp_path / "pairs.tsv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_pairs(path)


def test_files_that_are_not_aligned_are_refused_with_the_line(tmp_path: Path) -> None:
    (tmp_path / "en").write_text("a\nb\nc\n")
    (tmp_path / "zh").write_text("a\n")
    with pytest.raises(DataError, match=r"line 2 has no partner in .*zh"):
        read_pairs((tmp_path / "en", tmp_path / "zh"))


def test_a_po_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.po"
    path.write_text('msgid "a"\nnonsense\n')
    with pytest.raises(DataError, match=r"a\.po is not gettext's \.po"):
        read_pairs(path)
    with pytest.raises(FileNotFoundError, match=r"no file .*b\.tsv"):
        read_pairs(tmp_path / "b.tsv")


TMX = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE tmx SYSTEM "tmx14.dtd">
<tmx version="1.4"><header srclang="en"/><body>
<tu><tuv xml:lang="en-GB"><seg>Open <bpt>&lt;b&gt;</bpt>the <hi>file</hi><ept/>.</seg></tuv>
<tuv xml:lang="fr"><seg>Ouvrez le fichier.</seg></tuv></tu>
<tu><tuv xml:lang="fr"><seg>Fermer</seg></tuv><tuv xml:lang="en-GB"><seg>Close</seg></tuv></tu>
<tu><tuv xml:lang="fr"><seg>seul</seg></tuv></tu>
</body></tmx>"""
XLIFF = """<xliff version="1.2"><file source-language="en" target-language="fr"><body>
<trans-unit id="1"><source>Save <g id="a">all</g><x id="b"/></source>
<alt-trans><target>Non</target></alt-trans>
<target state="translated">Tout enregistrer</target></trans-unit>
<trans-unit id="2"><source>New</source><target state="needs-translation">New</target></trans-unit>
<trans-unit id="3"><source>Alone</source></trans-unit></body></file></xliff>"""
XLIFF_2 = """<xliff xmlns="urn:oasis:names:tc:xliff:document:2.0" version="2.0" srcLang="en"
trgLang="de">
<file id="f"><unit id="u"><segment><source>Page <ph id="1"/>one</source><target>Seite eins</target>
</segment><segment state="initial"><source>Two</source><target>Two</target></segment></unit></file>
</xliff>"""


def test_translation_memories_and_xliff(tmp_path: Path) -> None:
    for name, text, wanted in (
        ("m.tmx", TMX, [("Open the file.", "Ouvrez le fichier.", 4), ("Close", "Fermer", 6)]),
        ("m.xlf", XLIFF, [("Save all", "Tout enregistrer", 2)]),
        ("m.xliff", XLIFF_2, [("Page one", "Seite eins", 3)]),
    ):
        (tmp_path / name).write_text(text, "utf-8")
        assert read_pairs(tmp_path / name) == [Pair(*of) for of in wanted]
    swapped = read_pairs(tmp_path / "m.tmx", columns=("FR", "en"))
    assert swapped[1] == Pair("Fermer", "Close", 6)


def test_a_memory_of_three_languages_needs_their_names(tmp_path: Path) -> None:
    path = tmp_path / "m.tmx"
    path.write_text(TMX.replace('<tuv xml:lang="fr"><seg>seul', '<tuv xml:lang="de"><seg>allein'))
    with pytest.raises(DataError, match="languages en-gb, fr, de: name that"):
        read_pairs(path)
    assert len(read_pairs(path, columns=("en", "fr"))) == 2
    with pytest.raises(DataError, match="name that"):
        read_pairs(path, columns=("en", "it"))


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("<tmx><body><tu>", "no well-formed XML"),
        ("", "no well-formed XML"),
        ('<!DOCTYPE t [<!ENTITY a "b">]><tmx>&a;</tmx>', "declares the entity 'a'"),
        ("<html></html>", "holds the languages none"),
    ],
)
def test_a_damaged_memory_is_refused(text: str, what: str, tmp_path: Path) -> None:
    path = tmp_path / "m.tmx"
    path.write_text(text)
    with pytest.raises(DataError, match=what):
        read_pairs(path)
