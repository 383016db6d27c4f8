"""What DDPG, TD3 and SAC have in common: an actor, critics, their targets and optimisers."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch import Tensor

from her_robot.policy.adam import Network, adam
from her_robot.policy.config import AgentConfig, NetworkConfig
from her_robot.policy.improvement import Improvement, Improver
from her_robot.policy.perceptron import Perceptron
from her_robot.policy.precision import product_dtype


@dataclass(frozen=True)
class Batch:
    """Transitions as the networks see them; the first axis is the transition."""

    inputs: Tensor
    """(n, inputs + privileged): what all see, then what critics alone do."""
    next_inputs: Tensor
    """(n, inputs + privileged), one or several steps later."""
    actions: Tensor
    """(n, actions)."""
    rewards: Tensor
    """(n,), summed over the steps between, discounted."""
    discounts: Tensor
    """(n,), what the value of `next_inputs` counts with."""
    example_actions: Tensor | None = None
    """What the task's guide would do, or what achieved the goal, (n, actions), not numbers where there is neither; None
    where nothing is imitated."""


@dataclass(frozen=True)
class Losses:
    """Means over the updates of one call."""

    critic: float
    """Mean squared error of action values."""
    value: float
    """Mean action value of the policy's own actions."""


Average = Callable[[Tensor], None]
"""Averages a tensor over the processes of a data-parallel run, in place."""


N = TypeVar("N", bound=Network)
B = TypeVar("B")
"""What an update learns from."""


