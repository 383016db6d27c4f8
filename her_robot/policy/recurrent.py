"""Actor and critics with a memory that is learned: recurrent deterministic policy gradient.

As Peng et al. 2017 (arXiv 1710.06537), after Heess et al. 2015 (arXiv 1512.04455): an LSTM sees what the policy sees
and what it did before, and a perceptron sees the present and the LSTM's output. Training plays whole episodes again,
from their beginning, so that the state at each step is the one that it would have had. Gradients are autograd's.
"""

import copy
import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from her_robot.policy.adam import adam
from her_robot.policy.agent import ActorCritic, Average
from her_robot.policy.config import AgentConfig, NetworkConfig
from her_robot.policy.perceptron import Layer

State = tuple[Tensor, Tensor]
"""Hidden state and cell of an LSTM, (1, n, size) each."""


@dataclass(frozen=True)
class Sequences:
    """Whole episodes as the networks see them; the first axis is time, the second the episode."""

    inputs: Tensor
    """(T + 1, n, inputs + privileged): what all see, then what critics alone do."""
    previous_actions: Tensor
    """(T + 1, n, actions): 0, then what was done in each step."""
    rewards: Tensor
    """(T, n), summed up to `ahead`, discounted."""
    discounts: Tensor
    """(T, n), what the value at `ahead` counts with."""
    ahead: Tensor
    """Time at which each step's target bootstraps, (T, n)."""
    counts: Tensor
    """1 where a step is learned from, 0 after an object is lost, (T, n)."""
    example_actions: Tensor | None = None
    """What the task's guide would do, (T, n, actions); None without."""


class RecurrentNetwork:
    """An LSTM beside its inputs, and a perceptron on both. All parameters are one vector, as a `Perceptron`'s are."""

    def __init__(
        self,
        inputs: int,
        actions: int,
        config: NetworkConfig,
        outputs: int,
        judges: bool,
        device: torch.device,
        generator: torch.Generator,
    ) -> None:
        """
        Args:
            inputs: size of what it sees in each step.
            actions: size of an action.
            config: sizes of LSTM and hidden layers.
            outputs: size of the output.
            judges: whether the perceptron sees a present action as well: a critic's does.
            device: where the parameters live.
            generator: draws the first parameters, on that device.
        """
        self.inputs = inputs
        self.lstm = nn.LSTM(inputs + actions, config.recurrent_size, device=device)
        sizes = [inputs + config.recurrent_size + (actions if judges else 0), *config.hidden_sizes]
        parts: list[nn.Module] = []
        for size, units in zip(sizes, config.hidden_sizes, strict=False):
            normalization = [nn.LayerNorm(units, device=device)] if config.layer_norm else []
            parts += [nn.Linear(size, units, device=device), *normalization, nn.ReLU()]
        self._perceptron = nn.Sequential(*parts, nn.Linear(sizes[-1], outputs, device=device))
        self.parameters, self.gradient = _as_vectors(self._tensors())
        """All parameters (count,), and the gradient that the last backward pass left (count,)."""
        self._initialize(generator)

    def __call__(
        self, inputs: Tensor, previous_actions: Tensor, actions: Tensor | None = None, state: State | None = None
    ) -> tuple[Tensor, State]:
        """Outputs (T, n, outputs) for T steps of n episodes, and the LSTM's state after them.

        Args:
            inputs: (T, n, inputs).
            previous_actions: (T, n, actions).
            actions: to be judged, (T, n, actions).
            state: before the first step; default: 0, as an episode begins.
        """
        hidden, after = self.lstm(torch.cat([inputs, previous_actions], dim=-1), state)
        seen = [inputs, hidden] if actions is None else [inputs, hidden, actions]
        return self._perceptron(torch.cat(seen, dim=-1)), after

    @property
    def layers(self) -> list[Layer]:
        """The perceptron's parameters."""
        linear = [part for part in self._perceptron if isinstance(part, nn.Linear)]
        norms = [part for part in self._perceptron if isinstance(part, nn.LayerNorm)]
        scaled = [(norm.weight, norm.bias) for norm in norms] + [(None, None)] * (len(linear) - len(norms))
        return [Layer(part.weight, part.bias, *scale) for part, scale in zip(linear, scaled, strict=True)]

    def freeze(self, frozen: bool) -> None:
        """Whether gradients pass through, and leave none here."""
        for tensor in self._tensors():
            tensor.requires_grad_(not frozen)

    def refresh(self) -> None:
        """Nothing is to be done when parameters were changed from outside: there is no other copy of them."""

    def in_float32(self) -> "RecurrentNetwork":
        """A copy."""
        return copy.deepcopy(self)

    def __deepcopy__(self, memo: dict[int, object]) -> "RecurrentNetwork":
        other = copy.copy(self)
        other.lstm, other._perceptron = copy.deepcopy(self.lstm, memo), copy.deepcopy(self._perceptron, memo)
        other.parameters, other.gradient = _as_vectors(other._tensors())
        return other

    def _tensors(self) -> list[nn.Parameter]:
        return [*self.lstm.parameters(), *self._perceptron.parameters()]

    @torch.no_grad()
    def _initialize(self, generator: torch.Generator) -> None:
        """As PyTorch does, by draws of a generator."""
        for tensor in self.lstm.parameters():
            bound = 1.0 / math.sqrt(self.lstm.hidden_size)
            tensor.uniform_(-bound, bound, generator=generator)
        for part in self._perceptron:
            if isinstance(part, nn.Linear):
                bound = 1.0 / math.sqrt(part.in_features)
                part.weight.uniform_(-bound, bound, generator=generator)
                part.bias.uniform_(-bound, bound, generator=generator)


