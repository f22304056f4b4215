"""Programs in C: built without a warning, and their self-tests pass, and can fail."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.live.programs import causal, gru, model, random

import gated.nn
from gated.cells import Cell, library
from gated.errors import ProgramError
from gated.live.emit_c import source
from gated.live.int8 import rounded, rounded_model
from gated.live.model import Model, write
from gated.live.program import Writer
from gated.nn import programs

COMPILER = shutil.which("cc")
STRICT = ["-std=c99", "-O1", "-Wall", "-Wextra", "-pedantic", "-Werror", "-Wconversion"]
needs_a_compiler = pytest.mark.skipif(COMPILER is None, reason="no C compiler")


def built(
    of: Model, place: Path, change=lambda code: code, stored_as="float32"
) -> subprocess.CompletedProcess[str]:
    """Write a model as C, build its self-test without warnings, and run it."""
    written = source(of, "net", stored_as=stored_as)
    (place / "net.c").write_text(change(written.code))
    (place / "net.h").write_text(written.header)
    test = ["-DGATED_SELF_TEST", "net.c", "-o", "net", "-lm"]
    for options in (["-c", "net.c", "-o", "net.o"], test):
        command = [str(COMPILER), *STRICT, *options]
        done = subprocess.run(command, cwd=place, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    return subprocess.run([place / "net"], capture_output=True, text=True)


def of_layer(layer: torch.nn.Module, inputs: int) -> Model:
    return model(*layer_program(layer, inputs))


def layer_program(layer: torch.nn.Module, inputs: int) -> tuple[dict, dict[str, np.ndarray]]:
    writer = Writer("numbers", inputs)
    found = writer.add("recurrent", writer.input, **programs.recurrent(layer, ""))
    arrays = {name: of.numpy() for name, of in layer.state_dict().items()}
    return writer.program("numbers", found), arrays


def classifier() -> Model:
    """Every layer that is written in C, and channels that may be missing."""
    writer = Writer("numbers", 2, missing=True)
    scaled = writer.add("standardise", writer.input, mean=[1e3, -2.0], deviation=[50.0, 0.5])
    filled = writer.add("fill", scaled)
    both = writer.add("concatenate", filled, writer.add("missing", writer.input))
    steps = writer.add("patch", both, steps=3)
    hidden = writer.add("recurrent", steps, cell="rnn_tanh", weights="r.", layers=1, units=5)
    total = writer.add("add", hidden, writer.add("linear", steps, weight="a.weight"))
    names = {name: f"n.{name}" for name in ("weight", "bias", "mean", "variance")}
    total = writer.add("batch_norm", total, epsilon=1e-5, **names)
    for function in ("relu", "tanh", "sigmoid"):
        total = writer.add("activation", total, function=function)
    norm = {name: f"n.{name}" for name in ("weight", "bias")}
    total = writer.add("layer_norm", total, epsilon=1e-5, **norm)
    energy = writer.add("linear", total, weight="e.weight")
    pools = [writer.add(name, total) for name in ("last", "mean", "max")]
    pooled = writer.add("concatenate", *pools, writer.add("attention", total, energy))
    shares = writer.add("softmax", writer.add("linear", pooled, weight="h.weight", bias="h.bias"))
    arrays = random(
        0,
        r__weight_ih_l0=(5, 12),
        r__weight_hh_l0=(5, 5),
        a__weight=(5, 12),
        **{f"n__{name}": (5,) for name in ("weight", "bias", "mean", "variance")},
        e__weight=(1, 5),
        h__weight=(3, 20),
        h__bias=(3,),
    )
    arrays["n.variance"] **= 2
    labels = ['quoted "?" \\', "é\n", "??/"]
    return model(writer.program("probabilities", shares, labels=labels), arrays)


@needs_a_compiler
def test_a_classifier_in_c_predicts_what_the_runtime_does(tmp_path: Path) -> None:
    done = built(classifier(), tmp_path)
    assert done.returncode == 0
    assert done.stdout.startswith("8 predictions, off by at most")


@needs_a_compiler
def test_the_self_test_fails_where_a_weight_is_another(tmp_path: Path) -> None:
    def other(code: str) -> str:
        table = code.index("static const float l")
        at = code.index("{\n", table) + 2
        end = code.index(",", at)
        return code[:at] + "    7.0f" + code[end:]

    assert built(classifier(), tmp_path, other).returncode == 1


@needs_a_compiler
@pytest.mark.parametrize(
    "make",
    [
        lambda: gated.nn.LSTM(3, 5, 2, proj_size=2),
        lambda: gated.nn.LSTM(3, 5, peepholes=True),
        lambda: gated.nn.LSTM(3, 5, layer_norm=True),
        lambda: gated.nn.LSTM(3, 5, coupled=True),
        lambda: gated.nn.GRU(3, 5, 2, bias=False),
        lambda: gated.nn.GRU(3, 5, reset_after=False),
        lambda: gated.nn.Recurrent(library.mgu, 3, 6, heads=2),
        lambda: gated.nn.Recurrent(library.lstm, 3, 6, 2, layer_norm=True, proj_size=4),
    ],
)
def test_cells_with_options_in_c(make, tmp_path: Path) -> None:
    torch.manual_seed(1)
    assert built(of_layer(make().eval(), 3), tmp_path).returncode == 0


CELLS = {name: of for name, of in vars(library).items() if isinstance(of, Cell) and not of.per_step}


@needs_a_compiler
@pytest.mark.parametrize("name", sorted(CELLS))
def test_every_cell_of_the_library_in_c(name: str, tmp_path: Path) -> None:
    torch.manual_seed(1)
    layer = gated.nn.Recurrent(CELLS[name], 4, 4)
    assert built(of_layer(layer, 4), tmp_path).returncode == 0


@needs_a_compiler
def test_a_convolution_in_c(tmp_path: Path) -> None:
    done = built(model(*causal()), tmp_path)
    assert done.returncode == 0
    assert done.stdout.startswith("8 predictions")


def pooled(bidirectional: bool = False) -> tuple[dict, dict[str, np.ndarray]]:
    """Means of 3 steps before a recurrent layer."""
    writer = Writer("numbers", 2)
    steps = writer.add("average_pool", writer.input, steps=3)
    ways = {"directions": 2} if bidirectional else {}
    found = writer.add("recurrent", steps, cell="rnn_tanh", weights="r.", layers=1, units=4, **ways)
    found = writer.add("mean", found)
    arrays = random(0, r__weight_ih_l0=(4, 2), r__weight_hh_l0=(4, 4))
    arrays |= {f"{name}_reverse": of * 0.5 for name, of in arrays.items()}
    return writer.program("numbers", found), arrays


@needs_a_compiler
def test_means_of_steps_in_c(tmp_path: Path) -> None:
    done = built(model(*pooled()), tmp_path)
    assert done.returncode == 0
    assert done.stdout.startswith("8 predictions")


@needs_a_compiler
@pytest.mark.parametrize(
    "make",
    [
        causal,
        lambda: layer_program(gated.nn.LSTM(3, 5, 2, peepholes=True), 3),
        lambda: layer_program(gated.nn.Recurrent(library.mgu, 3, 6, heads=2, bias=False), 3),
        lambda: layer_program(gated.nn.LSTM(3, 5, proj_size=2), 3),
        lambda: codes(),
    ],
)
def test_int8_in_c_is_the_rounded_model(make, tmp_path: Path) -> None:
    torch.manual_seed(1)
    values, arrays = make()
    of = rounded_model(values, arrays)
    assert built(of, tmp_path, stored_as="int8").returncode == 0
    plain = source(model(values, arrays), "net").code
    code = (tmp_path / "net.c").read_text()
    assert "static const signed char" in code
    assert "static const signed char" not in plain
    again = source(
        rounded_model(values, {**arrays, **of_arrays(values, arrays)}), "net", "", "int8"
    )
    assert again.code == code  # what is rounded stays as it is


def of_arrays(values: dict, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The matrices, rounded."""
    return {name: rounded(of) for name, of in arrays.items() if of.ndim > 1 and "peep" not in name}


