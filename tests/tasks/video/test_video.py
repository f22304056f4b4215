"""Video from the manifest to the score."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.comparison import assert_agree
from tests.documents import write_document

from gated.cli.app import run
from gated.data.bad_rows import BadRows
from gated.errors import ConfigurationError, DataError, ModelFileError
from gated.scoring.label_scores import Evaluation, confusion_of, score_of
from gated.scoring.verdict import Scope
from gated.tasks.learner import document
from gated.tasks.video import VideoClassifier, VideoConfig
from gated.tasks.video.frames import FrameStore
from gated.tasks.video.manifest import Segment, read_manifest
from gated.tasks.video.network import Batch, VideoNetwork
from gated.tasks.video.spans import NOTHING, spans_of
from gated.tasks.video.split import apart
from gated.tasks.video.task import VideoTask
from gated.training.options import TrainingOptions
from gated.training.task import Shard

SMALL = VideoConfig(frames=6, width=32, height=16, channels=(8, 8), features=16, hidden=16, crop=0)
QUICK = TrainingOptions(
    steps=120, batch_size=12, learning_rate=1e-2, validate_every=20, threads=1, goal=0.05
)


def refuse(error: DataError) -> None:
    raise error


def levels(pixels: np.ndarray) -> list[int]:
    """The frame numbers of the clip `numbered`."""
    return np.rint(np.asarray(pixels, float).mean((1, 2, 3)) / 10).astype(int).tolist()


@pytest.mark.parametrize(
    ("fps", "expected"),
    [(None, list(range(20))), (5, list(range(0, 20, 2))), (20, [k // 2 for k in range(39)])],
)
def test_frames_are_kept_at_the_rate_asked_for(numbered, fps, expected) -> None:
    frames = FrameStore(8, 4, fps)[numbered]
    assert frames.pixels.shape == (len(expected), 4, 8, 3)
    assert levels(frames.pixels) == expected
    assert frames.fps == (fps or 10)


def test_a_long_clip_is_never_in_memory_as_a_whole(write, tmp_path: Path) -> None:
    size = (150, 240, 320, 3)  # 33 MiB, and as a small clip 0.1
    path = write(tmp_path / "long.mkv", np.zeros(size, np.uint8))
    code = (
        "import resource, sys\nfrom pathlib import Path\n"
        "from gated.tasks.video.frames import FrameStore\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "short, long = map(Path, sys.argv[1:])\n"
        "store = FrameStore(16, 12, None)\nstore[short]\nbefore = peak()\n"
        "assert len(store[long].pixels) == 150\nprint(peak() - before)"
    )
    short = write(tmp_path / "short.mkv", np.zeros((8, *size[1:]), np.uint8))
    done = subprocess.run(
        [sys.executable, "-c", code, str(short), str(path)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert int(done.stdout) < 10 * 1024  # KiB


@pytest.mark.parametrize(
    ("segment", "expected"),
    [
        ({"start": 0.5, "end": 1.0}, [5, 6, 7, 8, 9]),
        ({"start": 1.7}, [17, 18, 19]),
        ({"start": 0.0, "end": 1.0, "speed": 2.0}, [0, 2, 4, 6, 8]),
        ({"start": 0.5, "end": 1.0, "speed": -1.0}, [9, 8, 7, 6, 5]),
        ({"start": 0.0, "end": 0.4, "speed": 0.5}, [0, 0, 1, 1, 2, 2, 3]),
    ],
)
def test_a_segment_is_its_frames_at_its_speed(numbered, segment, expected) -> None:
    store = FrameStore(8, 4, None)
    chosen = Segment(clip=numbered, label="a", **segment)
    (span,) = spans_of([chosen], store, ["a"], joined=False, bad=refuse)
    pixels, labels = span.window(0, 100)
    assert levels(pixels) == expected
    assert labels.tolist() == [0] * len(expected)
    assert levels(span.window(1, 2)[0]) == expected[1:3]


def test_a_clip_labelled_frame_by_frame_is_one_span(numbered) -> None:
    store = FrameStore(8, 4, None)
    parts = [
        Segment(clip=numbered, label="b", start=0.6, end=0.8),
        Segment(clip=numbered, label="a", start=0.2, end=0.5),
    ]
    (span,) = spans_of(parts, store, ["a", "b"], joined=True, bad=refuse)
    assert levels(span.window(0, 99)[0]) == [2, 3, 4, 5, 6, 7]
    assert span.labels.tolist() == [0, 0, 0, NOTHING, 1, 1]
    assert span.seconds.tolist() == pytest.approx([0.2, 0.3, 0.4, 0.5, 0.6, 0.7])


def test_what_overlaps_is_held_back_together() -> None:
    segments = [
        Segment(clip=Path(f"{clip}.mp4"), label=label, start=start, end=start + 1.0)
        for clip in "ab"
        for start in range(6)
        for label in ("forward", "backward")
    ]
    stay, held = apart(segments, 0.3, seed=1)
    assert sorted(stay + held) == list(range(24))
    assert len(held) in (6, 8)
    places = [(segments[k].clip, segments[k].start) for k in held]
    assert not set(places) & {(segments[k].clip, segments[k].start) for k in stay}
    assert apart(segments, 0.3, seed=1) == (stay, held) != apart(segments, 0.3, seed=2)
    assert apart(segments[:2], 0.9, seed=0) == ([0, 1], [])  # no label loses its last
    spelled = [
        replace(segment, clip=Path("here/..") / segment.clip) if k % 2 else segment
        for k, segment in enumerate(segments)
    ]
    _, held = apart(spelled, 0.3, seed=1)
    assert {k // 2 for k in held if k % 2} == {k // 2 for k in held if not k % 2}


def test_with_clips_enough_whole_clips_are_held_back() -> None:
    segments = [
        Segment(clip=Path(f"{label}{clip}.mp4"), label=label, start=start, end=start + 1.0)
        for label in "xy"
        for clip in range(5)
        for start in range(4)
    ]
    stay, held = apart(segments, 0.3, seed=0)
    assert held
    assert not {segments[k].clip for k in held} & {segments[k].clip for k in stay}


def test_padding_changes_nothing() -> None:
    torch.manual_seed(0)
    for per in ("clip", "frame"):
        network = VideoNetwork(replace(SMALL, per=per), 3, 16, 32).eval()
        frames = torch.randint(0, 256, (6, 2, 3, 16, 32), dtype=torch.uint8)
        labels = torch.zeros(6, 2, dtype=torch.long)
        both = network(Batch(frames, torch.tensor([6, 4]), labels))
        alone = network(Batch(frames[:4, 1:], torch.tensor([4]), labels[:4, 1:]))
        assert_agree(both[:4, 1:], alone, "logits")


def test_a_batch_is_its_step_and_cut_by_processes(moving: Path) -> None:
    classifier = VideoClassifier(replace(SMALL, crop=0.1, flip=True), QUICK).prepare(moving)
    parts = classifier.parts
    network = classifier.network
    task = VideoTask(network, classifier.config, parts.training, parts.validation, seed=3)
    whole, again = (task.training_batch(5, 8, Shard(0, 1)) for _ in range(2))
    assert torch.equal(whole.frames, again.frames)
    assert whole.frames.shape == (6, 8, 3, 12, 26)
    halves = [task.training_batch(5, 8, Shard(k, 2)) for k in range(2)]
    assert torch.equal(whole.frames[:, 0::2], halves[0].frames)
    assert torch.equal(whole.labels[:, 1::2], halves[1].labels)


@pytest.fixture(scope="module")
def trained(moving: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the command: `left` and `right`, which no single frame tells."""
    out = tmp_path_factory.mktemp("runs") / "moving"
    options = {
        "frames": 6, "width": 32, "height": 16, "features": 16, "hidden": 16, "crop": 0,
        "steps": 120, "batch-size": 12, "learning-rate": 0.01, "validate-every": 20,
        "threads": 1, "goal": 0.05,
    }  # fmt: skip
    told = [part for name, value in options.items() for part in (f"--{name}", str(value))]
    arguments = ["fit", "video", str(moving), "--out", str(out), "--channels", "8", "8", *told]
    assert run(arguments) == 0
    return out


