"""Tools around PyTorch treat gated's layers, and accelerated ones, as torch's own."""

from __future__ import annotations

import copy
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.comparison import assert_agree
from torch import nn
from torch.nn.utils import parametrizations, prune

import gated

ROOT = Path(__file__).parents[2]
X = torch.randn(4, 2, 3)


def layers(kind: str = "LSTM") -> list[Any]:
    """One of gated, and one of torch that runs on the core."""
    fast = getattr(nn, kind)(3, 5)
    gated.accelerate(fast)
    return [getattr(gated.nn, kind)(3, 5), fast]


def test_every_row_of_the_table_has_its_test() -> None:
    for language in ("en", "zh"):
        page = (ROOT / "docs" / language / "layers.md").read_text()
        rows = re.findall(r"\| `(test_\w+\.py)`(?: `(\w+)`)? \|$", page, re.M)
        assert len(rows) == 20
        for file, test in rows:
            text = (ROOT / "tests/nn" / file).read_text()
            assert f"def {test}(" in text if test else "def test_" in text


@pytest.mark.filterwarnings("ignore:.*deprecated")
@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_quantize_dynamic(kind: str) -> None:
    model = nn.Sequential(layers(kind)[1])
    quantised = torch.ao.quantization.quantize_dynamic(model, {nn.LSTM, nn.GRU})
    plain = nn.Sequential(copy.deepcopy(model[0]))
    gated.restore(plain)
    expected = torch.ao.quantization.quantize_dynamic(plain, {nn.LSTM, nn.GRU})
    assert type(quantised[0]) is getattr(torch.ao.nn.quantized.dynamic, kind)
    assert_agree(quantised(X)[0], expected(X)[0], kind, relative=0)


@pytest.mark.filterwarnings("ignore")
def test_opacus() -> None:
    from opacus.validators import ModuleValidator

    plain = nn.Sequential(nn.LSTM(3, 5))
    verdicts = [str(ModuleValidator.validate(plain))]
    gated.accelerate(plain)
    verdicts.append(str(ModuleValidator.validate(plain)))
    assert verdicts[0] == verdicts[1] != "[]"


def test_ema() -> None:
    for layer in layers():
        averaged = torch.optim.swa_utils.AveragedModel(layer)
        averaged.update_parameters(layer)
        assert_agree(averaged(X)[0], layer(X)[0], "averaged", relative=0)


@pytest.mark.parametrize("norm", [parametrizations.weight_norm, parametrizations.spectral_norm])
def test_weight_and_spectral_norm(norm: Any) -> None:
    for layer in layers():
        plain = nn.LSTM(3, 5)
        plain.load_state_dict(layer.state_dict())
        for one in (layer, plain):
            torch.manual_seed(0)
            norm(one, "weight_hh_l0")
            one.eval()
        assert_agree(layer(X)[0], plain(X)[0], "normalised")


def test_pruning() -> None:
    for layer in layers():
        prune.l1_unstructured(layer, "weight_hh_l0", amount=0.5)
        assert int((layer.weight_hh_l0 == 0).sum()) == 50
        found, plain = layer(X)[0], nn.LSTM(3, 5)
        prune.remove(layer, "weight_hh_l0")
        plain.load_state_dict(layer.state_dict())
        assert_agree(found, plain(X)[0], "pruned")


def test_hooks() -> None:
    for layer in layers():
        seen: list[str] = []
        layer.register_forward_pre_hook(lambda *_, seen=seen: seen.append("before"))
        layer.register_forward_hook(lambda *_, seen=seen: seen.append("after"))
        layer.register_full_backward_hook(lambda *_, seen=seen: seen.append("back"))
        layer(X.clone().requires_grad_())[0].sum().backward()
        assert seen == ["before", "after", "back"]


def test_deepcopy() -> None:
    for layer in layers():
        copied = copy.deepcopy(layer)
        expected = layer(X)[0]
        with torch.no_grad():
            layer.weight_hh_l0.mul_(2)
        assert type(copied) is type(layer)
        assert_agree(copied(X)[0], expected, "copy", relative=0)


class Windows(torch.utils.data.Dataset[torch.Tensor]):
    """A data set that asks a layer."""

    def __init__(self, layer: Any) -> None:
        self.layer = layer

    def __len__(self) -> int:
        return 3

    def __getitem__(self, place: int) -> torch.Tensor:
        with torch.no_grad():
            found: torch.Tensor = self.layer(X * place)[0]
        return found


def test_forked_loaders() -> None:
    for layer in layers():
        loader = torch.utils.data.DataLoader(
            Windows(layer), num_workers=1, multiprocessing_context="fork"
        )
        for place, found in enumerate(loader):
            assert_agree(found[0], layer(X * place)[0], "worker", relative=0)


def _train(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2
    )
    for name, layer in zip(("ours", "fast"), layers(), strict=True):
        model = nn.parallel.DistributedDataParallel(layer)
        torch.manual_seed(rank)
        model(torch.randn(4, 2, 3))[0].square().sum().backward()
        gradients = [parameter.grad for parameter in layer.parameters()]
        torch.save((layer.state_dict(), gradients), f"{folder}/{name}{rank}.pt")
    torch.distributed.destroy_process_group()


def test_ddp(tmp_path: Path) -> None:
    code = (
        "import sys; from tests.nn.test_tools import _train; _train(int(sys.argv[1]), sys.argv[2])"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", code, str(rank), str(tmp_path)], cwd=ROOT)
        for rank in (0, 1)
    ]
    assert [process.wait() for process in started] == [0, 0]
    for name in ("ours", "fast"):
        (state, first), (_, second) = (torch.load(tmp_path / f"{name}{r}.pt") for r in (0, 1))
        assert_agree(second, first, "both processes", relative=0)
        plain = nn.LSTM(3, 5)
        plain.load_state_dict(state)
        for rank in (0, 1):
            torch.manual_seed(rank)
            (plain(torch.randn(4, 2, 3))[0].square().sum() / 2).backward()
        assert_agree(first, [parameter.grad for parameter in plain.parameters()], "mean")
