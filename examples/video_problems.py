"""Problems of time from clips that nobody labelled: write their manifests.

    python examples/video_problems.py OUT FOLD CLIP…

The clips are cut into blocks of as many frames each, every fourth of which is for the test: the
one numbered FOLD, 0 to 3, of each four. No segment crosses a block, so those of test and training
never overlap. In OUT each problem gets a `train.csv` and a `test.csv` for `gated fit video`:

direction: forward or backward
speed:     normal or double
clip:      which clip a segment comes from
"""

import csv
import sys
from collections.abc import Iterator
from pathlib import Path

import av

FRAMES = 16
"""Of a segment, as shown."""
BLOCK = 40
"""Frames from one block to the next."""
STRIDE = 2
"""Frames from one segment of the training part to the next; of the test there is one a block."""

Row = tuple[str, str, float, float, float]


def length_of(clip: Path) -> tuple[int, float]:
    """Return frames and frames a second."""
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        return sum(1 for _ in container.decode(stream)), float(stream.average_rate)


def blocks(clip: Path, fold: int, *, tested: bool) -> Iterator[int]:
    """Yield the first frame of each block of the training or of the test part."""
    frames, _ = length_of(clip)
    for number, first in enumerate(range(0, frames - BLOCK + 1, BLOCK)):
        if (number % 4 == fold) == tested:
            yield first


def rows(problem: str, clip: Path, fold: int, *, tested: bool) -> Iterator[Row]:
    """Yield the rows of a problem: clip, label, start, end, speed."""
    fps = length_of(clip)[1]
    shown = {
        "direction": (("forward", 1, 1), ("backward", 1, -1)),
        "speed": (("normal", 1, 1), ("double", 2, 2)),
        "clip": ((clip.stem, 1, 1),),
    }[problem]
    for block in blocks(clip, fold, tested=tested):
        for label, times, speed in shown:
            length = times * FRAMES
            for first in range(block, block + BLOCK - length + 1, BLOCK if tested else STRIDE):
                yield str(clip.resolve()), label, first / fps, (first + length) / fps, speed


def main(out: Path, fold: int, clips: list[Path]) -> None:
    for problem in ("direction", "speed", "clip"):
        directory = out / problem
        directory.mkdir(parents=True, exist_ok=True)
        for part in ("train", "test"):
            with (directory / f"{part}.csv").open("x", newline="") as file:
                writer = csv.writer(file)
                writer.writerow(("clip", "label", "start", "end", "speed"))
                for clip in clips:
                    writer.writerows(rows(problem, clip, fold, tested=part == "test"))
        print(directory)


if __name__ == "__main__":
    if len(sys.argv) < 4 or sys.argv[2] not in "0123":
        sys.exit(f"usage: python {sys.argv[0]} OUT FOLD CLIP…   (FOLD: 0 to 3)")
    main(Path(sys.argv[1]), int(sys.argv[2]), [Path(name) for name in sys.argv[3:]])
