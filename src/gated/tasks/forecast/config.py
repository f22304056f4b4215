"""What to forecast, from what, and with which network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

from gated.errors import ConfigurationError


@dataclass(frozen=True, kw_only=True)
class ForecastConfig:
    """Which columns, which windows and which network."""

    time: str
    """Column of time stamps."""
    target: str
    """Column to forecast."""
    series: str | None = None
    """Column that names the series, when the table holds several."""
    horizon: int
    """Steps to forecast."""
    known: tuple[str, ...] = ()
    """Columns whose future values are known when forecasting (prices, holidays, plans)."""
    past: tuple[str, ...] | None = None
    """Columns of which only the past is known. By default every other usable column."""
    time_format: str | None = None
    """How the time is written (`%d/%m/%Y`), where the values alone cannot tell."""
    every: str | None = None
    """Time between steps (`1h`, `15m`, `1d`, `1mo`), or `row` where each row is a step.
    By default found from the data."""
    history: int | None = None
    """Steps that the encoder reads. By default three horizons, at least one season."""
    season: int | None = None
    """Steps after which the pattern repeats, for the baseline. By default from `every`."""
    test: str | int | None = None
    """What is held back for the score: a time (`28d`) or a number of steps at the end.
    By default the last tenth, at least one horizon."""
    validation: float = 0.1
    """Share of the training part, in stretches spread over it, that chooses the best weights and
    sets the width of the intervals."""
    stride: int | None = None
    """Steps from one test forecast to the next. By default the horizon."""
    quantiles: tuple[float, ...] = (0.1, 0.5, 0.9)
    """Quantiles to forecast, ascending, 0.5 among them."""
    cell: Literal["lstm", "gru", "rnn"] = "lstm"
    """Recurrent cell of encoder and decoder."""
    hidden: int = 64
    """Units per layer."""
    layers: int = 1
    """Layers of encoder and decoder."""
    dropout: float = 0.0
    """Dropout between layers and before the output."""
    variational_dropout: float = 0.0
    """Dropout on the inputs with one mask for all steps (Gal and Ghahramani 2016)."""

    def __post_init__(self) -> None:
        for name in ("horizon", "history", "season", "stride"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigurationError(f"{name} is {value}; it counts steps, so 1 or more.")
        if not 0 <= self.validation < 1:
            raise ConfigurationError(
                f"validation is {self.validation}; it is a share of the training part, 0 to 1."
            )
        if 0.5 not in self.quantiles or not all(0 < q < 1 for q in self.quantiles):
            raise ConfigurationError(
                f"quantiles are {self.quantiles}; they lie between 0 and 1, 0.5 among them."
            )
        if list(self.quantiles) != sorted(set(self.quantiles)):
            raise ConfigurationError(
                f"quantiles are {self.quantiles}; they ascend, each named once."
            )
        roles = [self.time, self.target, self.series, *self.known, *(self.past or ())]
        for column in filter(None, roles):
            if roles.count(column) > 1:
                raise ConfigurationError(
                    f"column '{column}' is named for two roles among time, target, series, known "
                    "and past; a column has one."
                )

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
        }

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Self:
        """Return what `to_dict` saved, also after a way through JSON.

        >>> config = ForecastConfig(time="t", target="y", horizon=2, known=("price",))
        >>> ForecastConfig.from_dict(config.to_dict()) == config
        True
        """
        fields: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in saved.items()
        }
        return cls(**fields)
