"""Several loops at once, each with its nodes on a ROS domain of its own."""

import fcntl
import random
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from her_robot.errors import LoopError

T = TypeVar("T")

LARGEST_COUNT = 32
_LARGEST_DOMAIN_ID = 101
"""Beyond, the ports of DDS reach into those that Linux hands out (docs.ros.org, ROS_DOMAIN_ID)."""
_LOCKS = Path(tempfile.gettempdir())
"""Where a domain's lock is, a file that is never removed: its lock ends with the process that holds it."""


@dataclass(frozen=True)
class Job:
    """One of several loops."""

    index: int
    """From 0 on."""
    domain_id: int
    """No other has it."""
    directory: Path
    """Its logs and its recording go here."""
    cancelled: threading.Event
    """Set when another job was interrupted."""

    def check(self) -> None:
        """
        Raises:
            LoopError: the job is to end.
        """
        if self.cancelled.is_set():
            raise LoopError("interrupted")


def run_side_by_side(work: Callable[[Job], T], count: int, directory: Path) -> list[T]:
    """Do `work` for `count` jobs at the same time; returns the results in the order of the jobs.

    The work of a loop is done by its nodes' processes, so threads serve for what directs them. One job alone runs in
    the thread of the caller, in `directory` itself; several in `job0`, `job1`, ... below.
    """
    cancelled = threading.Event()
    with reserved_domains(count) as domains:
        if count == 1:
            return [work(Job(0, domains[0], directory, cancelled))]
        jobs = [Job(index, domain, directory / f"job{index}", cancelled) for index, domain in enumerate(domains)]
        with ThreadPoolExecutor(count, thread_name_prefix="loop") as pool:
            futures = [pool.submit(work, job) for job in jobs]
            try:
                return [future.result() for future in futures]
            except BaseException:
                # The others would play on to their end.
                cancelled.set()
                raise


@contextmanager
def reserved_domains(count: int) -> Iterator[list[int]]:
    """Some ROS domains that no other evaluation on this machine has, for as long as this lasts.

    Nodes of two loops on one domain would answer each other's requests.

    Raises:
        LoopError: there are not so many left.
    """
    # Not from a seeded generator: where locks are not seen, as between containers, evaluations must not meet either.
    order = random.SystemRandom().sample(range(1, _LARGEST_DOMAIN_ID + 1), _LARGEST_DOMAIN_ID)
    reserved: list[int] = []
    with ExitStack() as locks:
        for domain in order:
            if len(reserved) == count:
                break
            with ExitStack() as attempt:
                try:
                    lock = attempt.enter_context((_LOCKS / f"her_robot-domain-{domain}.lock").open("a"))
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError:  # another evaluation, or another user, has it
                    continue
                locks.push(attempt.pop_all())
                reserved.append(domain)
        if len(reserved) < count:
            raise LoopError(
                f"{count} ROS domains are needed, and {len(reserved)} are free: end other evaluations first"
            )
        yield reserved