def test_memory_tells_what_no_frame_tells(trained: Path, moving: Path, capsys) -> None:
    assert {"run.json", "model.json", "report.html", "history.json"} <= {
        path.name for path in trained.iterdir()
    }
    assert (trained / "figures" / "strips.png").stat().st_size > 5000
    assert run(["evaluate", str(trained), str(moving), "--json"]) == 0
    scores = json.loads(capsys.readouterr().out)
    assert scores["scores"]["GRU"]["accuracy"] == 1
    assert scores["confusion"] == [[12, 0], [0, 12]]
    page = (trained / "report.html").read_text()
    # A quarter of 24 clips is held back.
    assert "Too few independent clips to judge GRU" in page


def test_predict_tells_clips_and_manifests(trained: Path, moving: Path, capsys) -> None:
    assert run(["predict", str(trained), str(moving.parent / "3.mkv")]) == 0
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert (row["predicted"], row["start"], row["end"]) == ("left", "0.0", "1.0")
    assert float(row["p(left)"]) + float(row["p(right)"]) == pytest.approx(1, abs=2e-4)
    unlabelled = moving.parent / "backwards.csv"
    unlabelled.write_text("clip,speed\n3.mkv,1\n3.mkv,-1\n")
    assert run(["predict", str(trained), str(unlabelled), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [row["predicted"] for row in told] == ["left", "right"]


def test_a_loaded_classifier_tells_the_same(trained: Path, moving: Path) -> None:
    clip = moving.parent / "0.mkv"
    first, again = (VideoClassifier.load(trained).predict(clip) for _ in range(2))
    assert first.equals(again)
    with pytest.raises(DataError, match="holds no data"):
        VideoClassifier.load(trained).score()
    model = json.loads((trained / "model.json").read_text())
    del model["description"]["labels"]
    write_document(moving.parent / "model.json", model)
    with pytest.raises(ModelFileError):
        VideoClassifier.load(moving.parent)


def test_each_frame_can_have_its_label(moving: Path) -> None:
    config = replace(SMALL, per="frame")
    classifier = VideoClassifier(config, replace(QUICK, steps=4)).fit(moving)
    told = classifier.predict(moving.parent / "1.mkv")
    assert told.columns == ["clip", "time", "predicted", "p(left)", "p(right)"]
    assert told["time"].to_list() == pytest.approx([k / 10 for k in range(10)])
    evaluation = classifier.score()
    assert evaluation.scope.unit == "frames"
    assert list(evaluation.scores) == ["GRU", "one frame", "most frequent label"]
    # Who sees one frame has the same answer whatever came before.
    (batch_a, batch_b) = (
        torch.randint(0, 256, (3, 1, 3, 16, 32), dtype=torch.uint8) for _ in range(2)
    )
    batch_b[2] = batch_a[2]
    alone = classifier.baselines["one frame"].eval()
    lengths, labels = torch.tensor([3]), torch.zeros(3, 1, dtype=torch.long)
    with torch.no_grad():
        a, b = (alone(Batch(frames, lengths, labels))[2] for frames in (batch_a, batch_b))
    assert torch.equal(a, b)


def test_an_encoder_can_be_given(moving: Path, tmp_path: Path) -> None:
    class Mean(torch.nn.Module):
        def forward(self, frames: torch.Tensor) -> torch.Tensor:
            return frames.mean((1, 2))

    classifier = VideoClassifier(SMALL, replace(QUICK, steps=2), encoder=Mean()).fit(moving)
    assert classifier.network.recurrent.input_size == 32
    classifier.save(tmp_path)
    loaded = VideoClassifier.load(tmp_path, encoder=Mean())
    clip = moving.parent / "1.mkv"
    assert loaded.predict(clip).equals(classifier.predict(clip))


def test_the_score_is_what_it_says() -> None:
    probabilities = np.array([[0.9, 0.1], [0.4, 0.6], [0.8, 0.2], [0.5, 0.5]])
    score = score_of(probabilities, np.array([0, 1, 1, 0]))
    assert (score.n, score.accuracy, score.balanced) == (4, 0.75, 0.75)
    assert score.loss == pytest.approx(-np.log([0.9, 0.6, 0.2, 0.5]).mean())
    counts = confusion_of(probabilities, np.array([0, 1, 1, 0]), ("a", "b"))
    assert counts.tolist() == [[2, 0], [1, 1]]


def test_a_frozen_encoder_stays_and_the_networks_to_compare_with_begin_with_it(
    moving: Path,
) -> None:
    encoder = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3, stride=4), torch.nn.BatchNorm2d(4), torch.nn.Flatten()
    )
    given = {name: value.clone() for name, value in encoder.state_dict().items()}
    for frozen in (True, False):
        encoder.requires_grad_(not frozen)
        classifier = VideoClassifier(SMALL, replace(QUICK, steps=3), encoder=encoder).fit(moving)
        classifier.score()
        networks = [classifier.network, *classifier.baselines.values()]
        assert len(networks) == 3
        for network in networks:
            assert network.change is False
            for name, value in network.encoder.state_dict().items():
                assert torch.equal(value, given[name]) == frozen, name
    for name, value in encoder.state_dict().items():
        assert torch.equal(value, given[name]), name


