"""gated: recurrent networks whose gates are fast, visible and open to change."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("gated")
except PackageNotFoundError:  # a source tree that is not installed
    __version__ = "0+unknown"

__all__ = ["__version__"]
