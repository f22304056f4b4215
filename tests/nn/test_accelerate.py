"""Torch's layers on the native core: same results, and nothing else about them changes."""

from __future__ import annotations

import copy
import io
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.comparison import assert_agree
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

import gated
from gated.core import native
from gated.errors import ConfigurationError, MissingNativeError
from gated.nn import sequences
from gated.nn.plain import PlainLayers

KINDS = [nn.RNN, nn.GRU, nn.LSTM]


@pytest.fixture
def native_runs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The cells that gated was asked to run, one by one."""
    runs = []
    recurrence = sequences.recurrence

    def counted(cell: str, *arguments: Any, **options: Any) -> Any:
        runs.append(cell)
        return recurrence(cell, *arguments, **options)

    def run_plainly(layers: PlainLayers, *arguments: Any) -> Any:
        runs.append(layers.cell.name)
        return plain(layers, *arguments)

    plain = PlainLayers.__call__
    monkeypatch.setattr(PlainLayers, "__call__", run_plainly)
    monkeypatch.setattr(sequences, "recurrence", counted)
    return runs


class Padded(nn.LSTM):
    """A subclass like those in the wild: its own forward, and torch's beneath it."""

    def forward(self, input: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        packed = pack_padded_sequence(input, lengths, self.batch_first, enforce_sorted=False)
        return super().forward(packed)[0].data


class Named(nn.GRU):
    """A subclass that adds something and changes nothing."""

    meaning = 42


class Doubled(nn.GRU):
    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return input * 2


class Permuting(nn.GRU):
    def permute_hidden(self, hx: torch.Tensor, permutation: torch.Tensor | None) -> torch.Tensor:
        return hx * 2


class Tagger(nn.Module):
    def __init__(self, kind: type[nn.RNNBase] = nn.LSTM, **options: Any) -> None:
        super().__init__()
        self.words = nn.Embedding(11, 3)
        self.reader = kind(3, 5, **options)
        self.tags = nn.Linear(5 * (1 + self.reader.bidirectional), 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.tags(self.reader(self.words(x))[0])


def loss_and_gradients(model: nn.Module, *inputs: Any) -> list[torch.Tensor]:
    model.zero_grad()
    result = model(*inputs)
    alone = isinstance(result, (torch.Tensor, PackedSequence))
    output, *states = (result,) if alone else result
    parts = [output.data if isinstance(output, PackedSequence) else output]
    for state in states:
        parts += state if isinstance(state, tuple) else [state]
    loss = sum((part.square() * torch.arange(1, 1 + part.shape[-1])).sum() for part in parts)
    loss.backward()
    return [loss.detach(), *(p.grad.clone() for p in model.parameters())]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "options", [{}, {"num_layers": 2, "bidirectional": True, "batch_first": True}, {"bias": False}]
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_results_and_gradients_stay(
    kind: type[nn.RNNBase], options: dict[str, Any], dtype: torch.dtype, native_runs: list[str]
) -> None:
    model = kind(3, 5, dtype=dtype, **options)
    x = torch.randn(4, 4, 3, dtype=dtype)
    packed = pack_padded_sequence(x, torch.tensor([2, 4, 1, 3]), enforce_sorted=False)
    hx = torch.randn(model.num_layers * (1 + model.bidirectional), 4, 5, dtype=dtype)
    hx = (hx, hx.flip(0)) if kind is nn.LSTM else hx
    inputs = [(x,), (x, hx), (x[0],), (packed,)]
    expected = [loss_and_gradients(model, *given) for given in inputs]
    assert native_runs == []
    done = gated.accelerate(model)
    assert done.replaced == (kind.__name__,)
    assert_agree([loss_and_gradients(model, *given) for given in inputs], expected, "accelerated")
    assert len(native_runs) == len(inputs)
    assert gated.restore(model).replaced == (kind.__name__,)
    assert type(model) is kind
    assert_agree([loss_and_gradients(model, *given) for given in inputs], expected, "restored")
    assert len(native_runs) == len(inputs)


def test_nothing_else_about_the_layer_changes(native_runs: list[str]) -> None:
    model = Tagger(num_layers=2, dropout=0.5)
    held, optimizer = model.reader, torch.optim.Adam(model.parameters())
    seen = []
    held.register_forward_hook(lambda *_: seen.append("hook"))
    x = torch.randint(11, (4, 2))
    before = (repr(model), list(model.state_dict()), list(map(id, model.parameters())))
    model(x).sum().backward()
    optimizer.step()
    steps = copy.deepcopy(optimizer.state_dict())
    gated.accelerate(model)
    assert (repr(model), list(model.state_dict()), list(map(id, model.parameters()))) == before
    assert model.reader is held
    assert type(held) is nn.LSTM
    assert_agree(optimizer.state_dict()["state"], steps["state"], "optimizer", relative=0)
    model(x).sum().backward()
    optimizer.step()
    assert seen == ["hook"] * 2
    assert native_runs == ["lstm"]
    model.eval()
    assert torch.equal(model(x), model(x))


def test_a_training_goes_the_same_way() -> None:
    """Twenty steps of Adam, accelerated for the middle ten, with two layers tied to each other."""
    x, y = torch.randint(11, (20, 6, 8)), torch.randint(4, (20, 6, 8))
    losses: dict[bool, list[float]] = {False: [], True: []}
    for fast in (False, True):
        torch.manual_seed(1)
        model = Tagger(nn.GRU, num_layers=2).double()
        model.reader.weight_hh_l1 = model.reader.weight_hh_l0
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        for step in range(20):
            if fast and step in (5, 15):
                (gated.accelerate if step == 5 else gated.restore)(model)
            loss = nn.functional.cross_entropy(model(x[step]).flatten(0, 1), y[step].flatten())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses[fast].append(loss.item())
        assert model.reader.weight_hh_l1 is model.reader.weight_hh_l0
    assert_agree(torch.tensor(losses[True]), torch.tensor(losses[False]), "losses", relative=1e-6)


def test_copies_and_pickles_are_accelerated(native_runs: list[str]) -> None:
    model = nn.ModuleList([nn.LSTM(3, 5), Named(3, 5)])
    gated.accelerate(model)
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    x = torch.randn(4, 2, 3)
    for other in (
        copy.deepcopy(model),
        copy.copy(model),
        pickle.loads(pickle.dumps(model)),
        torch.load(file, weights_only=False),
    ):
        for ours, theirs in zip(model, other, strict=True):
            assert type(theirs) is type(ours)
            assert_agree(theirs(x), ours(x), "copy", relative=0)
        assert other[1].meaning == 42
        assert len(gated.restore(copy.deepcopy(other)).replaced) == 2
    assert len(native_runs) == 4 * 4
    ours = copy.deepcopy(model)
    gated.restore(ours)
    assert [type(layer) for layer in ours] == [nn.LSTM, Named]
    assert len(gated.restore(model).replaced) == 2


def test_what_is_saved_names_torchs_class_and_loads_without_gated(tmp_path: Path) -> None:
    layers, x = [kind(3, 5) for kind in KINDS], torch.randn(4, 2, 3)
    for layer in layers:
        gated.accelerate(layer)
    torch.save((layers, x, [layer(x)[0].detach() for layer in layers]), tmp_path / "layers.pt")
    code = (
        "import sys, torch; sys.modules['gated'] = None; kinds = [*map(torch.nn.__dict__.get, "
        "('RNN', 'GRU', 'LSTM'))]\n"
        "with torch.serialization.safe_globals(kinds):\n"
        "    layers, x, expected = torch.load(sys.argv[1], weights_only=True)\n"
        "assert [*map(type, layers)] == kinds\n"
        "torch.testing.assert_close([layer(x)[0] for layer in layers], expected)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "layers.pt")], check=True)


def test_a_copy_of_the_attributes_alone_reads_its_own_weights(native_runs: list[str]) -> None:
    """As `nn.DataParallel` makes its replicas."""
    layer, x = nn.GRU(3, 5), torch.randn(4, 2, 3)
    gated.accelerate(layer)
    before = layer(x)[0]
    replica = nn.GRU.__new__(nn.GRU)
    replica.__dict__ = vars(layer).copy()
    replica._parameters = {n: nn.Parameter(p.detach() * 2) for n, p in layer.named_parameters()}
    replica._flat_weights = list(replica._parameters.values())
    assert_agree(layer(x)[0], before, "the first", relative=0)
    ours = replica(x)[0]
    assert len(native_runs) == 3
    gated.restore(replica)
    assert_agree(ours, replica(x)[0], "the replica")


class Described(nn.LSTM):
    """Attributes of the names that layers of gated have, which mean something else here."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.backend, self.variant, self.layer_norm = "cudnn", 3, True


def test_attributes_of_a_subclass_mean_what_they_did(native_runs: list[str]) -> None:
    layer, x = Described(3, 5), torch.randn(4, 2, 3)
    expected = layer(x)[0]
    gated.accelerate(layer)
    assert_agree(layer(x)[0], expected, "plain")
    assert (layer.backend, layer.variant, layer.layer_norm) == ("cudnn", 3, True)
    assert native_runs == ["lstm"]


def test_streams_of_torchs_layers() -> None:
    layer, x = nn.LSTM(3, 5, 2), torch.randn(4, 3)
    expected = layer(x)[0]
    for _ in range(2):
        stream = gated.stream(layer)
        found = torch.from_numpy(np.stack([stream.step(row).copy() for row in x.numpy()]))
        assert_agree(found, expected, "stream")
        gated.accelerate(layer)
    with pytest.raises(ConfigurationError, match="Linear cannot be streamed"):
        gated.stream(nn.Linear(2, 2))


def test_parametrizations_and_pruning_go_on(native_runs: list[str]) -> None:
    model, x = nn.LSTM(3, 5), torch.randn(4, 2, 3)
    parametrizations.weight_norm(model, "weight_hh_l0")
    prune.random_unstructured(model, "weight_ih_l0", amount=0.5)
    expected = loss_and_gradients(model, x)
    gated.accelerate(model)
    assert_agree(loss_and_gradients(model, x), expected, "both beneath")
    parametrizations.weight_norm(model, "bias_hh_l0", dim=0)
    assert_agree(loss_and_gradients(model, x)[0], expected[0], "one above")
    parametrize.remove_parametrizations(model, "bias_hh_l0")
    parametrize.remove_parametrizations(model, "weight_hh_l0")
    assert gated.accelerate(model).left == {"LSTM": "accelerated already"}
    assert_agree(loss_and_gradients(model, x)[0], expected[0], "none")
    assert len(native_runs) == 3
    gated.restore(model)
    assert_agree(loss_and_gradients(model, x)[0], expected[0], "restored")
    assert len(native_runs) == 3


def test_subclasses(native_runs: list[str]) -> None:
    model = nn.ModuleDict(
        {
            "padded": Padded(3, 5, batch_first=True),
            "named": Named(3, 5),
            "doubled": Doubled(3, 5),
            "permuting": Permuting(3, 5),
            "patched": nn.GRU(3, 5),
            "ours": gated.nn.GRU(3, 5),
            "cell": nn.LSTMCell(3, 5),
        }
    )
    model["patched"].forward = lambda x: x
    model["again"] = model["named"]
    x, lengths = torch.randn(2, 4, 3), torch.tensor([4, 2])
    expected = loss_and_gradients(model["padded"], x, lengths)
    done = gated.accelerate(model)
    assert done.replaced == ("padded", "named")
    assert str(done).splitlines() == [
        "padded: replaced",
        "named: replaced",
        "doubled: left, its class Doubled has a forward of its own",
        "permuting: left, its class Permuting has a permute_hidden of its own",
        "patched: left, its forward was replaced on the object",
    ]
    assert type(model["doubled"]) is Doubled
    assert isinstance(model["padded"], Padded)
    assert_agree(loss_and_gradients(model["padded"], x, lengths), expected, "padded")
    assert torch.equal(model["doubled"](x), x * 2)
    assert native_runs == ["lstm"]
    assert gated.restore(model).replaced == ("padded", "named")
    assert type(model["padded"]) is Padded
    assert str(gated.accelerate(nn.Linear(2, 2))) == "no recurrent layer of torch.nn"


@pytest.mark.filterwarnings("ignore:`torch.jit")  # torch's own use of it
def test_what_the_core_cannot_compute_torch_computes(native_runs: list[str]) -> None:
    model, x = nn.GRU(3, 5), torch.randn(4, 2, 3)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = model(x.bfloat16())
    gated.accelerate(model)
    with torch.autocast("cpu", torch.bfloat16):
        assert_agree(model(x.bfloat16()), mixed, "autocast", relative=0)
    assert model.to("meta")(x.to("meta"))[0].is_meta
    assert native_runs == []


def test_errors_are_torchs() -> None:
    plain, fast = nn.GRU(3, 5), nn.GRU(3, 5)
    gated.accelerate(fast)
    for wrong in ((torch.randn(4, 2, 7),), (torch.randn(4, 2, 3), torch.randn(1, 3, 5)), (3,)):
        with pytest.raises(Exception, match="e") as of_torch:
            plain(*wrong)
        with pytest.raises(type(of_torch.value)) as ours:
            fast(*wrong)
        assert str(ours.value) == str(of_torch.value)


def test_gates_of_a_layer_of_torch() -> None:
    model, x = nn.LSTM(3, 5, batch_first=True), torch.randn(2, 4, 3)
    gated.accelerate(model)
    output, (_, cell), (gates,) = model(x, return_gates=True)
    assert_agree(gates["hidden"], output, "hidden", relative=0)
    assert_agree(gates["cell"][:, -1], cell[0], "cell", relative=0)


@pytest.mark.filterwarnings("ignore:`torch.jit", "ignore::torch.jit.TracerWarning")
def test_an_accelerated_model_compiles_and_exports() -> None:
    model, x = Tagger(nn.LSTM).eval(), torch.randint(11, (4, 2))
    expected = model(x)
    gated.accelerate(model)
    with torch._dynamo.config.patch(allow_rnn=True):
        compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
        assert_agree(compiled(x), expected, "compiled")
    program = torch.export.export(model, (x,))
    assert any("gated.layer" in str(node.target) for node in program.graph.nodes)
    assert_agree(program.module()(x), expected, "exported")
    assert_agree(torch.jit.trace(model, x)(x), expected, "traced")
    assert_agree(torch.fx.symbolic_trace(model)(x), expected, "traced by fx")


def test_without_the_extension_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise MissingNativeError("not built")

    monkeypatch.setattr(native, "extension", missing)
    model = nn.GRU(3, 5)
    with pytest.raises(MissingNativeError, match="not built"):
        gated.accelerate(model)
    assert type(model) is nn.GRU


def test_the_package_imports_without_torch() -> None:
    code = (
        "import sys; import gated; assert 'torch' not in sys.modules; "
        "gated.accelerate; assert 'torch' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = gated.nothing  # type: ignore[attr-defined]
