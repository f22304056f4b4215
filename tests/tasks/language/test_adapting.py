"""Dynamic evaluation and the cache: what is learnt from a text while it is scored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from gated.errors import ConfigurationError, ModelFileError
from gated.tasks.language import LanguageConfig, LanguageModel, LanguageTraining
from gated.tasks.language.cache import Cache, Remembered
from gated.tasks.language.dynamic import LEAST, WINDOW, Dynamic, read_in_order
from gated.tasks.language.model import DYNAMIC
from gated.tasks.language.network import LanguageNetwork, nats
from gated.texts.text import Coded

CODES = 6
NO_ENDS = np.zeros(0, np.int64)
SMALL = LanguageConfig(
    hidden=8, embedding=4, window=16, no_ngrams=True, dynamic_evaluation=True, cache=50
)
SHORT = LanguageTraining(steps=2, batch_size=4, no_baseline=True)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    path = tmp_path_factory.mktemp("text") / "repeated.txt"
    path.write_text("the gate opens, and the gate shuts again.\n" * 120)
    return LanguageModel(SMALL, SHORT).fit([path])


@pytest.fixture
def network() -> LanguageNetwork:
    torch.manual_seed(0)
    return LanguageNetwork(LanguageConfig(hidden=5, embedding=3), CODES).eval()


@pytest.fixture
def text() -> Coded:
    return Coded(np.random.default_rng(0).integers(0, CODES, 150).astype(np.uint16), NO_ENDS)


@pytest.fixture
def rule(network: LanguageNetwork) -> Dynamic:
    scales = {name: torch.rand_like(of) for name, of in network.named_parameters()}
    return Dynamic(0.01, 0.1, 0.02, scales)


def changed(text: Coded, first: int) -> Coded:
    codes = text.codes.copy()
    codes[first:] = (codes[first:] + 1) % CODES
    return Coded(codes, text.ends)


def test_in_order_a_text_is_read_as_by_streams(network: LanguageNetwork, text: Coded) -> None:
    read = Coded(text.codes, np.array([40, 41, 100]))
    expected = nats(network, read, 0, 1, 1000).numpy()
    np.testing.assert_allclose(read_in_order(network, read), expected, rtol=1e-5)


def test_weights_change_by_the_rule_after_a_stretch_is_scored(
    network: LanguageNetwork, text: Coded, rule: Dynamic
) -> None:
    begun = {name: of.detach().clone() for name, of in network.named_parameters()}
    found = rule.read(network, text)
    codes, states, at = torch.from_numpy(text.codes.astype(np.int64)), {}, 0
    while at < len(codes) - 1:
        left = len(codes) - 1 - at
        steps = left if left < 1.5 * WINDOW else WINDOW
        written = network(codes[at : at + steps, None], states)
        loss = functional.cross_entropy(
            written.logits[:, 0], codes[at + 1 : at + 1 + steps], reduction="none"
        )
        np.testing.assert_allclose(found[at : at + steps], loss.detach().numpy(), rtol=1e-4)
        states = {name: of.detach() for name, of in written.states.items()}
        gradients = torch.autograd.grad(loss.mean(), list(network.parameters()))
        with torch.no_grad():
            for (name, weight), gradient in zip(network.named_parameters(), gradients, strict=True):
                scale = rule.scales[name]
                weight -= rule.rate * gradient / (rule.mean * (scale + LEAST))
                weight += rule.decay * scale * (begun[name] - weight)
        at += steps


def test_the_network_keeps_its_weights(
    network: LanguageNetwork, text: Coded, rule: Dynamic
) -> None:
    before = read_in_order(network, text)
    assert not np.allclose(rule.read(network, text), before)
    np.testing.assert_array_equal(read_in_order(network, text), before)


@pytest.mark.parametrize("first", [20, 64, 100])
def test_no_score_depends_on_what_comes_later(
    network: LanguageNetwork, text: Coded, rule: Dynamic, first: int
) -> None:
    def scored(of: Coded) -> tuple[np.ndarray, np.ndarray]:
        cached = Remembered(of.codes, 30, (4.0,))
        return rule.read(network, of, cached), cached.likely[0]

    for ours, theirs in zip(scored(text), scored(changed(text, first)), strict=True):
        np.testing.assert_array_equal(ours[: first - 1], theirs[: first - 1])
        assert (ours[first - 1 :] != theirs[first - 1 :]).any()


@pytest.mark.parametrize("size", [1, 7, 200])
def test_the_cache_has_the_probabilities_of_the_paper(text: Coded, size: int) -> None:
    torch.manual_seed(0)
    given = torch.randn(len(text.codes) - 1, 3)
    states = functional.normalize(given, dim=1).double().numpy()
    remembered = Remembered(text.codes, size, (1.0, 3.0))
    for part in given.split([40, 1, 50, len(given) - 91]):
        remembered(part)
    expected = np.zeros_like(remembered.likely)
    for k, sharpness in enumerate(remembered.sharpnesses):
        for t in range(1, len(states)):
            held = range(max(0, t - size), t)
            weights = {i: np.exp(sharpness * states[t] @ states[i]) for i in held}
            right = sum(of for i, of in weights.items() if text.codes[i + 1] == text.codes[t + 1])
            expected[k, t] = right / sum(weights.values())
    np.testing.assert_allclose(remembered.likely, expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(("likely", "helps"), [(0.9, True), (0.01, False)])
def test_a_cache_is_mixed_in_where_it_helps(likely: float, helps: bool) -> None:
    others = np.full(500, 0.2)
    seen = Remembered(np.zeros(501, np.uint16), 9, (2.0, 5.0))
    seen.likely[:] = [[0.001], [likely]]
    cache = Cache.fitted(others, seen)
    assert (cache is not None) == helps
    if cache is not None:
        assert (cache.size, cache.sharpness) == (9, 5.0)
        assert cache.probabilities(others, seen.likely[1])[0] == 0.2, "nothing is held at first"


def test_rates_that_do_not_help_are_left_out(
    network: LanguageNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = Coded(np.random.default_rng(1).integers(0, CODES, 400).astype(np.uint16), NO_ENDS)
    monkeypatch.setattr("gated.tasks.language.dynamic.RATES", (0.9,))
    assert Dynamic.fitted(network, noise, noise) is None


def test_a_score_says_what_each_part_adds(model: LanguageModel, tmp_path: Path) -> None:
    assert model.dynamic is not None
    assert model.cache is not None
    score = model.score()
    parts, bits = list(score.added), list(score.added.values())
    assert parts == ["network alone", "dynamic evaluation", "cache"]
    assert bits == sorted(bits, reverse=True), "a text that repeats itself: each part helps"
    assert (score.alone, score.bits["LSTM"]) == pytest.approx((bits[0], bits[-1]))
    assert score.facts["added"] == score.added

    other = tmp_path / "other.txt"
    other.write_text("again the gate shuts, and the gate opens.\n" * 20)
    model.save(tmp_path / "run")
    loaded = LanguageModel.load(tmp_path / "run")
    assert loaded.cache == model.cache
    ours, theirs = model.evaluate([other]), loaded.evaluate([other])
    assert theirs.added == pytest.approx(ours.added, rel=1e-3), "scales are saved as half floats"


@pytest.mark.parametrize(
    "damage",
    [
        lambda rule: replace(rule, rate=float("nan")),
        lambda rule: replace(rule, scales={name: of[:1] for name, of in rule.scales.items()}),
    ],
)
def test_damaged_scales_are_refused(
    model: LanguageModel, tmp_path: Path, damage: Callable[[Dynamic], Dynamic]
) -> None:
    broken = LanguageModel(model.config, model.training)
    broken.__dict__.update(model.__dict__, dynamic=damage(model.dynamic))
    assert DYNAMIC in broken.attached()
    broken.save(tmp_path / "run")
    with pytest.raises(ModelFileError, match="damaged"):
        LanguageModel.load(tmp_path / "run")


def test_a_cache_of_a_negative_size_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="cache"):
        LanguageConfig(cache=-1)
