"""Phases of a long job, reported to a listener if there is one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol, TypeVar

Item = TypeVar("Item")


class Listener(Protocol):
    """Receives the begin, progress and end of phases, which may be nested."""

    def begin(self, name: str, total: int | None) -> None:
        """Begin a phase of `total` items, None if their number is not known."""

    def advance(self) -> None:
        """Count one more item of the innermost phase."""

    def end(self) -> None:
        """End the innermost phase."""


_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


@contextmanager
def listened_by(listener: Listener) -> Iterator[None]:
    """Report phases to `listener` while the context is active."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


@contextmanager
def phase(name: str, total: int | None = None) -> Iterator[Callable[[], None]]:
    """Report a phase; yield a function to be called after each of its `total` items."""
    listener = _listener.get()
    if listener is None:
        yield lambda: None
        return
    listener.begin(name, total)
    try:
        yield listener.advance
    finally:
        listener.end()


def counted(name: str, items: Iterable[Item]) -> Iterator[Item]:
    """Yield `items` as a phase that advances with each item.

    >>> list(counted("Squaring", [1, 2]))
    [1, 2]
    """
    with phase(name, len(items) if isinstance(items, Sized) else None) as done:
        for item in items:
            yield item
            done()
