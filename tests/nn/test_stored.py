"""Layers that multiply in fewer bits: `stored_as`, bfloat16 and float16 layers, autocast."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

import gated
from gated.cells import library
from gated.core import native
from gated.core.arguments import StoredAs
from gated.errors import ConfigurationError
from gated.nn.stored import rounded

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit")  # torch's own use of it
LAYERS: dict[str, Callable[..., Any]] = {
    "RNN": lambda **of: gated.nn.RNN(19, 33, **of),
    "GRU": lambda **of: gated.nn.GRU(19, 40, num_layers=2, bidirectional=True, **of),
    "LSTM": lambda **of: gated.nn.LSTM(19, 40, num_layers=2, dropout=0.0, **of),
    "projected": lambda **of: gated.nn.LSTM(19, 40, proj_size=13, **of),
    "layer norm": lambda **of: gated.nn.LSTM(19, 24, layer_norm=True, **of),
    "coupled": lambda **of: gated.nn.LSTM(19, 24, coupled=True, **of),
    "reset before": lambda **of: gated.nn.GRU(19, 24, reset_after=False, **of),
    "lem": lambda **of: gated.nn.Recurrent(library.lem, 19, 24, **of),
    "heads": lambda **of: gated.nn.Recurrent(library.lstm, 19, 24, heads=3, **of),
}
NARROW: list[StoredAs] = ["bfloat16", "int8"]


def made(kind: str, **options: Any) -> Any:
    torch.manual_seed(3)
    return LAYERS[kind](**options)


def assert_as_rounded(found: Tensor, expected: Tensor) -> None:
    """The same bits; or, where inputs and states are rounded too, nearly the same values."""
    if native.multiplies_bfloat16():
        assert (found - expected).norm() < 1e-2 * expected.norm()
    else:
        assert torch.equal(found, expected)


def assert_near(found: Tensor, expected: Tensor) -> None:
    """Gradients over few steps, from values that were rounded by up to 2^-8 of each.

    Where inputs, states and gradients are rounded too, normalised outputs alone are off by 0.6 %.
    """
    bound = 4e-2 if native.multiplies_bfloat16() else 2e-2
    assert (found - expected).norm() <= bound * expected.norm()


def with_rounded_weights(layer: Any, stored_as: StoredAs) -> Any:
    """A copy that has what the layer multiplies by as its parameters."""
    copied = copy.deepcopy(layer)
    copied.stored_as = "float32"
    with torch.no_grad():
        for name, parameter in copied.named_parameters():
            if name.startswith("weight_"):
                parameter.copy_(rounded(parameter, stored_as))
    return copied


@pytest.mark.parametrize("isa", native.instruction_sets())
@pytest.mark.parametrize("kind", LAYERS)
def test_bfloat16_is_the_layer_with_rounded_weights(kind: str, isa: str) -> None:
    layer, used = made(kind, stored_as="bfloat16"), native.instruction_set()
    native.set_instruction_set(isa)
    try:
        for sequences in (1, 3, 30):
            x = torch.randn(6, sequences, 19, requires_grad=True)
            expected = with_rounded_weights(layer, "bfloat16")
            with torch.no_grad():
                assert_as_rounded(layer(x)[0], expected(x)[0])
            output, of_expected = layer(x)[0], expected(x)[0]
            assert_as_rounded(output, of_expected)
            factors = torch.randn_like(output)
            (output * factors).sum().backward()
            (of_expected * factors).sum().backward()
            for mine, its in zip(layer.parameters(), expected.parameters(), strict=True):
                assert mine.grad.dtype == torch.float32
                assert_near(mine.grad, its.grad)
            layer.zero_grad()
    finally:
        native.set_instruction_set(used)


@pytest.mark.parametrize("isa", native.instruction_sets())
@pytest.mark.parametrize("kind", LAYERS)
def test_int8_is_near_the_layer_with_rounded_weights(kind: str, isa: str) -> None:
    """Off by the rounding of inputs and states alone, to 4095 whole numbers."""
    layer, used = made(kind, stored_as="int8"), native.instruction_set()
    native.set_instruction_set(isa)
    try:
        x = torch.randn(6, 30, 19)
        expected = with_rounded_weights(layer, "int8")(x)[0]
        exact = copy.deepcopy(layer)
        exact.stored_as = "float32"
        with torch.no_grad():
            output = layer(x)[0]
        assert (output - expected).norm() < 2e-3 * expected.norm()
        assert (output - exact(x)[0]).norm() > (output - expected).norm()
        assert torch.equal(layer(x)[0], output)  # with gradients
        with torch.no_grad():
            for sequence in (0, 7):
                alone = layer(x[:, sequence : sequence + 1])[0]
                assert torch.equal(alone, output[:, sequence : sequence + 1])
    finally:
        native.set_instruction_set(used)


@pytest.fixture
def thrice() -> Iterator[None]:
    """Three products of bfloat16 for one of float32, without AMX too."""
    native.extension().multiply_thrice_everywhere(True)
    yield
    native.extension().multiply_thrice_everywhere(False)


def outputs_and_gradients(layer: Any, x: Tensor) -> list[Tensor]:
    x = x.clone().requires_grad_()
    output = layer(x)[0]
    output.square().sum().backward()
    found = [output.detach(), x.grad, *(of.grad for of in layer.parameters())]
    layer.zero_grad()
    return found


@pytest.mark.usefixtures("thrice")
@pytest.mark.parametrize("isa", native.instruction_sets())
@pytest.mark.parametrize("kind", LAYERS)
def test_three_products_are_near_those_of_float64(kind: str, isa: str) -> None:
    layer, used = made(kind, stored_as="bfloat16x3"), native.instruction_set()
    exact = copy.deepcopy(layer)
    exact.stored_as = "float32"
    native.set_instruction_set(isa)
    try:
        for sequences in (1, 3, 30):
            x = torch.randn(7, sequences, 19)
            expected = outputs_and_gradients(exact.double(), x.double())
            found = outputs_and_gradients(layer, x)
            for mine, its in zip(found, expected, strict=True):
                assert mine.dtype == torch.float32
                assert (mine - its).norm() <= 1e-4 * its.norm()
            with torch.no_grad():
                assert torch.equal(layer(x)[0], found[0])
                assert torch.equal(layer(x[:, :1])[0], found[0][:, :1])
                assert not torch.equal(layer(x)[0], exact.float()(x)[0])
    finally:
        native.set_instruction_set(used)


@pytest.mark.usefixtures("thrice")
def test_three_products_on_any_number_of_threads_and_in_streams() -> None:
    layer, x = gated.nn.LSTM(40, 300, stored_as="bfloat16x3"), torch.randn(21, 3, 40)
    one = outputs_and_gradients(layer, x)
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        for mine, its in zip(outputs_and_gradients(layer, x), one, strict=True):
            assert torch.equal(mine, its)
    finally:
        torch.set_num_threads(threads)
    alone = layer.stream().steps(x[:, 0].numpy())
    assert torch.equal(torch.from_numpy(alone), one[0][:, 0])


@pytest.mark.skipif(native.formats()["bfloat16x3"] == "amx", reason="this processor has AMX")
def test_without_amx_three_products_are_those_of_float32() -> None:
    layer, x = made("LSTM", stored_as="bfloat16x3"), torch.randn(7, 5, 19)
    plain = copy.deepcopy(layer)
    plain.stored_as = "float32"
    for mine, its in zip(
        outputs_and_gradients(layer, x), outputs_and_gradients(plain, x), strict=True
    ):
        assert torch.equal(mine, its)


@pytest.mark.parametrize("stored_as", NARROW)
def test_gradients_are_those_at_the_rounded_weights(stored_as: StoredAs) -> None:
    layer = made("LSTM", stored_as=stored_as)
    expected = with_rounded_weights(layer, stored_as)
    x = torch.randn(6, 4, 19)
    layer(x)[0].square().sum().backward()
    expected(x)[0].square().sum().backward()
    for name, parameter in layer.named_parameters():
        wanted = expected.get_parameter(name).grad
        assert torch.allclose(parameter.grad, wanted, rtol=2e-2, atol=5e-3 * wanted.abs().max())
        assert not torch.equal(parameter.grad.bfloat16().float(), parameter.grad)


@pytest.mark.parametrize("stored_as", NARROW)
@pytest.mark.parametrize("backend", ["torch", "reference"])
def test_other_backends_multiply_by_the_same_weights(backend: str, stored_as: StoredAs) -> None:
    layer = made("GRU", stored_as=stored_as)
    x = torch.randn(6, 4, 19)
    mine = layer(x)[0]
    layer.backend = backend
    assert torch.allclose(layer(x)[0], mine, atol=2e-3)
    expected = with_rounded_weights(layer, stored_as)
    assert torch.equal(layer(x)[0], expected(x)[0])


def test_the_format_may_be_set_between_calls() -> None:
    layer = made("LSTM")
    x = torch.randn(5, 2, 19)
    with torch.no_grad():
        exact = layer(x)[0]
        for stored_as in NARROW:
            layer.stored_as = stored_as
            assert layer.stored_as == stored_as
            assert not torch.equal(layer(x)[0], exact)
            again = copy.deepcopy(layer)
            assert torch.equal(again(x)[0], layer(x)[0])
        layer.stored_as = "float32"
        assert torch.equal(layer(x)[0], exact)


@pytest.mark.parametrize("stored_as", NARROW)
def test_streams_store_weights_as_their_layer(stored_as: StoredAs) -> None:
    layer = made("LSTM", stored_as=stored_as)
    x = torch.randn(5, 19)
    with torch.no_grad():
        output = layer(x)[0]
    assert torch.equal(torch.from_numpy(layer.stream().steps(x.numpy())), output)
    exact = torch.from_numpy(layer.stream(stored_as="float32").steps(x.numpy()))
    assert not torch.equal(exact, output)


@pytest.mark.parametrize("stored_as", NARROW)
def test_lengths_gates_packed_and_compiled(stored_as: StoredAs) -> None:
    layer = made("GRU", stored_as=stored_as)
    x = torch.randn(6, 3, 19)
    with torch.no_grad():
        expected = layer(x)[0]
        ragged = layer(x, lengths=[6, 2, 4])[0]
        assert torch.equal(ragged[:, 0], expected[:, 0])
        assert not ragged[2:, 1].any()
        gates = layer(x, return_gates=True)[2]
        assert torch.equal(gates[-2]["hidden"], expected[..., :40])
        compiled = torch.compile(layer, fullgraph=True, backend="eager")
        assert torch.equal(compiled(x)[0], expected)


@pytest.mark.parametrize("stored_as", NARROW)
def test_transforms_know_the_rounding(stored_as: StoredAs) -> None:
    layer = made("LSTM", stored_as=stored_as)
    expected = with_rounded_weights(layer, stored_as)
    x, tangent = torch.randn(5, 2, 19), torch.randn(5, 2, 19)

    def along(of: Any) -> Tensor:
        moved: Tensor = torch.func.jvp(lambda given: of(given)[0], (x,), (tangent,))[1]
        return moved

    assert torch.allclose(along(layer), along(expected), rtol=2e-2, atol=3e-3)
    parameters = dict(layer.named_parameters())

    def loss(given: dict[str, Tensor], one: Tensor) -> Tensor:
        return torch.func.functional_call(layer, given, (one.unsqueeze(1),))[0].sum()

    each = torch.func.vmap(torch.func.grad(loss), (None, 1))(parameters, x)
    layer(x)[0].sum().backward()
    for name, parameter in parameters.items():
        if stored_as == "bfloat16":  # each alone keeps float32
            assert_near(parameter.grad, each[name].sum(0))
        else:
            assert torch.allclose(each[name].sum(0), parameter.grad, rtol=1e-3, atol=1e-4)


def layer_by_layer(stack: Any, x: Tensor, dtype: torch.dtype) -> Tensor:
    """The output of layers in float32 that hand on numbers of a dtype."""
    for depth in range(stack.num_layers):
        one = stack
        if stack.num_layers > 1:
            x = x.to(dtype).float()
            one = type(stack)(x.shape[-1], stack.hidden_size, bidirectional=stack.bidirectional)
        named = {
            name: stack.get_parameter(name.replace("_l0", f"_l{depth}"))
            for name, _ in one.named_parameters()
        }
        x = torch.func.functional_call(one, named, (x,))[0]
    return x


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kind", LAYERS)
def test_a_layer_in_sixteen_bits_is_the_float32_one_rounded(kind: str, dtype: torch.dtype) -> None:
    layer = made(kind).to(dtype)
    exact = copy.deepcopy(layer).float()
    x = torch.randn(6, 3, 19).to(dtype).requires_grad_()
    output, final = layer(x)
    if dtype == torch.bfloat16:
        expected = layer_by_layer(exact, x.float(), dtype)
        with torch.no_grad():
            assert torch.equal(layer(x, return_gates=True)[0], output)
    else:
        expected = exact(x.float())[0]
    assert output.dtype == dtype
    assert all(of.dtype == dtype for of in (final if isinstance(final, tuple) else (final,)))
    if dtype == torch.bfloat16:
        assert_as_rounded(output.float(), expected.to(dtype).float())
    else:
        assert torch.equal(output, expected.to(dtype))
    output.float().sum().backward()
    expected.sum().backward()
    assert x.grad is not None
    assert x.grad.dtype == dtype
    for mine, its in zip(layer.parameters(), exact.parameters(), strict=True):
        assert mine.grad.dtype == dtype
        scale = its.grad.abs().max()
        assert torch.allclose(mine.grad.float(), its.grad, rtol=1e-2, atol=float(2e-2 * scale))


def run_in_bfloat16(way: str, layer: Any, x: Tensor) -> tuple[Tensor, Any]:
    """Run a float32 layer, changed for good, in one of the ways that keep bfloat16."""
    if way == "dtype":
        return layer.bfloat16()(x.bfloat16())
    if way == "autocast":
        with torch.autocast("cpu", torch.bfloat16):
            return layer(x)
    layer.stored_as = "bfloat16"
    return layer(x)


WAYS = ["dtype", "autocast", "stored_as"]


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("way", WAYS)
def test_the_way_back_is_kept_in_half_the_bits(way: str, recompute: bool) -> None:
    T, B = 50, 8

    def kept_of_steps(run: Callable[[], Any]) -> dict[tuple[int, ...], int]:
        """Bytes of each tensor with a row for each step that a call's graph keeps, by shape."""
        found: dict[tuple[int, ...], int] = {}

        def pack(tensor: Tensor) -> Tensor:
            if tensor.dim() > 1 and tensor.shape[:-1].numel() == T * B:
                found[tuple(tensor.shape)] = found.get(tuple(tensor.shape), 0) + tensor.nbytes
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            run()
        return found

    layer = gated.nn.LSTM(19, 40, backend="native", recompute=recompute)
    x = torch.randn(T, B, 19)
    # The input, the output, the cell state and four gates, each once.
    rows, io = T * B, 4 if way != "dtype" else 2
    expected = {(T, B, 19): rows * 19 * io, (T, B, 40): rows * 40 * io, (rows, 40): rows * 40 * 2}
    if not recompute:
        expected[rows, 160] = rows * 160 * 2
    assert kept_of_steps(lambda: run_in_bfloat16(way, layer, x)) == expected


