"""Data-parallel training: the same run in several processes, started by torchrun.

Every process steps environments of its own and draws batches from a buffer of its own; gradients, what normalisers see,
and measurements are averaged or summed over all. So parameters are equal everywhere, and the batch is as many times as
large. The original shared its work in the same way, over MPI (Plappert et al. 2018, appendix B).

A process that dies ends the run: the others say so, and go on from the last checkpoint when they are started again.
"""

import os
import signal
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from types import FrameType

import numpy as np
import torch
import torch.distributed as distributed
from torch import Tensor

from her_robot.errors import ConfigurationError, ProcessesError

_TIMEOUT = timedelta(minutes=10)
"""A process that waits longer than this for another gives up."""
_RESUME = "Checkpoints are whole: start the same torchrun command with --resume to go on from the last one"


class Processes:
    """The processes of one run; without torchrun, this one alone."""

    def __init__(self, device: str = "cpu") -> None:
        """
        Args:
            device: cpu or cuda; each process of a machine takes a GPU of its own.

        Raises:
            ConfigurationError: there is no GPU for this process.
            ProcessesError: the others were not found.
        """
        self.count = int(os.environ.get("WORLD_SIZE", "1"))
        self.count_here = int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if self.count > 1 else 1
        """How many of them share this machine."""
        self.rank = int(os.environ.get("RANK", "0")) if self.count > 1 else 0
        self.device = torch.device(device)
        if device == "cuda":
            self.device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
            if not torch.cuda.is_available():
                raise ConfigurationError(
                    "device is cuda, but PyTorch sees no GPU: its build is "
                    f"{torch.version.cuda or 'for the CPU'}; check nvidia-smi and the driver, or set device=cpu"
                )
            if self.device.index >= torch.cuda.device_count():
                raise ConfigurationError(
                    f"process {self.rank} wants GPU {self.device.index}; this machine has {torch.cuda.device_count()}: "
                    "start no more processes than GPUs (--nproc-per-node)"
                )
            torch.cuda.set_device(self.device)
        if self.count > 1 and not distributed.is_initialized():
            self._meet("nccl" if device == "cuda" else "gloo")

    def _meet(self, backend: str) -> None:
        try:
            distributed.init_process_group(backend, timeout=_TIMEOUT)
        except (RuntimeError, ValueError) as error:
            raise ProcessesError(
                f"process {self.rank} of {self.count} did not find the others ({_first_line(error)}); start them with "
                "torchrun, see docs/scaling.md"
            ) from None
        signal.signal(signal.SIGTERM, self._on_terminated)

    def _on_terminated(self, number: int, frame: FrameType | None) -> None:
        """torchrun ends all processes when one has failed: leave as after any other error."""
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        raise ProcessesError(
            f"process {self.rank} of {self.count} was told to end, as happens when another one has failed. {_RESUME}"
        )

    @property
    def is_writer(self) -> bool:
        """Whether this process writes what all share, and speaks for them."""
        return self.rank == 0

    def average(self, tensor: Tensor) -> None:
        """Replace a tensor by its mean over all processes."""
        if self.count > 1:
            with self._together():
                distributed.all_reduce(tensor)
            tensor /= self.count

    def sum(self, values: np.ndarray) -> np.ndarray:
        """Sum of float64 values over all processes."""
        if self.count == 1:
            return values
        tensor = torch.from_numpy(values.astype(np.float64)).to(self.device)
        with self._together():
            distributed.all_reduce(tensor)
        return tensor.cpu().numpy()

    def agree(self, answer: bool) -> bool:
        """The writer's answer to a question that all ask at the same time."""
        return bool(self.writers(answer))

    def writers(self, number: float) -> float:
        """The writer's number, whatever the others' is; below 2^53 if it is whole."""
        if self.count == 1:
            return number
        return float(self.sum(np.array([number if self.is_writer else 0.0]))[0])

    def common(self, numbers: Sequence[int]) -> list[int]:
        """Those of the processes' numbers, each above or equal to 0, that all of them have, in order."""
        if self.count == 1:
            return sorted(numbers)
        longest = int(max(self._gather(np.array([len(numbers)]))[:, 0]))
        padded = np.full(longest, -1)
        padded[: len(numbers)] = numbers
        rows = [set(row.astype(int)) - {-1} for row in self._gather(padded)]
        return sorted(int(number) for number in set.intersection(*rows))

    def check_equal(self, what: str, text: str) -> None:
        """
        Raises:
            ProcessesError: a text is not the same in all processes.
        """
        found = self._gather(np.array([zlib.crc32(text.encode())]))[:, 0]
        if len(set(found)) > 1:
            others = ", ".join(str(rank) for rank, value in enumerate(found) if value != found[0])
            raise ProcessesError(
                f"the {what} of process {others} differs from that of process 0: all must have the same command, the "
                "same version of her_robot and the same files"
            )

    def _gather(self, values: np.ndarray) -> np.ndarray:
        """The values (n,) of all processes, (count, n) float64."""
        table = np.zeros((self.count, len(values)))
        table[self.rank] = values
        return self.sum(table)

    @contextmanager
    def _together(self) -> Iterator[None]:
        """What all processes do at the same time, or none can."""
        try:
            yield
        except RuntimeError as error:
            raise ProcessesError(
                f"process {self.rank} of {self.count} has lost another one ({_first_line(error)}): it failed, and then "
                f"its own message says why, or it was killed, or its machine cannot be reached. {_RESUME}"
            ) from None

    def close(self) -> None:
        """Leave the group."""
        if self.count > 1 and distributed.is_initialized():
            distributed.destroy_process_group()


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
