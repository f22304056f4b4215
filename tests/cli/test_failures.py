"""Whatever goes wrong, the command says it in a paragraph: what was kept, and how to go on."""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from gated.cli.app import run
from gated.files import locked
from gated.training.checkpoint import steps_kept
from gated.training.loop import _Training

STEPS = ["--steps", "8", "--hidden", "4", "--validate-every", "4", "--checkpoint-every", "2"]
WITHOUT = """
import sys
class Wall:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        core = top in sys.stdlib_module_names or top in ("gated", "numpy")
        if top in {walled!r} or ({all!r} and not core):
            raise ModuleNotFoundError(f"No module named {{top!r}}", name=top)
sys.meta_path.insert(0, Wall())
"""
TRAIN = ["torch", "lightning_fabric", "msgspec", "polars", "narwhals", "scipy", "matplotlib"]


def gated(*arguments: object, before: str = "", **environment: str):
    return subprocess.run(
        [
            sys.executable,
            "-c",
            f"{before}\nfrom gated.cli import main; main()",
            *map(str, arguments),
        ],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | environment,
    )


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("texts") / "text.txt"
    path.write_text("the quick brown fox jumps over the lazy dög\n" * 30, "utf-8")
    return path


def fit(texts: Path, out: Path, *more: str) -> list[str]:
    return ["fit", "language", str(texts), "--out", str(out), *STEPS, "--window", "8", *more]


def told(capsys: pytest.CaptureFixture[str]) -> str:
    printed = capsys.readouterr()
    assert "Traceback" not in printed.out + printed.err
    assert printed.err.count("error:") == 1
    return " ".join(printed.err.split())


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["--help"], 0, ["explore", "Score a trained network", "pip install 'gated[train]'"]),
        ([], 0, ["memory-test"]),
        (["--version"], 0, ["0."]),
        (["fit", "forecast", "x.csv"], 2, ["cyclopts is not", "pip install 'gated[train]'"]),
        (["explore"], 2, ["pip install 'gated[explore]'"]),
    ],
)
def test_numpy_alone_is_enough_for_help(arguments, status, words) -> None:
    done = gated(*arguments, before=WITHOUT.format(walled=[], all=True))
    assert done.returncode == status, done.stderr
    for word in words:
        assert word in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "word"),
    [
        (["--help"], 0, "Score a trained network"),
        (["fit", "forecast", "x.csv", "--out", "run"], 2, "pip install 'gated[train]'"),
        (["predict", "run", "x.csv"], 2, "pip install 'gated[train]'"),
        (["explore", "nowhere"], 2, "holds model.json"),
    ],
)
def test_the_explorer_alone_says_what_else_would_need(arguments, status, word) -> None:
    done = gated(*arguments, before=WITHOUT.format(walled=TRAIN, all=False))
    assert done.returncode == status, done.stderr
    assert word in " ".join((done.stdout + done.stderr).split())
    assert "Traceback" not in done.stderr


