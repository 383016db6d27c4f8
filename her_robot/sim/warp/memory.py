"""How much memory of a device the worlds take, told before they are made."""

import dataclasses
from typing import Any

import mujoco
import mujoco_warp
import torch
import warp

from her_robot.errors import BackendError

CONTACTS = 24
"""Contacts a world has room for, on average over all worlds. Exploring arms reach 16."""
CONSTRAINTS = 160
"""Rows of constraints that each world has room for. Exploring arms reach 88."""
COLLISIONS = 16
"""Pairs of convex bodies that may be looked at closely, a world, on average over all worlds."""
_SCRATCH_PER_COLLISION = 5 * 2**10
"""Of the convex narrow phase: a polytope of 10 + 2 x 35 vertices and 6 + 5 x 35 faces, and its horizon."""
_SCRATCH_PER_CONSTRAINT = 32
"""Of the solver: residuals, products, and what its line search needs."""
_RESERVE = 256 * 2**20
"""Kernels, their stacks, and the memory pools' slack."""


def sizes() -> dict[str, int]:
    """What `mujoco_warp.make_data` is told of room for contacts."""
    return {"nconmax": CONTACTS, "nccdmax": COLLISIONS, "njmax": CONSTRAINTS}


def world_bytes(model: mujoco.MjModel) -> int:
    """What one more world takes: its arrays, measured, and its share of the solver's scratch, calculated."""
    one, two = (array_bytes(mujoco_warp.make_data(model, nworld=worlds, **sizes())) for worlds in (1, 2))
    padded = -(-model.nv // 16) * 16
    scratch = COLLISIONS * _SCRATCH_PER_COLLISION + CONSTRAINTS * _SCRATCH_PER_CONSTRAINT + 2 * 4 * padded**2
    return two - one + scratch


def check_memory(model: mujoco.MjModel, num_envs: int, device: torch.device) -> None:
    """Refuse worlds that will not fit.

    Raises:
        BackendError: says how much is needed, how much is free, and how many worlds would fit.
    """
    if device.type != "cuda":
        return
    each, (free, _) = world_bytes(model), torch.cuda.mem_get_info(device)
    needed = num_envs * each + _RESERVE
    if needed > free:
        fit = max(0, (free - _RESERVE) // each)
        raise BackendError(
            f"{num_envs} worlds need {needed / 1e9:.1f} GB of GPU memory ({each / 1e6:.2f} MB each); "
            f"{free / 1e9:.1f} GB is free, enough for {fit}. Lower num_envs"
        )


def array_bytes(structure: Any) -> int:
    """Memory of all arrays in a dataclass of MuJoCo Warp, and of those below it [bytes]."""
    total = 0
    for field in dataclasses.fields(structure):
        value = getattr(structure, field.name)
        if isinstance(value, warp.array):
            total += value.capacity
        elif dataclasses.is_dataclass(value):
            total += array_bytes(value)
    return total
