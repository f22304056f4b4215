# %% [markdown] lang="en"
# # Accelerate a PyTorch model
#
# `gated.accelerate(model)` runs the recurrent layers of a model on the native core, in place: the model, its
# parameters and its results stay what they are. Details are on the page on [layers](../layers.md).
# %% [markdown] lang="zh"
# # 加速一个 PyTorch 模型
#
# `gated.accelerate(model)` 让模型里的循环层就地改用原生内核：模型、参数、结果都不变。细节见[循环层](../layers.md)。
# %%
import copy
import time
from statistics import median

import torch
from torch import nn

import gated

torch.set_num_threads(1)


class Tagger(nn.Module):
    """An ordinary PyTorch model: nothing in it is of gated."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(128, 32)
        self.lstm = nn.LSTM(32, 128, num_layers=2, batch_first=True, bidirectional=True)
        self.last = nn.Linear(256, 128)

    def forward(self, text):
        return self.last(self.lstm(self.embed(text))[0])


torch.manual_seed(0)
plain = Tagger()
fast = copy.deepcopy(plain)
print(gated.accelerate(fast))
# %% [markdown] lang="en"
# The input is real text: this licence of Python's, cut into 16 sequences of 100 characters. Outputs and every
# gradient agree up to rounding.
# %% [markdown] lang="zh"
# 输入是真实的文本：Python 的许可证，切成 16 条 100 个字符的序列。输出和每个梯度都相同，只差舍入。
# %%
license._Printer__setup()
letters = "\n".join(license._Printer__lines).encode("ascii", "ignore")[:1616]
text = torch.tensor([list(letters[i : i + 101]) for i in range(0, 1600, 100)])


def loss_of(model):
    logits = model(text[:, :-1])
    return nn.functional.cross_entropy(logits.flatten(0, 1), text[:, 1:].flatten())


for model in (plain, fast):
    loss_of(model).backward()
torch.testing.assert_close(fast(text), plain(text), rtol=1e-4, atol=1e-5)
for ours, theirs in zip(fast.parameters(), plain.parameters(), strict=True):
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-3, atol=1e-5)
print("outputs and gradients agree")


# %% [markdown] lang="en"
# The time of a training step's forward and backward pass, turn by turn, so that both see the same machine:
# %% [markdown] lang="zh"
# 一个训练步前向与反向的时间，轮流测量，使两者面对同样的机器：
# %%
def seconds(model):
    start = time.process_time()
    loss_of(model).backward()
    return time.process_time() - start


turns = [(seconds(plain), seconds(fast)) for _ in range(9)]
print(f"torch: {1000 * median(t for t, _ in turns):.0f} ms of processor time")
print(f"accelerated: {1000 * median(t for _, t in turns):.0f} ms")
print(f"median of the ratios: {median(b / a for a, b in turns):.2f}")
# %% [markdown] lang="en"
# `gated.restore` gives the layers back to torch.
# %% [markdown] lang="zh"
# `gated.restore` 把各层交还给 torch。
# %%
gated.restore(fast)
