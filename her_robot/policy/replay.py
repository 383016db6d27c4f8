"""Whole episodes, kept so that their goals can be relabelled in hindsight when they are replayed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from her_robot import arrays
from her_robot.arrays import Array


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
    truth: np.ndarray | None = None
    """The observation of perfect sensors, (n, T + 1, observation_size) float32; None where nobody learns from it."""
    parameters: np.ndarray | None = None
    """What was drawn for the episode, (n, parameters) float32; None where nobody learns from it."""

    def __len__(self) -> int:
        return len(self.action)


@dataclass(frozen=True)
class StoredEpisodes:
    """`Episodes` as tensors on the learner's device."""

    observation: Tensor
    achieved_goal: Tensor
    desired_goal: Tensor
    action: Tensor
    truth: Tensor
    """Of size 0 where nobody learns from it."""
    parameters: Tensor
    """Of size 0 where nobody learns from them."""
    last: Tensor
    """Time up to which what is replayed goes, (n,): T, or when the object was seen on the table for the last time."""
    moved_at: Tensor
    """Time at which what is achieved has moved from where it began for the first time, (n,); T + 1 if it never has."""

    def before(self, episode: Tensor, time: Tensor, length: int) -> tuple[Tensor, Tensor]:
        """What was seen and done before some times, as `EpisodeMemory` has it.

        Args:
            episode: (m,), index of each time's episode.
            time: (m,).
            length: how many control periods to look back.

        Returns:
            Observations (m, length, observation_size) and actions (m, length, action_size), the newest first. Before
            the episode's start they are its first observation, and 0.
        """
        times = time[:, None] - torch.arange(1, length + 1, device=time.device)
        started = times >= 0
        times = times.clamp_(min=0)
        observation, action = (
            # Rows of a matrix: several times as fast as indexing with episode and time.
            values.flatten(0, 1).index_select(0, (episode[:, None] * values.shape[1] + times).flatten())
            for values in (self.observation, self.action)
        )
        action = action * started.flatten()[:, None]
        return observation.unflatten(0, times.shape), action.unflatten(0, times.shape)


Lost = Callable[[np.ndarray], np.ndarray]
"""Whether an object is lost, boolean (...,), for achieved goals (..., goal_size)."""


def never_lost(achieved: np.ndarray) -> np.ndarray:
    """Where episodes are replayed to their end, whatever becomes of the object."""
    return arrays.namespace(achieved).zeros_like(achieved[..., 0], dtype=bool)


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
        lost: Lost = never_lost,
        truth: bool = False,
        parameters: int = 0,
    ) -> None:
        self.capacity = capacity_steps // episode_steps
        self.episode_steps = episode_steps
        self._still_weight, self._moved_distance = still_weight, moved_distance
        self._lost = lost
        shapes = {
            "observation": (episode_steps + 1, observation_size),
            "achieved_goal": (episode_steps + 1, goal_size),
            "desired_goal": (goal_size,),
            "action": (episode_steps, action_size),
            "truth": (episode_steps + 1, observation_size if truth else 0),
            "parameters": (parameters,),
        }
        self._ring = StoredEpisodes(
            **{name: torch.zeros((self.capacity, *shape), device=device) for name, shape in shapes.items()},
            last=torch.zeros(self.capacity, dtype=torch.long, device=device),
            moved_at=torch.zeros(self.capacity, dtype=torch.long, device=device),
        )
        self._cumulative_weight = np.zeros(0)
        self._device = device
        self._added = 0

    def __len__(self) -> int:
        """Number of episodes held."""
        return min(self._added, self.capacity)

    def add(self, episodes: Episodes) -> np.ndarray:
        """Append episodes; the oldest make room. Returns the times (n,) up to which they will be replayed."""
        slots = (self._added + np.arange(len(episodes))) % self.capacity
        index = torch.from_numpy(slots).to(self._device)
        for name, array in _kept(vars(episodes)).items():
            values = np.ascontiguousarray(array) if isinstance(array, np.ndarray) else array
            getattr(self._ring, name)[index] = torch.as_tensor(values, device=self._device)
        self._added += len(episodes)
        return self._look_at(slots, episodes.achieved_goal)

    @property
    def episodes(self) -> StoredEpisodes:
        """The episodes held, as views into the ring."""
        return StoredEpisodes(**{name: tensor[: len(self)] for name, tensor in vars(self._ring).items()})

    def draw(self, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Indices (size,) of episodes, by weight, and of steps before their end, drawn uniformly."""
        device = self._device
        weights = torch.from_numpy(self._cumulative_weight).to(device)
        at, when = torch.rand((2, size), generator=generator, device=device, dtype=torch.float64)
        episode = torch.searchsorted(weights, at * weights[-1], right=True).clamp_(max=len(self) - 1)
        # The step in which the object falls is the last to be drawn.
        steps = (self._ring.last[episode] + 1).clamp_(max=self.episode_steps)
        return episode, (when * steps).long()

    def state(self) -> dict[str, np.ndarray]:
        """What `restore` needs; only the part of the ring that is filled."""
        tensors = {name: tensor.cpu().numpy() for name, tensor in vars(self.episodes).items()}
        del tensors["last"], tensors["moved_at"]
        return {**_kept(tensors), "added": np.array([self._added])}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Continue from an earlier `state()`."""
        self._added = int(state["added"][0])
        for name, array in state.items():
            if name != "added":
                getattr(self._ring, name)[: len(self)] = torch.from_numpy(array).to(self._device)
        self._look_at(np.arange(len(self)), state["achieved_goal"])

    def _look_at(self, slots: np.ndarray, achieved_goal: np.ndarray) -> np.ndarray:
        """Derive what draws depend on from what the episodes in some slots achieved; returns their last times."""
        xp, never = arrays.namespace(achieved_goal), self.episode_steps + 1
        last = xp.clip(_first_time(self._lost(achieved_goal), never) - 1, 0, None)
        distance = xp.linalg.norm(achieved_goal - achieved_goal[:, :1], axis=-1)
        index = torch.from_numpy(slots).to(self._device)
        self._ring.last[index] = torch.as_tensor(last, device=self._device)
        moved_at = _first_time(distance > self._moved_distance, never)
        self._ring.moved_at[index] = torch.as_tensor(moved_at, device=self._device)
        has_moved = arrays.to_numpy(self.episodes.moved_at < never)
        self._cumulative_weight = np.cumsum(np.where(has_moved, 1.0, self._still_weight))
        return last


def _kept(values: Mapping[str, Array | None]) -> dict[str, Array]:
    """Those of some arrays that hold anything."""
    return {name: array for name, array in values.items() if array is not None and 0 not in array.shape}


def _first_time(flags: Array, never: int) -> Array:
    """The time (n,) at which a flag of (n, T + 1) is set for the first time; `never` where none is."""
    return arrays.namespace(flags).where(flags.any(axis=1), (1 * flags).argmax(axis=1), never)
