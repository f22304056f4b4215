"""Generation: each next code is sampled from the predicted probabilities."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gated.core.native import threads
from gated.core.stream import Stream
from gated.errors import ConfigurationError, option
from gated.tasks.language.mixture import Mixture
from gated.tasks.language.network import LanguageNetwork, Written
from gated.texts.vocabulary import UNKNOWN, Vocabulary

STRETCH = 1024
"""Steps of a prompt that are read at once."""
Reader = Callable[[Tensor], Tensor]
"""Reads the codes (B,) that were written, and gives the scores (B, V) of what comes next."""


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How each next character is drawn."""

    temperature: float = 0.8
    """Below 1 likely characters become likelier; 0 always takes the likeliest."""
    top_k: int | None = None
    """Draw only from this many of the likeliest characters."""
    top_p: float = 1.0
    """Draw only from the likeliest characters that together have this probability (Holtzman et al.
    2020)."""
    repetition: float = 1.0
    """Penalty on repetition: logits of recent characters are divided by it (Keskar et al. 2019)."""
    recent: int = 64
    """Number of last characters that count as recent."""
    seed: int = 0
    """Seed of the draws."""

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < float("inf"):
            raise ConfigurationError(
                f"{option('temperature')} is {self.temperature}; it is 0 or more."
            )
        if not 0 <= self.seed < 2**63:
            raise ConfigurationError(
                f"{option('seed')} is {self.seed}; it is 0 or more, and below 2^63."
            )
        if self.top_k is not None and self.top_k < 1:
            raise ConfigurationError(f"{option('top_k')} is {self.top_k}; it must be 1 or more.")
        if not 0 < self.top_p <= 1:
            raise ConfigurationError(
                f"{option('top_p')} is {self.top_p}; it is a share, above 0 and up to 1."
            )
        if not 1 <= self.repetition < float("inf") or self.recent < 1:
            raise ConfigurationError(
                f"{option('repetition')} and {option('recent')} must be 1 or more."
            )


@torch.no_grad()
def written_codes(
    network: LanguageNetwork,
    prompts: Sequence[Tensor],
    sampling: Sampling,
    mixture: Mixture | None = None,
) -> Iterator[Tensor]:
    """Yield (B,) codes without end: at each step the next code after each of B prompts (T,).

    Drawn by the network, or by its `mixture` with n-grams. Memory does not grow with the length:
    only the states, and the last codes, are kept.
    """
    network.eval()
    order = mixture.ngrams.order if mixture else 0
    last = [_last(prompt.tolist(), order) for prompt in prompts]
    random = torch.Generator().manual_seed(sampling.seed)
    read, logits = _reader(network, prompts)
    recent = torch.full((len(prompts), sampling.recent), UNKNOWN)
    while True:
        if mixture:
            logits = _mixed(mixture, logits, last)
        codes = drawn(logits, recent, sampling, random)
        yield codes
        last = [_last([*of, code], order) for of, code in zip(last, codes.tolist(), strict=True)]
        recent = torch.cat([recent[:, 1:], codes[:, None]], dim=1)
        logits = read(codes)


def _last(codes: list[int], count: int) -> list[int]:
    return codes[max(0, len(codes) - count) :]


def _mixed(mixture: Mixture, logits: Tensor, last: Sequence[Sequence[int]]) -> Tensor:
    """Return the logits (B, V) of the mixture after the `last` codes of each text."""
    network = torch.softmax(logits.double(), -1).numpy()
    rows = [
        mixture.following(network[row : row + 1], np.array([codes], np.uint16))
        for row, codes in enumerate(last)
    ]
    return torch.from_numpy(np.log(np.concatenate(rows))).to(logits)


def _reader(network: LanguageNetwork, prompts: Sequence[Tensor]) -> tuple[Reader, Tensor]:
    """Read each prompt; return what reads on, and the scores (B, V) of what comes next.

    Read on by streams, whose weights are packed once.
    """
    said = [_said(network, prompt) for prompt in prompts]
    streams: list[Stream] = []
    for place, layer in enumerate(network.layers):
        stream = layer.stream(len(prompts), threads())  # type: ignore[operator]
        names = [f"{place}.{name}" for name in network.states]
        stream.states = [tuple(_side_by_side(of.states[name] for of in said) for name in names)]
        streams.append(stream)
    embedding = network.embedding.weight.numpy()

    def read(codes: Tensor) -> Tensor:
        x = embedding[codes.numpy()]
        for stream in streams:
            x = stream.step(x)
        scores: Tensor = network.readout(torch.from_numpy(x))
        return scores

    return read, torch.cat([of.logits[-1] for of in said])


def _side_by_side(states: Iterable[Tensor]) -> NDArray[np.float32]:
    """States (1, 1, H) of some texts as (B, H)."""
    return torch.cat(list(states), 1)[0].numpy()


def _said(network: LanguageNetwork, prompt: Tensor) -> Written:
    """Read a prompt (T,), a stretch at a time: its scores need no more room than those of one."""
    written: Written = network(prompt[:STRETCH, None], {})
    for start in range(STRETCH, len(prompt), STRETCH):
        written = network(prompt[start : start + STRETCH, None], written.states)
    return written


def drawn(logits: Tensor, recent: Tensor, sampling: Sampling, random: torch.Generator) -> Tensor:
    """Sample (B,) codes from logits (B, V); `recent` (B, R) are the codes written last.

    The unknown code is never sampled.
    """
    logits = logits.clone()
    if sampling.repetition > 1:
        of_late, by = logits.gather(1, recent), sampling.repetition
        lower = torch.where(of_late > 0, of_late / by, of_late * by)
        logits.scatter_(1, recent, lower)
    logits[:, UNKNOWN] = -torch.inf
    if sampling.temperature == 0:
        return logits.argmax(-1)
    if sampling.top_k is not None and sampling.top_k < logits.shape[1]:
        least = logits.topk(sampling.top_k).values[:, -1:]
        logits = logits.masked_fill(logits < least, -torch.inf)
    # From the largest down, which stays 0 however cold it is.
    below = logits - logits.max(-1, keepdim=True).values
    share = torch.softmax((below / sampling.temperature).nan_to_num(0.0, neginf=-torch.inf), -1)
    if sampling.top_p < 1:
        ordered, places = share.sort(-1, descending=True)
        # The one that reaches the share stays in.
        beyond = ordered.cumsum(-1) - ordered >= sampling.top_p
        share = share.scatter(1, places, ordered.masked_fill(beyond, 0.0))
    return torch.multinomial(share, 1, generator=random)[:, 0]


class Typewriter:
    """Joins codes to text; bytes are held until they make a character."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._pieces = vocabulary.pieces()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def text(self, code: int) -> str:
        """Return the text that `code` completes; empty if it completes no character."""
        return self._decoder.decode(self._pieces[code])
