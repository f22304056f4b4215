"""The phases of a long job, said from within it to whoever listens: nobody, unless asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol, TypeVar

Item = TypeVar("Item")


class Listener(Protocol):
    """Told of phases; one may begin within another, and ends before it."""

    def begin(self, name: str, total: int | None) -> None:
        """A phase begins; `total` says how much there is to do, where that is known."""

    def advance(self) -> None:
        """One more of the innermost phase is done."""

    def end(self) -> None:
        """The innermost phase ends."""


_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


@contextmanager
def listened_by(listener: Listener) -> Iterator[None]:
    """Tell `listener` of the phases within."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


@contextmanager
def phase(name: str, total: int | None = None) -> Iterator[Callable[[], None]]:
    """Say that a phase begins, and ends; yield what is called whenever one of `total` is done."""
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
    """Yield `items`, as a phase that advances with each.

    >>> list(counted("Squaring", [1, 2]))
    [1, 2]
    """
    with phase(name, len(items) if isinstance(items, Sized) else None) as done:
        for item in items:
            yield item
            done()
