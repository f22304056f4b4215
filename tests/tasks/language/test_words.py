"""Language models of words: how texts are cut, Kneser–Ney, the adaptive softmax, the score."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from tests.comparison import assert_agree
from torch.nn import functional

import gated
from gated.configuration import Configuration
from gated.core.ngrams import NGrams
from gated.errors import ConfigurationError, ModelFileError
from gated.tasks.language import LanguageConfig, LanguageModel, LanguageTraining
from gated.tasks.language import network as of_network
from gated.tasks.language.mixture import Mixture
from gated.tasks.language.network import PADDING, Clusters, LanguageNetwork
from gated.texts.text import points_of
from gated.texts.vocabulary import Vocabulary
from gated.texts.words import Spelling, Words, words_in
from gated.training.transfer import Origin

TEXT = "The gate opens, and the gate shuts again.\nWho doesn't know it? " * 60


@dataclass(frozen=True, kw_only=True)
class OnlyCharacters(Configuration):
    """Options of a task that reads no words."""

    unit: Literal["character", "byte"] = "character"


def by_the_paper(codes: list[int], size: int, order: int, before: list[int]) -> list[float]:
    """Chen and Goodman's equations, each n-gram in a dictionary; the beginning is a code of -1."""
    padded = [-1, *codes]
    probabilities = [1 / size] * size
    for length in range(1, order + 2):
        counts = Counter(tuple(codes[at : at + length]) for at in range(len(codes) - length + 1))
        if length <= order:
            kinds = defaultdict(set)
            for at in range(1, len(padded) - length + 1):
                kinds[tuple(padded[at : at + length])].add(padded[at - 1])
            counts = Counter({gram: len(found) for gram, found in kinds.items()})
        of = Counter(counts.values())
        y = of[1] / (of[1] + 2 * of[2]) if of[1] else 0
        discounts = [0.5, 1, 1.5]
        if all(of[k] for k in (1, 2, 3, 4)):
            found = [k - (k + 1) * y * of[k + 1] / of[k] for k in (1, 2, 3)]
            discounts = found if all(0 <= d <= k for k, d in enumerate(found, 1)) else discounts
        context = tuple(before[len(before) - length + 1 :]) if length > 1 else ()
        mine = {gram[-1]: count for gram, count in counts.items() if gram[:-1] == context}
        if len(context) < length - 1 or not mine:
            continue
        spare = sum(discounts[min(count, 3) - 1] for count in mine.values())
        probabilities = [
            (mine[code] - discounts[min(mine[code], 3) - 1] if code in mine else 0)
            / sum(mine.values())
            + spare / sum(mine.values()) * probabilities[code]
            for code in range(size)
        ]
    return probabilities


@pytest.mark.parametrize("order", [0, 1, 4])
def test_probabilities_are_those_of_the_paper_and_sum_to_one(order: int) -> None:
    random = np.random.default_rng(order)
    codes = np.minimum(random.geometric(0.25, 500), 11).astype(np.uint16)
    ngrams = NGrams.of(codes, 13, order)
    said = np.concatenate([codes[200:230], [12, 0, 3, 12]]).astype(np.uint16)
    probability, met = ngrams.looked_up(said)
    for at in (0, 1, 3, 20, 30, 31, 32, 33):
        before = said[max(0, at - order) : at]
        every, kinds = ngrams.following(before[None])
        wanted = by_the_paper(codes.tolist(), 13, order, before.tolist())
        assert_agree(every[0], np.array(wanted), "by the paper", relative=1e-9, absolute=1e-12)
        assert every.sum() == pytest.approx(1)
        assert every[0, said[at]] == pytest.approx(probability[at], abs=1e-12)
        assert kinds[0] == met[at]


def test_saved_n_grams_of_many_words_are_the_same_and_damaged_ones_are_refused() -> None:
    random = np.random.default_rng(0)
    codes = random.integers(0, 60_000, 3000).astype(np.uint16)
    codes[1000:2000] = codes[:1000]
    mixture = Mixture(NGrams.of(codes, 60_000, 4), np.linspace(0, 1, 20))
    again = Mixture.from_bytes(mixture.to_bytes(), 60_000)
    network = np.full(len(codes) - 1, 0.3)
    np.testing.assert_array_equal(
        again.probabilities(network, codes), mixture.probabilities(network, codes)
    )
    counted = NGrams.of(codes, 60_000, 1).counted
    grams, counts = counted[1]
    for wrong, message in (
        ((grams[::-1], counts), "ascend"),
        ((grams[:0], counts[:0]), "as often"),
        ((grams + np.uint64(60_000 * 60_000), counts), "ascend"),
    ):
        with pytest.raises(ValueError, match=message):
            NGrams(60_000, [counted[0], wrong])