@pytest.mark.parametrize(
    ("right", "outcome", "verdict"),
    [
        (90, "better", "GRU beats the best baseline (one frame): 90.0% right against 50.0%"),
        (52, "undecided", "GRU does NOT clearly beat the best baseline (one frame): 52.0% right"),
    ],
)
def test_the_verdict_says_what_memory_adds(right: int, outcome: str, verdict: str) -> None:
    def score(right: int) -> object:
        truth = np.zeros(100, int)
        told = np.where(np.arange(100)[:, None] < right, [0.9, 0.1], [0.1, 0.9])
        return score_of(told, truth)

    evaluation = Evaluation(
        labels=("a", "b"),
        scores={"GRU": score(right), "one frame": score(50), "most frequent label": score(40)},
        confusion=np.zeros((2, 2), int),
        scope=Scope("segments", "of {} clips"),
    )
    assert evaluation.verdict.outcome == outcome
    assert str(evaluation.verdict).startswith(verdict)
    assert document(evaluation)["judged"]["clusters"] == 100


def test_networks_without_memory_are_not_trained_where_they_are_not_wanted(moving: Path) -> None:
    classifier = VideoClassifier(SMALL, replace(QUICK, steps=2, no_baseline=True)).fit(moving)
    evaluation = classifier.score()
    assert list(evaluation.scores) == ["GRU", "most frequent label"]
    told = "Left out: one frame (with --no-baseline). Left out: frames without order (with"
    assert told in str(evaluation.verdict)
    everything = classifier.evaluate(moving)
    learnt = len(classifier.parts.training) + len(classifier.parts.validation)
    assert f"{learnt} of them were trained on, so the score is too good." in str(everything.verdict)
    assert evaluation.known == 0


