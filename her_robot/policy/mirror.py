"""The mirror image of experience: what a Fetch does on its left, it could have done on its right.

The table, the gripper and the object are alike on both sides of the plane through the home position, along the robot's
x and z axes; so each transition is worth two.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from her_robot.contract import FetchContract, Term

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
    "drawn": (1,),
    "drawn_sideways": (-1,),
}
"""Factor on each number of a term. Rotations about x and z turn the other way in a mirror, those about y do not."""
_SWAPPED = ("gripper_state", "gripper_vel")
"""Terms of the right and the left finger."""
_POSITIONS = ("grip_pos", "object_pos")


class Mirror:
    """Reflects observations, goals, actions and what was drawn in the vertical plane through a task's home position."""

    def __init__(
        self, contract: FetchContract, device: torch.device | str = "cpu", parameters: Sequence[str] = ()
    ) -> None:
        """
        Args:
            contract: of the task.
            device: where values live.
            parameters: names of the numbers that say what was drawn for an episode.
        """
        across = 2.0 * contract.home_grip_position[1]
        self.parameters = _Reflection([_parameter(name) for name in parameters], across, device)
        self.observation = _Reflection(contract.observation, across, device)
        self.goal = _Reflection((contract.goal,), across, device)
        self.action = _Reflection(contract.action, across, device)


def _parameter(name: str) -> Term:
    """A number that was drawn as a term that the mirror knows: what is added along y, and headings, turn their sign.

    Their ranges are taken to be alike on both sides of 0; factors hold for both sides.
    """
    sideways = name.endswith(("bias.y", "gravity.y", "com.y", "object_yaw"))
    return Term("drawn_sideways" if sideways else "drawn", 1, "1", "", name)


class _Reflection:
    """x -> x @ turn + offset, where `turn` has one 1 or -1 in each row: as a product it is faster than by indices."""

    def __init__(self, terms, across: float, device: torch.device | str) -> None:
        order, signs, offsets = [], [], []
        for term in terms:
            start = len(order)
            swapped = term.name in _SWAPPED
            order += [start + 1, start] if swapped else range(start, start + term.size)
            signs += [1] * term.size if swapped else _SIGNS[term.name]
            offsets += [0.0, across, 0.0] if term.name in _POSITIONS else [0.0] * term.size
        self._turn = torch.zeros(len(order), len(order), device=device)
        self._turn[order, range(len(order))] = torch.tensor(signs, dtype=torch.float32, device=device)
        self._offsets = torch.tensor(offsets, dtype=torch.float32, device=device)

    def __call__(self, values: Tensor, rows: Tensor) -> Tensor:
        """Values (n, ..., size), reflected where `rows` (n,) is true."""
        rows = rows.view(-1, *(1,) * (values.ndim - 1))
        return torch.where(rows, values @ self._turn + self._offsets, values)
