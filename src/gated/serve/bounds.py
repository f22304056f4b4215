"""What a server asks of its clients, whatever it serves: who may ask, how much and how often.

`Guard` stands before an application. It answers what it refuses itself, with the reason.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias, TypeVar

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.routing import Route

from gated.errors import GatedError

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Application: TypeAlias = Callable[[Message, Receive, Send], Awaitable[None]]
Found = TypeVar("Found")

MOST_ADDRESSES = 10_000
"""Addresses whose requests are counted; those that asked longest ago are forgotten first."""


@dataclass(frozen=True)
class Bounds:
    """How much a server takes at once."""

    body: int = 4 << 20
    """Bytes of a request."""
    seconds: float = 30
    """Of a request, from its first byte to the last of its answer."""
    waiting: int = 64
    """Requests with a body that are read or computed at a time."""
    connections: int = 1_000
    """Open connections."""
    rate: float = 100
    """Requests a second from one address, as many again at once."""


class Refusal(NamedTuple):
    """An answer that says why a request is refused."""

    status: int
    message: str
    headers: Mapping[str, str] = {}

    def response(self) -> Response:
        """Return the answer: JSON in ASCII, which can hold whatever the client sent."""
        return Response(
            json.dumps({"error": self.message}),
            self.status,
            dict(self.headers),
            media_type="application/json",
        )


class Guard:
    """An application behind bounds.

    Args:
        application: in ASGI.
        bounds: how much is taken.
        tokens: one of them is required; none are where all may ask.
        free: paths that need no token.
        hosts: names in `Host` that are served, so that no page elsewhere points its own name here,
            and pages whose WebSockets are taken; None for any.
        done: called after each request with its scope, the status and the seconds.
    """

    def __init__(
        self,
        application: Application,
        bounds: Bounds,
        *,
        tokens: Sequence[str] = (),
        free: Sequence[str] = (),
        hosts: Sequence[str] | None = None,
        done: Callable[[Message, int, float], None] | None = None,
    ) -> None:
        self.application, self.bounds, self.free, self.hosts = application, bounds, free, hosts
        self.tokens = [token.encode() for token in tokens]
        self.rates = Rates(bounds.rate)
        self.with_body = 0
        self.done = done

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve a request, or refuse it."""
        if scope["type"] not in ("http", "websocket"):
            await self.application(scope, receive, send)
            return
        begun = time.perf_counter()
        status = 0

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                status = message["status"]
            elif message["type"] == "websocket.accept":
                status = 101
            await send(message)

        refusal = self._refusal(scope)
        if refusal is None and scope["type"] == "http":
            refusal = await self._served(scope, receive, noted)
        elif refusal is None:
            await self.application(scope, receive, noted)
        if refusal is not None and not status:
            await refusal.response()(scope, receive, noted)
        if self.done is not None:
            self.done(scope, status, time.perf_counter() - begun)

    def _refusal(self, scope: Message) -> Refusal | None:
        """What speaks against a request before its body is read."""
        headers = dict(scope["headers"])
        host = headers.get(b"host", b"").decode("latin-1")
        if self.hosts is not None and _name(host) not in self.hosts:
            return Refusal(400, f"this server is called {' or '.join(self.hosts)}, not {host!r}")
        origin = headers.get(b"origin", b"").decode("latin-1")
        if scope["type"] == "websocket" and origin and origin.partition("://")[2] != host:
            return Refusal(403, f"a page of {origin} may open no stream of {host}")
        wait = self.rates.wait(scope["client"][0] if scope["client"] else "")
        if wait > 0:
            again = {"Retry-After": str(int(wait) + 1)}
            return Refusal(429, f"more than {self.bounds.rate:g} requests a second", again)
        if self.tokens and scope["path"] not in self.free and not self._knows(headers):
            return Refusal(
                401,
                "a token is needed: Authorization: Bearer TOKEN",
                {"WWW-Authenticate": "Bearer"},
            )
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or len(length) > 20 or int(length) > self.bounds.body:
            return self._too_large()
        return None

    def _knows(self, headers: Mapping[bytes, bytes]) -> bool:
        kind, _, token = headers.get(b"authorization", b"").partition(b" ")
        known = [hmac.compare_digest(token, own) for own in self.tokens]
        return kind.lower() == b"bearer" and any(known)

    def _too_large(self) -> Refusal:
        return Refusal(
            413, f"the body is larger than {self.bounds.body:,} bytes", {"Connection": "close"}
        )

    async def _served(self, scope: Message, receive: Receive, send: Send) -> Refusal | None:
        """Serve within the time, with the whole body read."""
        headers = dict(scope["headers"])
        has_body = headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in headers
        if has_body and self.with_body >= self.bounds.waiting:
            return Refusal(
                503,
                f"{self.bounds.waiting} requests are waiting already",
                {"Retry-After": "1", "Connection": "close"},
            )
        self.with_body += has_body
        try:
            async with asyncio.timeout(self.bounds.seconds):
                if has_body:
                    body = await self._body(receive)
                    if not isinstance(body, bytes):
                        return body
                    receive = _again(body, receive)
                await self.application(scope, receive, send)
        except TimeoutError:
            return Refusal(
                503,
                f"the request took longer than {self.bounds.seconds:g} seconds",
                {"Connection": "close"},
            )
        finally:
            self.with_body -= has_body
        return None

    async def _body(self, receive: Receive) -> bytes | Refusal | None:
        """Read the body; None where the client went away."""
        parts, length = [], 0
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return None
            parts.append(message.get("body", b""))
            length += len(parts[-1])
            if length > self.bounds.body:
                return self._too_large()
            if not message.get("more_body"):
                return b"".join(parts)


