"""What learns: networks, normalisers, replay and the sampling of batches. It knows nothing of environments."""

from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from her_robot import arrays
from her_robot.contract import Contract, is_lost
from her_robot.errors import TrainingDivergedError
from her_robot.policy.agent import Agent, Batch, Losses
from her_robot.policy.config import TrainConfig
from her_robot.policy.ddpg import Ddpg, Td3
from her_robot.policy.guide import GUIDES
from her_robot.policy.her import hindsight_goals
from her_robot.policy.inputs import Inputs
from her_robot.policy.mirror import Mirror
from her_robot.policy.perceptron import Perceptron
from her_robot.policy.processes import Processes
from her_robot.policy.replay import Episodes, ReplayBuffer, StoredEpisodes, never_lost
from her_robot.policy.sac import Sac, sample_actions

ALGORITHMS: dict[str, type[Agent]] = {"ddpg": Ddpg, "td3": Td3, "sac": Sac}
"""By their names in the configuration."""

_UPDATES_PER_DRAW = 20
"""Batches drawn together: drawing many at once costs little more than drawing one."""


class Policy:
    """A copy of the learner's policy that acts while the learner goes on, in float32 as a bundle does.

    Arrays are NumPy's, or tensors on its device: actions are what the observations are.
    """

    def __init__(self, actor: Perceptron, inputs: Inputs, action_size: int, device: torch.device) -> None:
        self._actor, self._inputs, self._device = actor, inputs, device
        self._action_size = action_size

    def act(self, observation: np.ndarray, desired_goal: np.ndarray) -> np.ndarray:
        """Deterministic actions (n, action_size) for observations (n, observation_size) and goals (n, goal_size)."""
        return _kind_of(observation, torch.tanh(self._outputs(observation, desired_goal)[:, : self._action_size]))

    def explore(self, observation: np.ndarray, desired_goal: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Actions to explore with: drawn, if the policy is stochastic, and otherwise those of `act`."""
        outputs = _kind_of(observation, self._outputs(observation, desired_goal))
        if outputs.shape[-1] == self._action_size:
            return arrays.namespace(outputs).tanh(outputs)
        return sample_actions(outputs, rng)

    def _outputs(self, observation: np.ndarray, desired_goal: np.ndarray) -> Tensor:
        seen = (arrays.to_float32(values) for values in (observation, desired_goal))
        return self._actor(self._inputs(*(torch.as_tensor(values, device=self._device) for values in seen)))


def _kind_of(array: np.ndarray | Tensor, values: Tensor) -> Any:
    """A tensor as an array where it answers an array."""
    return values if isinstance(array, Tensor) else values.cpu().numpy()


class Learner:
    """Hindsight experience replay with an actor-critic, for one task."""

    def __init__(
        self, contract: Contract, config: TrainConfig, processes: Processes | None = None, beside: bool = False
    ) -> None:
        """
        Args:
            contract: of the task.
            config: of the run.
            processes: of a data-parallel run.
            beside: update the actor in a process of its own, where that changes nothing but the time it takes.
        """
        self.contract = contract
        self._config = config
        self._processes = processes or Processes(config.device)
        self.device = self._processes.device
        self._generator = torch.Generator(self.device).manual_seed(config.seed * 1000)
        self.inputs = Inputs(contract, config.normalizer, config.network, self.device)
        self.agent = ALGORITHMS[config.agent.algorithm](
            self.inputs.size,
            contract.action_size,
            config.network,
            config.agent,
            self.device,
            self._generator,
            self._processes.average,
            beside and self.device.type == "cpu" and self._processes.count == 1,
        )
        if self._processes.rank:
            # Networks begin alike in all processes; from here on each makes draws of its own.
            self._generator.manual_seed(config.seed * 1000 + self._processes.rank)
        self.buffer = ReplayBuffer(
            config.buffer_steps,
            contract.episode_steps,
            contract.observation_size,
            contract.goal_size,
            contract.action_size,
            config.replay.still_weight,
            config.replay.moved_distance,
            self.device,
            partial(is_lost, contract) if config.replay.end_when_lost else never_lost,
        )
        self._mirror = Mirror(contract, self.device) if config.replay.mirrored else None

    def policy(self, averaged: bool = False) -> Policy:
        """A copy of the policy as it is now; `averaged`: the one to measure and export, not to explore with."""
        actor = (self.agent.averaged_actor if averaged else self.agent.actor).in_float32()
        return Policy(actor, self.inputs.snapshot(), self.contract.action_size, self.device)

    def take_in(self, episodes: Episodes) -> None:
        """Store episodes, and let the normalisers see them."""
        achieved = episodes.achieved_goal
        last = self.buffer.add(episodes)
        counts = arrays.like(last, np.arange(achieved.shape[1])) <= last[:, None]
        sums = self.inputs.sums_of(episodes.observation, achieved, episodes.desired_goal, counts)
        self.inputs.add(self._processes.sum(sums))

    def learn(self, updates: int, imitation: float = 0.0) -> Losses:
        """Update the networks `updates` times.

        Args:
            updates: how often.
            imitation: weight of the squared difference from the guide's actions.

        Raises:
            TrainingDivergedError: a loss is no longer finite.
        """
        critic_losses, values = [], []
        while updates:
            drawn = min(updates, _UPDATES_PER_DRAW)
            for batch in self._batches(drawn, guided=imitation > 0.0):
                critic_loss, value = self.agent.update(batch, imitation)
                critic_losses.append(critic_loss)
                if value is not None:
                    values.append(value)
            updates -= drawn
        settled = self.agent.settle()
        if settled is not None:
            values.append(settled)
        value = float(torch.stack(values).mean()) if values else float("nan")
        losses = Losses(critic=float(torch.stack(critic_losses).mean()), value=value)
        if not np.isfinite(losses.critic) or (values and not np.isfinite(losses.value)):
            raise TrainingDivergedError(
                f"after {self.agent.updates} updates the critic's loss is {losses.critic} and the mean value "
                f"{losses.value}; try a smaller agent.learning_rate"
            )
        return losses

    def close(self) -> None:
        """End what goes on beside."""
        self.agent.close()

    def random_state(self) -> np.ndarray:
        """State of the generator behind all draws."""
        return self._generator.get_state().numpy()

    def set_random_state(self, state: np.ndarray) -> None:
        """Continue the draws of an earlier run."""
        self._generator.set_state(torch.from_numpy(state))

    def _batches(self, count: int, guided: bool) -> list[Batch]:
        """Transitions with goals in hindsight and, where it is `guided`, with what the guide would do about them."""
        size, episodes = self._config.batch_size, self.buffer.episodes
        episode, step = self.buffer.draw(count * size, self._generator)
        goals, _ = hindsight_goals(
            episodes.achieved_goal,
            episodes.desired_goal,
            episode,
            step,
            self._config.relabel,
            self._generator,
            episodes.last,
        )
        rewards, discounts, ahead = self._returns(episodes, episode, step, goals)
        observation, action = episodes.observation[episode, step], episodes.action[episode, step]
        next_observation = episodes.observation[episode, ahead]
        if self._mirror:
            rows = torch.rand(len(step), generator=self._generator, device=self.device) < 0.5
            observation = self._mirror.observation(observation, rows)
            next_observation = self._mirror.observation(next_observation, rows)
            goals, action = self._mirror.goal(goals, rows), self._mirror.action(action, rows)
        tensors = [
            self.inputs(observation, goals),
            self.inputs(next_observation, goals),
            action,
            rewards,
            discounts,
        ]
        if guided:
            guide = GUIDES[self.contract.task]
            tensors.append(guide(self.contract, observation, goals))  # type: ignore[arg-type]
        parts = [tensor.view(count, size, *tensor.shape[1:]) for tensor in tensors]
        return [Batch(*(part[i] for part in parts)) for i in range(count)]

    def _returns(
        self, episodes: StoredEpisodes, episode: Tensor, step: Tensor, goals: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Discounted rewards (n,) up to `n_step` steps ahead, the discount (n,) of what follows, and its time (n,)."""
        gamma, end = self._config.agent.gamma, episodes.achieved_goal.shape[1] - 1
        rewards = torch.zeros(len(step), device=self.device)
        discounts = torch.ones(len(step), device=self.device)
        ahead, last = step, episodes.last[episode]
        for _ in range(self._config.agent.n_step):
            within = (ahead < end) & (ahead <= last)
            ahead = torch.where(within, ahead + 1, ahead)
            lost = within & (ahead > last)
            distance = torch.linalg.vector_norm(episodes.achieved_goal[episode, ahead] - goals, dim=-1)
            missed = (distance > self.contract.success_distance) & within & ~lost
            rewards -= discounts * (missed + lost / (1.0 - gamma))
            discounts = torch.where(within, discounts * gamma, discounts).masked_fill_(lost, 0.0)
        return rewards, discounts, ahead
