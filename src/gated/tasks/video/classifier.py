"""The learner of video labels: of segments of clips, or of each frame."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl
from torch import nn

from gated.configuration import demand_numbers
from gated.data.bad_rows import Bad, BadRows
from gated.data.predictions import label_columns
from gated.data.raw_table import is_table
from gated.data.single_labels import single_labels
from gated.errors import DataError
from gated.explain import Probe
from gated.phases import counted, phase
from gated.scoring.label_scores import Evaluation, Floats, confusion_of, score_of
from gated.scoring.seen import Seen
from gated.scoring.verdict import NOT_WANTED, Scope
from gated.tasks.learner import Learner, Parts, Purpose
from gated.tasks.video.config import VideoConfig, VideoTraining
from gated.tasks.video.frames import FrameStore
from gated.tasks.video.manifest import Segment, read_manifest
from gated.tasks.video.network import VideoNetwork
from gated.tasks.video.probabilities import after_each_frame, of_segment
from gated.tasks.video.probe import video_probe
from gated.tasks.video.spans import NOTHING, Span, spans_of
from gated.tasks.video.split import apart, check_apart
from gated.tasks.video.task import VideoTask
from gated.tasks.video.windows import shown
from gated.training.loop import train
from gated.training.options import TrainingOptions

ONE_FRAME = "one frame"
NO_ORDER = "frames without order"


class VideoClassifier(Learner[VideoConfig, list[Span], Evaluation]):
    """Learns to label segments of clips, or each frame.

    Args:
        config: options of frames and network.
        training: how to train.
        encoder: maps frames (N, 3, height, width), from -1 to 1, to features (N, I); by default a
            small convolutional network. Freeze parameters that shall not be trained. Network and
            baselines train copies; the trained one is `network.encoder`.
    """

    task = "video"
    config_type, training_type = VideoConfig, VideoTraining
    learned = ("labels", "frequencies", "seen")
    adopts = (
        "per",
        "frames",
        "fps",
        "width",
        "height",
        "no_change",
        "channels",
        "features",
        "cell",
        "hidden",
        "layers",
        "bidirectional",
        "crop",
    )
    head = ("head.",)
    does = "label what clips show"
    data = (
        "Table (CSV, Parquet or a sheet) with the columns clip (from the manifest's directory), "
        "label and, where wanted, start and end in seconds and speed (2 is double, -1 backwards); "
        "to predict, also a clip."
    )
    made_of = "segments"

    network: VideoNetwork
    labels: tuple[str, ...]
    frequencies: Floats
    """(C,), share of each label in the training part."""
    seen: Seen
    """Digests of the examples that were trained on."""

    def __init__(
        self,
        config: VideoConfig | None = None,
        training: TrainingOptions | None = None,
        encoder: nn.Module | None = None,
    ) -> None:
        super().__init__(config, training)
        self.encoder = encoder
        self.baselines: dict[str, VideoNetwork] = {}
        """Networks without recurrent layers, trained when a score first needs them."""
        self._store = self._new_store()

    def adopt(self) -> Self:
        """Take the options that belong to the weights of `init_from`, with those of the frames."""
        super().adopt()
        self._store = self._new_store()
        return self

    def split(self, source: Path | str, bad: BadRows) -> Parts[list[Span]]:
        """Read manifests, decode the clips, and split them; overlapping segments stay together."""
        segments = self._that_can_be_shown(
            read_manifest(Path(source), self.config, labelled=True, bad=bad), bad
        )
        found = [str(segment.label) for segment in segments]
        self.labels = self.labels_among(found, self.adopted("labels"))
        if len(self.labels) < 2:
            had = f"one label only, {self.labels[0]!r}" if self.labels else "no usable segment"
            raise DataError(f"{source} has {had}; to classify takes two labels.{bad.summary}")
        own_test = self.config.test_manifest is not None
        self.findings += single_labels(found, source, own_test=own_test)
        if self.config.test_manifest is None:
            stay, held = apart(segments, self.config.test, self.seed)
            tested = [segments[index] for index in held]
            segments = [segments[index] for index in stay]
        else:
            tested = read_manifest(self.config.test_manifest, self.config, labelled=True, bad=bad)
            check_apart(segments, tested)
        stay, held = apart(segments, self.config.validation, self.seed + 1)
        chosen = [segments[index] for index in stay], [segments[index] for index in held], tested
        parts = Parts(*(self._spans(part, bad) for part in chosen))
        if not parts.training:
            raise DataError(f"{source} holds no segment to train on.{bad.summary}")
        self.seen = Seen.of(span.key() for span in (*parts.training, *parts.validation))
        counts = np.concatenate([span.labels for span in parts.training])
        known = np.bincount(counts[counts != NOTHING], minlength=len(self.labels))
        self.frequencies = known / known.sum()
        return parts

    def read(self, source: Path | str, purpose: Purpose, bad: BadRows) -> list[Span]:
        """Read the segments of a manifest; to predict or explain, also a clip file."""
        path = Path(source)
        if purpose == "score":
            return self._spans(read_manifest(path, self.config, labelled=True, bad=bad), bad)
        segments = [Segment(clip=path)]
        if is_table(path):
            segments = read_manifest(path, self.config, labelled=False, bad=bad)
        if purpose == "predict":
            segments = [replace(segment, label=None) for segment in segments]
        return spans_of(segments, self._store, self.labels, joined=False, bad=bad)

    def check_learned(self) -> None:
        """Check that there is a frequency for each label."""
        demand_numbers("The share of a label", self.frequencies, count=len(self.labels))

    def new_network(self, *, memory: bool = True) -> VideoNetwork:
        """Make a network with a copy of the given encoder, if any."""
        return VideoNetwork(
            self.config,
            len(self.labels),
            *shown(self.config),
            memory=memory,
            encoder=deepcopy(self.encoder),
        )

    def new_task(self, network: VideoNetwork | None = None, most: int | None = None) -> VideoTask:
        """Return the training task on windows of `most` frames; by default `config.frames`."""
        parts = self.parts.training, self.parts.validation
        return VideoTask(network or self.network, self.config, *parts, self.seed, most=most)

    def scored(self, data: list[Span], known: Parts[list[Span]] | None) -> Evaluation:
        """Compare with networks of the same encoder and budget without recurrent layers."""
        per_frame = self.config.per == "frame"
        without = self._without_memory()
        if known and not self.training.no_baseline:
            self._train_without_memory()
        networks = {
            self.name: (self.network, self.config.frames),
            **{
                name: (self.baselines[name], most)
                for name, most in without.items()
                if name in self.baselines
            },
        }
        if per_frame:
            truth = np.concatenate([span.labels for span in data])
        else:
            truth = np.array([span.labels[0] for span in data])
        labelled = truth != NOTHING
        if not labelled.any():
            raise DataError("There is no label to score against.")
        predict = after_each_frame if per_frame else of_segment
        probabilities = {
            name: np.concatenate(
                [
                    predict(network, span, self.config, most).reshape(-1, len(self.labels))
                    for span in counted(f"Scoring {name}", data)
                ]
            )[labelled]
            for name, (network, most) in networks.items()
        }
        each = [len(span) if per_frame else 1 for span in data]
        clips = np.repeat([str(span.segment.clip) for span in data], each)[labelled]
        seen = np.repeat(self.seen.among(span.key() for span in data), each)[labelled]
        truth = truth[labelled]
        probabilities["most frequent label"] = np.tile(self.frequencies, (len(truth), 1))
        return Evaluation(
            labels=self.labels,
            scores={name: score_of(of, truth, clips) for name, of in probabilities.items()},
            confusion=confusion_of(probabilities[self.name], truth, self.labels),
            scope=Scope("frames" if per_frame else "segments", "of {} clips"),
            known=int(seen.sum()),
            left_out=dict.fromkeys(without, NOT_WANTED)
            if known and self.training.no_baseline
            else {},
        )

    def predicted(self, data: list[Span]) -> pl.DataFrame:
        """Return the most probable label, and all probabilities, of segments or of frames.

        A segment is named by its clip, start and end, a frame by its clip and time.
        """
        frames = self.config.per == "frame"
        parts = [self.moments(of) if frames else self._whole(of) for of in data]
        each = [len(of) for of in parts]
        rows = np.repeat([of.segment.row or 0 for of in data], each).tolist()
        clips = np.repeat([str(of.segment.clip) for of in data], each).tolist()
        given: dict[str, Any] = {self.config.clip: pl.Series(clips, dtype=pl.String)}
        if frames:
            given["time"] = np.concatenate([np.zeros(0), *(of.seconds for of in data)])
        else:
            given["start"] = [float(of.seconds.min()) for of in data]
            given["end"] = [float(of.seconds.max()) + 1 / of.fps for of in data]
        every = np.concatenate([np.zeros((0, len(self.labels))), *parts])
        return self.table(given, label_columns(self.labels, every), rows if all(rows) else None)

    def probed(self, data: list[Span]) -> Probe:
        """Return the network and segments for `gated.explain`; with labels, also the loss."""
        return video_probe(self.network, data, self.config, self.labels)

    def moments(self, span: Span) -> Floats:
        """Return (n, C) the probability of each label after each frame of `span`.

        The state starts at 0 in each window of `frames`, as in training.
        """
        return after_each_frame(self.network, span, self.config, self.config.frames)

    def _new_store(self) -> FrameStore:
        return FrameStore(self.config.width, self.config.height, self.config.fps)

    def _spans(self, segments: Sequence[Segment], bad: Bad) -> list[Span]:
        joined = self.config.per == "frame"
        return spans_of(segments, self._store, self.labels, joined=joined, bad=bad)

    def _that_can_be_shown(self, segments: Sequence[Segment], bad: Bad) -> list[Segment]:
        """Decode the clips of segments; those that cannot be shown go to `bad`.

        So the parts, and the labels, are those of what is there.
        """
        unlabelled = [replace(segment, label=None) for segment in segments]
        shown = spans_of(unlabelled, self._store, (), joined=False, bad=bad)
        rows = {span.segment.row for span in shown}
        return [segment for segment in segments if segment.row in rows]

    def _without_memory(self) -> dict[str, int]:
        """Networks to compare with, and how many frames each sees at once."""
        if self.config.per == "frame":
            return {ONE_FRAME: self.config.frames}
        return {ONE_FRAME: 1, NO_ORDER: self.config.frames}

    def _train_without_memory(self) -> None:
        """Train what to compare with, with the same budget as the network."""
        alone = replace(self.training, init_from=None, freeze=(), thaw_every=0)
        for name, most in self._without_memory().items():
            if name not in self.baselines:
                network = self.seeded(memory=False)
                with phase(f"Baseline: {name}"):
                    train(self.new_task(network, most), alone)
                self.baselines[name] = network

    def _whole(self, span: Span) -> Floats:
        """Return (1, C), the probability of each label of a segment."""
        return of_segment(self.network, span, self.config, self.config.frames)[None]