def test_words_put_together_are_the_text() -> None:
    said = "“Don't,” cried é\u0301 12 times;\n\n\t  床前明月光  _x_ ไทย\u200b ٣"
    assert "".join(words_in(said)) == said
    assert words_in(" don't 床前") == [" don't", " 床", "前"]
    vocabulary = Words.learn([points_of("a b b, b, a a rare", "word")], 2)
    assert vocabulary.words == [" b", " a", ","] or set(vocabulary.words) == {" b", " a", ","}
    codes = vocabulary.encode(points_of(" b, c a", "word"))
    assert (codes == 0).tolist() == [False, False, True, False]
    assert vocabulary.unknown(" b, c a") == [" c"]
    again = Vocabulary.from_json_value(vocabulary.to_json_value())
    assert isinstance(again, Words)
    assert (again.words, again.rare) == (vocabulary.words, vocabulary.rare)


def test_an_unknown_word_costs_what_spells_it() -> None:
    spelling = Spelling([" gate", " gates", " late", " rate"])
    likely, unlikely, strange = spelling.bits([" gate", " etag", " 床"])
    assert likely < 10 < unlikely < 45
    assert strange > 20
    # All spellings together, of any length, are at most certain.
    few = Spelling(["ab", "ba", "b"])
    words = ["", *"ab", *(a + b for a in "ab" for b in "ab")]
    assert 0.5 < sum(2.0 ** -few.bits([word])[0] for word in words) <= 1


def test_clusters_give_the_probabilities_of_all_words(monkeypatch) -> None:
    monkeypatch.setattr(of_network, "CUTOFFS", (4, 9))
    torch.manual_seed(0)
    config = LanguageConfig(unit="word", softmax="adaptive", hidden=16, embedding=4, dropout=0.0)
    network = LanguageNetwork(config, 20, config.softmax)
    assert isinstance(network.readout, Clusters)
    codes = torch.randint(20, (7, 3))
    following = torch.randint(20, (7, 3))
    following[5:, 1] = PADDING
    logits = network(codes).logits
    assert logits.exp().sum(-1).detach().numpy() == pytest.approx(1, abs=1e-5)
    wanted = functional.cross_entropy(
        logits.flatten(0, 1), following.flatten(), ignore_index=PADDING, reduction="none"
    )
    nats = network(codes, following=following).nats
    assert_agree(nats.flatten(), wanted, "cross-entropy", relative=1e-5, absolute=1e-6)
    rare = torch.zeros(7, 3, dtype=torch.long)
    network(codes, following=rare).nats.sum().backward()
    alone = [of.grad for of in network.parameters()]
    assert any(of is None for of in alone), "a cluster without a word"
    network.zero_grad()
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    network(codes, following=rare).nats.sum().backward()
    for of, before in zip(network.parameters(), alone, strict=True):
        assert of.grad is not None
        assert_agree(of.grad, torch.zeros_like(of) if before is None else before, "gradient")
    for softmax, words, clusters in (("auto", 100, False), ("auto", 11_000, True)):
        other = LanguageNetwork(config, words, softmax)
        assert isinstance(other.readout, Clusters) == clusters
    with pytest.raises(ConfigurationError, match="softmax"):
        LanguageConfig(softmax="adaptive")


@pytest.mark.parametrize("softmax", ["full", "adaptive"])
def test_a_model_of_words_is_scored_saved_and_writes(softmax, tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    # Names that come once each are unknown words.
    names = ("".join(map(chr, 97 + np.array([k % 26, k // 26, 7]))) for k in range(60))
    path.write_text(
        "".join(
            f"{line} {name} {name.upper()}.\n"
            for line, name in zip(TEXT.split("\n") * 2, names, strict=False)
        )
    )
    config = LanguageConfig(
        unit="word",
        softmax=softmax,
        hidden=8,
        embedding=4,
        window=16,
        dynamic_evaluation=True,
        cache=20,
        test=0.2,
        validation=0.2,
    )
    model = LanguageModel(config, LanguageTraining(steps=2, batch_size=4)).fit([path])
    score = model.score()
    assert 0 < score.unknown < score.words < score.count
    assert set(score.perplexities) >= {
        f"{model.name} with n-grams",
        "5-grams of words",
        "network alone",
    }
    assert {"5-grams of words", "xz"} <= set(score.bits)
    assert 1 < score.perplexities["5-grams of words"] < len(model.vocabulary)
    # Words alone need fewer bits than with the spelling of unknown ones.
    words = score.words * np.log2(score.perplexities["5-grams of words"]) / score.count
    assert words < score.bits["5-grams of words"]
    model.save(tmp_path / "run")
    again = LanguageModel.load(tmp_path / "run")
    asked = again.evaluate([path])
    # The scales of dynamic evaluation are saved in 16 bits.
    assert asked.bits == pytest.approx(model.evaluate([path]).bits, rel=1e-4)
    assert asked.words > asked.unknown > 0
    written = again.generate(["The gate"], length=8)
    assert written == model.generate(["The gate"], length=8)
    assert "�" not in written[0]
    assert again.unknown_in(" the gate xyz") == [" xyz"]
    assert len(again.probed(again.read([path], "explain", lambda error: None)).batches)
    origin = Origin.of(tmp_path / "run", ["language"])
    with pytest.raises(ConfigurationError, match=r"this task cannot begin.*unit='word'"):
        origin.adopted(OnlyCharacters(), ["unit"])
    with pytest.raises(ModelFileError, match=r"no program.*model of words"):
        gated.load(tmp_path / "run")
