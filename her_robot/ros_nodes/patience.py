"""Waiting for nodes and their services, which may come up late, lose an answer, or die."""

import time
from collections.abc import Callable
from typing import Any

from rclpy.executors import Executor

from her_robot.errors import LoopError

_STARTUP_TIMEOUT_S = 60.0
REPLY_TIMEOUT_S = 60.0
"""A node that has died is noticed at once. This is for one that hangs, on a machine that is busy with other things."""
_RETRY_S = 1.0
"""What may have met a node before it had found this one is sent again after so long."""


class Patience:
    """Lets an executor work until something has happened, for a limited time."""

    def __init__(self, executor: Executor, check_processes: Callable[[], None]) -> None:
        """
        Args:
            executor: of the node that waits.
            check_processes: raises when a node has died; called while waiting.
        """
        self._executor, self._check_processes = executor, check_processes

    def spin(self, seconds: float) -> None:
        """Take in what comes within so long, at most one message, and look whether all nodes live."""
        self._executor.spin_once(timeout_sec=seconds)
        self._check_processes()

    def wait(self, condition: Callable[[], bool], what: str, again: Callable[[], None] | None = None) -> None:
        """Until `condition` holds; `again` repeats what may have been lost.

        Raises:
            LoopError: it does not; `what` says what has been silent.
        """
        deadline, retry = time.monotonic() + REPLY_TIMEOUT_S, time.monotonic() + _RETRY_S
        while not condition():
            self.spin(0.1)
            if again is not None and time.monotonic() > retry:
                again()
                retry += _RETRY_S
            if time.monotonic() > deadline:
                raise LoopError(f"{what} has been silent for {REPLY_TIMEOUT_S:g} s")

    def call(self, client, request) -> Any:
        """What a service answers.

        Raises:
            LoopError: nothing.
        """
        future = client.call_async(request)
        self.wait(future.done, f"service {client.srv_name}")
        return future.result()

    def until_it_answers(self, client, request) -> Any:
        """Call a service until it answers, and return that. Until the two ends have found each other, requests and
        answers may be lost, so it must be one that may be called twice.

        Raises:
            LoopError: it does not.
        """
        deadline = time.monotonic() + _STARTUP_TIMEOUT_S
        while time.monotonic() < deadline:
            reply = self.answer_within(_RETRY_S, client, request)
            if reply is not None:
                return reply
        raise LoopError(f"service {client.srv_name} did not come up within {_STARTUP_TIMEOUT_S:g} s")

    def answer_within(self, seconds: float, client, request) -> Any:
        """What a service answers; None if it is silent for so long."""
        future = client.call_async(request)
        deadline = time.monotonic() + seconds
        while not future.done() and time.monotonic() < deadline:
            self.spin(0.05)
        if not future.done():
            client.remove_pending_request(future)
            return None
        return future.result()
