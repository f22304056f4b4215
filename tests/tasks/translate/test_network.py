from math import log

import pytest
import torch

from gated.tasks.translate.batches import Batch
from gated.tasks.translate.config import TranslateConfig
from gated.tasks.translate.network import TranslateNetwork, smoothed_loss


def small(**options: object) -> TranslateConfig:
    return TranslateConfig(**({"embedding": 5, "hidden": 6, "dropout": 0.0} | options))


BATCH = Batch.of([[5, 6, 7, 8], [9, 4], [4]], [[4, 5], [6, 7, 8, 9, 4], []])


def network_of(config: TranslateConfig, dtype: torch.dtype = torch.float64) -> TranslateNetwork:
    torch.manual_seed(3)
    return TranslateNetwork(config, source=10, target=11).to(dtype)


def step_by_step(network: TranslateNetwork, batch: Batch) -> torch.Tensor:
    """The same scores from `Decoder.step`, with gradients by autograd."""
    state, memory = network.read(batch.source, batch.source_lengths)
    fed = []
    for words in batch.before:
        state, _ = network.decoder.step(words, state, memory)
        fed.append(state.fed)
    return network.decoder.logits(torch.stack(fed, dim=1)[batch.real])


@pytest.mark.parametrize("attention", ["multiplicative", "additive"])
@pytest.mark.parametrize("no_input_feeding", [True, False])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_the_loop_over_known_words_is_the_steps_one_by_one(attention, no_input_feeding, cell):
    network = network_of(small(attention=attention, no_input_feeding=no_input_feeding, cell=cell))
    weight = torch.randn(10, 11, dtype=torch.float64)
    found = {}
    for scores in (network, step_by_step):
        network.zero_grad()
        logits = network(BATCH) if scores is network else step_by_step(network, BATCH)
        assert logits.shape == (2 + 5 + 3, 11)
        (logits * weight).sum().backward()
        found[scores] = [logits, *(parameter.grad for parameter in network.parameters())]
    names = ["logits", *(name for name, _ in network.named_parameters())]
    for name, ours, theirs in zip(names, *found.values(), strict=True):
        assert theirs.abs().max() > 0, name
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-11, msg=lambda m, n=name: n + m)


def test_smoothed_labels_give_the_value_computed_by_hand() -> None:
    """Probabilities of 1, 2 and 5 eighths; 0.3 of the label is spread over all three subwords."""
    logits = torch.tensor([[1.0, 2.0, 5.0], [1.0, 2.0, 5.0]]).log()
    found = smoothed_loss(logits, torch.tensor([2, 0]), 0.3)
    each = 0.1 * (log(8) + log(8 / 2) + log(8 / 5))
    assert float(found) == pytest.approx(0.7 * log(8 / 5) + 0.7 * log(8) + 2 * each, rel=1e-6)
    assert float(smoothed_loss(logits, torch.tensor([2, 0]), 0.0)) == pytest.approx(
        log(8 / 5) + log(8), rel=1e-6
    )