@needs_a_compiler
@pytest.mark.parametrize("patched", [True, False])
def test_steps_that_are_divided_again_in_c(patched: bool, tmp_path: Path) -> None:
    writer = Writer("numbers", 4)
    steps = writer.add("patch", writer.input, steps=3) if patched else writer.input
    wide = writer.add("linear", steps, weight="a.weight")
    parts = writer.add("unpatch", wide, steps=3)
    twice = writer.add("unpatch", parts, name="again", steps=2)
    hidden = writer.add("recurrent", twice, cell="gru", weights="r.", layers=1, units=5)
    both = writer.add("concatenate", hidden, twice)
    shapes = {"a__weight": (24, 12 if patched else 4), **gru(5, 4)}
    of = model(writer.program("numbers", both), random(2, **shapes))
    done = built(of, tmp_path)
    assert done.returncode == 0
    assert done.stdout.startswith(f"{8 if patched else 24} predictions")
    assert "those after the last" in (tmp_path / "net.h").read_text()


@needs_a_compiler
@pytest.mark.parametrize("zoneout", [(0.3,), (0.0, 0.25), (0.5, 0.1)])
def test_zoneout_in_c(zoneout: tuple[float, ...], tmp_path: Path) -> None:
    writer = Writer("numbers", 3)
    cell = {"cell": "lstm", "weights": "r.", "layers": 2, "units": 5, "zoneout": list(zoneout)}
    found = writer.add("recurrent", writer.input, **cell)
    shapes = {f"r__weight_{of}_l{layer}": (20, 5) for of in ("ih", "hh") for layer in (0, 1)}
    arrays = random(3, **{**shapes, "r__weight_ih_l0": (20, 3)})
    assert built(model(writer.program("numbers", found), arrays), tmp_path).returncode == 0