def test_segments_of_one_clip_are_not_counted_as_independent() -> None:
    truth = np.zeros(60, int)
    right = np.arange(60)[:, None] < 54
    probabilities = np.where(right, [0.9, 0.1], [0.1, 0.9])
    alone = score_of(probabilities, truth)
    clips = score_of(probabilities, truth, np.arange(60) // 6)
    assert alone.accuracy == clips.accuracy == 0.9
    # Ten clips, of which nine were right throughout and one was wrong.
    assert clips.interval[0] < 0.6 < 0.79 < alone.interval[0]
    assert score_of(probabilities, truth, np.zeros(60)).interval == (0, 1)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("clip,label\n", "holds no usable row"),
        ("file,label\na,b", "no column 'clip'"),
        ("clip,label\n0.mkv,left\n,right", "row 3: the clip is empty"),
        ("clip,label\n0.mkv,", "row 2: the label is empty"),
        ("clip,label,start\n0.mkv,left,soon", "row 2: start is 'soon', not a number"),
        ("clip,label,start,end\n0.mkv,left,3,2", "row 2: a segment from 3 to 2 seconds is none"),
        ("clip,label,speed\n0.mkv,left,0", "row 2: a speed of 0"),
        ("clip,label\n0.mkv,left\n1.mkv,left", "one label only, 'left'"),
        ("clip,label\n0.mkv,left\nnone.mkv,right", "row 3 .*There is no file"),
        ("clip,label\n0.mkv,left\nclips.csv,right", "row 3 .*cannot be decoded"),
        ("clip,label\n0.mkv,left\nsound.wav,right", "row 3 .*holds no video stream"),
        ("clip,label\n0.mkv,left\nhalf.mkv,right", "row 3 .*(cannot be decoded|no frame)"),
        (
            "clip,label,end\n0.mkv,left,1\n1.mkv,right,9",
            "row 3 .*it ends at 9 s, and the clip at 1",
        ),
        ("clip,label,start\n0.mkv,left,0\n1.mkv,right,1.5", "row 3 .*there is no frame"),
    ],
)
def test_a_row_that_cannot_be_used_is_named(moving: Path, table: str, message: str) -> None:
    sound = moving.parent / "sound.wav"
    if not sound.exists():
        import wave

        with wave.open(str(sound), "wb") as file:
            file.setparams((1, 2, 8000, 0, "NONE", ""))
            file.writeframes(bytes(1600))
    (moving.parent / "half.mkv").write_bytes((moving.parent / "1.mkv").read_bytes()[:400])
    manifest = moving.parent / "bad.csv"
    manifest.write_text(table)
    with pytest.raises(DataError, match=message):
        VideoClassifier(SMALL, QUICK).prepare(manifest)


