"""Bits a character, beside counted contexts and compressors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """How much each method needs to be told of a text that it does not know."""

    bits: Mapping[str, float]
    """Bits for each character, or byte, by method, the network first."""
    count: int
    """Characters that were scored."""
    unknown: int
    """Characters among them that the training part does not hold."""
    unit: str

    higher_is_better = frozenset[str]()

    @property
    def figures(self) -> dict[str, dict[str, float]]:
        """Scores by method, the network first."""
        return {name: {f"bits a {self.unit}": of} for name, of in self.bits.items()}

    @property
    def verdict(self) -> str:
        """Whether the network beats the best of the others."""
        (name, ours), *others = self.bits.items()
        best, theirs = min(others, key=lambda item: item[1]) if others else ("", float("inf"))
        if not others:
            return f"{name}: {ours:.3f} bits a {self.unit}, over {self.count:,}."
        won = "beats" if ours < theirs else "does NOT beat"
        return (
            f"{name} {won} {best}: {ours:.3f} bits a {self.unit} against {theirs:.3f}, over "
            f"{self.count:,}."
        )

    def to_dict(self) -> dict[str, Any]:
        """All figures, for JSON."""
        return {
            "verdict": self.verdict,
            "bits": dict(self.bits),
            "perplexity": {name: 2**bits for name, bits in self.bits.items()},
            "count": self.count,
            "unknown": self.unknown,
            "unit": self.unit,
        }