def _name(host: str) -> str:
    """Return the name in a `Host`, without its port."""
    return host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host


def _again(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that gives a body which was read, then goes on."""
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


class Rates:
    """Counts requests of addresses: each has as many in stock as it may make in a second.

    Args:
        rate: requests a second.
    """

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self._stock: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, address: str) -> float:
        """Take one from the stock of an address; return how long to wait, 0 where there is one."""
        now, most = time.monotonic(), max(self.rate, 1.0)
        stock, at = self._stock.pop(address, (most, now))
        stock = min(most, stock + (now - at) * self.rate)
        wait = 0.0 if stock >= 1 else (1 - stock) / self.rate
        self._stock[address] = (stock if wait else stock - 1, now)
        if len(self._stock) > MOST_ADDRESSES:
            self._stock.popitem(last=False)
        return wait


class Workers:
    """Threads that compute for requests; nothing is computed for those who have gone.

    Args:
        threads: how many.
    """

    def __init__(self, threads: int = 1) -> None:
        self._threads = ThreadPoolExecutor(threads, "request")
        self._free = asyncio.Semaphore(threads)

    async def run(self, request: Request, compute: Callable[[], Found]) -> Found:
        """Return what `compute` returns, when it is the request's turn.

        Raises:
            HTTPException: whoever asked has gone.
        """
        await self._free.acquire()
        try:
            gone = await request.is_disconnected()
        except BaseException:
            self._free.release()
            raise
        if gone:
            self._free.release()
            raise HTTPException(499, "whoever asked has gone")
        work = asyncio.get_running_loop().run_in_executor(self._threads, compute)
        work.add_done_callback(self._finished)  # also where the request is given up before
        return await asyncio.shield(work)

    def _finished(self, work: asyncio.Future[Any]) -> None:
        self._free.release()
        if not work.cancelled():
            work.exception()  # seen, if nobody waits for it any more


def explain_errors(application: FastAPI, status: int = 400) -> None:
    """Answer what is wrong with a request in words: `status` for the errors of gated."""

    @application.exception_handler(GatedError)
    async def of_gated(request: Request, error: GatedError) -> Response:
        return Refusal(status, str(error)).response()

    @application.exception_handler(RequestValidationError)
    async def of_the_body(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return Refusal(422, f"{where}: {first['msg']}").response()

    @application.exception_handler(HTTPException)
    async def of_http(request: Request, error: HTTPException) -> Response:
        headers = dict(error.headers or {})
        if error.status_code == 405:  # of all routes with this path, not of the first one
            here = [of for of in application.routes if isinstance(of, Route)]
            here = [of for of in here if of.path_regex.match(request.url.path)]
            headers["Allow"] = ", ".join(sorted({name for of in here for name in of.methods or ()}))
        return Refusal(error.status_code, str(error.detail), headers).response()
