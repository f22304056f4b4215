"""Options of forecasting: columns, windows and network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from gated.configuration import Configuration
from gated.errors import ConfigurationError, option

PARTNER_NAMES = ("pretrained", "ets", "theta", "mstl")


@dataclass(frozen=True, kw_only=True)
class ForecastConfig(Configuration):
    """Options of columns, windows and network."""

    time: str
    """Column of time stamps."""
    target: tuple[str, ...] | str
    """Column to forecast, or several, which one network forecasts from the past of all."""
    series: str | None = None
    """Column that names the series, when the table holds several."""
    horizon: int
    """Steps to forecast."""
    known: tuple[str, ...] = ()
    """Columns whose future values are known when forecasting (prices, holidays, plans)."""
    static: tuple[str, ...] = ()
    """Columns of numbers or texts that hold for a series as a whole (its kind, its region); one
    value in a series is enough. They tell of series that training has not seen."""
    country: str | None = None
    """Country whose public holidays are known ahead, by its code (`DE`, `US`), perhaps with one of
    its parts (`DE-BY`)."""
    past: tuple[str, ...] | None = None
    """Columns whose future values are not known. By default every other usable column."""
    time_format: str | None = None
    """How the time is written (`%d/%m/%Y`), or what its numbers are: `excel` for days as Excel
    stores them, `count`, `seconds`, `milliseconds`; where the values alone cannot tell."""
    day_first: bool | None = None
    """Whether 01/02/2000 is the first of February, where the values alone cannot tell;
    `--no-day-first` where it is not."""
    decimal: Literal[".", ","] | None = None
    """The decimal separator, for columns that can be read in two ways (`1,234`)."""
    encoding: str | None = None
    """Encoding of a CSV file that is neither UTF-8 nor UTF-16 (`windows-1252`, `gb18030`)."""
    every: str | None = None
    """Time between steps (`1h`, `15m`, `1d`, `1mo`), or `row` where each row is a step.
    By default found from the data."""
    history: int | None = None
    """Past steps that the network reads. By default three horizons, at least one season."""
    season: tuple[int, ...] | None = None
    """Steps after which the pattern repeats: one number or several (`24 168`), the usual season
    first. By default what the calendar suggests and the training part holds twice or so."""
    test: str | int | None = None
    """What is held back for the score: a time (`28d`) or a number of steps at the end; with 0
    the network learns from all data, and has no score. By default the last tenth, at least one
    horizon."""
    validation: float = 0.1
    """Share of the training part, in stretches spread over it, that chooses the best weights and
    sets the width of the intervals."""
    stride: int | None = None
    """Steps from one test forecast to the next. By default the horizon."""
    quantiles: tuple[float, ...] = (0.1, 0.5, 0.9)
    """Quantiles to forecast, ascending, 0.5 among them."""
    distribution: Literal["quantiles", "student-t", "negative-binomial"] = "quantiles"
    """What the network learns of each step: the quantiles alone, or a distribution whose quantiles
    they are: Student's t, for values that now and then lie far off; the negative binomial, for
    counts."""
    cell: Literal["lstm", "gru", "rnn"] = "lstm"
    """Recurrent cell of encoder and decoder."""
    hidden: int = 64
    """Units per layer."""
    layers: int = 1
    """Layers of encoder and decoder."""
    members: int | None = None
    """Networks whose forecasts are averaged, each trained without its share of the validation
    part. By default 4 where there are few windows to learn from, else 1."""
    partner: tuple[Literal["pretrained", "ets", "theta", "mstl", "none"], ...] | None = None
    """Whose forecasts the network's are averaged with, in shares that the validation part sets: the
    network that comes with the package (`pretrained`), statistical methods that are fitted anew at
    each window, one or several, or nobody's. By default the pretrained network's, unless there are
    other columns than the target, which no partner reads."""
    dropout: float = 0.0
    """Dropout between layers and before the output."""
    variational_dropout: float = 0.0
    """Dropout on the inputs with one mask for all steps (Gal and Ghahramani 2016)."""
    continues: bool = False
    """Whether the table goes on where that of `init_from` ended, as with `gated update`: series
    that are known keep their scales, and what was held out of the training stays held out."""
    no_keep_rows: bool = False
    """Leave the last rows of each series out of the run; by default it has as many as a forecast
    reads, so that `gated.load` goes on from them without the table."""
    skip_bad: bool = False
    """Leave out rows that cannot be used, and list them, where otherwise the first is an error."""

    def __post_init__(self) -> None:
        given: Any = self.season
        if isinstance(given, int):
            object.__setattr__(self, "season", (given,))
        if not isinstance(self.target, str):
            one = len(self.target) == 1
            object.__setattr__(self, "target", self.target[0] if one else tuple(self.target))
        partner: Any = self.partner
        if partner is not None:
            named = (partner,) if isinstance(partner, str) else tuple(partner)
            object.__setattr__(self, "partner", () if named == ("none",) else named)
        super().__post_init__()
        self._demand(horizon=1, history=1, stride=1, hidden=1, layers=1, members=1)
        if self.season is not None and not (self.season and min(self.season) >= 1):
            raise ConfigurationError(f"{option('season')} is {self.season}; it must be 1 or more.")
        if self.season is not None and len(set(self.season)) < len(self.season):
            raise ConfigurationError(f"{option('season')} is {self.season}; each is named once.")
        names = self.partner or ()
        if len(set(names)) < len(names) or not set(names) <= set(PARTNER_NAMES):
            raise ConfigurationError(
                f"{option('partner')} is {', '.join(map(repr, names))}: give some of "
                f"{', '.join(PARTNER_NAMES)}, each once, or 'none' alone."
            )
        self._demand_shares("validation", "dropout", "variational_dropout")
        if 0.5 not in self.quantiles or not all(0 < q < 1 for q in self.quantiles):
            raise ConfigurationError(
                f"{option('quantiles')} are {self.quantiles}; they lie between 0 and 1, 0.5 "
                f"among them."
            )
        if list(self.quantiles) != sorted(set(self.quantiles)):
            raise ConfigurationError(
                f"{option('quantiles')} are {self.quantiles}; they ascend, each named once."
            )
        if not self.targets:
            raise ConfigurationError(f"{option('target')} names no column to forecast.")
        if self.static and self.series is None:
            raise ConfigurationError(
                f"{option('static')} names columns that hold for a series ({self.static[0]}): "
                f"name the column that tells the series apart with {option('series')}."
            )
        roles = [self.time, *self.targets, self.series, *self.known, *self.static]
        roles += self.past or ()
        for column in filter(None, roles):
            if roles.count(column) > 1:
                raise ConfigurationError(
                    f"column '{column}' is named for two roles among time, target, series, known, "
                    "static and past; a column has one."
                )

    @property
    def targets(self) -> tuple[str, ...]:
        """The columns to forecast."""
        return (self.target,) if isinstance(self.target, str) else self.target

    @property
    def target_name(self) -> str:
        """The columns to forecast, for titles and messages."""
        return ", ".join(self.targets)

    @property
    def target_column(self) -> str:
        """The column of forecasts that says which of several targets a row is of."""
        name = "target"
        while name in (self.series, self.time):
            name += "_"
        return name

    @property
    def seasons(self) -> tuple[int, ...]:
        """Steps of the seasons, the usual one first; those of one step are none."""
        return tuple(season for season in self.season or () if season > 1)

    @property
    def usual_season(self) -> int:
        """Steps of the first season, 1 where there is none."""
        return (self.season or (1,))[0]