class ActorCritic(ABC, Generic[N, B]):
    """An actor, critics, targets that follow them, and optimisers.

    Values lie in [-1 / (1 - gamma), 0], as rewards lie in [-1, 0]: targets are clipped to that.
    """

    critics = 1
    """How many critics there are; the target is the smallest of their values."""
    has_target_actor = True
    """Whether targets take the actions of a network that follows the actor; else those of the actor itself."""
    _actor_optimizer: torch.optim.Optimizer
    """What changes the actor; each algorithm makes its own."""

    def __init__(self, actor: N, critics: list[N], config: AgentConfig, average: Average) -> None:
        """
        Args:
            actor: as it begins.
            critics: as they begin.
            config: how they learn.
            average: called on every gradient before it is applied.
        """
        self._config, self._average = config, average
        self.actor, self.critic = actor, critics
        self.averaged_actor = copy.deepcopy(self.actor) if config.actor_averaging else self.actor
        """What is measured and exported."""
        self._target_actor = copy.deepcopy(self.actor) if self.has_target_actor else self.actor
        self._target_critic = copy.deepcopy(self.critic)
        self._critic_optimizers = [adam(critic, config.learning_rate) for critic in self.critic]
        self.updates = 0
        self.critics_first = 0
        """Updates in which the actor stays as it is, at the beginning."""

    def update(self, batch: B, imitation: float = 0.0) -> tuple[Tensor, Tensor | None]:
        """One step of the critics and, when it is due, of the actor and of the targets.

        Args:
            batch: what to learn from.
            imitation: weight of the squared difference from example actions.

        Returns:
            The critics' loss and, where the actor changed, the mean value of its actions before.
        """
        self.updates += 1
        loss = self._update_critics(batch)
        actor_is_due = self.updates > self.critics_first and self.updates % self._config.actor_interval == 0
        value = self._update_actor(batch, imitation) if actor_is_due else None
        if self.updates % self._config.target_interval == 0:
            self._update_targets()
        return loss, value

    def settle(self) -> Tensor | None:
        """Finish what goes on beside; returns the mean value of the actor's actions if it changed."""
        return None

    def close(self) -> None:
        """End what goes on beside; what is not settled is lost."""
        return

    @abstractmethod
    def _update_critics(self, batch: B) -> Tensor:
        """One step of the critics; returns their loss."""

    @abstractmethod
    def _update_actor(self, batch: B, imitation: float) -> Tensor | None:
        """One step of the actor, or the beginning of one; returns the mean value of its actions if it changed."""

    def _step(self, network: N, optimizer: torch.optim.Optimizer) -> None:
        self._average(network.gradient)
        optimizer.step()
        network.refresh()

    def _average_actor(self) -> None:
        if self.averaged_actor is not self.actor:
            self.averaged_actor.parameters.lerp_(self.actor.parameters, 1.0 - self._config.actor_averaging)

    def _update_targets(self) -> None:
        weight = 1.0 - self._config.polyak
        pairs = list(zip(self._target_critic, self.critic, strict=True))
        if self.has_target_actor:
            pairs.append((self._target_actor, self.actor))
        for target, online in pairs:
            target.parameters.lerp_(online.parameters, weight)
            target.refresh()

    def state(self) -> dict[str, Tensor]:
        """Every tensor that training depends on, by name; what goes on beside is finished first."""
        self.settle()
        tensors = {f"{name}.parameters": network.parameters for name, network in self._networks().items()}
        for name, optimizer in self._optimizers().items():
            for moments in optimizer.state.values():
                tensors |= {f"{name}.{key}": moment for key, moment in moments.items()}
        tensors["updates"] = torch.tensor(self.updates)
        return {name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Continue from an earlier `state()`."""
        # A run that did not average until now begins with the actor that it has.
        state = {"averaged_actor.parameters": state["actor.parameters"], **state}
        for name, network in self._networks().items():
            network.parameters.copy_(state[f"{name}.parameters"])
            network.refresh()
        for name, optimizer in self._optimizers().items():
            for moments in optimizer.state.values():
                for key, moment in moments.items():
                    moment.copy_(state[f"{name}.{key}"])
        self.updates = int(state["updates"])

    def _networks(self) -> dict[str, N]:
        derived = {"averaged_actor": self.averaged_actor, "target_actor": self._target_actor}
        return {
            "actor": self.actor,
            **{name: network for name, network in derived.items() if network is not self.actor},
            **{f"critic{i}": critic for i, critic in enumerate(self.critic)},
            **{f"target_critic{i}": critic for i, critic in enumerate(self._target_critic)},
        }

    def _optimizers(self) -> dict[str, torch.optim.Optimizer]:
        optimizers = {f"critic_optimizer{i}": optimizer for i, optimizer in enumerate(self._critic_optimizers)}
        return {"actor_optimizer": self._actor_optimizer, **optimizers}


class Agent(ActorCritic[Perceptron, Batch]):
    """An actor-critic of feed-forward networks. The actor takes each of its steps one interval after it was begun."""

    improvement: type[Improvement] = Improvement
    """How the actor is improved."""

    def __init__(
        self,
        inputs: int,
        actions: int,
        network: NetworkConfig,
        config: AgentConfig,
        device: torch.device,
        generator: torch.Generator,
        average: Average = lambda tensor: None,
        beside: bool = False,
        privileged: int = 0,
    ) -> None:
        """
        Args:
            inputs: size of what the actor sees.
            actions: size of what it does.
            network: shape of actor and critics.
            config: how they learn.
            device: where they live.
            generator: source of random draws, on that device.
            average: called on every gradient before it is applied.
            beside: update the actor in a process of its own.
            privileged: size of what critics see besides.
        """
        self._generator = generator
        self.device = device
        self.inputs = inputs

        def perceptron(inputs: int, outputs: int) -> Perceptron:
            dtype = product_dtype(network, device)
            return Perceptron(inputs, network.hidden_sizes, outputs, network.layer_norm, device, dtype, generator)

        actor = perceptron(inputs, self.actor_outputs(actions))
        critics = [perceptron(inputs + privileged + actions, 1) for _ in range(self.critics)]
        super().__init__(actor, critics, config, average)
        improvement = self.improvement(copy.deepcopy(actor), copy.deepcopy(critics), config, average)
        self._actor_optimizer = improvement.optimizer
        self._improver = Improver(improvement, beside)

    @staticmethod
    def actor_outputs(actions: int) -> int:
        """How many outputs an actor of so many actions has."""
        return actions

    @abstractmethod
    def _next_value(self, next_inputs: Tensor) -> Tensor:
        """Value (n,) of being at `next_inputs` (n, inputs + privileged) and acting by the policy."""

    def _update_critics(self, batch: Batch) -> Tensor:
        lowest = -1.0 / (1.0 - self._config.gamma)
        # A time limit is no terminal state: every transition bootstraps.
        target = (batch.rewards + batch.discounts * self._next_value(batch.next_inputs)).clamp_(lowest, 0.0)
        inputs = torch.cat([batch.inputs, batch.actions], dim=-1)
        losses = []
        for critic, optimizer in zip(self.critic, self._critic_optimizers, strict=True):
            value, tape = critic.forward(inputs)
            error = value.squeeze(-1) - target
            critic.backward(tape, (2.0 / len(error)) * error[:, None])
            self._step(critic, optimizer)
            losses.append(error.square().mean())
        return torch.stack(losses).mean()

    def _update_actor(self, batch: Batch, imitation: float) -> Tensor | None:
        value = self.settle()
        draws = self._draws(batch.actions)
        self._improver.start(self.critic, batch.inputs, draws, batch.example_actions, imitation)
        return value

    def _draws(self, actions: Tensor) -> Tensor | None:
        """Standard normal, of the shape of some actions, where the actor is stochastic."""
        return None

    def settle(self) -> Tensor | None:
        value = self._improver.finish(self.actor)
        if value is not None:
            self._average_actor()
        return value

    def restore(self, state: dict[str, Tensor]) -> None:
        super().restore(state)
        self._improver.restore(self.actor)

    def close(self) -> None:
        self._improver.close()

    def _target_value(self, inputs: Tensor, actions: Tensor) -> Tensor:
        """Smallest value (n,) that the target critics give to actions."""
        values = [critic(torch.cat([inputs, actions], dim=-1)).squeeze(-1) for critic in self._target_critic]
        return values[0] if len(values) == 1 else torch.minimum(*values)
