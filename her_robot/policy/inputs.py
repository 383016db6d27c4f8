"""What the networks see of an observation and a goal: both normalised, and what is missing between the two.

Of the past they see the same, without the goal, and the actions that were taken.
"""

import copy
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from her_robot import arrays
from her_robot.contract import Contract, goal_difference, term_slice, waypoint
from her_robot.contract.symmetry import show_nearest_side, sides_of
from her_robot.policy.config import NetworkConfig, NormalizerConfig
from her_robot.policy.normalizer import Normalizer

_UNSEEN = {"absolute": (), "relative": ("grip_pos", "object_pos", "goal"), "reach": ("object_pos", "goal")}
"""Of what the networks do not see the place on the plane, by `network.positions`: observed terms, or the goal."""


Past = tuple[Tensor, Tensor]
"""Observations (..., history, observation_size) and actions (..., history, action_size) before, the newest first."""


class Inputs:
    """Normalisers of observation, goal and, if it is wanted, their difference, side by side; and the past behind."""

    def __init__(
        self,
        contract: Contract,
        normalizer: NormalizerConfig,
        network: NetworkConfig,
        device: torch.device,
        parameters: int = 0,
    ) -> None:
        """
        Args:
            contract: of the task.
            normalizer: how inputs are normalised.
            network: what it sees.
            device: where it lives.
            parameters: how many numbers say what was drawn for an episode.
        """
        sizes = {"observation": contract.observation_size, "goal": contract.goal_size}
        if network.goal_difference:
            sizes["difference"] = contract.goal_size
        self._contract = contract
        self.goal_reach = network.goal_reach
        """How far away a goal is at most that they see, in multiples of what is still a success; 0 is any distance."""
        sides = sides_of(contract) if network.nearest_side else None
        self.sides = None if sides is None else sides.astype(np.float32)
        """Rotations by which the object's axes may be named anew."""
        self._sides = None if self.sides is None else torch.from_numpy(self.sides).to(device)
        self._achieved = term_slice(contract, contract.goal.name)
        self.normalizers = {name: Normalizer(size, normalizer, device) for name, size in sizes.items()}
        self.columns = np.arange(sum(sizes.values()))
        """Which numbers of all that are the networks see."""
        self.columns = np.setdiff1d(self.columns, _horizontal(contract, _UNSEEN[network.positions]))
        self._columns = torch.from_numpy(self.columns).to(device)
        of_goal = np.arange(sizes["goal"]) + sizes["observation"]
        self.past_columns = np.setdiff1d(self.columns, of_goal)
        """Which of them they see of the past: the goal has stayed the same."""
        self._past_runs = _runs(self.past_columns, sizes)
        self.privileged_size = len(self.past_columns) + parameters if network.asymmetric else 0
        """How many numbers of the truth the critics see."""
        self.history = network.history
        """How many control periods of the past they see."""
        self._size_of_past = self.history * (len(self.past_columns) + contract.action_size)

    @property
    def size(self) -> int:
        """How many numbers all networks see."""
        return len(self.columns) + self._size_of_past

    def __call__(self, observation: Tensor, goal: Tensor, past: Past | None = None) -> Tensor:
        """Network inputs (..., size) for observations (..., observation_size) and goals (..., goal_size).

        Args:
            observation: as the policy sees it now.
            goal: what is wanted, now and before.
            past: what was seen and done before; needed where `history` is not 0.
        """
        everything = torch.cat(list(self._normalized(observation, goal).values()), dim=-1)
        present = everything if len(self.columns) == everything.shape[-1] else everything[..., self._columns]
        if past is None:
            return present
        observations, actions = past
        seen = self._normalized(observations, goal[..., None, :])
        parts = [seen[name][..., run] for name, run in self._past_runs]
        return torch.cat([present, torch.cat([*parts, actions], dim=-1).flatten(-2)], dim=-1)

    def of_truth(self, truth: Tensor, goal: Tensor, parameters: Tensor) -> Tensor:
        """What critics see of the truth (..., privileged_size).

        Args:
            truth: observations of perfect sensors (..., observation_size).
            goal: (..., goal_size).
            parameters: what was drawn for the episode, about -1 to 1 (..., parameters).
        """
        seen = self._normalized(truth, goal)
        return torch.cat([*(seen[name][..., run] for name, run in self._past_runs), parameters], dim=-1)

    def _normalized(self, observation: Tensor, goal: Tensor) -> dict[str, Tensor]:
        if self.goal_reach or self._sides is not None:
            goal = goal.expand(*observation.shape[:-1], goal.shape[-1])
        if self.goal_reach:
            goal = waypoint(self._contract, observation[..., self._achieved], goal, self.goal_reach)
        if self._sides is not None:
            observation, goal = show_nearest_side(self._contract, observation, goal, self._sides)
        seen = {"observation": observation, "goal": goal}
        if "difference" in self.normalizers:
            seen["difference"] = goal_difference(self._contract, observation[..., self._achieved], goal)
        return {name: normalizer(seen[name]) for name, normalizer in self.normalizers.items()}

    def sums_of(
        self, observation: np.ndarray, achieved: np.ndarray, desired: np.ndarray, counts: np.ndarray | None = None
    ) -> np.ndarray:
        """What episodes add to the normalisers, all in one vector.

        Args:
            observation: (n, T + 1, observation_size).
            achieved: (n, T + 1, goal_size).
            desired: (n, goal_size).
            counts: which times count, boolean (n, T + 1); all by default.
        """
        xp = arrays.namespace(achieved)
        times = xp.ones_like(achieved[..., 0], dtype=bool) if counts is None else counts
        sums = {}
        if "difference" in self.normalizers:
            # The same by whatever names the object's axes have.
            goals = desired[:, None]
            if self.goal_reach:
                goals = waypoint(self._contract, achieved, xp.broadcast_to(goals, achieved.shape), self.goal_reach)
            missing = goal_difference(self._contract, achieved, goals)
            sums["difference"] = self.normalizers["difference"].sums_of(missing[times])
        if self.sides is not None:
            sides = arrays.like(observation, self.sides)
            desired = show_nearest_side(self._contract, observation[:, 0], desired, sides)[1]
            observation, achieved = show_nearest_side(self._contract, observation, achieved, sides)
        sums["observation"] = self.normalizers["observation"].sums_of(observation[times])
        goal = self.normalizers["goal"]
        sums["goal"] = goal.sums_of(achieved[times]) + goal.sums_of(desired)
        return np.concatenate([sums[name] for name in self.normalizers])

    def add(self, sums: np.ndarray) -> None:
        """Take in episodes by their `sums_of`."""
        for normalizer in self.normalizers.values():
            own, sums = np.split(sums, [len(normalizer.sums)])
            normalizer.add(own)

    def snapshot(self) -> "Inputs":
        """A copy that later samples do not change."""
        return copy.deepcopy(self)


def _runs(columns: np.ndarray, sizes: Mapping[str, int]) -> list[tuple[str, slice]]:
    """Columns of parts of some sizes, side by side, as slices of the parts: they are faster to take than columns."""
    runs, start = [], 0
    for name, size in sizes.items():
        inside = columns[(columns >= start) & (columns < start + size)] - start
        for run in np.split(inside, np.flatnonzero(np.diff(inside) > 1) + 1):
            if len(run):
                runs.append((name, slice(run[0], run[-1] + 1)))
        start += size
    return runs


def _horizontal(contract: Contract, names: Sequence[str]) -> list[int]:
    """Indices, in observation and goal, of the horizontal coordinates of some terms, or of the `goal`."""
    starts = [term_slice(contract, term.name).start for term in contract.observation if term.name in names]
    if "goal" in names:
        starts.append(contract.observation_size)
    return [start + axis for start in starts for axis in (0, 1)]
