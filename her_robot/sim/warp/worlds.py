"""Worlds of one model on a device: MuJoCo Warp's arrays as tensors, and their steps. It knows nothing of robots.

All worlds share one model, but for the fields that are randomised, which have a row for each world.
"""

import copy
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import mujoco
import mujoco_warp
import numpy as np
import torch
import warp
from torch import Tensor

from her_robot.errors import BackendError
from her_robot.sim.tasks import Task
from her_robot.sim.warp.installation import check_installation
from her_robot.sim.warp.memory import check_memory, sizes

OPTION = "opt."
"""How fields of a model's options are told from its own."""


class Worlds:
    """N worlds of a task, and their present state."""

    def __init__(self, task: Task, count: int, device: str | torch.device, varied: Iterable[str] = ()) -> None:
        """
        Args:
            task: its model, and the state that episodes begin in.
            count: how many.
            device: cuda, cuda:1 ... or cpu, which is for tests.
            varied: fields of the model that get a row for each world, such as body_mass or opt.gravity.

        Raises:
            BackendError: MuJoCo Warp or a GPU is missing, the GPU has too little memory, or the model is not supported.
        """
        if count < 1:
            raise ValueError(f"num_envs is {count}; at least 1 is needed")
        check_installation(str(device))
        warp.init()
        self.count, self.device = count, torch.device(device)
        self._device = warp.device_from_torch(self.device)
        model, varied = device_model(task.model), set(varied)
        with warp.ScopedDevice(self._device):
            check_memory(model, count, self.device)
            self.model = _put_model(model, count, varied)
            self.data = mujoco_warp.make_data(model, nworld=count, **sizes())
            self._graph = self._captured()
        self._initial = self._initial_state(task)
        self.restore(torch.ones(count, dtype=torch.bool, device=self.device))

    def view(self, field: str) -> Tensor:
        """A field of the data as a tensor with leading axis `count`, which shares its memory."""
        return warp.to_torch(getattr(self.data, field))

    def restore(self, mask: Tensor, fields: Iterable[str] | None = None) -> None:
        """Put worlds, those of a boolean mask (count,), into the initial state: all that the next step depends on, or
        some fields of it."""
        for name in fields or self._initial:
            view, initial = self._initial[name]
            view[mask] = initial

    @contextmanager
    def only(self, mask: Tensor) -> Iterator[None]:
        """Let what happens meanwhile happen to the worlds of a boolean mask (count,) alone: the others are as before
        afterwards, but for what the next step computes anew."""
        others = ~mask
        kept = [(view, view[others]) for view, _ in self._initial.values()]
        yield
        for view, values in kept:
            view[others] = values

    def step(self, substeps: int) -> None:
        """Let some physics steps pass."""
        with warp.ScopedDevice(self._device):
            for _ in range(substeps):
                if self._graph is None:
                    mujoco_warp.step(self.model, self.data)
                else:
                    warp.capture_launch(self._graph)

    def update_kinematics(self) -> None:
        """Compute where bodies and sites are, and what moves them."""
        with warp.ScopedDevice(self._device):
            mujoco_warp.kinematics(self.model, self.data)
            mujoco_warp.com_pos(self.model, self.data)

    def _captured(self) -> Any:
        """A CUDA graph of one physics step: one launch instead of some hundred. None on a CPU.

        It remembers where arrays are, so none may be replaced from here on.
        """
        if not self._device.is_cuda:
            return None
        # Conditional nodes need a newer driver than all else (CUDA 12.4).
        self.model.opt.graph_conditional = warp.is_conditional_graph_supported()
        mujoco_warp.step(self.model, self.data)
        with warp.ScopedCapture() as capture:
            mujoco_warp.step(self.model, self.data)
        return capture.graph

    def _initial_state(self, task: Task) -> dict[str, tuple[Tensor, Tensor]]:
        nominal = mujoco.MjData(task.model)
        values: dict[str, Any] = {
            "qpos": task.initial_qpos,
            "qvel": task.initial_qvel,
            "time": task.initial_time,
            "mocap_pos": nominal.mocap_pos,
            "mocap_quat": nominal.mocap_quat,
            **dict.fromkeys(("act", "ctrl", "qacc_warmstart", "xfrc_applied"), 0.0),
        }
        views = {name: self.view(name) for name in values}
        return {
            name: (view, torch.as_tensor(values[name], dtype=view.dtype, device=self.device))
            for name, view in views.items()
        }


def device_model(model: mujoco.MjModel) -> mujoco.MjModel:
    """A copy that MuJoCo Warp accepts. Its convex collisions know no contact margins, and the Fetch's links have one of
    1 mm, on which the base stands: boxes are therefore collided by MuJoCo's older routine, and other convex pairs give
    one contact."""
    changed = copy.copy(model)
    changed.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_NATIVECCD | mujoco.mjtDisableBit.mjDSBL_MULTICCD
    return changed


def _put_model(model: mujoco.MjModel, count: int, varied: set[str]) -> Any:
    options = {field for field in varied if field.startswith(OPTION)}
    try:
        on_device = mujoco_warp.put_model(model, batch_sizes=dict.fromkeys(varied - options, count))
    except NotImplementedError as error:
        raise BackendError(f"MuJoCo Warp cannot simulate this model ({error}); use --sim cpu") from None
    for name in (field.removeprefix(OPTION) for field in options):
        array = getattr(on_device.opt, name)
        setattr(on_device.opt, name, warp.array(np.repeat(array.numpy(), count, axis=0), dtype=array.dtype))
    return on_device
