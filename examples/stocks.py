"""Stock prices: the honest test of a forecaster.

    python examples/stocks.py

Daily closing prices of five stocks to 2013 (package bokeh_sampledata). Prices are close to a
random walk, so no network should beat "the last price again" by much, and the verdict says so.
"""

from data import locate
from gated.tasks.forecast import ForecastConfig, Forecaster

forecaster = Forecaster(
    ForecastConfig(time="Date", target="Close", series="Ticker", horizon=5, test=100)
)
forecaster.fit(locate("stocks"))
evaluation = forecaster.score()
print(evaluation.verdict)
for method, scores in evaluation.overall.items():
    print(
        f"{method:15} MAE {scores['mae']:.3f}  MASE {scores['mase']:.3f}  "
        f"coverage {scores['coverage']:.3f}"
    )
