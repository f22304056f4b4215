# %% [markdown] lang="en"
# # Explain what a network remembers
#
# The network is the small LSTM that comes with `gated explore`: it reads English one character at a time and
# predicts the next one. We read its gates, find out which characters its memory is made of, and hold a gate
# shut to see what changes. The page on [explanations](../explain.md) has every function.
# %% [markdown] lang="zh"
# # 解释网络记住了什么
#
# 这里的网络是 `gated explore` 自带的小 LSTM：逐个字符地读英文，预测下一个字符。我们读出它的门，找出它的记忆由哪些字符写成，再把一个门关上，看什么随之改变。所有函数见[解释](../explain.md)。
# %%
import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import nn

from gated.explain import Intervention, intervene, ledger, trace
from gated.serve.character_model import load_models

network = next(model for model in load_models() if model.name == "lstm")
characters = len(network.vocabulary)


class Reader(nn.Module):
    """The network in PyTorch: one-hot characters in, logits of the next character out."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(characters, network.units)
        self.last = nn.Linear(network.units, characters)

    def forward(self, x):
        return self.last(self.lstm(x)[0])


reader = Reader().eval()
weights = [w for w in network.weights if w is not None]
weights += [network.output_weight, network.output_bias]
with torch.no_grad():
    for parameter, value in zip(reader.parameters(), weights, strict=True):
        parameter.copy_(torch.from_numpy(value))

text = "To-morrow, and to-morrow, and to-morrow,\nCreeps in this petty pace from day to day,\n"
codes = network.encode(text)
x = torch.from_numpy(network.one_hot(codes))  # (T, 1, V)


def bits():
    """How much the next character surprises the network, in bits, on average."""
    with torch.no_grad():
        return nn.functional.cross_entropy(reader(x)[:-1, 0], torch.from_numpy(codes[1:])) / np.log(
            2
        )


print(f"{network.units} units, {bits():.2f} bits a character")
# %% [markdown] lang="en"
# `trace` runs the network once and keeps every gate at every step. Below are the forget gates of the 16 units
# whose gate varies most: dark is open (the memory is kept), light is shut (it is erased).
# %% [markdown] lang="zh"
# `trace` 运行网络一次，留下每一步的每个门。下面是变化最大的 16 个单元的遗忘门：深色为打开（保留记忆），浅色为关上（抹去记忆）。
# %%
seen = trace(reader, x).layers[0]
forget = seen.forget_gate[:, 0]  # (T, H)
shown = np.argsort(forget.std(0))[-16:]
figure, axes = plt.subplots(figsize=(11, 3.2))
picture = axes.imshow(forget[:41, shown].T, cmap="Blues", vmin=0, vmax=1, aspect="auto")
axes.set_xticks(range(41), list(text[:41].replace("\n", "↵")), fontfamily="monospace")
axes.set_yticks(range(16), shown, fontsize=7)
axes.set(ylabel="unit")
figure.colorbar(picture, label="forget gate")
# %% [markdown] lang="en"
# An LSTM's memory is a sum of what each step wrote, times the forget gates since. `ledger` gives its terms.
# Here is the unit with the largest memory at the end of the first line:
# %% [markdown] lang="zh"
# LSTM 的记忆是一个和：每一步写入的值，乘以此后各步的遗忘门。`ledger` 给出其中各项。这里取第一行末尾记忆最大的单元：
# %%
end = text.index("\n")
unit = int(np.abs(seen.cell[end, 0]).argmax())
found = ledger(reader, x, unit=unit, step=end)
assert np.isclose(found.written.sum() + found.initial, found.state, rtol=1e-4)
largest = np.argsort(-np.abs(found.written))[:5]
print(f"unit {unit}: {found.state:+.2f}, of which")
for step in largest:
    print(f"  {found.written[step]:+.2f} was written at step {step}, {text[step]!r}")
# %% [markdown] lang="en"
# Reading is not proof that the memory is used. So we shut all forget gates, which erases the memory at every
# step, and look at the loss:
# %% [markdown] lang="zh"
# 读出来并不证明记忆有用。所以我们把全部遗忘门关上，每一步都抹去记忆，再看损失：
# %%
with intervene(reader, Intervention("forget_gate", value=0.0)):
    without = bits()
print(f"{bits():.2f} bits a character with the memory, {without:.2f} without it")
assert without > bits()