def test_layers_hand_on_bfloat16() -> None:
    T, B, seen = 50, 8, []
    layer = gated.nn.LSTM(19, 40, num_layers=3, dropout=0.5, backend="native").bfloat16()

    def pack(tensor: Tensor) -> Tensor:
        seen.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        layer(torch.randn(T, B, 19).bfloat16())
    of_steps = [tensor.dtype for tensor in seen if tensor.shape[:2] == (T, B)]
    assert len(of_steps) >= 6
    assert set(of_steps) <= {torch.bfloat16, torch.bool}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", LAYERS)
def test_outputs_may_change_before_the_way_back(kind: str, way: str) -> None:
    found = []
    for changes in (False, True):
        layer = made(kind)
        x = torch.randn(6, 3, 19, generator=torch.Generator().manual_seed(1)).requires_grad_()
        output = run_in_bfloat16(way, layer, x)[0]
        if changes:
            with torch.no_grad():
                output.mul_(7)
        output.sum().backward()
        found.append([x.grad, *(parameter.grad for parameter in layer.parameters())])
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("way", WAYS)
def test_factors_of_many_steps_are_off_by_one_rounding_each(way: str) -> None:
    """What a cell state passes back over T steps is a product of T forget gates."""
    T = 100
    layer = gated.nn.LSTM(19, 40, backend="native")
    with torch.no_grad():
        layer.weight_hh_l0.zero_()
    x, h = torch.randn(T, 3, 19), torch.zeros(1, 3, 40)

    def product(dtype: torch.dtype, run: Callable[..., Any]) -> Tensor:
        start = torch.ones(1, 3, 40, dtype=dtype).requires_grad_()
        final = run((h.to(dtype), start))[1][1]
        gradient: Tensor = torch.autograd.grad(final.sum(), start)[0]
        return gradient

    if way == "dtype":  # the same numbers for both
        layer, x = layer.bfloat16().float(), x.bfloat16().float()
    gates = with_rounded_weights(layer, "bfloat16")(x, return_gates=True)[2][0]
    exact = gates["forget_gate"].double().prod(0)
    if way == "dtype":
        layer, x = layer.bfloat16(), x.bfloat16()
        found = product(torch.bfloat16, lambda states: layer(x, states))
    elif way == "autocast":
        with torch.autocast("cpu", torch.bfloat16):
            found = product(torch.float32, lambda states: layer(x, states))
    else:
        layer.stored_as = "bfloat16"
        found = product(torch.float32, lambda states: layer(x, states))
    roundings = T + (way == "dtype")  # that of the gradient itself
    error = (found[0].double() / exact - 1).abs().max()
    assert error <= (1 + 2**-8) ** roundings - 1 + 1e-4
    assert error > 1e-4  # not float32's


