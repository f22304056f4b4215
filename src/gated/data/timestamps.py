"""Time stamps as people write them, as microseconds or counts."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from itertools import product

import numpy as np
import polars as pl
from numpy.typing import NDArray

from gated.data.number_columns import NUMBER_SHARE
from gated.data.typed_columns import Clock
from gated.errors import DataError, option

Integers = NDArray[np.int64]

DAY = 86_400_000_000
DATES = (
    "%Y-%m-%d",
    "%Y/%m/%d",
    "%Y.%m.%d",
    "%Y%m%d",
    "%d/%m/%Y",
    "%m/%d/%Y",
    "%d.%m.%Y",
    "%d-%m-%Y",
    "%m-%d-%Y",
    "%d %b %Y",
    "%Y %b %d",
    "%G-W%V-%u",
)
SHORT_DATES = (
    "%d/%m/%y",
    "%m/%d/%y",
    "%d.%m.%y",
    "%d-%m-%y",
    "%m-%d-%y",
    "%d %b %y",
    "%y-%m-%d",
    "%y/%m/%d",
    "%y.%m.%d",
)
"""Dates whose year has two digits."""
TIMES = ("", " %H:%M:%S%.f", " %H:%M", " %I:%M:%S %p", " %I:%M %p", " %H%M%S", "%H%M%S", "%H%M")
MONTHS = ("%Y-%m", "%Y/%m", "%Y.%m", "%m/%Y", "%m-%Y", "%m.%Y", "%b %Y", "%Y %b", "%b %y")
FORMATS = (
    *(f"{date}{time}" for date, time in product((*DATES, *SHORT_DATES), TIMES)),
    *(f"{date}{time}%#z" for date, time in product((*DATES, *SHORT_DATES), TIMES[1:])),
    *MONTHS,
)
MONTH_NAMES = {
    "Jan": "jan|jän|ene|gen",
    "Feb": "feb|fév|fev",
    "Mar": "mar|mär|mrz|maa|mrt",
    "Apr": "apr|abr|avr",
    "May": "may|mai|mei|mag",
    "Jun": "jun|juin|giu",
    "Jul": "jul|juil|lug",
    "Aug": "aug|aoû|aou|ago",
    "Sep": "sep|set",
    "Oct": "oct|okt|out|ott",
    "Nov": "nov",
    "Dec": "dec|déc|dez|dic",
}
"""How the names of months begin in English, Dutch, French, German, Italian, Portuguese, Spanish."""
QUARTERS = ("Jan", "Apr", "Jul", "Oct")
ISO = r"^(\S*\d)T(\d)"
PUNCTUATION = r"[-/., ']*"
REWRITTEN = {
    r"\s+": " ",
    # 31 March 2024, 14:00 and 2024-03-31T14:00 and 2024年3月31日 14:00.
    r"年第?([1-4])季度?$": "-Q$1",
    r"^(\d{4})年(\d{1,2})月": "$1-$2-",
    r"^(\d{4}-\d{1,2})-$": "$1",
    r"(\d)[日号] ?": "$1 ",
    ISO: "$1 $2",
    r"(\d)(?:, ?| ?_| -)(\d{1,2}:\d{2})": "$1 $2",
    r"(\d) ?(\d{1,2})h(\d{2})$": "$1 $2:$3",
    r"(:\d{2}),(\d+)": "$1.$2",
    r"(?i)(\d) ?([ap])\.?m\b\.?": "$1 ${2}m",
    r" (\d{1,2}) ([apAP]m)": " $1:00 $2",
    r" ?\[[\w/+-]+\]$": "",
    r"(?: ?\(?(?:UTC|GMT)\)?|z)$": "Z",
    r"(\d) ([+-]\d{2}:?\d{2})$": "$1$2",
    # Days of the week, and the first as 1st.
    r"(?i)^(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*[., ]+": "",
    r"(?i)^(?:mo|di|mi|do|fr|sa|so)[.,]+ ?": "",
    r"(?i)(\d)(?:st|nd|rd|th|er|º)\b": "$1",
    r"(?i)\b(?:de|del|of)\b": " ",
    # Quarters, halves, months by number, and weeks.
    r"(?i)\b(?:quarter|quartal|trimestre)\b": "Q",
    r"(?i)^(\d{4})[-/ :.]*[QKT] ?([1-4])$": "Q$2 $1",
    r"(?i)^[QKT] ?([1-4])[-/ :.']*(\d{4}|\d{2})$": "Q$1 $2",
    r"(?i)^([1-4])\.? ?[QKT][-/ .']*(\d{4}|\d{2})$": "Q$1 $2",
    **{f"^Q{n} ": f"{month} " for n, month in enumerate(QUARTERS, 1)},
    r"(?i)^(\d{4})[- ]?[HS]1$": "Jan $1",
    r"(?i)^(\d{4})[- ]?[HS]2$": "Jul $1",
    r"(?i)^(\d{4})[-: ]?M(\d{1,2})$": "$1-$2",
    r"(?i)^(\d{4})[-/ ]?W(\d{1,2})$": "$1-W$2-1",
    r"(?i)^(?:W|CW|KW) ?(\d{1,2})[-/ ](\d{4})$": "$2-W$1-1",
    r"-W(\d)(-\d)$": "-W0$1$2",
}
"""Ways to write a time, and the one way that `FORMATS` reads; in this order."""
NAMED_MONTHS = {
    **{
        rf"(?i)(^|[^\p{{L}}])(?:{begins})\p{{L}}*": f"${{1}}{name}"
        for name, begins in MONTH_NAMES.items()
    },
    rf"{PUNCTUATION}({'|'.join(MONTH_NAMES)})\b{PUNCTUATION}": " $1 ",
    r"^ ": "",
    # Jan 31, 2000.
    r"^([A-Z][a-z]{2}) (\d{1,2})[-/., ']+(\d{4}|\d{2})\b": "$2 $1 $3",
    r"^([A-Z][a-z]{2}) (\d{1,2})$": "$1 $2",
}
"""Names of months, with spaces around them in place of other separators."""
MIDNIGHT = r" 24:00(:00(?:\.0+)?)?"
"""The end of a day, which is the beginning of the next."""
OFFSET = r"(?:Z|([+-]\d{2}):?(\d{2})?)$"
UNIX_UNITS = {"seconds": 1_000_000, "milliseconds": 1000, "microseconds": 1, "nanoseconds": 1}
"""Microseconds in each unit (nanoseconds are divided first)."""
NUMBERED = ("excel", "count", *UNIX_UNITS)
"""What numbers may count, as the option `time_format` names it."""
EARLIEST_UNIX, LATEST_UNIX = 10**8, 4_102_444_800  # March 1973 and January 2100, in seconds
EARLIEST_SERIAL, LATEST_SERIAL = 18_264, 73_051  # 1950 and 2100, in days
FIRST_SERIAL = 25_569
"""Excel's number of the first of January 1970."""
DATED = r"(?i)date|datum|fecha|日期"
"""Names of columns whose numbers are dates and no counts."""
COMPACT = ("%Y%m%d", "%Y%m", "%Y%m%d%H", "%Y%m%d%H%M", "%Y%m%d%H%M%S")
"""Dates written as whole numbers."""
YEARS_AHEAD = 20
"""A year of two digits lies at most so many years ahead of this one, and else a century before."""
SAMPLE = 200