@pytest.mark.parametrize(
    ("kind", "message"),
    [("mkv", r"^it is truncated: .* header says 4\.00 s"), ("avi", "^it (is|cannot)")],
)
def test_a_clip_that_is_cut_off_is_refused(write, tmp_path: Path, kind: str, message: str) -> None:
    whole, cut = tmp_path / f"whole.{kind}", tmp_path / f"cut.{kind}"
    random = np.random.default_rng(0)
    write(whole, random.integers(0, 256, (40, 48, 64, 3), np.uint8))
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    store = FrameStore(8, 4, None)
    assert len(store[whole].pixels) == 40
    for _ in range(2):  # also when it is met again
        with pytest.raises(DataError, match=message):
            store[cut]


def test_a_label_is_one_that_a_clip_is_left_for(moving: Path) -> None:
    manifest = moving.parent / "one_left.csv"
    manifest.write_text("clip,label\n0.mkv,left\n1.mkv, left\n2.mkv,left \nnone.mkv,right\n")
    with pytest.raises(DataError, match=r"one label only, 'left'.* 1 left out, the first: row 5"):
        VideoClassifier(replace(SMALL, skip_bad=True), QUICK).prepare(manifest)


def test_what_a_run_is_asked_about_can_be_bad(trained: Path, moving: Path, capsys) -> None:
    asked = moving.parent / "asked.csv"
    asked.write_text("clip,label\n0.mkv,right\nnone.mkv,left\n1.mkv,up\n")
    for command, message in (("predict", "none.mkv"), ("evaluate", "none.mkv")):
        assert run([command, str(trained), str(asked)]) == 2
        assert message in capsys.readouterr().err
        assert run([command, str(trained), str(asked), "--skip-bad", "--json"]) == 0
        told = capsys.readouterr()
        assert "row 3" in told.err
        assert ("row 4" in told.err) == (command == "evaluate")  # a label is not asked for
        if command == "predict":
            rows = json.loads(told.out)
            assert [(row["row"], row["predicted"] is None) for row in rows] == [
                (2, False), (3, True), (4, False),
            ]  # fmt: skip
            assert (rows[1]["clip"], "none.mkv" in rows[1]["reason"]) == (
                str(moving.parent / "none.mkv"), True,
            )  # fmt: skip


