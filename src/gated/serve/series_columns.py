"""What a forecaster's first layer reads, column by column, as the page names it.

`web/explorer/src/columns.ts` turns what is read into the unit that the page shows, and back.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from gated.tasks.forecast.calendar_features import calendar_names
from gated.tasks.forecast.network import ForecastNetwork
from gated.tasks.forecast.preprocessing import Preprocessing, embedding_width

Column = dict[str, Any]
WAVES = {"sin": "sine", "cos": "cosine"}


def columns(network: ForecastNetwork, fitted: Preprocessing) -> dict[str, list[Column]]:
    """Return the columns that `encoder` and `decoder` read, in the order of their weights.

    Each has a `kind`, a `name` and how many numbers it has, `count`: one, unless it is an
    embedding. Numbers of the table have `location` and `scale` as well, lagged ones their `steps`.
    """
    config = fitted.config
    target = config.target_name
    own = [_column(kind, target) for kind in ("target", "observed", "error")]
    ahead = list(_ahead(fitted))
    past = [*_numbers(fitted, fitted.past_numbers), *_masks(fitted, fitted.past_numbers)]
    widths = map(embedding_width, fitted.category_counts)
    texts = [
        _column("category", name, count=width)
        for name, width in zip(fitted.text_names, widths, strict=True)
    ]
    constant = [
        _column("series", "", count=int(network.series.embedding_dim)),
        _column("level", target),
    ]
    lags = [_column("lag", target, steps=season) for season in config.seasons]
    seasons = [_column("season", target, steps=season) for season in config.seasons]
    known = texts[: len(fitted.known_texts)]
    return {
        "encoder": [*own, *ahead, *past, *lags, *texts, *constant],
        "decoder": [*ahead, *seasons, _column("smooth", target), *known, *constant],
    }


def _column(kind: str, name: str, *, count: int = 1, **more: Any) -> Column:
    return {"kind": kind, "name": name, "count": count, **more}


def _ahead(fitted: Preprocessing) -> Iterator[Column]:
    """The columns of `Preprocessing.future_names`."""
    yield from _numbers(fitted, fitted.known_numbers)
    yield from _masks(fitted, fitted.known_numbers)
    waves = calendar_names(fitted.cycles)
    for name in waves:
        wave, _, cycle = name.removesuffix(")").partition("(")
        yield _column(WAVES[wave], cycle)
    known = sum(name in fitted.masked for name in fitted.known_numbers)
    for name in fitted.future_names[len(fitted.known_numbers) + known + len(waves) :]:
        yield _column("holiday", name)


def _numbers(fitted: Preprocessing, names: Iterable[str]) -> Iterator[Column]:
    every = (*fitted.known_numbers, *fitted.past_numbers)
    for name in names:
        if name in fitted.config.targets:
            # Another target is scaled as it is when it is forecast, for each series.
            yield _column("scaled", name)
            continue
        place = every.index(name)
        location, scale = fitted.numbers.location[place], fitted.numbers.scale[place]
        yield _column("number", name, location=float(location), scale=float(scale))


def _masks(fitted: Preprocessing, names: Iterable[str]) -> list[Column]:
    return [_column("observed", name) for name in names if name in fitted.masked]
