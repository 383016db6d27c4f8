"""What of a compiled model may be randomised, and the one function that does it.

Values are always applied to the nominal model, so they never accumulate over episodes.
"""

from collections.abc import Callable, Mapping

import mujoco
import numpy as np

from her_robot.domain_rand.distribution import Range
from her_robot.errors import ConfigurationError, did_you_mean


def randomize_model(
    model: mujoco.MjModel,
    nominal: mujoco.MjModel,
    data: mujoco.MjData,
    ranges: Mapping[str, Range],
    rng: np.random.Generator,
) -> dict[str, float]:
    """Draw each parameter of `ranges` and set it in `model`; all others become nominal.

    Args:
        model: changed in place.
        nominal: what the draws are relative to.
        data: scratch for derived constants; its state is lost.
        ranges: by parameter.
        rng: source of the draws.

    Returns:
        What was drawn, by parameter, in the units of `PARAMETERS`.
    """
    for field in _RANDOMIZED_FIELDS:
        getattr(model, field)[:] = getattr(nominal, field)
    drawn = {name: float(distribution.sample(rng)) for name, distribution in ranges.items()}
    for name, value in drawn.items():
        PARAMETERS[name](model, value)
    # The inverse weights that scale constraints derive from masses.
    mujoco.mj_setConst(model, data)
    return drawn


def check_parameters(ranges: Mapping[str, Range]) -> None:
    """Refuse unknown parameters, and ranges with impossible values.

    Raises:
        ConfigurationError: the message lists the valid names.
    """
    for name, distribution in ranges.items():
        if name not in PARAMETERS:
            raise ConfigurationError(f"physics: unknown parameter {name!r}{did_you_mean(name, PARAMETERS)}")
        if name in _FACTORS and distribution.low <= 0:
            raise ConfigurationError(f"physics: {name} is a factor and must stay above 0, found {distribution.low}")


def check_model(model: mujoco.MjModel, ranges: Mapping[str, Range], task: str) -> None:
    """Refuse parameters of what a task's model does not have.

    Raises:
        ConfigurationError: names the parameter.
    """
    if "table_height" in ranges and not _has_table(model):
        raise ConfigurationError(f"physics: table_height: {task} has no table")


def _has_table(model: mujoco.MjModel) -> bool:
    return mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_BODY, "table0") >= 0


def _object_name(model: mujoco.MjModel) -> str:
    """Of the object's body, and of the geom that it is touched by: on the Fetch's table, or in the hand."""
    return "object0" if _has_table(model) else "object"


def _scale_object_mass(model: mujoco.MjModel, factor: float) -> None:
    body = model.body(_object_name(model)).id
    model.body_mass[body] *= factor
    model.body_inertia[body] *= factor


def _scale_friction(model: mujoco.MjModel, factor: float) -> None:
    # A contact takes the larger friction of its two geoms, so both sides of it are scaled.
    if not _has_table(model):
        model.geom_friction[:, 0] *= factor
        return
    table = np.flatnonzero(model.geom_bodyid == model.body("table0").id)
    fingers = [model.geom(f"robot0:{side}_gripper_finger_link").id for side in ("r", "l")]
    model.geom_friction[[model.geom("object0").id, *table, *fingers], 0] *= factor


def _offset_table_height(model: mujoco.MjModel, offset: float) -> None:
    model.body_pos[model.body("table0").id, 2] += offset


PARAMETERS: dict[str, Callable[[mujoco.MjModel, float], None]] = {
    "object_mass": _scale_object_mass,
    "friction": _scale_friction,
    "table_height": _offset_table_height,
}
"""`object_mass`: factor on mass and inertia. `friction`: factor on the sliding friction of object, table and fingers,
or of object and hand. `table_height`: offset [m]."""

_FACTORS = ("object_mass", "friction")
_RANDOMIZED_FIELDS = ("body_mass", "body_inertia", "body_pos", "geom_friction")
