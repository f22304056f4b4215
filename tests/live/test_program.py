"""Programs that are damaged or hostile are refused, and the message names the layer."""

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.live.programs import causal, model, whole

import gated
import gated.errors
from gated.errors import ModelFileError
from gated.live.model import read_arrays, write
from gated.live.program import Program
from gated.live.table import LAYERS
from gated.model_files import save_model

VALUES, ARRAYS = causal()


WHOLE, WHOLE_ARRAYS = whole()


def changed(of: str, /, values: dict[str, Any] = VALUES, **options: Any) -> dict[str, Any]:
    """The program with other options of one layer; None takes one away."""
    values = copy.deepcopy(values)
    layer = next(layer for layer in values["layers"] if layer["name"] == of)
    layer |= options
    for key in [key for key, value in options.items() if value is None]:
        del layer[key]
    return values


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("linear", {"layer": "pickle"}, r"'linear' has layer = 'pickle': it must be one of"),
        ("linear", {"of": ["later"]}, "reads 'later', which is no layer before it"),
        ("recurrent", {"of": ["recurrent"]}, "reads 'recurrent', which is no layer before it"),
        ("recurrent", {"of": ["softmax"]}, "reads 'softmax', which is no layer before it"),
        ("recurrent", {"of": []}, "has 0 inputs; it takes 1"),
        ("linear", {"weight": "nowhere"}, "needs the weights 'nowhere', which are not there"),
        ("linear", {"weight": "h.bias"}, r"'h.bias' as float32 of the shape \(any, 18\)"),
        ("linear", {"weight": 3}, "has weight = 3: it must be a text"),
        ("linear", {"weight": None}, "lacks 'weight'"),
        ("linear", {"wieght": "x"}, "has the option 'wieght', which is not known"),
        ("mean", {"name": "last"}, "a layer 'last' is there already"),
        ("patch", {"steps": 0}, "steps = 0: a whole number from 1 to"),
        ("patch", {"steps": 1 << 40}, "steps = 1099511627776: a whole number"),
        ("patch", {"steps": True}, "steps = True: a whole number"),
        ("fill", {"layer": "unpatch", "steps": 5}, "divides 2 features into 5 steps"),
        ("standardise", {"mean": [1.0]}, "must have 2 numbers as 'mean'"),
        ("standardise", {"mean": [1.0, 10**400]}, "not a finite number"),
        ("standardise", {"mean": [1.0, float("nan")]}, "not a finite number"),
        ("standardise", {"deviation": [1.0, 0.0]}, "not a finite number above 0"),
        ("activation", {"function": "eval"}, "function = 'eval': it must be one of elu"),
        ("convolution", {"before": 3}, "before = 3: a whole number from 0 to 2"),
        ("concatenate2", {"of": ["last", "recurrent"]}, "has inputs of different steps"),
        ("add", {"of": ["fill", "patch"]}, "has inputs of different steps"),
        ("add", {"of": ["recurrent", "patch"]}, "adds inputs of different features"),
        ("recurrent", {"cell": "gru.__class__"}, "which is not in the library"),
        ("recurrent", {"cell": "__builtins__"}, "which is not in the library"),
        ("recurrent", {"cell": "library.cell"}, "which is not in the library"),
        ("recurrent", {"layers": 2}, "needs the weights 'r.weight_ih_l1', which are not there"),
        ("recurrent", {"units": 4}, r"of the shape \(12, 18\)"),
        ("recurrent", {"projected": 4}, "is projected, but its cell is not"),
        ("recurrent", {"zoneout": [2.0]}, "not a probability"),
        ("recurrent", {"cell": "library.tau_gru", "constants": {"delay": 1e9}}, "constant beyond"),
        ("recurrent", {"activations": ["tanh"]}, "gru cannot have: a gru has 2 activations, got 1"),
        ("recurrent", {"activations": ["tanh", "eval"]}, "must be one of affine.*, got 'eval'"),
        ("recurrent", {"activations": ["elu", "tanh"], "alpha": [1]}, "as many numbers as alpha"),
        ("recurrent", {"clip": -1}, "not a finite number above 0"),
        ("attention", {"of": ["add", "add"]}, "one number for each of them"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(name, options, message) -> None:
    with pytest.raises(ModelFileError, match=message):
        Program(changed(name, **options), ARRAYS)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("kernel_features", {"dilations": [1]}, "must have 1 whole numbers from 1 to .* 'counts'"),
        ("kernel_features", {"dilations": []}, "some whole numbers from 1 to 65,536"),
        ("kernel_features", {"dilations": [1, 1 << 40]}, "whole numbers from 1 to 65,536"),
        ("kernel_features", {"dilations": [1, 2.5]}, "whole numbers from 1 to 65,536"),
        ("kernel_features", {"dilations": [1, True]}, "whole numbers from 1 to 65,536"),
        ("kernel_features", {"dilations": [1] * 1025, "counts": [1] * 1025}, "more than 1,024"),
        ("kernel_features", {"counts": [2, 2]}, r"of the shape \(336\)"),
        ("kernel_features", {"counts": [1 << 16, 1 << 16]}, "11,010,048 features"),
        ("kernel_features", {"reads": "k.thresholds"}, r"of the shape \(2, 84, 2\)"),
        ("kernel_features", {"of": ["ridge"]}, "which is no layer before it"),
        ("summaries", {"steps": 4}, "has the option 'steps', which is not known"),
        ("add", {"factors": [1.0]}, "must have 2 numbers as 'factors'"),
        ("add", {"factors": [1.0, float("inf")]}, "not a finite number"),
    ],
)
def test_what_does_not_fit_in_fixed_features_is_refused(name, options, message) -> None:
    with pytest.raises(ModelFileError, match=message):
        Program(changed(name, WHOLE, **options), WHOLE_ARRAYS)