class UnreadableTimeError(Exception):
    """Some values are no times: indices of their rows, and the error of the first."""

    def __init__(self, rows: pl.Series, reason: str) -> None:
        super().__init__(f"row {rows[0]} {reason}")
        self.rows, self.reason = rows.to_list(), reason


def read_times(
    column: pl.Series,
    time_format: str | None = None,
    earlier: Clock | None = None,
    day_first: bool | None = None,
) -> tuple[Integers, Clock]:
    """Return the times `(N,)` of `column`, and their clock.

    Args:
        column: dates, times, texts or whole numbers.
        time_format: strptime format of texts, or what numbers count, one of `NUMBERED`; by
            default it is found.
        earlier: how the time was read when the model was fitted; decides where two formats fit.
        day_first: decides where days and months cannot be told apart.

    Raises:
        UnreadableTimeError: a value is missing, or not a time.
        DataError: the column's type is no time, or it can be read in two ways.
    """
    if column.null_count():
        raise UnreadableTimeError(column.is_null().arg_true(), "is missing")
    if isinstance(column.dtype, pl.Datetime):
        microseconds = column.dt.cast_time_unit("us").to_physical().to_numpy()
        return microseconds, Clock("time", "typed", column.dtype.time_zone)
    if column.dtype == pl.Date:
        return column.cast(pl.Datetime("us")).to_physical().to_numpy(), Clock("time", "typed")
    if column.dtype == pl.String:
        return _read_column(column, time_format, earlier, day_first)
    if column.dtype.is_numeric():
        return _read_numbers(column, time_format, earlier)
    raise DataError(
        f"column '{column.name}' holds {column.dtype}, which cannot be a time. "
        "Expected dates, times, texts such as 2024-03-31 14:00, or whole numbers."
    )


