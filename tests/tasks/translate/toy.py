"""A language that a small network learns in seconds: syllables spelt as words, in reverse."""

import random
from pathlib import Path

SYLLABLES = dict(
    zip(["ba", "ko", "ti", "mu", "re", "sa"], ["一", "二", "三", "四", "五", "六"], strict=True)
)


def toy_pairs(count: int, seed: int = 0) -> list[tuple[str, str]]:
    """Different sentences of two to six words, and their translations."""
    draw = random.Random(seed)
    sources: dict[tuple[str, ...], None] = {}
    while len(sources) < count:
        sources[tuple(draw.choices(list(SYLLABLES), k=draw.randint(3, 6)))] = None
    return [
        (" ".join(words), "".join(SYLLABLES[word] for word in words[::-1])) for words in sources
    ]


def write_pairs(path: Path, pairs: list[tuple[str, str]]) -> Path:
    path.write_text("".join(f"{source}\t{target}\n" for source, target in pairs), "utf-8")
    return path
