"""The split into training segments and segments that are held back."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gated.errors import DataError
from gated.tasks.video.manifest import Segment


def apart(segments: Sequence[Segment], share: float, seed: int) -> tuple[list[int], list[int]]:
    """Split segments into those to train on and a share of about `share` that is held back.

    Segments that overlap in time stay together. Where every label has five clips or more, all
    segments of a clip stay together too, so that held-back segments are from other recordings.

    Returns:
        The indices of both, each ascending. A label never loses its last segment.
    """
    groups = _groups(segments)
    order = sorted(range(len(groups)), key=lambda place: _rank(segments, groups[place], seed))
    held: list[int] = []
    left = {segment.label: 0 for segment in segments}
    for segment in segments:
        left[segment.label] += 1
    for place in order:
        group = groups[place]
        of_group = [segments[index].label for index in group]
        if len(held) + len(group) / 2 > share * len(segments):
            continue
        if any(left[label] <= of_group.count(label) for label in of_group):
            continue
        for label in of_group:
            left[label] -= 1
        held += group
    return sorted(set(range(len(segments))) - set(held)), sorted(held)


def _groups(segments: Sequence[Segment]) -> list[list[int]]:
    """Indices of segments that must stay together."""
    clips: dict[str | None, set[Path]] = {}
    for segment in segments:
        clips.setdefault(segment.label, set()).add(segment.clip.resolve())
    whole = min(len(of_label) for of_label in clips.values()) >= 5
    groups: list[list[int]] = []
    end = -np.inf
    files = [str(segment.clip.resolve()) for segment in segments]
    order = sorted(range(len(segments)), key=lambda index: (files[index], segments[index].start))
    for before, index in zip([None, *order], order, strict=False):
        segment = segments[index]
        same = before is not None and files[before] == files[index]
        end = end if same else -np.inf
        if same and (whole or segment.start < end):
            groups[-1].append(index)
        else:
            groups.append([index])
        end = max(end, np.inf if segment.end is None else segment.end)
    return groups


def _rank(segments: Sequence[Segment], group: Sequence[int], seed: int) -> bytes:
    """An order of chance that depends on what is in the group, not on its place in the manifest."""
    places = [(segments[k].clip.name, segments[k].start, segments[k].end) for k in sorted(group)]
    return hashlib.sha256(repr((seed, places[0])).encode()).digest()


def check_apart(segments: Sequence[Segment], tested: Sequence[Segment]) -> None:
    """Refuse test segments that overlap with training segments.

    Raises:
        DataError: two overlap; the message names the first two.
    """
    by_clip: dict[Path, list[Segment]] = {}
    for segment in segments:
        by_clip.setdefault(segment.clip.resolve(), []).append(segment)
    for held in tested:
        for other in by_clip.get(held.clip.resolve(), []):
            ends = [float("inf") if s.end is None else s.end for s in (held, other)]
            if held.start < ends[1] and other.start < ends[0]:
                raise DataError(
                    f"The test segment {held} overlaps with {other}, which is trained on; a score "
                    "on what was seen says nothing. Take one of them out."
                )