def test_kernels_read_channels_or_not_and_nine_at_most() -> None:
    reads = WHOLE_ARRAYS["k.reads"].copy()
    reads[1, 5, 0] = 0.5
    with pytest.raises(ModelFileError, match=r"'kernel_features' .*neither read \(1\) nor not"):
        Program(WHOLE, WHOLE_ARRAYS | {"k.reads": reads})
    values = changed("kernel_features", WHOLE)
    values["input"]["features"] = 10
    with pytest.raises(ModelFileError, match="a kernel that reads more than 9 channels"):
        Program(values, WHOLE_ARRAYS | {"k.reads": np.ones((2, 84, 10), np.float32)})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "of version 2, and this gated reads version 1"),
        ({"layers": {}}, "no list of layers"),
        ({"layers": [3]}, "layer 1 of the program must be an object, got int"),
        ({"code": "import os"}, "has 'code', which is not known"),
        ({"input": None}, "the input must be an object"),
        ({"input": {"kind": "numbers", "features": 1 << 60}}, "a whole number from 1 to"),
        ({"input": {"kind": "codes", "features": 2}}, "whose values are codes"),
        ({"output": {"kind": "numbers", "of": "input"}}, "no layer"),
        ({"output": {"kind": "numbers", "of": "softmax", "labels": ["a"]}}, "1 labels for 3"),
    ],
)
def test_what_is_no_program_is_refused(change, message) -> None:
    with pytest.raises(ModelFileError, match=message):
        Program(copy.deepcopy(VALUES) | change, ARRAYS)
    with pytest.raises(ModelFileError, match="no list of layers"):
        Program([], ARRAYS)


def test_joining_the_same_again_and_again_is_refused_before_it_takes_memory() -> None:
    layers = [{"layer": "fill", "name": "0", "of": ["input"]}]
    for number in range(1, 40):
        before = str(number - 1)
        layers.append({"layer": "concatenate", "name": str(number), "of": [before, before]})
    values = {
        "version": 1,
        "input": {"kind": "numbers", "features": 1},
        "layers": layers,
        "output": {"kind": "numbers", "of": "39"},
    }
    with pytest.raises(ModelFileError, match="2,097,152 features"):
        Program(values, {})


ANY = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 1 << 62) | st.floats() | st.text(max_size=5),
    lambda of: st.lists(of, max_size=3) | st.dictionaries(st.text(max_size=5), of, max_size=3),
    max_leaves=5,
)


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_any_value_in_the_place_of_another_is_read_or_refused(data: st.DataObject) -> None:
    values, arrays = data.draw(st.sampled_from([(VALUES, ARRAYS), (WHOLE, WHOLE_ARRAYS)]))
    values = json.loads(json.dumps(values))
    layer = data.draw(st.sampled_from([*values["layers"], values["input"], values["output"]]))
    layer[data.draw(st.sampled_from(sorted(layer)))] = data.draw(ANY)
    try:
        of = model(values, arrays)
    except ModelFileError:
        return
    found = of(np.zeros((4, of.program.input.form.features)))
    assert np.isfinite(found).all()


