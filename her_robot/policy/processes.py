"""Data-parallel training: the same run in several processes, started by torchrun.

Every process steps environments of its own and draws batches from a buffer of its own; gradients, what normalisers see,
and measurements are averaged or summed over all. So parameters are equal everywhere, and the batch is as many times as
large. The original shared its work in the same way, over MPI (Plappert et al. 2018, appendix B).
"""

import os
from datetime import timedelta

import numpy as np
import torch
import torch.distributed as distributed
from torch import Tensor

from her_robot.errors import ConfigurationError

_TIMEOUT = timedelta(minutes=10)
"""A process that waits longer than this for another gives up."""


class Processes:
    """The processes of one run; without torchrun, this one alone."""

    def __init__(self, device: str = "cpu") -> None:
        self.count = int(os.environ.get("WORLD_SIZE", "1"))
        self.rank = int(os.environ.get("RANK", "0"))
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
            distributed.init_process_group("nccl" if device == "cuda" else "gloo", timeout=_TIMEOUT)

    @property
    def is_writer(self) -> bool:
        """Whether this process writes what all share, and speaks for them."""
        return self.rank == 0

    def average(self, tensor: Tensor) -> None:
        """Replace a tensor by its mean over all processes."""
        if self.count > 1:
            distributed.all_reduce(tensor)
            tensor /= self.count

    def sum(self, values: np.ndarray) -> np.ndarray:
        """Sum of float64 values over all processes."""
        if self.count == 1:
            return values
        tensor = torch.from_numpy(values.astype(np.float64)).to(self.device)
        distributed.all_reduce(tensor)
        return tensor.cpu().numpy()

    def agree(self, answer: bool) -> bool:
        """The writer's answer to a question that all ask at the same time."""
        if self.count == 1:
            return answer
        tensor = torch.tensor([float(answer)], device=self.device)
        distributed.broadcast(tensor, src=0)
        return bool(tensor)

    def close(self) -> None:
        """Leave the group."""
        if self.count > 1 and distributed.is_initialized():
            distributed.destroy_process_group()
