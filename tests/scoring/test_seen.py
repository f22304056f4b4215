"""The guard against scores on what was trained on."""

from __future__ import annotations

import pytest

from gated.errors import DataError
from gated.scoring.seen import Seen, refuse_known


def test_what_was_seen_is_known_again_after_saving() -> None:
    seen = Seen.of(["one", b"two", "三"])
    again = Seen.from_json_value(seen.to_json_value())
    assert again.among(["two", "one", "four", "三"]).tolist() == [True, True, False, True]
    assert again.count(iter(["one", "one", "none"])) == 2


def test_nothing_seen_knows_nothing() -> None:
    assert Seen.from_json_value("").count(["one"]) == 0
    assert Seen.of([]).among(["one", ""]).tolist() == [False, False]
    with pytest.raises(ValueError, match="base64"):
        Seen.from_json_value("no digests!")


@pytest.mark.parametrize("known", [0, 50])
def test_half_may_be_known(known: int) -> None:
    refuse_known(known, 100, "texts")


def test_more_than_half_is_a_leak() -> None:
    with pytest.raises(
        DataError, match="51 of the 100 texts to score on are also in the training data"
    ):
        refuse_known(51, 100, "texts")