@pytest.mark.parametrize("way", WAYS)
def test_second_derivatives_are_those_of_float32(way: str) -> None:
    layer, x = gated.nn.GRU(5, 6, backend="native"), torch.randn(4, 3, 5)
    if way == "dtype":
        layer, x = layer.bfloat16().float(), x.bfloat16().float()
    exact = with_rounded_weights(layer, "bfloat16")

    def twice(run: Callable[[Tensor], Any], x: Tensor, parameters: Any) -> list[Tensor]:
        x = x.clone().requires_grad_()
        output = run(x)[0].float()
        (first,) = torch.autograd.grad(output.square().sum(), x, create_graph=True)
        return list(torch.autograd.grad(first.float().square().sum(), [x, *parameters]))

    expected = twice(exact, x, list(exact.parameters()))
    own = x.bfloat16() if way == "dtype" else x
    found = twice(lambda x: run_in_bfloat16(way, layer, x), own, list(layer.parameters()))
    for one, other in zip(found, expected, strict=True):
        assert (one.float() - other).norm() < 3e-2 * other.norm()


@pytest.mark.parametrize("way", WAYS)
def test_compiled_layers_keep_the_same(way: str) -> None:
    found = []
    for compiles in (False, True):
        layer = made("LSTM")
        x = torch.randn(6, 3, 19, generator=torch.Generator().manual_seed(1)).requires_grad_()
        run = partial(run_in_bfloat16, way, layer)
        if way == "dtype":
            run, x = layer.bfloat16(), x.detach().bfloat16().requires_grad_()
        if compiles:
            run = torch.compile(run, backend="aot_eager", fullgraph=True)
        run(x)[0].float().sum().backward()
        found.append([x.grad, *(parameter.grad for parameter in layer.parameters())])
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)


