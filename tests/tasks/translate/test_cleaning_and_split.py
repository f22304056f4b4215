"""What is left out of the pairs, and parts that have nothing in common."""

import random

import pytest

from gated.data.split_by_text import NEAR, bare, shingles, split_by_text
from gated.errors import DataError
from gated.tasks.translate.cleaning import clean
from gated.tasks.translate.pairs import Pair
from gated.tasks.translate.split import Given, split

LONG = "The toolbar of the chart window contains the commands that you need most"


def numbered(*pairs: tuple[str, str]) -> list[Pair]:
    return [Pair(*pair, line) for line, pair in enumerate(pairs, 1)]


def test_what_is_left_out_is_counted_and_named() -> None:
    usual = [(f"sentence {n}", f"phrase {n}") for n in range(20)]
    pairs = numbered(
        *usual,
        ("", "vide"),
        ("  sentence\u00a03 ", "phrase 3"),
        ("word " * 100_000, "mot"),
        ("a", "much longer than anything that could be meant by it " * 4),
    )
    kept, findings = clean(pairs, longest=100, most_ratio=9.0)
    assert [pair[:2] for pair in kept] == usual
    assert [(finding.kind, finding.count) for finding in findings] == [
        ("empty", 1), ("duplicate", 1), ("long", 1), ("ratio", 1),
    ]  # fmt: skip
    assert findings[1].example == "line 22: sentence 3"
    with pytest.raises(DataError, match="No pair of sentences is left"):
        clean(numbered(("", "a")), longest=100, most_ratio=9.0)


def test_a_plural_stays_where_its_singular_had_come_before() -> None:
    pairs = [Pair("a row", "ein", 1), Pair("a row", "ein", 7), Pair("rows", "mehr", 7)]
    kept, (finding,) = clean(pairs, longest=100, most_ratio=9.0)
    assert [pair.source for pair in kept] == ["a row", "rows"]
    assert finding.count == 1


def near(one: str, other: str) -> bool:
    a, b = shingles(one), shingles(other)
    return len(a & b) >= NEAR * len(a | b)


def help_texts(count: int) -> list[Pair]:
    """Sentences that repeat themselves, with other numbers, names and endings."""
    draw = random.Random(1)
    verbs, things = (
        ["Open", "Close", "Insert", "Delete", "Format", "Print"],
        ["table", "page", "cell"],
    )
    sources = [
        f"{draw.choice(verbs)} the {draw.choice(things)} number {draw.randrange(9)} "
        f"{draw.choice(['', 'now', 'in the menu of ' + draw.choice(things) + 's'])}"
        for _ in range(count)
    ]
    return numbered(*((source, source.upper()[::-1]) for source in dict.fromkeys(sources)))


def test_parts_have_no_sentence_in_common_not_even_nearly() -> None:
    pairs = help_texts(400)
    parts = split(pairs, test=0.1, validation=0.1, seed=0)
    assert len(parts.test) >= 0.1 * len(pairs)
    assert parts.validation
    assert len(parts.training) > len(pairs) / 3
    for ours, others in (
        (parts.training, [*parts.validation, *parts.test]),
        (parts.validation, parts.test),
    ):
        for pair in ours:
            for other in others:
                assert bare(pair.source) != bare(other.source)
                assert not near(pair.source, other.source)
                assert not near(pair.target, other.target)
    kept = len(parts.training) + len(parts.validation) + len(parts.test)
    assert kept + sum(finding.count for finding in parts.findings) == len(pairs)


def test_what_is_left_out_is_nearly_the_same_and_nothing_else_is() -> None:
    examples = [pair[:2] for pair in help_texts(400)]
    parts = split_by_text(examples, 0.1, 0.1, seed=0)

    def near_one_of(place: int, others: list[int]) -> bool:
        return any(
            near(one, other)
            for held in others
            for one, other in zip(examples[place], examples[held], strict=True)
        )

    chosen = [*parts.validation, *parts.near_validation]
    assert len(parts.near_training) > 10
    for place in range(len(examples)):
        if place in parts.near_training or place in parts.training:
            is_near = near_one_of(place, [*parts.test, *chosen])
            assert is_near == (place in parts.near_training), examples[place]
        elif place in chosen:
            assert near_one_of(place, parts.test) == (place in parts.near_validation)


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        ("Set the margin to 12 pt.", "Set the margin to 3.5 pt", True),
        (
            "To open the dialog, choose File - Send.",
            "To open the dialog, choose File - Cut.",
            False,
        ),
        (f"{LONG}, in View.", f"{LONG}, in Help.", True),
        ("Opens the Sort dialog.", "Opens the Print dialog.", False),
    ],
)
def test_numbers_never_make_a_sentence_new_a_name_does_in_a_short_one(one, other, together) -> None:
    assert (bare(one) == bare(other) or near(one, other)) is together
    examples = [(one, "eins"), (other, "zwei"), *((f"other {chr(97 + n)}", "x") for n in range(4))]
    for seed in range(20):
        parts = split_by_text(examples, test=1, validation=0, seed=seed)
        assert not (together and {0, 1} & {*parts.test} and {0, 1} & {*parts.training})


def test_a_target_in_common_keeps_pairs_together() -> None:
    pairs = numbered(*((f"source {chr(97 + n)}", f"{'xy'[n % 2]} target") for n in range(20)))
    parts = split(pairs, test=1, validation=0, seed=0)
    assert {pair.target for pair in parts.test} in ({"x target"}, {"y target"})
    assert {pair.target for pair in parts.training} in ({"x target"}, {"y target"})


def test_the_split_does_not_depend_on_the_order_but_on_the_seed() -> None:
    pairs = help_texts(400)
    shuffled = random.Random(0).sample(pairs, len(pairs))
    assert split(shuffled, 0.1, 0.1, seed=0) == split(pairs, 0.1, 0.1, seed=0)
    assert split(pairs, 0.1, 0.1, seed=1).test != split(pairs, 0.1, 0.1, seed=0).test


def test_too_few_pairs_to_hold_any_back() -> None:
    with pytest.raises(DataError, match=r"Nothing is left to train on of 2 pairs"):
        split(numbered(("one", "eins"), ("two", "zwei")), 1, 1, seed=0)
    with pytest.raises(DataError, match="too few"):
        split(numbered(("one", "eins")), 1, 1, seed=0)


def test_given_parts_are_taken_as_they_are_and_nothing_near_is_trained_on() -> None:
    pairs = [
        Pair(f"word {chr(97 + n) * 6} here", f"mot {chr(97 + n) * 6} ici", n) for n in range(20)
    ]
    test = [Pair("Word bbbbbb here!", "x", 1), Pair("quite another sentence", "y", 2)]
    validation = [Pair("z", "mot cccccc ici", 1)]
    parts = split(pairs, 0.1, 0.1, 0, Given(test, validation))
    assert (parts.test, parts.validation) == (test, validation)
    assert parts.training == [pair for pair in pairs if pair.line not in (1, 2)]
    assert [(of.kind, of.count) for of in parts.findings] == [("near", 2)]
    parts = split(pairs, 0.1, 0.2, 0, Given(test=test))
    assert (len(parts.test), len(parts.validation), len(parts.training)) == (2, 4, 15)
