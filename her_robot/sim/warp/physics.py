"""Randomised models on the device: a preset's `physics`, written into the rows that worlds have of a model's fields.

The same table, the same draws' distributions and the same order as in `domain_rand.physics`, for all worlds at once.
"""

from collections.abc import Mapping
from operator import attrgetter
from typing import Any

import mujoco
import mujoco_warp
import torch
import warp
from torch import Tensor

from her_robot.domain_rand.variation import Bound, Variation, bind, field_of
from her_robot.errors import BackendError
from her_robot.sim.warp.generator import DeviceGenerator

_ABSENT = ("bvh_aabb",)
"""Fields that MuJoCo Warp does without."""
_DERIVED = ("body_subtreemass", "body_invweight0", "dof_invweight0", "tendon_invweight0", "actuator_acc0")
"""What MuJoCo derives from masses, armatures and poses."""


def check_variations(variations: Mapping[str, Variation]) -> None:
    """Refuse what is not carried to the device yet.

    Raises:
        BackendError: an entry that is drawn within episodes.
    """
    for name, variation in variations.items():
        if variation.when not in ("start", "episode"):
            raise BackendError(
                f"physics: {name}: when is {variation.when}, which --sim warp does not know yet; valid there: start, "
                "episode"
            )


def varied_fields(model: mujoco.MjModel, variations: Mapping[str, Variation]) -> set[str]:
    """Fields of the model that need a row for each world."""
    return _fields(bind(model, variations))


class WarpPhysics:
    """The models of all worlds, and what they are made of at present."""

    def __init__(
        self,
        variations: Mapping[str, Variation],
        nominal: mujoco.MjModel,
        model: mujoco_warp.Model,
        data: mujoco_warp.Data,
        rng: DeviceGenerator,
        start_rng: DeviceGenerator,
    ) -> None:
        """
        Args:
            variations: by name of their entry in the preset.
            nominal: what the draws are relative to.
            model: with rows for each world in all `varied_fields`; changed in place.
            data: of all worlds; its derived quantities are lost in a reset.
            rng: source of the draws.
            start_rng: source of what is drawn at the start alone.
        """
        check_variations(variations)
        self._model, self._data, self._rng = model, data, rng
        self._bound = bind(nominal, variations)
        worlds = data.nworld
        self._views = {field: _view(model, field, nominal, worlds) for field in _fields(self._bound)}
        # Of the compiled model: what stands on the device may have been drawn by one before this.
        self._nominal = {
            field: torch.as_tensor(field_of(nominal, field), dtype=view.dtype, device=view.device)
            for field, view in self._views.items()
        }
        self._derived = any(bound.parameter.derived for bound in self._bound)
        self._static_geoms = _static_geoms(nominal, self._bound, data)
        self._start = {
            bound.name: bound.sample(start_rng, worlds) for bound in self._bound if bound.variation.when == "start"
        }
        self.object_rise = torch.zeros(worlds, device=self._device)
        """How far each object's centre, at rest on the table, lies above the nominal height (num_envs,) [m]."""

    def reset(self, rows: Tensor, nominal: Tensor) -> None:
        """Begin an episode of some worlds: draw their models anew, or make them nominal.

        Args:
            rows: which, integers (k,).
            nominal: which of them are not randomised, boolean (k,).
        """
        if not self._bound:
            return
        for field, view in self._views.items():
            view[rows] = self._nominal[field]
        self.object_rise[rows] = 0.0
        for bound in self._bound:
            start = self._start.get(bound.name)
            values = bound.sample(self._rng, len(rows)) if start is None else start[rows]
            self._write(bound, rows[~nominal], values[~nominal])
        for geoms, body, at, nominal_position in self._static_geoms:
            at[:, geoms] = nominal_position + self._views["body_pos"][:, None, body] - self._nominal["body_pos"][body]
        if self._derived:
            self._derive()

    def _write(self, bound: Bound, rows: Tensor, values: Tensor) -> None:
        """Apply draws (k, elements, axes) to what stands in the models of rows (k,)."""
        view = self._views[bound.parameter.field]
        worlds = rows.reshape(-1, *(1,) * (1 if bound.parameter.kind else 0))
        place = (worlds, *(torch.as_tensor(index, device=self._device) for index in bound.place if _is_index(index)))
        old = view[place]
        draws = values[:, bound.owners] if bound.parameter.kind else values[:, 0]
        new = _OPERATIONS[bound.operation](old, draws if old.ndim == draws.ndim else draws[..., 0])
        view[place] = new
        self.object_rise[rows] += bound.rise(values)
        factor = values[:, bound.owners] if bound.operation == "scale" else (new / old)[..., None]
        for field, index, power in bound.along:
            if field not in _ABSENT:
                array, where = self._views[field], (worlds, torch.as_tensor(index[0], device=self._device))
                present = array[where]
                scale = factor**power
                array[where] = present * (scale if present.ndim == scale.ndim else scale[..., 0])

    def _derive(self) -> None:
        """What `mj_setConst` does, for all worlds; the weld keeps the relation that it was compiled with."""
        with warp.ScopedDevice(self._data.qpos.device):
            weld = warp.clone(self._model.eq_data)
            mujoco_warp.set_const(self._model, self._data, restore=False)
            warp.copy(self._model.eq_data, weld)
        # MuJoCo Warp gives bodies that cannot turn the weight of their translation, where MuJoCo has 0.
        weights = self._views["body_invweight0"]
        weights *= self._nominal["body_invweight0"] != 0

    @property
    def _device(self) -> torch.device:
        return warp.device_to_torch(self._data.qpos.device)


def _fields(bounds: list[Bound]) -> set[str]:
    fields = {field for bound in bounds for field in bound.fields} - {*_ABSENT}
    return fields | {*_DERIVED} if any(bound.parameter.derived for bound in bounds) else fields


def _is_index(index: Any) -> bool:
    return not isinstance(index, slice)


def _view(model: mujoco_warp.Model, field: str, nominal: mujoco.MjModel, worlds: int) -> Tensor:
    """A field as (num_envs, ...), in the shape that it has in MjModel."""
    return warp.to_torch(attrgetter(field)(model)).view(worlds, *field_of(nominal, field).shape)


def _static_geoms(
    nominal: mujoco.MjModel, bounds: list[Bound], data: mujoco_warp.Data
) -> list[tuple[Tensor, int, Tensor, Tensor]]:
    """Geoms of bodies that stand in the world and are moved by a draw: their poses are computed once, and go along.

    Returns:
        Their indices, their body, where all geoms are (num_envs, ngeom, 3), and where they are nominally (g, 3) [m].
    """
    at, found, scratch = warp.to_torch(data.geom_xpos), [], mujoco.MjData(nominal)
    mujoco.mj_kinematics(nominal, scratch)
    for bound in bounds:
        if bound.parameter.field == "body_pos":
            for body in bound.place[0].tolist():
                geoms = (nominal.geom_bodyid == body).nonzero()[0]
                position = torch.as_tensor(scratch.geom_xpos[geoms], dtype=at.dtype, device=at.device)
                found.append((torch.as_tensor(geoms, device=at.device), body, at, position))
    return found


_OPERATIONS = {
    "scale": lambda old, value: old * value,
    "add": lambda old, value: old + value,
    "set": lambda old, value: value.expand_as(old),
}