def test_every_layer_of_the_table_is_in_the_documentation() -> None:
    for language in ("en", "zh"):
        page = (Path(__file__).parents[2] / "docs" / language / "live.md").read_text()
        assert [name for name in LAYERS if f"`{name}`" not in page] == []


def test_a_program_is_written_and_loaded_without_torch(tmp_path: Path) -> None:
    write(tmp_path / "m", VALUES, ARRAYS, "test")
    x = np.random.default_rng(0).normal(size=(7, 2))
    np.save(tmp_path / "x.npy", x)
    code = (
        "import sys, numpy as np, gated\n"
        "model = gated.load('m')\n"
        "out = model(np.load('x.npy'))\n"
        "model.stream().push_many(np.load('x.npy'))\n"
        "assert model.labels == ('a', 'b', 'c') and model.task == 'test'\n"
        "np.save('out.npy', out)\n"
        "extra = {'torch', 'msgspec', 'polars', 'scipy', 'pickle'} & set(sys.modules)\n"
        "print(sorted(extra - {'pickle'}))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), model(VALUES, ARRAYS)(x))


def test_loading_imports_nothing_that_it_does_not_need(tmp_path: Path) -> None:
    write(tmp_path, VALUES, ARRAYS)
    code = f"""
import sys, numpy
before = set(sys.modules)
import gated
gated.load({str(tmp_path)!r})
unneeded = {{"gated.live.onnx_graph", "gated.live.keras_files", "gated.cells.emit_cpp", "zipfile",
            "gated.live.torch_weights", "socket", "html", "difflib", "gated.cells.latex"}}
assert not unneeded & (set(sys.modules) - before), unneeded & set(sys.modules)
from gated.cells import library
from gated.cells.language import _Later
assert type(vars(library)["mgu"]) is _Later, "traced before it is used"
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_only_weights_that_are_read_are_written(tmp_path: Path) -> None:
    run = {"task": "test", "program": VALUES}
    save_model(tmp_path / "run", ARRAYS | {"unread": np.ones(9, np.float32)}, run)
    write(tmp_path / "alone", VALUES, read_arrays(tmp_path / "run"), "test")
    assert set(read_arrays(tmp_path / "alone")) == set(ARRAYS)
    stream = gated.load(tmp_path / "run").stream()
    stream.push([1.0, 2.0])
    again = gated.load(tmp_path / "alone").stream(state=stream.state())
    assert again.steps == 1, "the same model"


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    write(tmp_path, VALUES, ARRAYS)
    for path in (tmp_path / "model.json", next(tmp_path.glob("weights-*"))):
        whole = path.read_bytes()
        for at in range(0, len(whole), max(1, len(whole) // 40)):
            for broken in (whole[:at], whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :]):
                path.write_bytes(broken)
                with pytest.raises(ModelFileError):
                    gated.load(tmp_path)
        path.write_bytes(whole)
    assert gated.load(tmp_path).streams


def test_fewer_bits_are_near_and_give_one_answer(tmp_path: Path) -> None:
    write(tmp_path, VALUES, ARRAYS)
    x = np.random.default_rng(0).normal(size=(9, 2))
    exact = gated.load(tmp_path)(x)
    for stored_as, most in (("bfloat16", 0.02), ("int8", 0.05)):
        of = gated.load(tmp_path, stored_as=stored_as)
        assert 0 < np.abs(of(x) - exact).max() < most
        np.testing.assert_array_equal(of.stream().push_many(x)[-1], of(x))
    with pytest.raises(gated.errors.ConfigurationError, match="stored_as must be one of"):
        gated.load(tmp_path, stored_as="int2")


def test_a_model_of_before_there_were_programs_says_what_to_do(tmp_path: Path) -> None:
    save_model(tmp_path, ARRAYS, {"task": "classify"})
    with pytest.raises(ModelFileError, match=r"no program to load.*\.save\("):
        gated.load(tmp_path)


def test_the_version_is_looked_up_when_it_is_read() -> None:
    code = (
        "import sys, gated, gated.live\n"
        "assert 'importlib.metadata' not in sys.modules\n"
        "from gated.version import VERSION\n"
        "assert gated.__version__ == VERSION and VERSION[0].isdigit()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
