"""Work of many threads, done in one."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from queue import Empty, Queue
from typing import TypeVar

from mg.errors import InputError

Result = TypeVar("Result")


class OneThread:
    """Does what other threads ask for, one after the other, in the thread that calls `work`.

    MindSpore is not for two threads at once: graphs that run side by side in one process crash it.
    """

    def __init__(self):
        self._waiting = Queue()

    def do(self, task: Callable[[], Result]) -> Result:
        """Have `task` done; returns what it returns, and raises what it raises. For all threads but the working one."""
        outcome = Future()
        self._waiting.put((task, outcome))
        return outcome.result()

    def work(self) -> None:
        """Work until interrupted: what interrupts also ends the task that is being done, for whoever waits for it."""
        while True:
            try:  # a thread that waits without end is not woken by Ctrl-C, once MindSpore has its own handler for it
                task, outcome = self._waiting.get(timeout=0.5)
            except Empty:
                continue
            try:
                outcome.set_result(task())
            except Exception as error:
                outcome.set_exception(error)
            except BaseException as interruption:
                outcome.set_exception(InputError("the page is being stopped; try again later"))
                raise interruption
            del task, outcome
