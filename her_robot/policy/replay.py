"""Whole episodes, kept so that their goals can be relabelled in hindsight when they are replayed."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Episodes:
    """Episodes of equal length T; the first axis is the episode, the second the step."""

    observation: np.ndarray
    """As the policy saw it, (n, T + 1, observation_size) float32."""
    achieved_goal: np.ndarray
    """As it truly was, (n, T + 1, goal_size) float32."""
    desired_goal: np.ndarray
    """(n, goal_size) float32."""
    action: np.ndarray
    """As commanded, (n, T, action_size) float32."""

    def __len__(self) -> int:
        return len(self.action)


class ReplayBuffer:
    """A ring of episodes."""

    def __init__(
        self, capacity_steps: int, episode_steps: int, observation_size: int, goal_size: int, action_size: int
    ) -> None:
        self.capacity = capacity_steps // episode_steps
        self.episode_steps = episode_steps
        self._episodes = Episodes(
            observation=np.zeros((self.capacity, episode_steps + 1, observation_size), np.float32),
            achieved_goal=np.zeros((self.capacity, episode_steps + 1, goal_size), np.float32),
            desired_goal=np.zeros((self.capacity, goal_size), np.float32),
            action=np.zeros((self.capacity, episode_steps, action_size), np.float32),
        )
        self._added = 0

    def __len__(self) -> int:
        """Number of episodes held."""
        return min(self._added, self.capacity)

    @property
    def bytes_per_episode(self) -> int:
        """Memory and checkpoint space that one episode takes."""
        return sum(array[0].nbytes for array in vars(self._episodes).values())

    def add(self, episodes: Episodes) -> None:
        """Append episodes; the oldest make room."""
        slots = (self._added + np.arange(len(episodes))) % self.capacity
        for name, array in vars(self._episodes).items():
            array[slots] = getattr(episodes, name)
        self._added += len(episodes)

    @property
    def episodes(self) -> Episodes:
        """The episodes held, as views into the ring."""
        return Episodes(**{name: array[: len(self)] for name, array in vars(self._episodes).items()})

    def draw(self, size: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Indices (size,) of episodes and of steps before their end, drawn uniformly."""
        return rng.integers(len(self), size=size), rng.integers(self.episode_steps, size=size)

    def state(self) -> dict[str, np.ndarray]:
        """What `restore` needs; only the part of the ring that is filled."""
        return {**vars(self.episodes), "added": np.array([self._added])}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Continue from an earlier `state()`."""
        self._added = int(state["added"][0])
        for name, array in vars(self._episodes).items():
            array[: len(self)] = state[name]
