"""What learns: networks, normalisers, replay and the sampling of batches. It knows nothing of environments."""

import numpy as np
import torch

from her_robot.contract import Contract, sparse_reward
from her_robot.errors import TrainingDivergedError
from her_robot.policy.config import TrainConfig
from her_robot.policy.ddpg import Agent, Batch, Losses
from her_robot.policy.guide import GUIDES
from her_robot.policy.her import hindsight_goals
from her_robot.policy.normalizer import Normalizer
from her_robot.policy.replay import Episodes, ReplayBuffer

_UPDATES_PER_DRAW = 20
"""Batches drawn together: drawing many at once costs little more than drawing one."""


class Learner:
    """DDPG + HER for one task."""

    def __init__(self, contract: Contract, config: TrainConfig) -> None:
        self.contract = contract
        self._config = config
        self.observation_normalizer = Normalizer(contract.observation_size, config.normalizer)
        self.goal_normalizer = Normalizer(contract.goal_size, config.normalizer)
        inputs = contract.observation_size + contract.goal_size
        self.agent = Agent(inputs, contract.action_size, config.network, config.agent, config.device)
        self.buffer = ReplayBuffer(
            config.buffer_steps,
            contract.episode_steps,
            contract.observation_size,
            contract.goal_size,
            contract.action_size,
        )

    def act(self, observation: np.ndarray, desired_goal: np.ndarray) -> np.ndarray:
        """Deterministic actions (n, action_size) for observations (n, observation_size) and goals (n, goal_size)."""
        return self.agent.act(self._inputs(observation, desired_goal))

    def take_in(self, episodes: Episodes) -> None:
        """Store episodes, and let the normalisers see them."""
        self.buffer.add(episodes)
        self.observation_normalizer.update(episodes.observation)
        self.goal_normalizer.update(episodes.achieved_goal)
        self.goal_normalizer.update(episodes.desired_goal)

    def learn(self, updates: int, rng: np.random.Generator, imitation: float = 0.0) -> Losses:
        """Update the networks `updates` times.

        Args:
            updates: how often.
            rng: source of the draws.
            imitation: weight of the squared difference from the guide's actions.

        Raises:
            TrainingDivergedError: a loss is no longer finite.
        """
        critic_losses, values = [], []
        while updates:
            drawn = min(updates, _UPDATES_PER_DRAW)
            for batch in self._batches(drawn, rng, guided=imitation > 0.0):
                critic_loss, value = self.agent.update(batch, imitation)
                critic_losses.append(critic_loss)
                if value is not None:
                    values.append(value)
            updates -= drawn
        value = float(torch.stack(values).mean()) if values else float("nan")
        losses = Losses(critic=float(torch.stack(critic_losses).mean()), value=value)
        if not np.isfinite(losses.critic) or (values and not np.isfinite(losses.value)):
            raise TrainingDivergedError(
                f"after {self.agent.updates} updates the critic's loss is {losses.critic} and the mean value "
                f"{losses.value}; try a smaller agent.learning_rate"
            )
        return losses

    def _batches(self, count: int, rng: np.random.Generator, guided: bool) -> list[Batch]:
        """Transitions with goals in hindsight and, where it is `guided`, with what the guide would do about them."""
        size, episodes = self._config.batch_size, self.buffer.episodes
        episode, step = self.buffer.draw(count * size, rng)
        desired = np.broadcast_to(episodes.desired_goal[:, None], episodes.achieved_goal.shape)
        goals, _ = hindsight_goals(
            episodes.achieved_goal, desired, episode, step, self._config.relabel.probability, rng
        )
        observation = episodes.observation[episode, step]
        arrays = [
            self._inputs(observation, goals),
            self._inputs(episodes.observation[episode, step + 1], goals),
            episodes.action[episode, step],
            sparse_reward(self.contract, episodes.achieved_goal[episode, step + 1], goals),
        ]
        if guided:
            arrays.append(GUIDES[self.contract.task](self.contract, observation, goals).astype(np.float32))
        tensors = [
            torch.from_numpy(array.reshape(count, size, *array.shape[1:])).to(self.agent.device) for array in arrays
        ]
        return [Batch(*(tensor[i] for tensor in tensors)) for i in range(count)]

    def _inputs(self, observation: np.ndarray, goal: np.ndarray) -> np.ndarray:
        return np.concatenate([self.observation_normalizer(observation), self.goal_normalizer(goal)], axis=-1)