def _read_column(
    column: pl.Series, time_format: str | None, earlier: Clock | None, day_first: bool | None
) -> tuple[Integers, Clock]:
    """Read texts, each once: few are distinct where a table holds many series."""
    distinct = column.unique(maintain_order=True)
    if len(distinct) > len(column) // 2:
        return _read_texts(column, time_format, earlier, day_first)
    try:
        times, clock = _read_texts(distinct, time_format, earlier, day_first)
    except UnreadableTimeError as error:
        rows = column.is_in(distinct.gather(error.rows).implode()).arg_true()
        raise UnreadableTimeError(rows, error.reason) from None
    read = pl.DataFrame({"text": distinct, "time": times})
    texts = pl.DataFrame({"text": column})
    return texts.join(read, on="text", how="left", maintain_order="left")["time"].to_numpy(), clock


def _read_numbers(
    column: pl.Series, form: str | None, earlier: Clock | None
) -> tuple[Integers, Clock]:
    """Compact dates (20240331), Unix times, Excel's serial numbers, or plain counters."""
    if form not in NUMBERED:
        form = earlier.form if earlier and earlier.form in (*NUMBERED, *COMPACT) else None
    if column.dtype.is_float():
        whole = column.cast(pl.Int64, strict=False)
        odd = (whole.cast(pl.Float64) != column).fill_null(True)
        serial = column.is_between(EARLIEST_SERIAL, LATEST_SERIAL)
        if form == "excel" or (form is None and odd.any() and serial.all()):
            return _read_serials(column.cast(pl.Float64))
        if odd.any():
            raise UnreadableTimeError(odd.arg_true(), "is not a whole number or a date")
        column = whole
    column = column.cast(pl.Int64, strict=False)
    if column.null_count():
        raise UnreadableTimeError(column.is_null().arg_true(), "is too large a number")
    counts = column.to_numpy()
    form = form or _integer_form(column)
    if form in UNIX_UNITS:
        microseconds = counts // 1000 if form == "nanoseconds" else counts * UNIX_UNITS[form]
        return microseconds, Clock("time", form)
    if form == "excel":
        return _read_serials(column.cast(pl.Float64))
    if form == "count":
        if len(counts) and np.abs(counts.astype(np.float64)).max() > 2**53:
            raise UnreadableTimeError(
                column.abs().eq(column.abs().max()).arg_true(), "is too large a counter"
            )
        return counts, Clock("count", "count")
    times = _parse(column.cast(pl.String), form)
    if times.null_count():
        raise UnreadableTimeError(times.is_null().arg_true(), f"is not a date such as {form}")
    return times.to_numpy(), Clock("time", form)


def _read_serials(days: pl.Series) -> tuple[Integers, Clock]:
    """Days since the end of 1899, as Excel stores dates; times are parts of a day, to a second."""
    wrong = ~days.is_between(1, 2_958_466)
    if wrong.any():
        raise UnreadableTimeError(wrong.arg_true(), "is not a date of Excel, a number of days")
    seconds = ((days.to_numpy() - FIRST_SERIAL) * 86_400).round().astype(np.int64)
    return seconds * 1_000_000, Clock("time", "excel")


def _integer_form(column: pl.Series) -> str:
    counts = column.to_numpy()
    if not len(counts):
        return "count"
    low, high = int(counts.min()), int(counts.max())
    digits = len(str(high))
    for form, length in zip(COMPACT, (8, 6, 10, 12, 14), strict=True):
        if digits == length and int(str(low)[:4]) >= 1900 and int(str(high)[:4]) <= 2100:
            # Six digits may also be a counter, ten may be seconds: more than one has to fit.
            sure = length not in (6, 10) or column.n_unique() > 2
            if sure and _parse(column.cast(pl.String), form).null_count() == 0:
                return form
    for unit, per_second in zip(UNIX_UNITS, (1, 10**3, 10**6, 10**9), strict=True):
        if low >= EARLIEST_UNIX * per_second and high <= LATEST_UNIX * per_second:
            return unit
    if low >= EARLIEST_SERIAL and high < LATEST_SERIAL:
        return _serial_or_count(column)
    return "count"


