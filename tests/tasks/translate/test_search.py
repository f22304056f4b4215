"""Beam search: scores are those of the network, sentence by sentence, and of the paper."""

import math
from typing import Literal

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from gated.tasks.translate.batches import BEGIN, END, PADDING, Batch, padded
from gated.tasks.translate.config import TranslateConfig
from gated.tasks.translate.network import TranslateNetwork
from gated.tasks.translate.search import Hypothesis, Wanted, search

SOURCES = [[5, 6, 7, 8, 9], [9, 4], [4], [6, 6, 6]]


def network_of(attention: Literal["multiplicative", "additive"]) -> TranslateNetwork:
    torch.manual_seed(5)
    config = TranslateConfig(embedding=6, hidden=8, attention=attention, dropout=0.0)
    network = TranslateNetwork(config, source=10, target=9).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(3)  # so that the search has something to decide
        network.decoder.bias[END] = 1.0
    return network


@pytest.fixture(params=["multiplicative", "additive"])
def network(request: pytest.FixtureRequest) -> TranslateNetwork:
    return network_of(request.param)


def log_likelihood(network: TranslateNetwork, source: list[int], codes: list[int]) -> float:
    batch = Batch.of([source], [codes])
    logits = network(batch)
    logits[:, [PADDING, BEGIN]] = -torch.inf
    return float(logits.log_softmax(-1).gather(1, batch.wanted[:, None]).sum())


def expected(network, source, found: Hypothesis, wanted: Wanted) -> float:
    length = (5 + len(found.codes) + 1) / 6
    coverage = sum(math.log(min(read, 1.0)) for read in found.attention.sum(0).tolist())
    likely = log_likelihood(network, source, found.codes)
    return likely / length**wanted.length_penalty + wanted.coverage_penalty * coverage


@torch.no_grad()
def test_scores_are_those_of_the_paper_and_fall(network) -> None:
    wanted = Wanted(beam=4, length_penalty=0.7, coverage_penalty=0.3, n_best=3)
    for source, best in zip(SOURCES, search(network, SOURCES, wanted), strict=True):
        assert len(best) == 3
        scores = [hypothesis.score for hypothesis in best]
        assert scores == sorted(scores, reverse=True)
        for hypothesis in best:
            assert len(hypothesis.codes) <= 2 * (len(source) + 1) + 10
            assert hypothesis.attention.shape == (len(hypothesis.codes) + 1, len(source) + 1)
            assert hypothesis.attention.sum(1) == pytest.approx(1.0, abs=1e-5)
            assert hypothesis.score == pytest.approx(
                expected(network, source, hypothesis, wanted), rel=1e-4, abs=1e-4
            )


@torch.no_grad()
def test_a_beam_of_one_is_the_likeliest_subword_at_each_step(network) -> None:
    for source, (best,) in zip(SOURCES, search(network, SOURCES, Wanted(beam=1)), strict=True):
        state, memory = network.read(*padded([source]))
        word, codes = BEGIN, []
        while True:
            state, _ = network.decoder.step(torch.tensor([word]), state, memory)
            logits = network.decoder.logits(state.fed)[0]
            logits[[PADDING, BEGIN]] = -torch.inf
            word = int(logits.argmax())
            if word == END or len(codes) == 2 * (len(source) + 1) + 10:
                break
            codes.append(word)
        assert best.codes == codes


def test_sentences_do_not_depend_on_those_beside_them(network) -> None:
    wanted = Wanted(beam=3, n_best=3)
    together = search(network, SOURCES, wanted)
    for source, best in zip(SOURCES, together, strict=True):
        (alone,) = search(network, [source], wanted)
        assert [one.codes for one in alone] == [one.codes for one in best]
        assert [one.score for one in alone] == pytest.approx([one.score for one in best], abs=1e-5)


def test_a_wide_beam_finds_what_is_at_least_as_likely(network) -> None:
    plain = [Wanted(beam=beam, length_penalty=0.0) for beam in (1, 30)]
    narrow, wide = (search(network, SOURCES, wanted) for wanted in plain)
    gains = [b[0].score - a[0].score for a, b in zip(narrow, wide, strict=True)]
    assert min(gains) > -1e-5
    assert max(gains) > 0.01


def test_coverage_favours_translations_that_read_everything() -> None:
    network, read = network_of("multiplicative"), {}
    for penalty in (0.0, 5.0):
        wanted = Wanted(beam=20, coverage_penalty=penalty)
        best = search(network, SOURCES, wanted)
        read[penalty] = sum(
            math.log(min(1.0, share)) for (one,) in best for share in one.attention.sum(0).tolist()
        )
    assert read[5.0] > read[0.0] + 0.1


class Computed(TorchDispatchMode):
    """Counts the numbers that operations give."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers = 0

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        given = function(*arguments, **(options or {}))
        self.numbers += sum(of.numel() for of in tree_leaves(given) if isinstance(of, torch.Tensor))
        return given


def test_work_grows_with_both_lengths_and_no_more() -> None:
    network = network_of("multiplicative")
    with torch.no_grad():
        network.decoder.bias[END] = -1000.0  # so that it writes on until it must end
    numbers = []
    for length in (100, 200):
        with Computed() as computed:
            ((best,),) = search(network, [[5] * length], Wanted(beam=2))
        assert len(best.codes) == 2 * (length + 1) + 10
        numbers.append(computed.numbers)
    assert numbers[1] < 4.5 * numbers[0]


def test_many_long_sentences_are_searched_for_in_bounded_memory(monkeypatch) -> None:
    network, wanted = network_of("multiplicative"), Wanted(beam=3, n_best=2)
    expected = search(network, SOURCES * 3, wanted)
    together = []
    read = network.read
    monkeypatch.setattr(
        network, "read", lambda source, of: together.append(source.shape[1]) or read(source, of)
    )
    monkeypatch.setattr("gated.tasks.translate.search.MOST_LOOKED", 1000)
    found = search(network, SOURCES * 3, wanted)
    assert max(together) < len(SOURCES * 3)
    assert min(together) >= 1
    assert [[one.codes for one in best] for best in found] == [
        [one.codes for one in best] for best in expected
    ]
