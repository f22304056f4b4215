"""The face of video: fit, predict, score, save."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl
import torch
from torch import nn

from gated.errors import DataError, ModelFileError
from gated.explain import Probe
from gated.scoring.label_scores import Evaluation, Floats, confusion_of, score_of
from gated.scoring.seen import Seen
from gated.scoring.verdict import NOT_WANTED, Scope
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
from gated.training.findings import Finding
from gated.training.history import History
from gated.training.loop import train
from gated.training.manifest import Bad, BadRows
from gated.training.model_files import load_model, save_model
from gated.training.options import TrainingOptions
from gated.training.progress import Progress

TASK = "video"
ONE_FRAME = "one frame"
NO_ORDER = "frames without order"


class VideoClassifier:
    """Learns to tell what segments of clips show, or each of their frames.

    Args:
        config: the frames and the network.
        training: how to train.
        encoder: of a frame, (N, 3, height, width) from -1 to 1 to (N, I), in place of the small one
            that is trained along; what in it shall not train, freeze. The networks to compare with
            begin with the same one, and the one that is given stays as it is: what became of it is
            `network.encoder`.
    """

    network: VideoNetwork
    history: History
    """What happened in training."""

    def __init__(
        self,
        config: VideoConfig | None = None,
        training: TrainingOptions | None = None,
        encoder: nn.Module | None = None,
    ) -> None:
        self.config = config or VideoConfig()
        self.training = training or VideoTraining()
        self.encoder = encoder
        self.labels: tuple[str, ...] = ()
        self._frequencies = np.zeros(0)
        self._spans: dict[str, list[Span]] = {}
        self.findings: tuple[Finding, ...] = ()
        """What was found in the data that were read last."""
        self._baselines: dict[str, VideoNetwork] = {}
        self._seen = Seen()
        self._store = FrameStore(self.config.width, self.config.height, self.config.fps)

    @property
    def parameters(self) -> int:
        """Number of values in the network."""
        return sum(parameter.numel() for parameter in self.network.parameters())

    def prepare(self, manifest: Path | str) -> Self:
        """Read manifests, decode their clips, divide them, and make a network.

        Args:
            manifest: segments with their labels.

        Raises:
            DataError: a row cannot be used; or there is one label only.
            FileNotFoundError: there is no such file.
        """
        bad = BadRows(skip=self.config.skip_bad)
        segments = self._that_can_be_shown(
            read_manifest(Path(manifest), labelled=True, bad=bad), bad
        )
        self.labels = tuple(sorted({str(segment.label) for segment in segments}))
        if len(self.labels) < 2:
            had = f"one label only, {self.labels[0]!r}" if self.labels else "no usable segment"
            raise DataError(f"{manifest} has {had}; to tell apart takes two labels.{bad.told}")
        if self.config.test_manifest is None:
            stay, held = apart(segments, self.config.test, self.training.seed)
            tested = [segments[index] for index in held]
            segments = [segments[index] for index in stay]
        else:
            tested = read_manifest(self.config.test_manifest, labelled=True, bad=bad)
            check_apart(segments, tested)
        stay, held = apart(segments, self.config.validation, self.training.seed + 1)
        joined = self.config.per == "frame"
        self._spans = {
            part: spans_of(chosen, self._store, self.labels, joined=joined, bad=bad)
            for part, chosen in {
                "training": [segments[index] for index in stay],
                "validation": [segments[index] for index in held],
                "test": tested,
            }.items()
        }
        self.findings = tuple(bad.findings)
        if not self._spans["training"]:
            raise DataError(f"{manifest} holds no segment to train on.{bad.told}")
        self._seen = Seen.of(
            span.key() for name in ("training", "validation") for span in self._spans[name]
        )
        counts = np.concatenate([span.labels for span in self._spans["training"]])
        known = np.bincount(counts[counts != NOTHING], minlength=len(self.labels))
        self._frequencies = known / known.sum()
        self.network = self._new_network(memory=True)
        return self

    def fit(
        self,
        manifest: Path | str,
        *,
        directory: Path | None = None,
        resume: bool = False,
        progress: Progress | None = None,
    ) -> Self:
        """Train on the segments of a manifest.

        Args:
            manifest: segments with their labels.
            directory: where checkpoints are written; none by default.
            resume: go on from the checkpoint in `directory`.
            progress: told of each step.

        Raises:
            DataError: a row cannot be used; or there is one label only.
            FileNotFoundError: there is no such file.
            TrainingDivergedError: the loss became NaN or infinite.
        """
        self.prepare(manifest)
        return self.train(directory=directory, resume=resume, progress=progress)

    def train(
        self,
        *,
        directory: Path | None = None,
        resume: bool = False,
        progress: Progress | None = None,
    ) -> Self:
        """Train on what `prepare` read; then the networks without memory, with the same budget."""
        parts = self._spans["training"], self._spans["validation"]
        seed = self.training.seed
        task = VideoTask(self.network, self.config, *parts, seed)
        self.history = train(
            task, self.training, directory=directory, resume=resume, progress=progress
        )
        if self.training.no_baseline:
            return self
        alone = replace(self.training, init_from=None, freeze=(), thaw_every=0)
        for name, most in self._without_memory().items():
            network = self._new_network(memory=False)
            train(VideoTask(network, self.config, *parts, seed, most=most), alone)
            self._baselines[name] = network
        return self

    def _without_memory(self) -> dict[str, int]:
        """Networks to compare with, and how many frames each sees at once."""
        if self.config.per == "frame":
            return {ONE_FRAME: self.config.frames}
        return {ONE_FRAME: 1, NO_ORDER: self.config.frames}

    def score(self) -> Evaluation:
        """Score on the test part of `prepare`.

        Raises:
            DataError: there is none, as after `load`.
        """
        spans = self.test_spans()
        if not spans:
            raise DataError(
                "There is no test part: the manifest has too few segments to hold some back. Give "
                "a manifest to score on."
            )
        return self._evaluate(spans)

    def evaluate(self, manifest: Path | str) -> Evaluation:
        """Score on the segments of another manifest.

        Raises:
            DataError: a row cannot be used.
            FileNotFoundError: there is no such file.
        """
        bad = BadRows(skip=self.config.skip_bad)
        segments = read_manifest(Path(manifest), labelled=True, bad=bad)
        joined = self.config.per == "frame"
        spans = spans_of(segments, self._store, self.labels, joined=joined, bad=bad)
        self.findings = tuple(bad.findings)
        if not spans:
            raise DataError(f"{manifest} holds no segment to score on.{bad.told}")
        return self._evaluate(spans)

    def predict(self, data: Path | str) -> pl.DataFrame:
        """Tell the labels of a clip, or of the segments of a manifest.

        Args:
            data: a clip, or a manifest (.csv), of which the labels are not read.

        Returns:
            A row for each segment: clip, start, end, label and the probability of each label; where
            frames are labelled, a row for each frame: clip, time, label and the probabilities.

        Raises:
            DataError: a row cannot be used.
            FileNotFoundError: there is no such file.
        """
        spans = self._read(data, keep_labels=False)
        return pl.DataFrame([row for span in spans for row in self._told(span)])

    def probe(self, data: Path | str) -> Probe:
        """Offer the network to `gated.explain`.

        Args:
            data: a clip; or a manifest (.csv), whose labels, where each segment has one, give the
                loss that is followed back in time.

        Raises:
            DataError: a row cannot be used.
            FileNotFoundError: there is no such file.
        """
        spans = self._read(data, keep_labels=True)
        if not spans:
            raise DataError(f"{data} holds no segment to look into.")
        return video_probe(self.network, spans, self.config, self.labels)

    def moments(self, span: Span) -> Floats:
        """Return (n, C) the probability of each label after each frame of `span`.

        Every window of `frames` begins anew, as in training.
        """
        return after_each_frame(self.network, span, self.config, self.config.frames)

    def test_spans(self) -> list[Span]:
        """The test part of `prepare`; empty after `load`."""
        return self._spans.get("test", [])

    def save(self, directory: Path | str) -> None:
        """Write the model, atomically: `model.json` and its weights."""
        description = {
            "task": TASK,
            "config": self.config.to_dict(),
            "training": self.training.to_dict(),
            "labels": list(self.labels),
            "frequencies": self._frequencies.tolist(),
            "seen": self._seen.to_text(),
        }
        save_model(Path(directory), self.network, description)

    @classmethod
    def load(cls, directory: Path | str, encoder: nn.Module | None = None) -> Self:
        """Read what `save` wrote; an encoder that was given then is to be given again.

        Raises:
            ModelFileError: there is no model of this kind, or it is damaged.
        """
        weights, description = load_model(Path(directory), TASK)
        try:
            config = VideoConfig.from_dict(description["config"])
            training = TrainingOptions.from_dict(description["training"])
            classifier = cls(config, training, encoder)
            classifier.labels = tuple(description["labels"])
            classifier._frequencies = np.array(description["frequencies"], float)
            classifier._seen = Seen.from_text(description.get("seen", ""))
            classifier.network = classifier._new_network(memory=True)
            classifier.network.load_state_dict(weights)
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise ModelFileError(f"The model in {directory} is damaged: {error}.") from error
        classifier.network.eval()
        return classifier

    def _that_can_be_shown(self, segments: Sequence[Segment], bad: Bad) -> list[Segment]:
        """Decode the clips of segments; those that cannot be shown go to `bad`.

        So the parts, and the labels, are those of what is there.
        """
        unlabelled = [replace(segment, label=None) for segment in segments]
        shown = spans_of(unlabelled, self._store, (), joined=False, bad=bad)
        rows = {span.segment.row for span in shown}
        return [segment for segment in segments if segment.row in rows]

    def _read(self, data: Path | str, *, keep_labels: bool) -> list[Span]:
        """Return a clip, or the segments of a manifest, which need no labels."""
        path, bad = Path(data), BadRows(skip=self.config.skip_bad)
        segments = [Segment(clip=path)]
        if path.suffix.lower() == ".csv":
            segments = read_manifest(path, labelled=False, bad=bad)
        if not keep_labels:
            segments = [replace(segment, label=None) for segment in segments]
        spans = spans_of(segments, self._store, self.labels, joined=False, bad=bad)
        self.findings = tuple(bad.findings)
        return spans

    def _told(self, span: Span) -> list[dict[str, Any]]:
        """Return the rows of a prediction."""
        clip = {"clip": str(span.segment.clip)}
        if self.config.per == "frame":
            return [
                clip | {"time": time} | self._choice(probabilities)
                for time, probabilities in zip(span.seconds, self.moments(span), strict=True)
            ]
        start, end = float(span.seconds.min()), float(span.seconds.max()) + 1 / span.fps
        answer = of_segment(self.network, span, self.config, self.config.frames)
        return [clip | {"start": start, "end": end} | self._choice(answer)]

    def _choice(self, probabilities: Floats) -> dict[str, Any]:
        best = self.labels[int(probabilities.argmax())]
        return {"label": best} | dict(zip(self.labels, probabilities.tolist(), strict=True))

    def _evaluate(self, spans: Sequence[Span]) -> Evaluation:
        per_frame = self.config.per == "frame"
        without = self._without_memory()
        networks = {
            self.config.cell.upper(): (self.network, self.config.frames),
            **{
                name: (self._baselines[name], most)
                for name, most in without.items()
                if name in self._baselines
            },
        }
        if per_frame:
            truth = np.concatenate([span.labels for span in spans])
        else:
            truth = np.array([span.labels[0] for span in spans])
        known = truth != NOTHING
        if not known.any():
            raise DataError("There is no label to score against.")
        tell = after_each_frame if per_frame else of_segment
        told = {
            name: np.concatenate(
                [
                    tell(network, span, self.config, most).reshape(-1, len(self.labels))
                    for span in spans
                ]
            )[known]
            for name, (network, most) in networks.items()
        }
        clips = np.concatenate(
            [np.full(len(span) if per_frame else 1, str(span.segment.clip)) for span in spans]
        )[known]
        seen = np.repeat(
            self._seen.among(span.key() for span in spans),
            [len(span) if per_frame else 1 for span in spans],
        )
        truth = truth[known]
        told["most frequent label"] = np.tile(self._frequencies, (len(truth), 1))
        return Evaluation(
            labels=self.labels,
            scores={name: score_of(of, truth, clips) for name, of in told.items()},
            confusion=confusion_of(told[self.config.cell.upper()], truth, self.labels),
            scope=Scope("frames" if per_frame else "segments", "of {} clips"),
            known=int(seen[known].sum()),
            left_out=dict.fromkeys(without, NOT_WANTED) if self.training.no_baseline else {},
        )

    def _new_network(self, *, memory: bool) -> VideoNetwork:
        # The same seed makes the same network, whatever was drawn before.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.training.seed)
            return VideoNetwork(
                self.config,
                len(self.labels),
                *shown(self.config),
                memory=memory,
                # Each begins with what was given, and none changes it.
                encoder=deepcopy(self.encoder),
            )
