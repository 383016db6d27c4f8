"""The mirror image of experience: what a Fetch does on its left, it could have done on its right.

The table, the gripper and the object are alike on both sides of the plane through the home position, along the robot's
x and z axes; so each transition is worth two.
"""

import torch
from torch import Tensor

from her_robot.contract import FetchContract

_SIGNS = {
    "grip_pos": (1, -1, 1),
    "object_pos": (1, -1, 1),
    "object_rel_pos": (1, -1, 1),
    "object_rot": (-1, 1, -1),
    "object_velp": (1, -1, 1),
    "object_velr": (-1, 1, -1),
    "grip_velp": (1, -1, 1),
    "grip_displacement": (1, -1, 1),
    "gripper": (1,),
}
"""Factor on each number of a term. Rotations about x and z turn the other way in a mirror, those about y do not."""
_SWAPPED = ("gripper_state", "gripper_vel")
"""Terms of the right and the left finger."""
_POSITIONS = ("grip_pos", "object_pos")


class Mirror:
    """Reflects observations, goals and actions of one task in the vertical plane through its home position."""

    def __init__(self, contract: FetchContract, device: torch.device | str = "cpu") -> None:
        across = 2.0 * contract.home_grip_position[1]
        self.observation = _Reflection(contract.observation, across, device)
        self.goal = _Reflection((contract.goal,), across, device)
        self.action = _Reflection(contract.action, across, device)


class _Reflection:
    """x -> sign * x[order] + offset."""

    def __init__(self, terms, across: float, device: torch.device | str) -> None:
        order, signs, offsets = [], [], []
        for term in terms:
            start = len(order)
            swapped = term.name in _SWAPPED
            order += [start + 1, start] if swapped else range(start, start + term.size)
            signs += [1] * term.size if swapped else _SIGNS[term.name]
            offsets += [0.0, across, 0.0] if term.name in _POSITIONS else [0.0] * term.size
        self._order = torch.tensor(list(order), device=device)
        self._signs = torch.tensor(signs, dtype=torch.float32, device=device)
        self._offsets = torch.tensor(offsets, dtype=torch.float32, device=device)

    def __call__(self, values: Tensor, rows: Tensor) -> Tensor:
        """Values (n, size), reflected where `rows` (n,) is true."""
        return torch.where(rows[:, None], values[:, self._order] * self._signs + self._offsets, values)