def _serial_or_count(column: pl.Series) -> str:
    """Whether whole numbers around 40,000 are Excel's days.

    Raises:
        DataError: they may also be a counter.
    """
    if re.search(DATED, column.name):
        return "excel"
    counts = column.to_numpy()
    times = _read_serials(column.unique().sort().cast(pl.Float64))[0]
    days = times // DAY
    if len(days) > 2:
        dates = days.astype("datetime64[D]")
        months = dates.astype("datetime64[M]")
        begins = (dates - months).astype(np.int64)
        last = np.all((dates + 1).astype("datetime64[M]") > months)
        monthly = (np.ptp(begins) == 0 or last) and np.diff(days).min() >= 28
        working = days[-1] - days[0] >= 14 and len(np.unique((days + 3) % 7)) <= 5
        if monthly or (working and np.diff(days).min() == 1):
            return "excel"
    date = times[0].astype("datetime64[us]").astype("datetime64[D]")
    raise DataError(
        f"column '{column.name}': numbers such as {column[0]} may be a count, or days as Excel "
        f"stores them ({int(counts.min())} is {date}). Say so with "
        f"{option('time_format', 'count')} or {option('time_format', 'excel')}."
    )


def _read_texts(
    column: pl.Series, time_format: str | None, earlier: Clock | None, day_first: bool | None
) -> tuple[Integers, Clock]:
    """Read texts, in the order of the file."""
    stripped = column.str.strip_chars()
    late = np.zeros(len(column), np.int64)
    if time_format is None or time_format in NUMBERED:
        years = stripped.str.replace(r"^(\d{4}) ?年$", "$1")
        counts = years.cast(pl.Int64, strict=False)
        days = counts if not counts.null_count() else years.cast(pl.Float64, strict=False)
        wrong = days.is_null()
        if time_format in NUMBERED or wrong.sum() <= (1 - NUMBER_SHARE) * len(counts):
            if wrong.any():
                reason = "is not a whole number, as the others are"
                raise UnreadableTimeError(wrong.arg_true(), reason)
            if not _looks_like_months(stripped):
                return _read_numbers(days, time_format, earlier)
        # Most files need no more; a million rows are rewritten in seconds.
        stripped = stripped.str.replace(ISO, "$1 $2")
        complete = _complete(readings := _readings(stripped))
        if not complete:
            stripped, late = _normalised(stripped)
            complete = _complete(readings := _readings(stripped))
    else:
        complete = _complete(readings := {time_format: _parse(stripped, time_format)})
    if not complete:
        raise _unreadable(column, readings)
    form = _chosen(column, complete, earlier, day_first)
    times = complete[form].to_numpy()
    zone = "UTC" if form.endswith("z") else None
    if form.endswith("%#z"):
        times, zone = _zoned(stripped, form, times, earlier)
    return times + late, Clock("time", form, zone)


def _readings(texts: pl.Series) -> dict[str, pl.Series]:
    return {form: _parse(texts, form) for form in _plausible_formats(texts)}


def _complete(readings: dict[str, pl.Series]) -> dict[str, pl.Series]:
    return {form: times for form, times in readings.items() if times.null_count() == 0}


def _looks_like_months(texts: pl.Series) -> bool:
    """Whether texts that could be numbers are months such as 2000.01."""
    return bool(texts.str.contains(r"^(?:19|20)\d{2}\.(?:0[1-9]|1[0-2])$").all())


def _unreadable(column: pl.Series, readings: dict[str, pl.Series]) -> UnreadableTimeError:
    best = min(readings, key=lambda form: readings[form].null_count())
    wrong = readings[best].is_null()
    if wrong.all():
        expected = "2024-03-31 14:00"
        if column.str.contains(r"^\d{1,2}[-/. ]+\p{L}{3,}\.?$|^\p{L}{3,}\.?[-/. ]+\d{1,2}$").all():
            expected += ", with its year"
    else:
        expected = f"{best}, as in '{column.filter(~wrong)[0]}'"
    return UnreadableTimeError(wrong.arg_true(), f"is not a time; expected one such as {expected}")


def _chosen(
    column: pl.Series,
    complete: dict[str, pl.Series],
    earlier: Clock | None,
    day_first: bool | None,
) -> str:
    """Return the format that texts are written in, of those in which all can be read.

    Raises:
        DataError: it cannot be told.
    """
    if earlier is not None and earlier.form in complete:
        return earlier.form
    # Dates such as 24-01-31, year first, can mostly also be read as 24 January 2031. They are
    # rare, and where they are meant the other reading jumps to and fro.
    years = [form for form in complete if form.startswith("%y")]
    forms = [form for form in complete if form not in years]
    if years and forms:
        usual, rare = (min(of, key=lambda form: _disorder(complete[form])) for of in (forms, years))
        if _disorder(complete[rare]) < _disorder(complete[usual]):
            raise _unsure(column, usual, rare, option("time_format"))
    forms = forms or years
    if day_first is not None:
        forms = [form for form in forms if form.startswith("%d" if day_first else "%m")] or forms
    form = forms[0]
    for other in forms[1:]:
        if not complete[other].equals(complete[form]):
            swapped = {form[:2], other[:2]} == {"%d", "%m"}
            choices = f"{option('day_first', True)} or {option('day_first', False)}"
            raise _unsure(column, form, other, choices if swapped else option("time_format"))
    if form == "%b %y":
        _demand_years(column, complete[form])
    return form


