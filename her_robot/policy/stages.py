"""The stages of a task: what is achieved and desired in each, read off recorded episodes.

Most tasks have one stage, the task itself. A task with an object can be learned as a relay: first bring the gripper to the
object, then move the object (after RHER, Luo et al. 2022). The stage is a one-hot input of the networks.
"""

from dataclasses import dataclass

import numpy as np

from her_robot.contract import Contract
from her_robot.policy.config import RelayConfig
from her_robot.policy.replay import Episodes


@dataclass(frozen=True)
class Stage:
    """One stage: goals of its own, and the share of a batch that it gets."""

    batch_fraction: float
    success_distance: float
    """An achieved goal nearer than this to the desired goal is a success [m]."""
    reaches_object: bool
    """Whether the goal is to bring the gripper to the object, instead of the task's goal."""

    def achieved(self, episodes: Episodes, contract: Contract) -> np.ndarray:
        """What was achieved at each time, (n, T + 1, goal_size)."""
        if self.reaches_object:
            return episodes.observation[..., term_slice(contract, "grip_pos")]
        return episodes.achieved_goal

    def desired(self, episodes: Episodes, contract: Contract) -> np.ndarray:
        """What was desired at each time, (n, T + 1, goal_size)."""
        if self.reaches_object:
            return episodes.observation[..., term_slice(contract, "object_pos")]
        return np.broadcast_to(episodes.desired_goal[:, None], episodes.achieved_goal.shape)


def stages_of(contract: Contract, relay: RelayConfig) -> tuple[Stage, ...]:
    """The stages of a task in order; the last is the task itself."""
    task = Stage(1.0, contract.success_distance, reaches_object=False)
    if not relay.enabled:
        return (task,)
    reach = Stage(relay.batch_fraction, relay.success_distance, reaches_object=True)
    return reach, Stage(1.0 - relay.batch_fraction, contract.success_distance, reaches_object=False)


def term_slice(contract: Contract, name: str) -> slice:
    """Where an observation holds the term `name`."""
    start = 0
    for term in contract.observation:
        if term.name == name:
            return slice(start, start + term.size)
        start += term.size
    raise KeyError(f"{contract.task} has no term {name!r}: {[term.name for term in contract.observation]}")


class Guide:
    """Decides which stage acts in training episodes: in some, the first one until the gripper is near the object."""

    def __init__(self, contract: Contract, relay: RelayConfig, num_envs: int) -> None:
        self._relay = relay
        self._guided = np.zeros(num_envs, bool)
        if relay.enabled:
            self._object = term_slice(contract, "object_pos")
            self._relative = term_slice(contract, "object_rel_pos")

    def begin_episodes(self, rng: np.random.Generator) -> None:
        """Draw which episodes are guided."""
        share = self._relay.guided_episodes if self._relay.enabled else 0.0
        self._guided = rng.random(self._guided.size) < share

    def stage_and_goal(self, observation: np.ndarray, desired_goal: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Index of the stage that acts in each row, and its goal.

        Args:
            observation: (num_envs, n).
            desired_goal: the task's, (num_envs, g).

        Returns:
            Stages (num_envs,) and goals (num_envs, g).
        """
        if not self._relay.enabled:
            return np.zeros(len(observation), int), desired_goal
        distance = np.linalg.norm(observation[:, self._relative], axis=-1)
        reaching = self._guided & (distance > self._relay.guide_distance)
        return np.where(reaching, 0, 1), np.where(reaching[:, None], observation[:, self._object], desired_goal)
