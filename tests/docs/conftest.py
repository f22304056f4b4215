"""The browser in which the explorer is tested too."""

from tests.serve.conftest import browser, chromium, page_tools

__all__ = ["browser", "chromium", "page_tools"]
