"""The version of gated, which stands in whatever it writes."""

VERSION: str


def __getattr__(name: str) -> str:
    """Look `VERSION` up when it is first read: that takes as long as to load a network."""
    if name != "VERSION":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import PackageNotFoundError, version

    try:
        found = version("gated")
    except PackageNotFoundError:  # a source tree that is not installed
        found = "0+unknown"
    globals()["VERSION"] = found
    return found
