"""Whole episodes, kept so that their goals can be relabelled in hindsight when they are replayed."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Episodes:
    """Episodes of equal length T; the first axis is the episode, the second the step. Arrays or tensors."""

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


@dataclass(frozen=True)
class StoredEpisodes:
    """`Episodes` as tensors on the learner's device."""

    observation: Tensor
    achieved_goal: Tensor
    desired_goal: Tensor
    action: Tensor


class ReplayBuffer:
    """A ring of episodes.

    An episode is drawn with a weight: 1 if what it achieved has moved, `still_weight` if not. Where nothing has moved,
    every goal in hindsight is reached from the start, and there is little to learn.
    """

    def __init__(
        self,
        capacity_steps: int,
        episode_steps: int,
        observation_size: int,
        goal_size: int,
        action_size: int,
        still_weight: float = 1.0,
        moved_distance: float = 0.0,
        device: torch.device | str = "cpu",
    ) -> None:
        self.capacity = capacity_steps // episode_steps
        self.episode_steps = episode_steps
        self._still_weight, self._moved_distance = still_weight, moved_distance
        shapes = {
            "observation": (episode_steps + 1, observation_size),
            "achieved_goal": (episode_steps + 1, goal_size),
            "desired_goal": (goal_size,),
            "action": (episode_steps, action_size),
        }
        self._ring = StoredEpisodes(
            **{name: torch.zeros((self.capacity, *shape), device=device) for name, shape in shapes.items()}
        )
        self._cumulative_weight = np.zeros(0)
        self._moved = np.zeros(self.capacity, bool)
        self._device = device
        self._added = 0

    def __len__(self) -> int:
        """Number of episodes held."""
        return min(self._added, self.capacity)

    def add(self, episodes: Episodes) -> None:
        """Append episodes; the oldest make room."""
        slots = (self._added + np.arange(len(episodes))) % self.capacity
        index = torch.from_numpy(slots).to(self._device)
        for name, tensor in vars(self._ring).items():
            tensor[index] = torch.as_tensor(np.ascontiguousarray(getattr(episodes, name)), device=self._device)
        self._added += len(episodes)
        self._moved[slots] = _farthest(episodes.achieved_goal) > self._moved_distance
        self._derive_weights()

    @property
    def episodes(self) -> StoredEpisodes:
        """The episodes held, as views into the ring."""
        return StoredEpisodes(**{name: tensor[: len(self)] for name, tensor in vars(self._ring).items()})

    def draw(self, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Indices (size,) of episodes, by weight, and of steps before their end, drawn uniformly."""
        device = self._device
        step = torch.randint(self.episode_steps, (size,), generator=generator, device=device)
        if self._still_weight == 1.0:
            return torch.randint(len(self), (size,), generator=generator, device=device), step
        weights = torch.from_numpy(self._cumulative_weight).to(device)
        at = torch.rand(size, generator=generator, device=device, dtype=torch.float64) * weights[-1]
        return torch.searchsorted(weights, at, right=True).clamp_(max=len(self) - 1), step

    def state(self) -> dict[str, np.ndarray]:
        """What `restore` needs; only the part of the ring that is filled."""
        tensors = {name: tensor.cpu().numpy() for name, tensor in vars(self.episodes).items()}
        return {**tensors, "added": np.array([self._added])}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Continue from an earlier `state()`."""
        self._added = int(state["added"][0])
        for name, tensor in vars(self._ring).items():
            tensor[: len(self)] = torch.from_numpy(state[name]).to(self._device)
        self._moved[: len(self)] = _farthest(state["achieved_goal"]) > self._moved_distance
        self._derive_weights()

    def _derive_weights(self) -> None:
        self._cumulative_weight = np.cumsum(np.where(self._moved[: len(self)], 1.0, self._still_weight))


def _farthest(achieved_goal: np.ndarray) -> np.ndarray:
    """How far what an episode achieved was at most from where it began, (n,), for (n, T + 1, g)."""
    return np.linalg.norm(achieved_goal - achieved_goal[:, :1], axis=-1).max(axis=-1)