@needs_a_compiler
def test_codes_in_c(tmp_path: Path) -> None:
    assert built(model(*codes()), tmp_path).returncode == 0


def codes() -> tuple[dict, dict[str, np.ndarray]]:
    writer = Writer("codes", 7)
    steps = writer.add("embedding", writer.input, weight="e.weight")
    shares = writer.add("softmax", writer.add("linear", steps, weight="h.weight"))
    arrays = random(0, e__weight=(7, 3), h__weight=(7, 3))
    return writer.program("probabilities", shares), arrays


def test_what_c_cannot_is_named(tmp_path: Path) -> None:
    writer = Writer("numbers", 2)
    divided = writer.add("unpatch", writer.input, steps=2)
    joined = writer.add("patch", divided, steps=2)
    with pytest.raises(ProgramError, match="'patch' reads steps from before they are divided"):
        source(model(writer.program("numbers", joined), {}), "net")
    writer = Writer("codes", 2)
    rows = writer.add("softmax", writer.add("embedding", writer.input, weight="e.weight"))
    mixed = writer.add("ngrams", writer.input, rows, order=0, arrays="n.")
    arrays = random(0, e__weight=(2, 2)) | {
        "n.steps0": np.array([[0, 1], *[[0, 0]] * 7], np.uint8),
        "n.counts0": np.array([[1, 1], *[[0, 0]] * 3], np.uint8),
        "n.shares": np.full(4, 0.5),
    }
    with pytest.raises(ProgramError, match=r"'ngrams' is not written in C yet.* --no-ngrams"):
        source(model(writer.program("probabilities", mixed), arrays), "net")
    with pytest.raises(ProgramError, match="later steps"):
        source(of_layer(gated.nn.GRU(3, 4, bidirectional=True), 3), "net")
    with pytest.raises(ProgramError, match="is no name of C"):
        source(classifier(), "Net 1")


def test_the_command_writes_c_and_programs(tmp_path: Path, capsys) -> None:
    from gated.cli.app import run

    writer = Writer("numbers", 2)
    found = writer.add("linear", writer.input, weight="w")
    values, arrays = writer.program("numbers", found), random(0, w=(3, 2))
    write(tmp_path / "run", values, arrays)
    place = str(tmp_path / "run")
    assert run(["export", place, "--to", "c", "--out", str(tmp_path / "net.c")]) == 0
    assert "net_push" in (tmp_path / "net.h").read_text()
    assert "net_begin and net_push" in capsys.readouterr().out
    assert run(["export", place, "--to", "program", "--out", str(tmp_path / "alone")]) == 0
    x = np.ones((2, 2))
    np.testing.assert_array_equal(gated.load(tmp_path / "alone")(x), model(values, arrays)(x))
    for out, message in (("net.c", "exists already"), ("Net.c", "must be a name in small letters")):
        assert run(["export", place, "--to", "c", "--out", str(tmp_path / out)]) != 0
        assert message in " ".join(capsys.readouterr().err.split())
