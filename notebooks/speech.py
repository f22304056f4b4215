# %% [markdown] lang="en"
# # Recognise who is speaking
#
# 640 recordings of two Japanese vowels, one after the other, by nine men (Kudo, Toyama and Shimbo 1999; they
# come with the package `aeon`). Each is a sequence of 7 to 29 steps of 12 cepstral coefficients. Who is
# speaking? To transcribe recordings of sentences, see [speech recognition](../speech.md).
# %% [markdown] lang="zh"
# # 识别是谁在说话
#
# 九位男士连续念两个日语元音的 640 段录音（Kudo、Toyama 与 Shimbo，1999；随 `aeon` 包一起安装）。每段是 7 到 29 步的序列，每步 12 个倒谱系数。说话的是谁？要转写整句的录音，见[语音识别](../speech.md)。
# %%
from importlib.util import find_spec
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from gated.tasks.classify import SequenceClassifier, SequenceTraining

folder = Path(find_spec("aeon").origin).parent / "datasets" / "data" / "JapaneseVowels"


def recordings(name):
    """Sequences (T, 12) and the speaker of each."""
    lines = (folder / name).read_text().split("@data")[1].split("\n")
    rows = [line.strip().split(":") for line in lines if line.strip()]
    return (
        [np.array([channel.split(",") for channel in row[:-1]], np.float32).T for row in rows],
        [row[-1] for row in rows],
    )


x, speakers = recordings("JapaneseVowels_TRAIN.ts")
new, truth = recordings("JapaneseVowels_TEST.ts")
print(len(x), "recordings to learn from,", len(new), "to test")
# %%
figure, axes = plt.subplots(1, 3, figsize=(9, 2.4), sharey=True)
for place, axis in zip((0, 100, 200), axes, strict=True):
    axis.imshow(x[place].T, aspect="auto", cmap="RdBu", vmin=-1, vmax=1)
    axis.set(title=f"speaker {speakers[place]}", xlabel="step")
axes[0].set_ylabel("coefficient")
# %% [markdown] lang="en"
# The classifier has scikit-learn's interface and takes sequences of any lengths.
# %% [markdown] lang="zh"
# 分类器的用法与 scikit-learn 相同，序列可以有任意长度。
# %%
classifier = SequenceClassifier(
    cell="lstm", hidden=32, training=SequenceTraining(steps=200, threads=1, seed=0)
)
classifier.fit(x, speakers)
print(f"{classifier.score(new, truth):.1%} of {len(new)} new recordings are given to their speaker")
# %% [markdown] lang="en"
# How early does the network know? It reads only the first steps of each recording:
# %% [markdown] lang="zh"
# 网络多早就能知道？只让它读每段录音的前几步：
# %%
for steps in (1, 3, 5, 7):
    print(steps, f"{classifier.score([one[:steps] for one in new], truth):.0%}")
