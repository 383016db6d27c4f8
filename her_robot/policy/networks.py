"""Actor and critic networks."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from her_robot.policy.config import NetworkConfig


class Actor(nn.Module):
    """Deterministic policy: inputs (n, inputs) to actions (n, actions) in [-1, 1]."""

    def __init__(self, inputs: int, actions: int, config: NetworkConfig) -> None:
        super().__init__()
        self.layers = _perceptron(inputs, config.hidden_sizes, actions, config.layer_norm)

    def forward(self, inputs: Tensor) -> Tensor:
        return torch.tanh(self.layers(inputs))


class Critic(nn.Module):
    """Action value: inputs (n, inputs) and actions (n, actions) to values (n,)."""

    def __init__(self, inputs: int, actions: int, config: NetworkConfig) -> None:
        super().__init__()
        self.layers = _perceptron(inputs + actions, config.hidden_sizes, 1, config.layer_norm)

    def forward(self, inputs: Tensor, actions: Tensor) -> Tensor:
        return self.layers(torch.cat([inputs, actions], dim=-1)).squeeze(-1)


def _perceptron(inputs: int, hidden_sizes: Sequence[int], outputs: int, layer_norm: bool) -> nn.Sequential:
    layers: list[nn.Module] = []
    for size in hidden_sizes:
        layers.append(nn.Linear(inputs, size))
        if layer_norm:
            layers.append(nn.LayerNorm(size))
        layers.append(nn.ReLU())
        inputs = size
    layers.append(nn.Linear(inputs, outputs))
    return nn.Sequential(*layers)
