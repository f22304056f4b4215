# %% [markdown] lang="en"
# # Write a cell of your own
#
# A recurrent cell is a function of the input and of the states of the step before. You write it once, as
# its equations; gradients, the loop over time and streams follow from it. See also
# [layers](../layers.md#your-own-cell).
# %% [markdown] lang="zh"
# # 写一个自己的单元
#
# 循环单元是一个函数，参数是输入和上一步的状态。只需按公式写一次，梯度、沿时间的循环、逐步运行都由它得出。另见[循环层](../layers.md#自己定义单元)。
# %%
import numpy as np
import torch
from torch import nn

import gated
from gated.cells import PerUnit, cell, sigmoid, tanh


@cell(gates={"i": "input_gate", "g": "candidate", "o": "output_gate"})
def fading(x, h, c, *, fade: PerUnit):
    """Each unit keeps the same share of its memory at every step, and learns how much that is."""
    c = sigmoid(fade) * c + sigmoid(x.i + h.i) * tanh(x.g + h.g)
    return sigmoid(x.o + h.o) * tanh(c), c


fading
# %% [markdown] lang="en"
# `x.i` is the product of the input with the weights of gate `i`, `h.i` that of the hidden state; `fade` is one
# learned number for each unit. In a notebook, a cell shows its equations and its picture.
#
# The layer has the signature of `torch.nn.LSTM`. Its gradients are exact, as PyTorch's own check by finite
# differences confirms:
# %% [markdown] lang="zh"
# `x.i` 是输入与门 `i` 的权重之积，`h.i` 是隐藏状态的；`fade` 是每个单元学习得到的一个数。在笔记本里，单元会显示自己的公式和图。
#
# 层的签名与 `torch.nn.LSTM` 相同。梯度是精确的，PyTorch 自带的有限差分检验可以证明：
# %%
small = gated.nn.Recurrent(fading, 2, 3).double()
x = torch.randn(4, 1, 2, dtype=torch.float64, requires_grad=True)
torch.autograd.gradcheck(lambda x: small(x)[0], x)
# %% [markdown] lang="en"
# Now on real data: daily closing prices of a stock (`bokeh_sampledata`), as logarithms of the change from day
# to day. Large changes come in clusters, so the size of tomorrow's change can be forecast from those of
# the last 30 days. The network is trained on the first 80 % and compared on the rest with the mean size.
# %% [markdown] lang="zh"
# 现在用真实数据：一只股票每天的收盘价（`bokeh_sampledata`），取日间变化的对数。大的变化往往接连出现，所以可以由过去 30 天预测明天变化的大小。网络在前 80 % 上训练，在其余部分与平均大小相比。
# %%
from importlib.util import find_spec
from pathlib import Path

import polars as pl

stocks = Path(find_spec("bokeh_sampledata").origin).parent / "_data" / "stocks.csv.gz"
prices = pl.read_csv(stocks).filter(pl.col("Ticker") == "IBM")["Close"].to_numpy()
sizes = np.abs(np.diff(np.log(prices))).astype(np.float32)
sizes = np.log(sizes + 1e-3)
sizes = torch.from_numpy((sizes - sizes.mean()) / sizes.std())
windows = sizes.unfold(0, 31, 1)  # 30 days and the day after
x, target = windows[:, :30, None], windows[:, 30]
train = int(0.8 * len(x))

torch.manual_seed(0)
layer, last = gated.nn.Recurrent(fading, 1, 16, batch_first=True), nn.Linear(16, 1)
optimizer = torch.optim.Adam([*layer.parameters(), *last.parameters()], 5e-3)


def predicted(x):
    return last(layer(x)[0][:, -1]).squeeze(1)


for _ in range(200):
    some = torch.randint(0, train, (64,))
    loss = (predicted(x[some]) - target[some]).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

with torch.no_grad():
    error = (predicted(x[train:]) - target[train:]).square().mean().item()
mean = (target[:train].mean() - target[train:]).square().mean().item()
print(f"mean squared error: {error:.3f} by the network, {mean:.3f} by the mean")
assert error < mean
# %% [markdown] lang="en"
# What the units have learned about fading: the share of its memory that each keeps from one day to the next.
# %% [markdown] lang="zh"
# 各单元学到的衰减：从一天到下一天，每个单元保留记忆的多大份额。
# %%
fade = dict(layer.named_parameters())["fade_l0"]
np.round(np.sort(torch.sigmoid(fade).detach().numpy().ravel()), 2)