class RecurrentDdpg(ActorCritic[RecurrentNetwork, Sequences]):
    """Deterministic policy gradient through time."""

    def __init__(
        self,
        inputs: int,
        actions: int,
        network: NetworkConfig,
        config: AgentConfig,
        device: torch.device,
        generator: torch.Generator,
        average: Average = lambda tensor: None,
        privileged: int = 0,
    ) -> None:
        """The arguments are those of `Agent`."""
        self.inputs, self._generator = inputs, generator
        actor = RecurrentNetwork(inputs, actions, network, actions, False, device, generator)
        seen = inputs + privileged
        critics = [RecurrentNetwork(seen, actions, network, 1, True, device, generator) for _ in range(self.critics)]
        super().__init__(actor, critics, config, average)
        self._actor_optimizer = adam(actor, config.learning_rate)

    def _update_critics(self, batch: Sequences) -> Tensor:
        target = self._targets(batch)
        losses = []
        for critic, optimizer in zip(self.critic, self._critic_optimizers, strict=True):
            values = _judged(critic, batch.inputs[:-1], batch.previous_actions[:-1], batch.previous_actions[1:])
            loss = _mean((values - target).square(), batch.counts)
            self._descend(critic, optimizer, loss)
            losses.append(loss.detach())
        return torch.stack(losses).mean()

    @torch.no_grad()
    def _targets(self, batch: Sequences) -> Tensor:
        """What the critics' values (T, n) shall be."""
        previous = batch.previous_actions
        outputs, _ = self._target_actor(batch.inputs[..., : self.inputs], previous)
        actions = self._target_actions(torch.tanh(outputs))
        values = [_judged(critic, batch.inputs, previous, actions) for critic in self._target_critic]
        value = torch.stack(values).amin(0).gather(0, batch.ahead)
        return (batch.rewards + batch.discounts * value).clamp_(-1.0 / (1.0 - self._config.gamma), 0.0)

    def _target_actions(self, actions: Tensor) -> Tensor:
        return actions

    def _update_actor(self, batch: Sequences, imitation: float) -> Tensor:
        inputs, previous = batch.inputs[:-1], batch.previous_actions[:-1]
        outputs, _ = self.actor(inputs[..., : self.inputs], previous)
        actions = torch.tanh(outputs)
        for critic in self.critic:
            critic.freeze(True)
        value = torch.stack([_judged(critic, inputs, previous, actions) for critic in self.critic]).amin(0)
        value = _mean(value, batch.counts)
        loss = self._config.action_l2 * _mean(actions.square().mean(-1), batch.counts) - value
        if batch.example_actions is not None:
            loss = loss + imitation * _mean((actions - batch.example_actions).square().mean(-1), batch.counts)
        self._descend(self.actor, self._actor_optimizer, loss)
        for critic in self.critic:
            critic.freeze(False)
        self._average_actor()
        return value.detach()

    def _descend(self, network: RecurrentNetwork, optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
        network.gradient.zero_()
        loss.backward()
        self._step(network, optimizer)


class RecurrentTd3(RecurrentDdpg):
    """Two critics, and targets smoothed over neighbouring actions (Fujimoto et al. 2018, arXiv 1802.09477)."""

    critics = 2

    def _target_actions(self, actions: Tensor) -> Tensor:
        noise = torch.empty_like(actions).normal_(generator=self._generator).mul_(self._config.target_noise)
        noise.clamp_(-self._config.target_noise_clip, self._config.target_noise_clip)
        return (actions + noise).clamp_(-1.0, 1.0)


def _judged(critic: RecurrentNetwork, inputs: Tensor, previous_actions: Tensor, actions: Tensor) -> Tensor:
    """Values (T, n) of actions (T, n, actions)."""
    return critic(inputs, previous_actions, actions)[0].squeeze(-1)


def _mean(values: Tensor, counts: Tensor) -> Tensor:
    return (values * counts).sum() / counts.sum()


def _as_vectors(tensors: Iterable[nn.Parameter]) -> tuple[Tensor, Tensor]:
    """Move tensors, and their gradients, into one vector each; they become views of them."""
    tensors = list(tensors)
    parameters = torch.cat([tensor.detach().flatten() for tensor in tensors])
    gradient = torch.zeros_like(parameters)
    start = 0
    for tensor in tensors:
        end = start + tensor.numel()
        tensor.data = parameters[start:end].view_as(tensor)
        tensor.grad = gradient[start:end].view_as(tensor)
        start = end
    return parameters, gradient
