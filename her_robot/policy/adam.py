"""The optimiser of a network."""

from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor


class Network(Protocol):
    """What is changed by an optimiser."""

    parameters: Tensor
    """All of them, (count,)."""
    gradient: Tensor
    """The same of the last backward pass, (count,)."""

    def refresh(self) -> None:
        """Take over parameters that were changed from outside."""
        ...


def adam(network: Network, learning_rate: float, moments: Mapping[str, Tensor] | None = None) -> torch.optim.Adam:
    """Adam (Kingma and Ba 2015, arXiv 1412.6980) over all parameters of a network as one vector.

    Args:
        network: its `parameters` are changed, by its `gradient`.
        learning_rate: step size.
        moments: `step`, `exp_avg` and `exp_avg_sq`, to go on with and to keep up to date; new ones by default.
    """
    parameters = network.parameters
    parameters.grad = network.gradient
    optimizer = torch.optim.Adam([parameters], learning_rate, fused=True)
    optimizer.state[parameters] = dict(moments) if moments else new_moments(parameters)
    return optimizer


def new_moments(parameters: Tensor) -> dict[str, Tensor]:
    """As Adam makes them at its first step."""
    return {
        "step": torch.zeros((), device=parameters.device),
        "exp_avg": torch.zeros_like(parameters),
        "exp_avg_sq": torch.zeros_like(parameters),
    }