def test_bad_rows_can_be_skipped(moving: Path) -> None:
    manifest = moving.parent / "some_bad.csv"
    good = moving.read_text().splitlines()
    manifest.write_text("\n".join([*good[:13], "none.mkv,left", ",right"]))
    classifier = VideoClassifier(replace(SMALL, skip_bad=True), QUICK).prepare(manifest)
    parts = classifier.parts
    assert len(parts.training) + len(parts.validation) + len(parts.test) == 12
    told = " ".join(str(finding) for finding in classifier.findings)
    assert "row 15: the clip is empty" in told
    assert "row 14 (" in told


def test_a_test_segment_that_was_trained_on_is_refused(moving: Path, tmp_path: Path) -> None:
    tested = moving.parent / "tested.csv"
    tested.write_text("clip,label,start\n5.mkv,left,0.5\n")
    config = replace(SMALL, test_manifest=tested)
    with pytest.raises(DataError, match="overlaps with row 7"):
        VideoClassifier(config, QUICK).prepare(moving)


def test_there_is_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="There is no file"):
        read_manifest(tmp_path / "none.csv", SMALL, labelled=True, bad=BadRows(skip=False))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"frames": 0}, "frames is 0"),
        ({"per": "second"}, "per must be one of clip, frame, not 'second'"),
        ({"test": 1.0}, "test is 1.0; it must be a share"),
        ({"crop": 0.5}, "crop is 0.5"),
        ({"fps": 0.0}, "fps is 0.0"),
        ({"channels": ()}, "channels are"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        VideoConfig(**options)


def test_the_memory_is_explained_frame_by_frame(trained: Path, moving: Path, tmp_path) -> None:
    page = tmp_path / "page.html"
    assert run(["explain", str(trained), str(moving), "--out", str(page), "--json"]) == 0
    assert "seconds of the clip" in page.read_text()
    classifier = VideoClassifier.load(trained)
    probe = classifier.probe(moving)
    assert sum(batch.frames.shape[1] for batch, _ in probe.batches) == 24
    assert len(probe.sequences) == probe.batches[0][0].frames.shape[1] == 12
    assert probe.loss is not None
    told = probe.timelines["recurrent"][1]
    assert told.labels.tolist() == [k / 10 for k in range(6)]
    span = classifier.read(moving, "explain", BadRows(skip=False))[2]
    ours, moments = told.signals["predicted: left"], classifier.moments(span)[:6, 0]
    # The network computes in float32, here beside other clips.
    assert_agree(ours.astype(np.float32), moments.astype(np.float32), "probabilities")
    with pytest.raises(DataError, match="no file"):
        classifier.probe(tmp_path / "none.mkv")
    assert classifier.probe(moving.parent / "1.mkv").loss is None


def test_a_run_goes_on_where_another_ended(moving: Path, tmp_path: Path) -> None:
    first = VideoClassifier(SMALL, replace(QUICK, steps=20, no_baseline=True)).fit(moving)
    first.save(tmp_path)
    training = replace(QUICK, steps=1, learning_rate=1e-9, init_from=tmp_path, no_baseline=True)
    second = VideoClassifier(None, training).fit(moving)
    assert (second.config.width, second.config.channels) == (32, (8, 8))
    ours, theirs = (of.predict(moving)["p(right)"] for of in (second, first))
    np.testing.assert_allclose(ours, theirs, atol=1e-4)
    with pytest.raises(ConfigurationError, match=r"channels is \[8\], and \[8, 8\] in"):
        VideoClassifier(VideoConfig(channels=(8,)), training).prepare(moving)
    renamed = tmp_path / "renamed.csv"
    rows = moving.read_text().replace(",left", ",west").replace(",right", ",east").splitlines()
    renamed.write_text("\n".join([rows[0], *(f"{moving.parent}/{row}" for row in rows[1:])]))
    third = VideoClassifier(None, training).fit(renamed)
    assert third.history.transfer.absent == ("head.bias", "head.weight")