def test_layers_in_sixteen_bits_run_on_the_core() -> None:
    for accelerated in (False, True):
        layer: Any = torch.nn.LSTM(5, 7) if accelerated else gated.nn.LSTM(5, 7)
        layer = layer.bfloat16()
        if accelerated:
            gated.accelerate(layer)
        x, seen = torch.randn(4, 3, 5).bfloat16(), []

        def look(place: int, call: Any, gates: bool, run: Any, seen: list[Any] = seen) -> Any:
            seen.append(call)
            return run(call, gates)

        with gated.nn.observed(layer, look):
            output, (hidden, cell) = layer(x)
        assert {output.dtype, hidden.dtype, cell.dtype} == {torch.bfloat16}
        assert [call.x.dtype for call in seen] == [torch.float32]


def test_few_rows_in_sixteen_bits_are_left_to_torch() -> None:
    torch.manual_seed(0)
    plain = torch.nn.GRU(5, 7).bfloat16()
    layer = gated.nn.GRU(5, 7).bfloat16()
    layer.load_state_dict(plain.state_dict())
    x = torch.randn(2, 4, 5).bfloat16()
    assert torch.equal(layer(x)[0], plain(x)[0])


def test_autocast_rounds_weights_and_leaves_the_rest() -> None:
    layer = made("LSTM")
    x = torch.randn(5, 2, 19)
    with torch.autocast("cpu", torch.bfloat16):
        output = layer(x)[0]
    assert output.dtype == torch.float32
    assert_as_rounded(output, with_rounded_weights(layer, "bfloat16")(x)[0])
    output.sum().backward()
    assert layer.weight_hh_l0.grad.dtype == torch.float32
    layer.double()
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(layer(x.double())[0], layer(x.double())[0])


@pytest.mark.parametrize("backend", [None, "native", "torch"])
def test_what_cannot_be_stored_so_is_refused(backend: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"one of float32, .*, got 'int4'"):
        gated.nn.LSTM(2, 3, stored_as="int4")  # type: ignore[arg-type]
    layer = gated.nn.LSTM(2, 3, stored_as="int8", backend=backend).double()
    with pytest.raises(ConfigurationError, match="'int8', which is for float32 weights: weight_ih"):
        layer(torch.zeros(1, 1, 2).double())
    with pytest.raises(ConfigurationError, match="got 'fp4'"):
        layer.stored_as = "fp4"  # type: ignore[assignment]


def test_zeros_and_what_is_no_number() -> None:
    layer = gated.nn.LSTM(2, 3, stored_as="int8")
    with torch.no_grad():
        layer.weight_ih_l0.zero_()
        x = torch.ones(1, 1, 2)
        assert torch.isfinite(layer(x)[0]).all()
        assert torch.equal(rounded(layer.weight_ih_l0, "int8"), layer.weight_ih_l0)
        x[0, 0, 0] = torch.nan
        assert layer(x)[0].isnan().all()
