"""Foreign bytes are handed to C parsers only behind this wall: in a confined child process that may die.

One nursery process (a fresh interpreter: no descriptor, credential or lock of ours reaches it) imports parsers once
and forks a worker in milliseconds whenever one is needed: at first, after 500 files, after a crash. Tasks are sent
ahead, so a small file costs no round trip; answers are validated before anything else sees them.
"""

from __future__ import annotations

import os
import pickle
import re
import select
import signal
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self, get_args

import msgspec

from orbitory.definitions import Classification
from orbitory.errors import ConfigurationError, DataError, NotReady, Transient
from orbitory.extract import ExtractTask
from orbitory.extract.child import ANSWER_FRAME, TASK_FRAME, allowance, unit_size
from orbitory.extract.nursery import nursery
from orbitory.extract.sandbox import landlock_abi
from orbitory.model import REASONS, Extraction

__all__ = ["ExtractResult", "Isolated", "landlock_abi"]

#: Tasks sent ahead of their answers.
_AHEAD = 64
#: Where so many answers are due, we wait so many seconds for more than the next: two processes that wake each other
#: for every small file spend a good part of the time on that.
_MANY, _PAUSE = 16, 0.002
_ANSWER_LIMIT = 64 << 20
_FOOTPRINT = re.compile(r"[0-9A-F]{1,8000000}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractResult:
    """What became of one task: an extraction, or why there is none (NotReady: another file stands there, or none)."""

    id: int
    extraction: Extraction | None = None
    error: DataError | NotReady | None = None


@dataclass(slots=True, kw_only=True)
class _Answer:
    """What a worker may say. Strictly validated: it has parsed foreign bytes."""

    id: int = -1
    extraction: Extraction | None = None
    code: str = ""
    detail: str = ""
    not_ready: str = ""
    transient: str = ""
    last_words: str = ""
    unconfined: str = ""


_decode_answer = msgspec.json.Decoder(_Answer).decode


class _Died(Exception):
    """The worker ended, hung or spoke nonsense instead of answering."""

    def __init__(self, reason: str, code: str = "parser_crashed") -> None:
        super().__init__(reason)
        self.code = code


class _Worker:
    """One confined process: what is posted to it, and what it answers, in the same order."""

    def __init__(self, readable: Path, seconds: float, memory_bytes: int, extractor: str) -> None:
        self._seconds = seconds
        self._posted = self.answered = 0
        self._nursery = nursery()
        self._socket, self._pid = self._nursery.worker(os.fsencode(readable), seconds, memory_bytes, extractor)
        self._socket.setblocking(False)
        self._inbox, self._outbox = bytearray(), bytearray()
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN)

    def post(self, task: ExtractTask) -> None:
        """Send a task; it leaves while waiting for answers."""
        self._posted += 1
        body = pickle.dumps(task)
        self._outbox += TASK_FRAME.pack(len(body)) + body

    def answer(self, task: ExtractTask) -> _Answer:
        """What became of ``task``, the first unanswered one. Raises _Died, or ConfigurationError when not confined."""
        waited, limit = 0.0, self._seconds
        while (body := self._complete()) is None:
            started = time.monotonic()
            if self._posted - self.answered >= _MANY and not self._outbox:
                time.sleep(_PAUSE)
            if not self._exchange(max(0.0, limit - waited)) and waited >= limit:
                limit = max(limit, allowance(self._seconds, unit_size(task)))
                if waited >= limit:
                    raise _Died(f"no answer within {limit:.0f} s", "timeout")
            waited += time.monotonic() - started
        answer = _validated(*body, task)
        if answer.unconfined:
            raise ConfigurationError(f"the process that reads foreign files cannot be confined: {answer.unconfined}")
        if answer.last_words:
            raise _Died(answer.last_words.strip().rpartition("\n")[2])
        if answer.id != task.id:
            raise _Died(f"answered for task {answer.id} instead of {task.id}")
        self.answered += 1
        return answer

    def _exchange(self, seconds: float) -> bool:
        """Send what can be sent, receive what is there; False when ``seconds`` passed with neither."""
        self._poll.modify(self._socket, select.POLLIN | (select.POLLOUT if self._outbox else 0))
        events = self._poll.poll(seconds * 1000)
        try:
            for _, event in events:
                if event & select.POLLOUT and self._outbox:
                    del self._outbox[: self._socket.send(self._outbox)]
                if event & ~select.POLLOUT:
                    data = self._socket.recv(1 << 18)
                    if not data:
                        raise _Died("the parser ended")
                    self._inbox += data
        except (BrokenPipeError, ConnectionResetError) as error:
            self._outbox.clear()
            if event & ~select.POLLOUT:
                raise _Died("the parser ended") from error
        return bool(events)

    def _complete(self) -> tuple[bytes, bytes] | None:
        """The next whole answer and its header, if it is there."""
        if len(self._inbox) < ANSWER_FRAME.size:
            return None
        body, header = ANSWER_FRAME.unpack_from(self._inbox)
        if body + header > _ANSWER_LIMIT:
            raise _Died(f"its answer has {body + header} bytes: limit {_ANSWER_LIMIT}")
        end = ANSWER_FRAME.size + body + header
        if len(self._inbox) < end:
            return None
        start = ANSWER_FRAME.size
        found = bytes(self._inbox[start : start + body]), bytes(self._inbox[start + body : end])
        del self._inbox[:end]
        return found

    def end(self) -> int:
        """End the process; how it ended, as ``waitpid`` tells."""
        self._socket.close()
        return self._nursery.end(self._pid)