def failing(error: BaseException, step: int) -> Callable[..., None]:
    """A training's step that fails when so many are done."""
    whole = _Training.step

    def fail(self: _Training) -> None:
        if self.history.steps == step:
            raise error
        whole(self)

    return fail


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (MemoryError(), 1, ["not enough memory", "--accumulate"]),
        (torch.OutOfMemoryError("CUDA out of memory. Tried"), 1, ["not enough memory (CUDA out"]),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), 1, ["not enough memory"]),
        (OSError(errno.EROFS, "Read-only file system", "x"), 1, ["not allowed", "x: Read-only"]),
        (OSError(errno.EIO, "Input/output error", "x"), 1, ["refused", "x: Input/output"]),
        (ZeroDivisionError("by zero"), 1, ["ZeroDivisionError: by zero", "gated-traceback-"]),
    ],
)
def test_what_stops_a_training_says_what_is_kept(
    error, status, words, texts, tmp_path, capsys, monkeypatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    out = tmp_path / "a run"
    with monkeypatch.context() as patch:
        patch.setattr(_Training, "step", failing(error, 5))
        assert run(fit(texts, out)) == status
    message = told(capsys)
    for word in [*words, f"The checkpoint of step 4 is kept in {out}. Go on with: gated resume '"]:
        assert word in message
    assert steps_kept(out / "checkpoint.safetensors") == 4
    if isinstance(error, ZeroDivisionError):
        (kept,) = tmp_path.glob("gated-traceback-*.txt")
        assert str(kept) in message
        assert "in fail\n    raise error" in kept.read_text()
    assert run(["resume", str(out)]) == 0
    assert (out / "report.html").exists()


def test_an_interruption_names_the_run(texts, tmp_path, capsys, monkeypatch) -> None:
    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(_Training, "step", failing(KeyboardInterrupt(), 1))
        assert run(fit(texts, out)) == 130
    message = " ".join(capsys.readouterr().err.split())
    assert message == (
        f"Interrupted. No checkpoint had been written yet. Go on with: gated resume {out}"
    )


def test_a_traceback_is_shown_to_who_asks(texts, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("GATED_TRACEBACK", "1")
    monkeypatch.setattr(_Training, "step", failing(ZeroDivisionError(), 1))
    with pytest.raises(ZeroDivisionError):
        run(fit(texts, tmp_path / "run"))


def test_a_full_disk(texts, tmp_path, capsys, monkeypatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        assert run(fit(texts, out)) == 1
    assert f"no room to write {out / 'run.json'}. Make room" in told(capsys)
    assert not out.exists()  # nothing could be kept


def test_where_nothing_may_be_written(texts, tmp_path, capsys, monkeypatch) -> None:
    def refused(path: Path, *_: object, **__: object) -> None:
        raise OSError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "mkdir", refused)
    assert run(fit(texts, tmp_path / "run")) == 1
    assert f"not allowed to write or read {tmp_path / 'run'}: Permission" in told(capsys)


NOBODY = 65534


def as_a_user(arguments: list[str], log: Path) -> tuple[int, str]:
    """Run a command in a fork, without the rights of root; return its status and what it printed.

    A fork knows all modules already: such a user may not be able to read them.
    """
    log.touch()
    pid = os.fork()
    if pid == 0:
        status = 99
        try:
            descriptor = os.open(log, os.O_WRONLY)
            os.dup2(descriptor, 1)
            os.dup2(descriptor, 2)
            # What pytest captures with goes to the log as well.
            sys.stdout, sys.stderr = (os.fdopen(os.dup(descriptor), "w") for _ in range(2))
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(NOBODY)
                os.setuid(NOBODY)
            status = run(arguments)
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return status, " ".join(log.read_text().split())


@pytest.fixture
def unwritable(texts: Path) -> Iterator[Path]:
    """A directory with a run and its text, which others than root may read and not write."""
    # Not pytest's own, into which nobody else may look.
    with tempfile.TemporaryDirectory() as made:
        place = Path(made)
        shutil.copy(texts, place / "text.txt")
        assert run(fit(place / "text.txt", place / "run")) == 0
        every = [place, *place.rglob("*")]
        for path in every:
            path.chmod(0o555 if path.is_dir() else 0o444)
        yield place
        for path in every:
            path.chmod(0o755)


def test_a_directory_that_is_for_reading_alone(unwritable: Path, tmp_path: Path) -> None:
    """By the system's own refusal; as root, whom none stops, in the place of another user."""
    run_directory, text, log = unwritable / "run", unwritable / "text.txt", tmp_path / "log"
    out = unwritable / "new"
    status, printed = as_a_user(fit(text, out), log)
    assert status == 2
    assert f"--out: {out} cannot be written: it is not allowed (Permission denied)." in printed
    status, printed = as_a_user(["resume", str(run_directory)], log)
    assert status == 1
    assert f"not allowed to write or read {run_directory}" in printed
    page = unwritable / "page.html"
    status, printed = as_a_user(["explain", str(run_directory), str(text), "--out", str(page)], log)
    assert status == 2
    assert f"--out: {page} cannot be written: it is not allowed" in printed
    assert "Traceback" not in printed
    # To be asked, a run needs no writing.
    status, printed = as_a_user(["evaluate", str(run_directory), str(text), "--json"], log)
    assert status == 0, printed
    assert "verdict" in printed
    names = {path.name for path in unwritable.iterdir()}
    assert names == {"run", "text.txt"}


WRITING = {
    "fit": ["fit", "language", "{text}", "--out"],
    "compare": ["compare", "language", "{text}", "--out"],
    "memory-test": ["memory-test", "--out"],
    "predict": ["predict", "nowhere", "{text}", "--out"],
    "explain": ["explain", "nowhere", "{text}", "--out"],
    "translate": ["translate", "nowhere", "{text}", "--attention"],
}
PLACES = {
    "/proc/new": "there is no such place, and none can be made",
    "{text}/new": "a part of the path is a file, not a directory",
    "{tmp}/" + "long" * 99: "the name is too long",
    "{tmp}/new/" + "long" * 99 + "/run": "the name is too long",
    "{tmp}/circle/new": "its links lead in a circle",
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("command", WRITING)
def test_a_place_that_cannot_be_written_is_named_before_any_work(
    command, place, texts, tmp_path, capsys
) -> None:
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    named = place.format(text=texts, tmp=tmp_path)
    arguments = [of.format(text=texts) for of in WRITING[command]]
    assert run([*arguments, named]) == 2
    message = f"error: {arguments[-1]}: {named} cannot be written: {PLACES[place]}. Give another"
    assert message in told(capsys)
    assert [path.name for path in tmp_path.iterdir()] == ["circle"]


@pytest.mark.parametrize("command", WRITING)
def test_a_path_with_a_zero_byte(command, texts, tmp_path, capsys) -> None:
    arguments = [of.format(text=texts) for of in WRITING[command]]
    assert run([*arguments, f"{tmp_path}/a\0b"]) == 2
    assert "holds a zero byte. Give another place." in told(capsys)


@pytest.mark.parametrize("name", ["x" * 300, "a\0b"])
def test_data_of_an_impossible_name(name, tmp_path, capsys) -> None:
    assert run(["fit", "language", name, "--out", str(tmp_path / "run")]) in (1, 2)
    assert "defect" not in (message := told(capsys))
    assert "too long" in message or "zero byte" in message or "There is no file" in message


SCARCE = """
import resource
from pathlib import Path
import lightning_fabric, matplotlib, scipy.stats, torch
import gated.cli.fit, gated.tasks.language.model
held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (held + 400 * 2**20,) * 2)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="says how much memory it holds")
def test_memory_that_runs_out(texts: Path, tmp_path: Path) -> None:
    """By the system's own refusal: half a gigabyte of weights where 400 megabytes are left."""
    large = fit(texts, tmp_path / "run", "--threads", "1")
    large[large.index("--hidden") + 1] = "6000"
    done = gated(*large, before=SCARCE, OMP_NUM_THREADS="1")
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    words = " ".join(done.stderr.split())
    assert "error: There is not enough memory (" in words
    assert "Ask for less: a smaller network or batch, or --accumulate" in words


def test_a_device_that_is_not_there(texts, tmp_path, capsys) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is one")
    assert run(fit(texts, tmp_path / "run", "--accelerator", "cuda")) == 2
    assert "this machine has no such device. Use --accelerator cpu" in told(capsys)
    assert not (tmp_path / "run").exists()


def test_a_run_is_written_by_one_process(texts, tmp_path) -> None:
    with locked(tmp_path / "run"):
        done = gated(*fit(texts, tmp_path / "run"))
    assert done.returncode == 2
    words = " ".join(done.stderr.split())
    assert f"{tmp_path / 'run'} is in use: process {os.getpid()} trains" in words
    assert not (tmp_path / "run").exists()


@pytest.fixture(scope="module")
def trained(texts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    assert run(fit(texts, out)) == 0
    return out


def test_an_output_of_ascii_alone(trained: Path, texts: Path, capsys, monkeypatch) -> None:
    def printed(*arguments: object) -> tuple[int, str]:
        output = io.BytesIO()
        monkeypatch.setattr("sys.stdout", io.TextIOWrapper(output, "ascii"))
        return run([str(of) for of in arguments]), output.getvalue().decode("ascii")

    asked = "evaluate", trained, texts
    assert printed(*asked)[0] == 0
    status, document = printed(*asked, "--json")
    assert status == 0
    assert "verdict" in json.loads(document)
    assert printed("generate", trained, "--prompt", "dög", "--length", "2") == (1, "")
    assert "'\\xf6' cannot be printed" in (message := told(capsys))
    assert "PYTHONIOENCODING=utf-8" in message


@pytest.mark.parametrize("json_too", [[], ["--json"]])
def test_an_output_on_a_full_disk(trained, texts, capsys, monkeypatch, json_too) -> None:
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr("sys.stdout", full)
        assert run(["evaluate", str(trained), str(texts), *json_too]) == 1
    assert "The disk is full" in told(capsys)


def test_options_that_are_no_toml(tmp_path: Path, capsys) -> None:
    (tmp_path / "options.toml").write_text("steps 3")
    assert run(["fit", "language", "--config", str(tmp_path / "options.toml")]) == 2
    assert "options.toml is not TOML" in told(capsys)
