"""The split of recordings: by text, by recording, or by speaker."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from typing import Literal

from gated.data.split_by_text import Parts, bare, near_to, split_by_text
from gated.errors import ConfigurationError, option

By = Literal["text", "recording", "speaker"]
REPEATED = 4
"""Recordings of each text, in the mean, from which on the texts are commands, all of them known."""


def split_by(
    asked: Literal["auto", "text", "recording", "speaker"],
    texts: Sequence[str],
    speakers: Sequence[str],
) -> By:
    """Return by what recordings are split, and what counts as independent in their scores.

    By default it is the text; of commands, texts with four recordings or more each, the speaker
    where it is known, else the recording.

    Raises:
        ConfigurationError: the speaker is asked for, and a row does not name it.
    """
    named = bool(speakers) and all(speakers)
    if asked == "speaker" and not named:
        raise ConfigurationError(
            f"{option('split_by', 'speaker')} needs a speaker in each row: name their column by "
            f"{option('speaker')}."
        )
    if asked != "auto":
        return asked
    if len(texts) < REPEATED * len(set(map(bare, texts))):
        return "text"
    return "speaker" if named and len(set(speakers)) > 2 else "recording"


def split(
    by: By,
    texts: Sequence[str],
    keys: Sequence[str],
    test: float,
    validation: float,
    seed: int,
) -> Parts:
    """Split recordings into parts.

    Args:
        by: by what.
        texts: what is said in each.
        keys: recordings with the same key, a speaker or the content, stay in one part; they are
            not looked at for a split by text.
        test: how much to hold back for the test part: below 1 a share of the recordings, else their
            number.
        validation: the same for the validation part.
        seed: chooses which.
    """
    if by == "text":
        return split_by_text([(text,) for text in texts], test, validation, seed)
    groups: dict[str, list[int]] = defaultdict(list)
    for place, key in enumerate(keys):
        groups[key].append(place)
    order = sorted(groups.values(), key=lambda group: _draw(seed, keys[group[0]]))
    if by == "recording":  # each text in turn, so that every part has every text
        turns: dict[str, int] = defaultdict(int)
        turn = {}
        for group in order:
            text = bare(texts[group[0]])
            turn[group[0]] = turns[text]
            turns[text] += 1
        order.sort(key=lambda group: turn[group[0]])
    parts: list[list[int]] = []
    for amount in (test, validation):
        wanted = round(amount * len(texts)) if amount < 1 else int(amount)
        part: list[int] = []
        while len(order) > 1 and len(part) < wanted:
            part += order.pop(0)
        parts.append(sorted(part))
    training = sorted(place for group in order for place in group)
    return Parts(training, parts[1], parts[0], [], [])


def split_beside(
    by: By,
    texts: Sequence[str],
    keys: Sequence[str],
    tested: Sequence[str],
    validation: float,
    seed: int,
) -> Parts:
    """Split recordings into training and validation parts beside a given test part.

    Args:
        by: as in `split`.
        texts: as in `split`.
        keys: as in `split`.
        tested: texts of the test part, or its keys. In a split by text or speaker nothing of these
            is trained on.
        validation: as in `split`.
        seed: as in `split`.
    """
    parts = split(by, texts, keys, 0, validation, seed)
    if by == "text":
        near = near_to([(text,) for text in tested])
        known = {place for place, text in enumerate(texts) if near((text,))}
    else:
        known = {place for place, key in enumerate(keys) if key in set(tested)}
    return Parts(
        [place for place in parts.training if place not in known],
        [place for place in parts.validation if place not in known],
        [],
        sorted(known & {*parts.validation, *parts.near_validation}),
        sorted(known & {*parts.training, *parts.near_training}),
    )


def _draw(seed: int, key: str) -> bytes:
    return hashlib.blake2b(f"{seed}\t{key}".encode(), digest_size=16).digest()