def _unsure(column: pl.Series, form: str, other: str, choices: str) -> DataError:
    return DataError(
        f"column '{column.name}': times such as {column[0]!r} can be read as {form} or as {other}, "
        f"and no row tells which. Say so with {choices}."
    )


def _disorder(times: pl.Series) -> tuple[int, int]:
    """How often times go back, and how far they reach: both small if they are read well."""
    values = times.to_numpy()
    return int((np.diff(values) < 0).sum()), int(np.ptp(values))


def _demand_years(column: pl.Series, months: pl.Series) -> None:
    """Refuse days such as Jan-31 that were read as January 2031."""
    days = ("2000 " + _normalised(column.str.strip_chars())[0]).str.to_datetime(
        "%Y %b %d", strict=False, time_unit="us"
    )
    if not days.null_count() and _disorder(days.to_physical())[0] < _disorder(months)[0]:
        raise DataError(
            f"column '{column.name}': times such as {column[0]!r} seem to be days without their "
            "year. Write the year too, such as 2024-01-31."
        )


def _zoned(
    texts: pl.Series, form: str, times: Integers, earlier: Clock | None
) -> tuple[Integers, str | None]:
    """Return the times, and the zone, of texts that end in their distance from UTC."""
    parts = texts.str.extract_groups(OFFSET).struct.unnest()
    hours, minutes = (parts[name].fill_null("0").cast(pl.Int64).to_numpy() for name in ("1", "2"))
    offset = (hours * 60 + np.where(hours < 0, -minutes, minutes)) * 60_000_000
    local = times + offset
    # Days begin at midnight wherever they are; in UTC they would be of different lengths.
    if earlier.zone is None if earlier is not None else np.all(local % DAY == 0) and offset.any():
        return local, None
    if len(np.unique(offset)) == 1 and offset[0] and offset[0] % 3_600_000_000 == 0:
        return times, f"Etc/GMT{-offset[0] // 3_600_000_000:+d}"
    return times, "UTC"


def _plausible_formats(texts: pl.Series) -> list[str]:
    """The formats that read most of a sample, all of them where several read the same number."""
    sample = texts if len(texts) <= SAMPLE else texts.gather_every(len(texts) // SAMPLE)
    failures = {form: _parse(sample, form).null_count() for form in FORMATS}
    fewest = min(failures.values())
    return [form for form, count in failures.items() if count == fewest]


def _parse(texts: pl.Series, form: str) -> pl.Series:
    """Microseconds, null where `form` does not fit."""
    if form in MONTHS:
        texts, form = pl.Series(texts.name, "01 " + texts), f"%d {form}"
    elif form in ("%Y%m", "%Y%m%d%H"):  # polars wants a day, and minutes
        ending = "01" if form == "%Y%m" else "00"
        texts, form = texts + ending, form + ("%d" if form == "%Y%m" else "%M")
    times = texts.str.to_datetime(form, time_unit="us", strict=False, exact=True)
    if "%y" in form:
        latest = datetime.now(UTC).year + YEARS_AHEAD
        early = times.dt.offset_by("-100y")
        times = times.zip_with((times.dt.year() <= latest).fill_null(True), early)
    times = times.to_physical()
    earliest = -30_610_224_000_000_000  # the year 1000: chrono reads 24 as the year 24
    return times.set(times < earliest, None)


def _normalised(column: pl.Series) -> tuple[pl.Series, Integers]:
    """Return one way to write what can be written in several, and microseconds to add."""
    if column.str.contains(r"[^\x00-\x7F]").any():
        column = column.str.normalize("NFKC")  # also spaces and digits of other widths
    column = _rewritten(column, REWRITTEN)
    if column.str.contains(r"\p{L}{3}").any():
        column = _rewritten(column, NAMED_MONTHS)
    late = column.str.contains(MIDNIGHT)
    if late.any():
        column = column.str.replace(MIDNIGHT, " 00:00$1")
    return column.str.strip_chars(), late.to_numpy().astype(np.int64) * DAY


def _rewritten(column: pl.Series, patterns: dict[str, str]) -> pl.Series:
    for pattern, replacement in patterns.items():
        if column.str.contains(pattern).any():
            column = column.str.replace_all(pattern, replacement)
    return column
