"""The forecaster of a run, loaded with NumPy and safetensors alone."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np

from gated import model_files
from gated.configuration import from_json_values
from gated.errors import ConfigurationError, MissingExtraError, ModelFileError, option
from gated.tasks.forecast.config import ForecastConfig
from gated.tasks.forecast.live import LiveForecaster
from gated.tasks.forecast.live_state import identity_of
from gated.tasks.forecast.outlook import Outlook, RuntimeOutlook, check_learned
from gated.tasks.forecast.partners import are_refitted
from gated.tasks.forecast.preprocessing import Preprocessing
from gated.tasks.forecast.runtime_network import Network, Singles, runtime_network
from gated.tasks.forecast.windows import Windows

PAST = "past.safetensors"
"""The file of a run that holds the state of its forecaster after the rows of the training table."""


def load_live(run: Path, stored_as: str | None = None, *, past: bool = True) -> LiveForecaster:
    """Load the forecaster of a run, which takes rows as they come and forecasts what follows.

    Args:
        run: its directory.
        stored_as: only "float32".
        past: whether to begin with the rows that the run keeps, if it does.

    Raises:
        ModelFileError: there is no forecaster, it is damaged, or an earlier version wrote it.
        MissingExtraError: it takes what is not installed; the message says what.
    """
    if stored_as not in (None, "float32"):
        raise ConfigurationError(
            f"{option('stored_as')} is {stored_as!r}: a forecaster is stored as 'float32'."
        )
    weights, description = model_files.load_model(run, "forecast")
    check_version(run, description)
    try:
        config = from_json_values(ForecastConfig, description["config"])
        demand_installed(run, config)
        if config.distribution != "quantiles":
            from gated.tasks.forecast.forecaster import Forecaster

            live = Forecaster.load(run).live()
        else:
            live = _loaded(config, weights, description)
    except (MissingExtraError, ModelFileError):
        raise
    except Exception as error:  # no file may hold what leads to a traceback
        raise ModelFileError(f"The model in {run} is damaged: {error}.") from error
    path = model_files.attached_file(run, PAST) if past else None
    if path is not None:
        live.restore(path.read_bytes(), f"The past of {run} ({path.name})")
    return live


def _loaded(
    config: ForecastConfig, weights: Mapping[str, Singles], description: Mapping[str, Any]
) -> LiveForecaster:
    fitted = from_json_values(Preprocessing, description["preprocessing"])
    hints = get_type_hints(Outlook)
    learned = ("baselines", "shares", "calibration", "dependence", "held_out_from")
    given = {
        name: from_json_values(hints[name], description.get(name))
        for name in learned
        if name in description or name != "dependence"
    }
    middle = config.quantiles.index(0.5)
    network = runtime_network(weights, config.cell, config.layers, middle)
    outlook = RuntimeOutlook(
        name=config.cell.upper(), config=config, runtime=network, **{"dependence": None} | given
    )
    check_learned(
        config,
        len(fitted.series),
        calibration=outlook.calibration,
        baselines=outlook.baselines,
        shares=outlook.shares,
        dependence=outlook.dependence,
    )
    _check_shapes(network, fitted)
    return LiveForecaster(outlook, fitted, identity_of(weights, fitted))


def check_version(run: Path | str, description: Mapping[str, Any]) -> None:
    """Refuse a run of a version whose forecasters were made otherwise; raises `ModelFileError`."""
    learned, config = (description.get(name) for name in ("preprocessing", "config"))
    lacks = []
    if isinstance(learned, dict) and "smoothing" not in learned:
        lacks.append("exponential smoothing")
    if isinstance(config, dict) and isinstance(config.get("partner"), str):
        lacks.append("several partners")
    if lacks:
        raise ModelFileError(
            f"The model in {run} was fitted by an earlier version of gated, without "
            f"{lacks[0]}. Fit it anew, or use the version that wrote it."
        )


def demand_installed(run: Path, config: ForecastConfig) -> None:
    """Check that what the options of a forecaster take is there; raises `MissingExtraError`."""
    asked: list[tuple[str, tuple[str, ...], str]] = []
    if config.distribution != "quantiles":
        needed = ("torch", "scipy", "msgspec", "polars")
        asked.append((f"its distribution, {config.distribution}", needed, "train"))
    if are_refitted(config.partner or ()):
        partners = ", ".join(config.partner or ())
        asked.append((f"its partner, {partners}", ("statsforecast",), "statistics"))
    if config.country is not None:
        asked.append((f"the holidays of {config.country}", ("holidays",), "forecast"))
    for what, modules, extra in asked:
        for module in modules:
            if not _is_installed(module):
                raise MissingExtraError(
                    f"The forecaster in {run} needs {module} for {what}. Install it with: pip "
                    f"install 'gated[{extra}]', or fit a forecaster without.",
                    name=module,
                )


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ImportError:
        return False


def _check_shapes(network: Network, fitted: Preprocessing) -> None:
    """Run a window of zeros: what does not fit raises an error now, and not at the first row."""
    config, seasons = fitted.config, len(fitted.config.seasons)
    history, horizon, futures = config.history or 1, config.horizon, len(fitted.future_names)
    single, whole = np.zeros(1), np.zeros(1, np.int64)

    def zeros(*shape: int, kind: type = np.float32) -> Any:
        return np.zeros(shape, kind)

    found = network.quantiles(
        Windows(
            origins=whole,
            series=whole + len(fitted.series) - 1,
            inputs=zeros(history, 1, len(fitted.input_names)),
            categories=zeros(history, 1, len(fitted.text_names), kind=np.int64),
            future=zeros(horizon, 1, futures),
            future_categories=zeros(horizon, 1, len(fitted.known_texts), kind=np.int64),
            last=zeros(1),
            smooth=zeros(horizon, 1),
            remainder=zeros(1),
            location=single,
            scale=single,
            lags=zeros(history, 1, seasons),
            future_lags=zeros(horizon, 1, seasons),
            target=zeros(horizon, 1),
            weight=zeros(horizon, 1),
        )
    )
    if found.shape != (horizon, 1, len(config.quantiles)):
        raise ValueError(f"its network forecasts {found.shape}")
