"""What learns: networks, normalisers, replay and the sampling of batches. It knows nothing of environments."""

import numpy as np
import torch

from her_robot.contract import Contract, goal_distance
from her_robot.errors import TrainingDivergedError
from her_robot.policy.config import TrainConfig
from her_robot.policy.ddpg import Agent, Batch, Losses
from her_robot.policy.her import hindsight_goals
from her_robot.policy.normalizer import Normalizer
from her_robot.policy.replay import Episodes, ReplayBuffer
from her_robot.policy.stages import Stage, stages_of

_UPDATES_PER_DRAW = 20
"""Batches drawn together: drawing many at once costs little more than drawing one."""


class Learner:
    """DDPG + HER over the stages of one task."""

    def __init__(self, contract: Contract, config: TrainConfig) -> None:
        self.contract = contract
        self.stages = stages_of(contract, config.relay)
        self._config = config
        self.observation_normalizer = Normalizer(contract.observation_size, config.normalizer)
        self.goal_normalizer = Normalizer(contract.goal_size, config.normalizer)
        inputs = contract.observation_size + contract.goal_size + self._stage_inputs
        self.agent = Agent(inputs, contract.action_size, config.network, config.agent, config.device)
        self.buffer = ReplayBuffer(
            config.buffer_steps,
            contract.episode_steps,
            contract.observation_size,
            contract.goal_size,
            contract.action_size,
        )

    @property
    def _stage_inputs(self) -> int:
        return len(self.stages) if len(self.stages) > 1 else 0

    def act(self, observation: np.ndarray, desired_goal: np.ndarray, stage: np.ndarray | int = -1) -> np.ndarray:
        """Deterministic actions (n, action_size) for the given stage of each row; default: the task itself."""
        stage = np.broadcast_to(np.asarray(stage) % len(self.stages), len(observation))
        return self.agent.act(self._inputs(observation, desired_goal, stage))

    def take_in(self, episodes: Episodes) -> None:
        """Store episodes, and let the normalisers see them."""
        self.buffer.add(episodes)
        self.observation_normalizer.update(episodes.observation)
        for stage in self.stages:
            self.goal_normalizer.update(stage.achieved(episodes, self.contract))
            self.goal_normalizer.update(stage.desired(episodes, self.contract))

    def learn(self, updates: int, rng: np.random.Generator) -> Losses:
        """Update the networks `updates` times.

        Raises:
            TrainingDivergedError: a loss is no longer finite.
        """
        critic_losses, values = [], []
        while updates:
            drawn = min(updates, _UPDATES_PER_DRAW)
            for batch in self._batches(drawn, rng):
                critic_loss, value = self.agent.update(batch)
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

    def _batches(self, count: int, rng: np.random.Generator) -> list[Batch]:
        size = self._config.batch_size
        sizes = [round(size * stage.batch_fraction) for stage in self.stages[:-1]]
        sizes.append(size - sum(sizes))
        parts = [self._draw(index, count, part, rng) for index, part in enumerate(sizes)]
        joined = [np.concatenate(arrays, axis=1) for arrays in zip(*parts, strict=True)]
        device = self.agent.device
        inputs, next_inputs, actions, rewards = (torch.from_numpy(array).to(device) for array in joined)
        return [Batch(inputs[i], next_inputs[i], actions[i], rewards[i]) for i in range(count)]

    def _draw(self, index: int, count: int, size: int, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        """Transitions of one stage, arrays with leading axes (count, size)."""
        stage, episodes = self.stages[index], self.buffer.episodes
        episode, step = self.buffer.draw(count * size, rng)
        achieved = stage.achieved(episodes, self.contract)
        desired = stage.desired(episodes, self.contract)
        goals, _ = hindsight_goals(achieved, desired, episode, step, self._config.relabel.probability, rng)
        rewards = _reward(stage, achieved[episode, step + 1], goals)
        stages = np.full(count * size, index)
        arrays = (
            self._inputs(episodes.observation[episode, step], goals, stages),
            self._inputs(episodes.observation[episode, step + 1], goals, stages),
            episodes.action[episode, step],
            rewards,
        )
        return tuple(array.reshape(count, size, *array.shape[1:]) for array in arrays)

    def _inputs(self, observation: np.ndarray, goal: np.ndarray, stage: np.ndarray) -> np.ndarray:
        parts = [self.observation_normalizer(observation), self.goal_normalizer(goal)]
        if self._stage_inputs:
            parts.append(np.eye(self._stage_inputs, dtype=np.float32)[stage])
        return np.concatenate(parts, axis=-1)


def _reward(stage: Stage, achieved: np.ndarray, desired: np.ndarray) -> np.ndarray:
    """0 within the stage's success distance and -1 outside it, float32 (n,)."""
    return -(goal_distance(achieved, desired) > stage.success_distance).astype(np.float32)
