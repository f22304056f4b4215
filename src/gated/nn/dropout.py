"""Dropout for sequences."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from gated.errors import ConfigurationError


class VariationalDropout(nn.Module):
    """Dropout that drops the same features at every step of a sequence (Gal and Ghahramani 2016).

    Args:
        p: probability that a feature is dropped, 0 to 1.
        batch_first: whether sequences are (B, T, I), not (T, B, I).

    Shapes: input and output are (T, B, I) or (B, T, I); or, unbatched, (T, I).

    Raises:
        ConfigurationError: `p` is not from 0 to 1.
    """

    def __init__(self, p: float = 0.5, batch_first: bool = False) -> None:
        if not 0 <= p <= 1:
            raise ConfigurationError(f"p must be a probability, 0 to 1, got {p}")
        super().__init__()
        self.p = p
        self.batch_first = batch_first

    def forward(self, x: Tensor) -> Tensor:
        """In training, set features of each sequence to 0 and scale the others by 1 / (1 - p)."""
        if not self.training or self.p == 0:
            return x
        time = 1 if self.batch_first and x.dim() == 3 else 0
        one_step = list(x.shape)
        one_step[time] = 1
        return x * functional.dropout(x.new_ones(one_step), self.p)

    def extra_repr(self) -> str:
        """Return the module's options, for `repr`."""
        return f"p={self.p}" + (", batch_first=True" if self.batch_first else "")
