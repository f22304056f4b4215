"""The version of gated, which stands in whatever it writes."""

from importlib.metadata import PackageNotFoundError, version

try:
    VERSION = version("gated")
except PackageNotFoundError:  # a source tree that is not installed
    VERSION = "0+unknown"
