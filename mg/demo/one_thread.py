"""Work of many threads, done in one: who waits, for whom, and who has changed their mind."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import CancelledError, Future, TimeoutError
from dataclasses import dataclass, field
from queue import Empty, Queue
from threading import Lock
from typing import TypeVar

from mg.errors import InputError

Result = TypeVar("Result")
_STOPPED = "stopped"
_LOOK_S = 1.0


@dataclass(eq=False)
class Job:
    """What a visitor waits for. visitor: whose it is; session: who may stop it."""

    visitor: str
    session: str
    stopped: bool = False
    outcome: Future = field(default_factory=Future)

    def check(self) -> None:
        """Raise InputError once it was stopped; the task calls it now and then."""
        if self.stopped:
            raise InputError(_STOPPED)


class OneThread:
    """Does what other threads ask for, one after the other, in the thread that calls `work`.

    MindSpore is not for two threads at once: graphs that run side by side in one process crash it.
    most, most_each: jobs at once, of all visitors and of each.
    """

    def __init__(self, most: int = 16, most_each: int = 4):
        self.most, self.most_each = most, most_each
        self._waiting, self._jobs, self._lock = Queue(), [], Lock()

    def do(
        self, task: Callable[[Job], Result], job: Job | None = None, tell: Callable[[int], None] = lambda before: None
    ) -> Result:
        """Have `task` done; returns what it returns, and raises what it raises. For all threads but the working one.

        tell: is told now and then how many are before it. Raises InputError for one job too many, and a stopped one.
        """
        job = job or Job("", "")
        self._enter(job)
        try:
            self._waiting.put((task, job))
            while True:
                try:
                    return job.outcome.result(_LOOK_S)
                except TimeoutError:
                    if job.outcome.done():
                        raise  # it is the task's own
                    if not job.outcome.running():
                        tell(self._jobs.index(job))
        except CancelledError:
            raise InputError(_STOPPED) from None
        finally:
            with self._lock:
                self._jobs.remove(job)

    def stop(self, session: str) -> None:
        """Stop all jobs of a session: those that wait at once, the one that is done when it next looks."""
        for job in list(self._jobs):
            if job.session == session:
                job.stopped = True
                job.outcome.cancel()

    def work(self) -> None:
        """Work until interrupted: what interrupts also ends the task that is being done, for whoever waits for it."""
        while True:
            try:  # a thread that waits without end is not woken by Ctrl-C, once MindSpore has its own handler for it
                task, job = self._waiting.get(timeout=0.5)
            except Empty:
                continue
            if not job.outcome.set_running_or_notify_cancel():
                continue
            try:
                job.outcome.set_result(task(job))
            except Exception as error:
                job.outcome.set_exception(error)
            except BaseException as interruption:
                job.outcome.set_exception(InputError("the page is being stopped; try again later"))
                raise interruption
            del task, job

    def _enter(self, job: Job) -> None:
        with self._lock:
            if len(self._jobs) >= self.most:
                raise InputError(f"{self.most} runs are waiting already; try again later")
            if sum(other.visitor == job.visitor for other in self._jobs) >= self.most_each:
                raise InputError(f"{self.most_each} of your runs are waiting already; let them end first")
            self._jobs.append(job)
