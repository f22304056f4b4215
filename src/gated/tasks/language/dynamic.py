"""Dynamic evaluation: a network goes on learning from the text that it is scored on.

The text is read in order, a stretch at a time. A stretch is scored first, and only then are the
weights θ changed by its gradient g (Krause, Kahembwe, Murray and Renals 2018):

    θ ← θ - rate · g / (m + ε) + decay · (m / mean m) · (θ₀ - θ)

with m the root of the mean squared gradients of the training part, and θ₀ the trained weights, to
which θ is drawn back. Rate and decay are chosen on the validation part.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from gated.core.ngrams import Floats
from gated.tasks.language.network import LanguageNetwork, Stretch
from gated.texts.text import Coded
from gated.training.streams import Streams

WINDOW = 32
"""T, codes of a stretch: the more, the faster; the fewer, the sooner something is learnt."""
MEASURED = 200
"""Stretches of the training part whose gradients are squared."""
PIECES = 10
"""Of the training part, evenly over it, in which these are."""
SCALE = "scale "
"""What the names of these arrays begin with in a file."""
TUNED = 16_000
"""Codes of the validation part, its first, that each rate and decay is tried on."""
RATES = (2e-4, 5e-4, 1e-3, 2e-3)
DECAYS = (3e-4, 3e-3)
"""What is tried: the rates without a decay first, then decays at the best rate."""
LEAST = 0.1
"""ε, as a share of the mean of m over all weights."""


@dataclass(frozen=True)
class Dynamic:
    """How weights change while a text is scored."""

    rate: float
    decay: float
    mean: float
    """Mean of m over all weights."""
    scales: dict[str, Tensor]
    """By parameter, m relative to its mean."""

    @classmethod
    def fitted(cls, network: LanguageNetwork, training: Coded, validation: Coded) -> Self | None:
        """Choose rate and decay; None where none helps on the validation part."""
        some = validation.part(0, min(len(validation), TUNED))
        best = cls(0.0, 0.0, *_measured(network, training))
        without = least = float(read_in_order(network, some).mean())
        for rate in RATES:
            best, least = best._or(replace(best, rate=rate), least, network, some)
        for decay in DECAYS:
            best, least = best._or(replace(best, decay=decay), least, network, some)
        return best if least < without else None

    def _or(
        self, other: Self, least: float, network: LanguageNetwork, some: Coded
    ) -> tuple[Self, float]:
        """Return the better of two on some text, and its mean cross-entropy; `least` is our own."""
        found = float(other.read(network, some).mean())
        return (other, found) if found < least else (self, least)

    def read(
        self,
        network: LanguageNetwork,
        text: Coded,
        remember: Callable[[Tensor], None] | None = None,
    ) -> Floats:
        """Score a text with weights that change, as `read_in_order`; `network` keeps its own."""
        changing = copy.deepcopy(network)
        weights = list(changing.parameters())
        begun = [weight.detach().clone() for weight in weights]
        scales = [self.scales[name] for name, _ in changing.named_parameters()]
        slowed = [self.mean * (scale + LEAST) for scale in scales]
        drawn = [(self.decay * scale).clamp(max=1.0) for scale in scales]

        def learn(loss: Tensor) -> None:
            gradients = _gradients(loss, weights)
            with torch.no_grad():
                for weight, gradient, slow, draw, first in zip(
                    weights, gradients, slowed, drawn, begun, strict=True
                ):
                    weight.addcdiv_(gradient, slow, value=-self.rate)
                    if self.decay:
                        weight.addcmul_(first - weight, draw)

        return read_in_order(changing, text, learn, remember)

    def to_bytes(self) -> bytes:
        """Return the content of a file for `from_bytes`."""
        file = BytesIO()
        scales: dict[str, Any] = {
            f"{SCALE}{name}": scale.numpy().astype(np.float16)
            for name, scale in self.scales.items()
        }
        np.savez_compressed(file, numbers=np.array([self.rate, self.decay, self.mean]), **scales)
        return file.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes, network: LanguageNetwork) -> Self:
        """Read what `to_bytes` returned, for a network of the same shapes.

        Raises:
            KeyError: an array is missing.
            ValueError: an array has another shape, or holds what is no number.
        """
        with np.load(BytesIO(data), allow_pickle=False) as arrays:
            rate, decay, mean = (float(number) for number in arrays["numbers"])
            scales = {
                name: torch.from_numpy(arrays[f"{SCALE}{name}"].astype(np.float32))
                for name, _ in network.named_parameters()
            }
        for name, weight in network.named_parameters():
            if scales[name].shape != weight.shape or not (scales[name] >= 0).all():
                raise ValueError(f"the scales of {name} do not fit")
        if not (0 < rate < 1 and 0 <= decay <= 1 and 0 < mean < float("inf")):
            raise ValueError(f"a rate of {rate}, a decay of {decay}, a mean of {mean}")
        return cls(rate, decay, mean, scales)


def read_in_order(
    network: LanguageNetwork,
    text: Coded,
    learn: Callable[[Tensor], None] | None = None,
    remember: Callable[[Tensor], None] | None = None,
) -> Floats:
    """Return (N - 1,), the cross-entropy of each code after the first, read as one stream.

    Args:
        network: that reads it.
        text: of two codes or more.
        learn: called with the mean loss of each stretch after it is scored; may change the weights.
        remember: called with the last layer's hidden states (T, ·) of each stretch.
    """
    count = len(text.codes) - 1
    reading = Streams(np.zeros(1, np.int64), np.array([count]), text.ends)
    states: Mapping[str, Tensor] = {}
    found = np.empty(count)
    while not reading.rounds.all():
        stretches = reading.advance(WINDOW)
        batch = Stretch.read(text.codes, stretches)
        with torch.set_grad_enabled(learn is not None):
            written = network(batch.codes, batch.before(states), following=batch.following)
            each = written.nats[:, 0]
        states = {name: state.detach() for name, state in written.states.items()}
        at = int(stretches.at[0])
        found[at : at + len(each)] = each.detach().numpy()
        if remember is not None:
            remember(written.output[:, 0].detach())
        if learn is not None:
            learn(each.mean())
    return found


def _measured(network: LanguageNetwork, training: Coded) -> tuple[float, dict[str, Tensor]]:
    """Return the mean of m over all weights, and m relative to it by parameter."""
    weights = dict(network.named_parameters())
    squares = [torch.zeros_like(weight) for weight in weights.values()]

    def square(loss: Tensor) -> None:
        for total, of in zip(squares, _gradients(loss, list(weights.values())), strict=True):
            total.addcmul_(of, of)

    some = min(MEASURED, max(1, (len(training) - 1) // WINDOW))
    piece = -(-some // PIECES) * WINDOW + 1
    for first in np.linspace(0, max(0, len(training) - piece), PIECES).astype(int).tolist():
        read_in_order(network, training.part(first, min(first + piece, len(training))), square)
    roots = [(total / some).sqrt() for total in squares]
    mean = float(sum(root.sum() for root in roots)) / sum(root.numel() for root in roots)
    mean = max(mean, 1e-12)
    return mean, {name: root / mean for name, root in zip(weights, roots, strict=True)}


def _gradients(loss: Tensor, weights: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Return the gradients; 0 of a cluster of words that the text does not hold."""
    return torch.autograd.grad(loss, weights, allow_unused=True, materialize_grads=True)
