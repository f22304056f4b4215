"""What becomes of transcripts, and how recordings are split."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gated.errors import ConfigurationError, DataError
from gated.tasks.speech import SpeechConfig, SpeechRecogniser
from gated.tasks.speech.alphabet import Alphabet
from gated.tasks.speech.split import split, split_beside, split_by
from gated.tasks.speech.spoken import Speller, check_spelled

soundfile = pytest.importorskip("soundfile")
pytest.importorskip("unicode_rbnf")
for needed in ("soxr", "kaldi_native_fbank", "jiwer"):
    pytest.importorskip(needed)

from tests.tasks.speech.tones import RATE, sound  # noqa: E402 - needs soundfile

WORDS = ("tea", "net", "ant", "eat")


def commands(directory: Path, voices: int = 6) -> Path:
    """A manifest of each word by each voice, with columns that nobody asks for."""
    rows = ["speaker,path,age,text"]
    for voice in range(voices):
        for word in WORDS:
            name = f"{word}{voice}.wav"
            soundfile.write(directory / name, sound(word) * (0.5 + 0.1 * voice), RATE)
            rows.append(f"voice {voice},{name},{20 + voice},{word}")
    path = directory / "commands.csv"
    path.write_text("\n".join(rows))
    return path


def prepared(path: Path, **options: object) -> SpeechRecogniser:
    config = SpeechConfig(
        sample_rate=RATE, hidden=4, layers=1, speeds=(1.0,), cache=path.parent / "cache", **options
    )
    return SpeechRecogniser(config).prepare(path)


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("en", "press 21 or 5", "press twenty-one or five"),
        ("en", "the 3rd of 12", "the third of twelve"),
        ("en", "room 007 & 5%", "room zero zero seven  and  five percent "),
        ("de", "21 Räume", "einundzwanzig Räume"),
        ("fr", "80 euros", "quatre-vingts euros"),
        ("zh", "12 点", "十二 点"),
    ],
)
def test_numbers_are_spelled(language: str, text: str, expected: str) -> None:
    assert Speller(language).spelled(text) == expected


@pytest.mark.parametrize("text", ["in 1984", "3.14", "1,000", "5 ₿", "10:30", "²"])
def test_what_is_spoken_in_several_ways_is_refused(text: str) -> None:
    with pytest.raises(DataError, match="may be spoken in several ways: write it out"):
        check_spelled(Speller("en").spelled(text))


def test_signs_are_refused_unless_they_are_letters() -> None:
    check_spelled("it's so-so, isn't it? (yes!)")
    check_spelled("call 7", "acl 7")
    for text in ("call 7", "5 €", "a & b", "100%"):
        with pytest.raises(DataError, match=r"its text has '[7€&%51]'"):
            check_spelled(text)
    with pytest.raises(ConfigurationError, match="spell is 'xx'; languages are af"):
        Speller("xx")


def test_letters_are_written_by_near_ones() -> None:
    assert Alphabet("abcdeinor ").written("Ícône décor x") == "icone decor x"
    assert Alphabet("aé").written("ÉàE") == "éaE"
    assert Alphabet("AB").written("ab") == "AB"


def test_the_alphabet_is_that_of_all_transcripts(tmp_path: Path) -> None:
    path = commands(tmp_path)
    recogniser = prepared(path, split_by="text", test=4, validation=4)
    texts = [{one.text for one in part} for part in vars(recogniser.parts).values()]
    assert sum(map(len, texts)) == len(set().union(*texts))  # no text is in two parts
    assert recogniser.alphabet.letters == "aent"
    ignored = [one.column for one in recogniser.findings if one.kind == "ignored"]
    assert ignored == ["age"]


def test_accents_are_counted_and_strange_letters_refused(tmp_path: Path) -> None:
    path = commands(tmp_path)
    path.write_text(re.sub(r",tea$", ",téa", path.read_text(), flags=re.M))
    path.write_text(path.read_text().replace("24,ant", "24,añt"))
    recogniser = prepared(path, alphabet="aent")
    assert {one.text for one in recogniser.parts.training} == set(WORDS)
    (finding,) = (one for one in recogniser.findings if one.kind == "letters")
    assert finding.count == 7
    assert finding.example == "é as e (6), ñ as n (1)"
    path.write_text(path.read_text().replace("24,eat", "24,日"))
    with pytest.raises(DataError, match=r"row 21 .*has the character '日'"):
        prepared(path, alphabet="aent")
    path.write_text(path.read_text().replace("24,日", "24,4 eat"))
    with pytest.raises(DataError, match=r"row 21 .*has '4', which may be spoken"):
        prepared(path)
    assert "f" in prepared(path, spell="en").alphabet.letters


def test_commands_are_split_by_speaker_or_recording(tmp_path: Path) -> None:
    path = commands(tmp_path)
    recogniser = prepared(path)
    speakers = [{one.speaker for one in part} for part in vars(recogniser.parts).values()]
    assert [len(of) for of in speakers] == [4, 1, 1]
    assert len(set().union(*speakers)) == 6
    assert {one.text for one in recogniser.parts.test} == set(WORDS)
    path.write_text(path.read_text().replace("speaker,", "who,"))
    recogniser = prepared(path, test=0.2)
    parts = vars(recogniser.parts).values()
    assert [len(part) for part in parts] == [17, 2, 5]
    assert {one.text for one in recogniser.parts.test} == set(WORDS)
    with pytest.raises(ConfigurationError, match="needs a speaker in each row"):
        prepared(path, split_by="speaker")
    assert prepared(path, split_by="speaker", speaker="who").parts.test[0].speaker


def test_a_test_manifest_is_scored_on(tmp_path: Path) -> None:
    path = commands(tmp_path)
    tested = tmp_path / "tested.csv"
    header, *rows = path.read_text().splitlines()
    tested.write_text("\n".join([header, *rows[:8]]))
    recogniser = prepared(path, test_manifest=tested)
    parts = recogniser.parts
    assert {one.speaker for one in parts.test} == {"voice 0", "voice 1"}
    assert {one.speaker for one in (*parts.training, *parts.validation)} == {
        f"voice {k}" for k in range(2, 6)
    }
    (near,) = [of for of in recogniser.findings if of.kind == "near"]
    assert (near.count, near.what) == (8, "recordings whose speaker is that of one held back")
    held = recogniser.network.eval() and recogniser.scored(parts.test, None)
    assert held.by == "speaker"
    assert held.clusters == ["voice 0"] * 4 + ["voice 1"] * 4


def test_splits_do_not_depend_on_the_order() -> None:
    texts = [word for word in WORDS for _ in range(10)]
    keys = [f"{k}" for k in range(40)]
    parts = split("recording", texts, keys, 0.2, 0.1, seed=0)
    assert sorted(texts[k] for k in parts.test) == sorted(WORDS * 2)
    turned = split("recording", texts[::-1], keys[::-1], 0.2, 0.1, seed=0)
    assert sorted(39 - k for k in turned.test) == parts.test
    assert split("recording", texts, keys, 0.2, 0.1, seed=1).test != parts.test
    same = split("recording", texts, ["one"] * 20 + keys[20:], 0.2, 0.1, seed=0)
    assert any(set(range(20)) <= set(part) for part in (same.training, same.validation, same.test))
    beside = split_beside("text", texts, keys, ["Tea!"], 0.0, seed=0)
    assert beside.training == list(range(10, 40))


@pytest.mark.parametrize(
    ("texts", "speakers", "expected"),
    [
        (["one", "two", "three", "One!"], [], "text"),
        (["one", "two"] * 4, [], "recording"),
        (["one", "two"] * 4, list("aabbccdd"), "speaker"),
        (["one", "two"] * 4, ["a", "b", "c", "", "a", "b", "c", "d"], "recording"),
    ],
)
def test_what_is_independent(texts: list[str], speakers: list[str], expected: str) -> None:
    assert split_by("auto", texts, speakers) == expected