def _validated(body: bytes, header: bytes, task: ExtractTask) -> _Answer:
    try:
        answer = _decode_answer(body)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise _Died(f"its answer makes no sense: {str(error)[:500]}") from error
    extraction = answer.extraction
    if b"\\u0000" in body or (answer.code and answer.code not in REASONS):
        raise _Died("its answer holds what no answer may hold")
    if extraction is None:
        return answer
    if any(granule.footprint and not _FOOTPRINT.fullmatch(granule.footprint) for granule in extraction.granules):
        raise _Died("its answer holds a footprint that is none")
    files = {0, *(member.id for member in task.members)}
    if any(granule.file not in files for granule in extraction.granules):
        raise _Died("its answer speaks of a file that is not of this unit")
    if any(granule.classification not in (None, *get_args(Classification)) for granule in extraction.granules):
        raise _Died("its answer holds a classification that there is not")
    answer.extraction = replace(extraction, header=header)
    return answer


class Isolated:
    """Extracts files in a child process that can read one folder. Use as a context manager, from one thread."""

    def __init__(
        self, readable: Path, *, timeout_seconds: float = 60.0, recycle: int = 500, memory_bytes: int = 2 << 30
    ) -> None:
        """``timeout_seconds`` are for a file, and as much again for each GB; a worker ends after ``recycle`` files."""
        self._readable = readable
        self._timeout = timeout_seconds
        self._recycle = recycle
        self._memory = memory_bytes
        self._worker: _Worker | None = None

    def __enter__(self) -> Self:
        """Nothing is started before the first task."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the worker."""
        self._end()

    def map(self, tasks: Iterable[ExtractTask]) -> Iterator[ExtractResult]:
        """Results in the order of ``tasks``, of which few are held at a time.

        A file that kills or stalls the worker is tried once more in a fresh one, then given up as ``parser_crashed`` or
        ``timeout``; the others do not notice. Raises Transient when the machine, not a file, is at fault.
        """
        source, waiting = iter(tasks), deque[ExtractTask]()
        failed: set[int] = set()
        try:
            while True:
                self._fill(source, waiting)
                if not waiting:
                    return
                try:
                    yield self._next(waiting, failed)
                except _Died:
                    continue
        finally:
            if waiting:
                self._end()

    def _fill(self, source: Iterator[ExtractTask], waiting: deque[ExtractTask]) -> None:
        """Post tasks ahead, as many as this worker may still take; a fresh worker when it is used up."""
        if self._worker is not None and not waiting and self._worker.answered >= self._recycle:
            self._end()
        while len(waiting) < _AHEAD and (self._worker is None or self._worker.answered + len(waiting) < self._recycle):
            task = next(source, None)
            if task is None:
                return
            waiting.append(task)
            self._started(task, ()).post(task)

    def _started(self, first: ExtractTask, unanswered: Iterable[ExtractTask]) -> _Worker:
        if self._worker is None:
            self._worker = _Worker(self._readable, self._timeout, self._memory, first.extractor)
            for task in unanswered:
                self._worker.post(task)
        return self._worker

    def _next(self, waiting: deque[ExtractTask], failed: set[int]) -> ExtractResult:
        """The result of the first waiting task. Raises _Died when it is to be tried again."""
        task = waiting[0]
        try:
            answer = self._started(task, waiting).answer(task)
        except _Died as died:
            status = self._end()
            overrun = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXCPU
            if task.id not in failed and not overrun:
                failed.add(task.id)
                raise
            waiting.popleft()
            code = "timeout" if overrun else died.code
            return ExtractResult(id=task.id, error=DataError(code, _epitaph(task, died, status, overrun)))
        waiting.popleft()
        if answer.transient:
            raise Transient(answer.transient)
        if answer.not_ready:
            return ExtractResult(id=task.id, error=NotReady(answer.not_ready))
        if answer.extraction is None:
            return ExtractResult(id=task.id, error=DataError(answer.code or "parser_crashed", answer.detail))
        return ExtractResult(id=task.id, extraction=answer.extraction)

    def _end(self) -> int:
        worker, self._worker = self._worker, None
        return worker.end() if worker is not None else 0


def _epitaph(task: ExtractTask, died: _Died, status: int, overrun: bool) -> str:
    if overrun:
        return f"reading {task.name} used up its processor time"
    if died.code == "timeout":
        return f"reading {task.name} gave {died}, twice"
    code = os.waitstatus_to_exitcode(status)
    how = signal.Signals(-code).name if code < 0 else f"exit {code}"
    return f"reading {task.name} killed the isolated parser twice: {died} ({how})"
