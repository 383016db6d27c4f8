"""Deep deterministic policy gradient for goals, with the details of Plappert et al. 2018, appendix B."""

import copy
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from her_robot.policy.config import AgentConfig, NetworkConfig
from her_robot.policy.networks import Actor, Critic


@dataclass(frozen=True)
class Batch:
    """Transitions as the networks see them; the first axis is the transition."""

    inputs: Tensor
    next_inputs: Tensor
    actions: Tensor
    rewards: Tensor
    guide_actions: Tensor | None = None
    """What the task's guide would do; None where it takes no part."""


@dataclass(frozen=True)
class Losses:
    """Means over the updates of one call."""

    critic: float
    """Mean squared error of action values."""
    value: float
    """Mean action value of the policy's own actions."""


class Agent:
    """Actor, critic, their targets and optimisers."""

    def __init__(self, inputs: int, actions: int, network: NetworkConfig, config: AgentConfig, device: str) -> None:
        self._config = config
        self.device = torch.device(device)
        self.actor = Actor(inputs, actions, network).to(self.device)
        self.critic = Critic(inputs, actions, network).to(self.device)
        self._target_actor = copy.deepcopy(self.actor).requires_grad_(False)
        self._target_critic = copy.deepcopy(self.critic).requires_grad_(False)
        self._actor_optimizer = torch.optim.Adam(self.actor.parameters(), config.learning_rate, foreach=True)
        self._critic_optimizer = torch.optim.Adam(self.critic.parameters(), config.learning_rate, foreach=True)
        self.updates = 0

    @torch.no_grad()
    def act(self, inputs: np.ndarray) -> np.ndarray:
        """Deterministic actions (n, actions) in [-1, 1] for normalised inputs (n, inputs)."""
        return self.actor(torch.from_numpy(inputs).to(self.device)).cpu().numpy()

    def update(self, batch: Batch, imitation: float = 0.0) -> tuple[Tensor, Tensor | None]:
        """One step of the critic and, when it is due, of the actor and of the targets.

        Args:
            batch: what to learn from.
            imitation: weight of the squared difference from the guide's actions.

        Returns:
            The critic's loss and, where the actor was updated, the mean value of its actions, which it raises.
        """
        self.updates += 1
        critic_loss = self._update_critic(batch)
        value = self._update_actor(batch, imitation) if self.updates % self._config.actor_interval == 0 else None
        if self.updates % self._config.target_interval == 0:
            self._update_targets()
        return critic_loss, value

    def _update_critic(self, batch: Batch) -> Tensor:
        gamma = self._config.gamma
        with torch.no_grad():
            next_value = self._target_critic(batch.next_inputs, self._target_actor(batch.next_inputs))
            # Rewards lie in [-1, 0]. A time limit is no terminal state: every transition bootstraps.
            target = (batch.rewards + gamma * next_value).clamp(-1.0 / (1.0 - gamma), 0.0)
        loss = nn.functional.mse_loss(self.critic(batch.inputs, batch.actions), target)
        self._critic_optimizer.zero_grad()
        loss.backward()
        self._critic_optimizer.step()
        return loss.detach()

    def _update_actor(self, batch: Batch, imitation: float = 0.0) -> Tensor:
        # The critic's weights take no part: without this, their gradients would be computed and thrown away.
        self.critic.requires_grad_(False)
        actions = self.actor(batch.inputs)
        value = self.critic(batch.inputs, actions).mean()
        loss = self._config.action_l2 * actions.square().mean() - value
        if batch.guide_actions is not None:
            loss = loss + imitation * (actions - batch.guide_actions).square().mean()
        self._actor_optimizer.zero_grad()
        loss.backward()
        self._actor_optimizer.step()
        self.critic.requires_grad_(True)
        return value.detach()

    @torch.no_grad()
    def _update_targets(self) -> None:
        for target, online in ((self._target_actor, self.actor), (self._target_critic, self.critic)):
            for old, new in zip(target.parameters(), online.parameters(), strict=True):
                old.lerp_(new, 1.0 - self._config.polyak)

    def state(self) -> dict[str, Tensor]:
        """Every tensor that training depends on, by name."""
        tensors = {
            f"{name}.{key}": tensor
            for name, module in self._modules().items()
            for key, tensor in module.state_dict().items()
        }
        for name, optimizer in self._optimizers().items():
            for index, moments in optimizer.state_dict()["state"].items():
                tensors |= {f"{name}.{index}.{key}": torch.as_tensor(value) for key, value in moments.items()}
        tensors["updates"] = torch.tensor(self.updates)
        return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Continue from an earlier `state()`."""
        for name, module in self._modules().items():
            module.load_state_dict(_below(state, name))
        for name, optimizer in self._optimizers().items():
            moments: dict[int, dict[str, Tensor]] = {}
            for key, tensor in _below(state, name).items():
                index, moment = key.split(".")
                moments.setdefault(int(index), {})[moment] = tensor
            optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
        self.updates = int(state["updates"])

    def _modules(self) -> dict[str, nn.Module]:
        return {
            "actor": self.actor,
            "critic": self.critic,
            "target_actor": self._target_actor,
            "target_critic": self._target_critic,
        }

    def _optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return {"actor_optimizer": self._actor_optimizer, "critic_optimizer": self._critic_optimizer}


def _below(state: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    return {key[len(name) + 1 :]: tensor for key, tensor in state.items() if key.startswith(f"{name}.")}
