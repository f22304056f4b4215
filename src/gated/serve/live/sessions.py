"""The streams of a server: each step once, many streams in one call, and durable at intervals.

Steps have numbers from 1 on. A stream takes the step after its last one alone; one that it has
taken is answered anew, from its last answers, and not taken again. What is durable is a state with
these answers, so that after a kill the client sends what follows the durable step and gets the same
bits, and no answer is lost on the way.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Protocol, TypeVar

import numpy as np

from gated.errors import ConfigurationError, GatedError
from gated.live import Model, Stream
from gated.serve.live.metrics import Metrics
from gated.serve.live.schemas import Exchange
from gated.serve.live.store import Kept, StreamStore, UnavailableError

Found = TypeVar("Found")

ANSWERS = 64
"""Answers of a stream that are kept, at most."""
BYTES_OF_ANSWERS = 1 << 16
"""Bytes of these, of which a number may take 20."""
TOGETHER = 512
"""Streams whose steps are computed in one call, at most."""
ROUNDS = 8
"""Steps of a stream that are computed before any of them is answered, at most."""


LAST_WORDS = 500
"""Hundredths of a second in which clients may read what is sent to them when the server stops."""


class FullError(GatedError):
    """The server has as many streams as it takes."""


class Client(Protocol):
    """Whoever a stream answers."""

    def answer(self, step: int, prediction: str, durable: int) -> None:
        """Send a prediction, JSON, and which step is durable."""

    def saved(self, durable: int) -> None:
        """Say which step is durable now."""

    def leave(self, code: int, reason: str) -> None:
        """Send what there is to send, then close."""


class Session:
    """A stream, its last answers, and the steps that wait for their turn."""

    def __init__(self, id: str, stream: Stream, answers: list[str], token: int) -> None:
        self.id, self.stream, self.token = id, stream, token
        self.first = stream.steps - len(answers) + 1
        """The first step whose answer was stored."""
        self.answers = {self.first + place: answer for place, answer in enumerate(answers)}
        """By step; changed by the thread that computes alone."""
        self.taken = self.answered = self.durable = stream.steps
        self.queue: deque[tuple[Any, float]] = deque()
        """Steps that were taken and not yet computed, with the time at which they came."""
        self.computing = False
        self.client: Client | None = None


class Sessions:
    """All streams of a server.

    Args:
        exchange: how answers are written.
        store: where they are durable.
        metrics: what is counted.
        wait: seconds that a step waits for those of other streams, at most.
        interval: seconds between two writes of what has changed.
        most: streams with a client, at most.
        most_stored: streams in the store, at most; those of other servers are counted every minute.
        forget: seconds after which a stream that took no step is removed.
    """

    def __init__(
        self,
        exchange: Exchange,
        store: StreamStore,
        metrics: Metrics,
        *,
        wait: float = 0.0,
        interval: float = 1.0,
        most: int = 1_000,
        most_stored: int = 100_000,
        forget: float = 30 * 86_400,
    ) -> None:
        self.exchange, self.store, self.metrics = exchange, store, metrics
        self.model: Model = exchange.model
        self.wait, self.interval, self.forget = wait, interval, forget
        self.most, self.most_stored = most, most_stored
        self.window = max(ROUNDS, min(ANSWERS, BYTES_OF_ANSWERS // (20 * exchange.features)))
        """Steps that a client may have without answer; as many answers are kept."""
        self.sessions: dict[str, Session] = {}
        self.connected = 0
        self.stored = len(store)
        self.stopping = False
        self._ready: dict[Session, None] = {}
        self._begun, self._all = asyncio.Event(), asyncio.Event()
        self._computing = ThreadPoolExecutor(1, "streams")
        self._storing = ThreadPoolExecutor(1, "store")
        self._opening, self._saving = asyncio.Lock(), asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []
        self._forgot = self._counted = 0.0

    def begin(self) -> None:
        """Begin to compute and to save."""
        self._tasks = [asyncio.create_task(of()) for of in (self._compute, self._save_on_and_on)]

    # Streams come and go.

    async def connect(self, id: str, client: Client) -> Session:
        """Return the stream of an id, which answers `client` from now on.

        Raises:
            FullError: there are too many.
            ModelFileError: what is stored of it is damaged.
            UnavailableError: the store cannot be reached.
        """
        async with self._opening:
            session = await self._held(id)
            if session is None or session.client is None:
                if self.stopping:
                    raise FullError("the server stops")
                if self.connected >= self.most:
                    raise FullError(f"{self.most} streams have clients already (--streams)")
            if session is None:
                session = await self._opened(id)
                self.sessions[id] = session
            if session.client is not None:
                session.client.leave(4409, "another client has taken the stream over")
            else:
                self.connected += 1
                self.metrics.connected.set(self.connected)
            session.client = client
            return session

    async def _held(self, id: str) -> Session | None:
        """Return the stream of an id, if it is open here and no other server has taken it over."""
        session = self.sessions.get(id)
        if session is not None:
            await self._let_go_of_lost([session])
        return self.sessions.get(id)

    async def _let_go_of_lost(self, sessions: Sequence[Session]) -> None:
        """Let go of the streams that another server holds by now, or has removed."""
        held = {of.id: of.token for of in sessions}
        lost = await self._in(self._storing, partial(self.store.lost, held))
        for session in sessions:
            if session.id not in lost or self.sessions.get(session.id) is not session:
                continue
            if lost[session.id]:
                self._let_go(session, 4409, "another server has taken the stream over")
            else:
                self._let_go(session, 4410, "the stream was removed")

    def _let_go(self, session: Session, code: int, reason: str) -> None:
        """Forget what is not durable of a stream, and send its client away."""
        del self.sessions[session.id]
        self._ready.pop(session, None)
        session.queue.clear()
        if session.client is not None:
            session.client.leave(code, reason)

    async def _opened(self, id: str) -> Session:
        kept = await self._in(self._storing, partial(self.store.hold, id))
        if kept.step:
            stream = self.model.stream(state=kept.state)
            answers = [json.dumps(of) for of in json.loads(kept.answers)]
            return Session(id, stream, answers, kept.token)
        try:
            new = sum(not of.durable for of in self.sessions.values())
            if self.stored + new >= self.most_stored:
                raise FullError(f"{self.most_stored} streams are stored already (--stored)")
            return Session(id, self.model.stream(), [], kept.token)
        except GatedError:
            await self._in(self._storing, partial(self.store.release, {id: kept.token}))
            raise

    def disconnect(self, session: Session, client: Client) -> None:
        """Say that a client has gone; steps that it has sent are computed all the same."""
        if session.client is client:
            session.client = None
            self.connected -= 1
            self.metrics.connected.set(self.connected)
            self._check_all()

    async def find(self, id: str) -> dict[str, int] | None:
        """Return how far a stream is; None where there is none."""
        session = await self._held(id)
        if session is not None:
            return {"step": session.answered, "durable": session.durable}
        kept = await self._in(self._storing, partial(self.store.read, id))
        return {"step": kept.step, "durable": kept.step} if kept else None

    async def remove(self, id: str) -> bool:
        """End a stream, and forget it; return whether there was one."""
        async with self._opening, self._saving:
            session = await self._held(id)
            there = await self._in(self._storing, partial(self.store.read, id)) is not None
            if there or session is not None:
                await self._in(self._storing, partial(self.store.remove, id))
                self.stored -= there
            if session is not None and self.sessions.get(id) is session:
                self._let_go(session, 4410, "the stream was removed")
            return there or session is not None

    # Steps.

    def take(self, session: Session, step: int, x: Any) -> None:
        """Take a step, whose values were checked; or answer it anew, if it was taken before.

        Raises:
            ConfigurationError: it is not the step that follows, or its answer is kept no more.
        """
        if step > session.taken and self.stopping:
            return  # the client sends it again, when it has come back
        if step > session.taken + 1:
            raise ConfigurationError(
                f"step: {step} came where {session.taken + 1} follows; send all steps from there on"
            )
        if step == session.taken + 1:
            session.taken = step
            session.queue.append((x, time.perf_counter()))
            if not session.computing:
                self._set_ready(session)
        elif step <= session.answered:
            answer = session.answers.get(step)
            if answer is None:
                raise ConfigurationError(
                    f"step: {step} was taken, and its prediction is kept no more; the last "
                    f"{self.window} are"
                )
            if session.client is not None:
                session.client.answer(step, answer, session.durable)

    def _set_ready(self, session: Session) -> None:
        self._ready[session] = None
        self._begun.set()
        self._check_all()

    def _check_all(self) -> None:
        """See whether no stream is left to wait for."""
        if len(self._ready) >= self.connected:
            self._all.set()

    async def _compute(self) -> None:
        """Compute the steps of all streams that have one, again and again."""
        while True:
            await self._begun.wait()
            if self.wait and len(self._ready) < min(self.connected, TOGETHER):
                self._all.clear()
                try:
                    async with asyncio.timeout(self.wait):
                        await self._all.wait()
                except TimeoutError:
                    pass
            batch = []
            for session in list(self._ready)[:TOGETHER]:
                del self._ready[session]
                session.computing = True
                count = min(len(session.queue), ROUNDS)
                batch.append((session, [session.queue.popleft() for _ in range(count)]))
            if not self._ready:
                self._begun.clear()
            if not batch:
                continue
            try:
                with self.metrics.span("steps", streams=len(batch)):
                    await self._in(self._computing, partial(self._push, batch))
            except Exception as error:  # a defect, or no memory: back to what is durable
                self.metrics.write(error=f"steps were not computed: {error!r}")
                for session, _ in batch:
                    if self.sessions.get(session.id) is session:
                        self._let_go(session, 1011, "the step could not be computed; come again")
            else:
                self._answer(batch)

    def _push(self, batch: list[tuple[Session, list[tuple[Any, float]]]]) -> None:
        """Compute the steps of a batch; in the thread that computes."""
        for place in range(ROUNDS):
            now = [(session, steps[place][0]) for session, steps in batch if place < len(steps)]
            if not now:
                return
            streams, xs = [session.stream for session, _ in now], [x for _, x in now]
            with np.errstate(all="ignore"):
                found = self.model.push(streams, xs)
            for (session, _), prediction in zip(now, found, strict=True):
                step = session.stream.steps
                session.answers[step] = self.exchange.write_prediction(prediction)
                session.answers.pop(step - self.window, None)
            self.metrics.together.observe(len(now))

    def _answer(self, batch: list[tuple[Session, list[tuple[Any, float]]]]) -> None:
        now = time.perf_counter()
        for session, steps in batch:
            session.computing = False
            for _, came in steps:
                session.answered += 1
                self.metrics.step_seconds.observe(now - came)
                if session.client is not None:
                    answer = session.answers[session.answered]
                    session.client.answer(session.answered, answer, session.durable)
            self.metrics.steps.inc(len(steps))
            if session.queue:
                self._set_ready(session)

    # What is durable.

    async def _save_on_and_on(self) -> None:
        while True:
            await asyncio.sleep(self.interval)
            try:
                await self.save()
            except Exception as error:  # a full disk, say: nothing is durable, and clients see it
                self.metrics.write(error=f"streams are not saved: {error}")

    async def save(self) -> None:
        """Make durable what every stream has taken, and let go of those without a client."""
        async with self._saving:
            begun = time.perf_counter()
            changed = [of for of in self.sessions.values() if of.answered > of.durable]
            for first in range(0, len(changed), TOGETHER):
                part = changed[first : first + TOGETHER]
                with self.metrics.span("save", streams=len(part)):
                    kept = await self._in(self._computing, partial(_kept, part))
                    written = await self._in(self._storing, partial(self.store.write, kept))
                for session, stored in zip(part, kept, strict=True):
                    if session.id not in written:
                        continue
                    self.stored += not session.durable
                    session.durable = stored.step
                    if session.client is not None:
                        session.client.saved(stored.step)
            if changed:
                self.metrics.save_seconds.observe(time.perf_counter() - begun)
            await self._let_go_of_lost(list(self.sessions.values()))
            done = [of for of in self.sessions.values() if of.client is None]
            done = [of for of in done if of.taken == of.durable]
            for session in done:
                del self.sessions[session.id]
            if new := {of.id: of.token for of in done if not of.durable}:
                await self._in(self._storing, partial(self.store.release, new))
            await self._count_stored()

    async def _count_stored(self) -> None:
        """Count what is stored, also by other servers, and remove what is old, now and then."""
        now = time.time()
        if now > self._forgot + 3600:
            self._forgot = now
            await self._in(self._storing, partial(self.store.forget, now - self.forget))
            self._counted = 0.0
        if now > self._counted + 60:
            self._counted = now
            self.stored = await self._in(self._storing, self.store.__len__)

    async def drain(self) -> None:
        """Take no more clients; compute and save all that was taken; then close.

        Raises:
            UnavailableError: the last steps cannot be saved.
        """
        self.stopping = True
        while any(of.answered < of.taken for of in self.sessions.values()):
            await asyncio.sleep(0.01)
        for task in self._tasks:
            task.cancel()
        try:
            await self.save()
        except Exception as error:
            raise UnavailableError(f"The last steps of streams are not saved: {error}") from error
        finally:
            for session in self.sessions.values():
                if session.client is not None:
                    session.client.leave(1012, "the server stops; come again")
            for _ in range(LAST_WORDS):
                if not self.connected:
                    break
                await asyncio.sleep(0.01)

    def close(self) -> None:
        """Give threads and store up."""
        self._computing.shutdown()
        self._storing.shutdown()
        self.store.close()

    async def _in(self, threads: ThreadPoolExecutor, call: Callable[[], Found]) -> Found:
        return await asyncio.get_running_loop().run_in_executor(threads, call)


def _kept(sessions: list[Session]) -> list[Kept]:
    """Return what is stored of streams; in the thread that computes."""
    return [
        Kept(
            of.id,
            of.stream.steps,
            of.stream.state(),
            f"[{','.join(of.answers.values())}]",
            of.token,
        )
        for of in sessions
    ]
