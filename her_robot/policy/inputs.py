"""What the networks see of an observation and a goal: both normalised, and what is missing between the two."""

import copy

import numpy as np
import torch
from torch import Tensor

from her_robot import arrays
from her_robot.contract import Contract, term_slice
from her_robot.policy.config import NetworkConfig, NormalizerConfig
from her_robot.policy.normalizer import Normalizer

_POSITIONS = ("grip_pos", "object_pos")
"""Terms whose first two numbers say where something is on the plane."""


class Inputs:
    """Normalisers of observation, goal and, if it is wanted, their difference, side by side."""

    def __init__(
        self, contract: Contract, normalizer: NormalizerConfig, network: NetworkConfig, device: torch.device
    ) -> None:
        sizes = {"observation": contract.observation_size, "goal": contract.goal_size}
        if network.goal_difference:
            sizes["difference"] = contract.goal_size
        self._achieved = term_slice(contract, contract.goal.name)
        self.normalizers = {name: Normalizer(size, normalizer, device) for name, size in sizes.items()}
        self.columns = np.arange(sum(sizes.values()))
        """Which numbers of all that are the networks see."""
        if network.positions == "relative":
            self.columns = np.setdiff1d(self.columns, _horizontal(contract))
        self._columns = torch.from_numpy(self.columns).to(device)

    @property
    def size(self) -> int:
        """How many numbers the networks see."""
        return len(self.columns)

    def __call__(self, observation: Tensor, goal: Tensor) -> Tensor:
        """Network inputs (..., size) for observations (..., observation_size) and goals (..., goal_size)."""
        seen = {"observation": observation, "goal": goal}
        if "difference" in self.normalizers:
            seen["difference"] = goal - observation[..., self._achieved]
        everything = torch.cat([normalizer(seen[name]) for name, normalizer in self.normalizers.items()], dim=-1)
        return everything if self.size == everything.shape[-1] else everything[..., self._columns]

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
        parts = [self.normalizers["observation"].sums_of(observation[times])]
        goal = self.normalizers["goal"]
        parts.append(goal.sums_of(achieved[times]) + goal.sums_of(desired))
        if "difference" in self.normalizers:
            parts.append(self.normalizers["difference"].sums_of((desired[:, None] - achieved)[times]))
        return np.concatenate(parts)

    def add(self, sums: np.ndarray) -> None:
        """Take in episodes by their `sums_of`."""
        for normalizer in self.normalizers.values():
            own, sums = np.split(sums, [len(normalizer.sums)])
            normalizer.add(own)

    def snapshot(self) -> "Inputs":
        """A copy that later samples do not change."""
        return copy.deepcopy(self)


def _horizontal(contract: Contract) -> list[int]:
    """Indices, in observation and goal, of the horizontal coordinates of positions."""
    starts = [term_slice(contract, term.name).start for term in contract.observation if term.name in _POSITIONS]
    return [start + axis for start in (*starts, contract.observation_size) for axis in (0, 1)]
