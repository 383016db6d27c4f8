"""What of a compiled model may be randomised: a table, and how its elements are found by name.

A parameter is one column of one field of `MjModel`, with what must go along with it: inertia with mass, bounding boxes
with sizes. The nominal value is always that of the compiled model.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Literal

import mujoco
import numpy as np

from her_robot.errors import ConfigurationError, did_you_mean

Operation = Literal["scale", "add", "set"]
When = Literal["start", "episode", "interval", "step"]

OBJECT, HAND_OBJECT, TABLE = "object0", "object", "table0"
_HAND = "robot0:C_*"
_FINGERS = "robot0:r_gripper_finger_link", "robot0:l_gripper_finger_link"
_PRIMITIVES = (
    mujoco.mjtGeom.mjGEOM_SPHERE,
    mujoco.mjtGeom.mjGEOM_CAPSULE,
    mujoco.mjtGeom.mjGEOM_ELLIPSOID,
    mujoco.mjtGeom.mjGEOM_CYLINDER,
    mujoco.mjtGeom.mjGEOM_BOX,
)


@dataclass(frozen=True)
class Parameter:
    """One line of the table."""

    meaning: str
    """A few words for a reader."""
    unit: str
    """Of the nominal value, and of what is added or set; a factor has none."""
    kind: Literal["body", "geom", "joint", "actuator", "weld"] | None
    """What the elements are; None: the model as a whole."""
    field: str
    """Of `MjModel`; one row for an element, or for each degree of freedom of a joint."""
    column: int | None = None
    """Column of the field; None: all, drawn one by one where there are several."""
    lowest: float = -np.inf
    """No value may be below this."""
    highest: float = np.inf
    """No value may be above this."""
    positive: bool = False
    """Whether a value must be above 0."""
    operations: tuple[Operation, ...] = ("scale", "add", "set")
    """What may be done with a draw; the first is the default."""
    scaled_along: tuple[str, ...] = ()
    """Fields that are scaled by the same factor, all columns."""
    derived: bool = False
    """Whether MuJoCo derives constants from it, which are recomputed (`mj_setConst`)."""
    often: tuple[When, ...] = ("start", "episode", "interval", "step")
    """When it may be drawn."""
    applies: Callable[[mujoco.MjModel, int], bool] = lambda model, element: True
    """Whether an element has it at all."""
    lacks: str = ""
    """What an element lacks that does not have it."""
    axes: int = 1
    """Values of one element."""
    linear: bool = False
    """Of a free joint, only the three translations."""
    elements: tuple[str, ...] = ()
    """Default elements; none: they must be named."""


_SELDOM: tuple[When, ...] = ("start", "episode", "interval")
_STILL: tuple[When, ...] = ("start", "episode")

_BODY_MASS = Parameter(
    "mass of a body, and its inertia with it",
    "kg",
    "body",
    "body_mass",
    positive=True,
    scaled_along=("body_inertia",),
    derived=True,
    often=_SELDOM,
    applies=lambda model, body: model.body_mass[body] > 0,
    lacks="mass",
)
_SLIDING = Parameter("sliding friction of a geom", "1", "geom", "geom_friction", 0, lowest=0.0)
_SIZE = Parameter(
    "size of a geom, all axes alike; mass stays, inertia follows",
    "m",
    "geom",
    "geom_size",
    positive=True,
    operations=("scale",),
    scaled_along=("geom_rbound", "geom_aabb"),
    derived=True,
    often=_STILL,
    # The box that a broader search finds a body by is known where the body has one geom.
    applies=lambda model, geom: (
        model.geom_type[geom] in _PRIMITIVES and model.body_geomnum[model.geom_bodyid[geom]] == 1
    ),
    lacks="a size of its own: it is a mesh, a plane, or one of several geoms of its body",
)
_DAMPING = Parameter("damping of a joint", "Nms/rad or Ns/m", "joint", "dof_damping", lowest=0.0)

PARAMETERS: dict[str, Parameter] = {
    "body_mass": _BODY_MASS,
    "body_com": Parameter(
        "centre of mass in the body's frame, each axis",
        "m",
        "body",
        "body_ipos",
        operations=("add", "set"),
        derived=True,
        often=_SELDOM,
        applies=lambda model, body: model.body_mass[body] > 0,
        lacks="mass",
        axes=3,
    ),
    "geom_friction_sliding": _SLIDING,
    "geom_friction_torsional": Parameter("torsional friction of a geom", "m", "geom", "geom_friction", 1, lowest=0.0),
    "geom_friction_rolling": Parameter("rolling friction of a geom", "m", "geom", "geom_friction", 2, lowest=0.0),
    "geom_size": _SIZE,
    "contact_time_constant": Parameter(
        "solref of a geom: time constant of its contacts", "s", "geom", "geom_solref", 0, positive=True
    ),
    "contact_damping_ratio": Parameter(
        "solref of a geom: damping ratio of its contacts", "1", "geom", "geom_solref", 1, positive=True
    ),
    "contact_impedance_min": Parameter(
        "solimp of a geom: impedance at first touch", "1", "geom", "geom_solimp", 0, lowest=0.0001, highest=0.9999
    ),
    "contact_impedance_max": Parameter(
        "solimp of a geom: impedance at full depth", "1", "geom", "geom_solimp", 1, lowest=0.0001, highest=0.9999
    ),
    "contact_width": Parameter(
        "solimp of a geom: depth of full impedance", "m", "geom", "geom_solimp", 2, positive=True
    ),
    "joint_damping": _DAMPING,
    "joint_armature": Parameter(
        "inertia of a joint's rotor", "kg m^2 or kg", "joint", "dof_armature", lowest=0.0, derived=True, often=_SELDOM
    ),
    "joint_friction_loss": Parameter(
        "dry friction of a joint",
        "Nm or N",
        "joint",
        "dof_frictionloss",
        lowest=0.0,
        operations=("add", "scale", "set"),
    ),
    "actuator_gain": Parameter(
        "gain of an actuator, and the stiffness and damping of its bias with it",
        "N or Nm per unit",
        "actuator",
        "actuator_gainprm",
        0,
        positive=True,
        operations=("scale",),
        scaled_along=("actuator_biasprm",),
    ),
    "actuator_force_limit": Parameter(
        "largest force of an actuator, either way",
        "N or Nm",
        "actuator",
        "actuator_forcerange",
        positive=True,
        operations=("scale",),
        applies=lambda model, actuator: bool(model.actuator_forcelimited[actuator]),
        lacks="a force limit",
    ),
    "weld_time_constant": Parameter(
        "how slowly the mocap weld drags the gripper",
        "s",
        "weld",
        "eq_solref",
        0,
        positive=True,
        elements=("robot0:mocap",),
    ),
    "gravity": Parameter(
        "acceleration of gravity, each axis", "m/s^2", None, "opt.gravity", operations=("add",), axes=3
    ),
    "object_mass": replace(_BODY_MASS, meaning="mass and inertia of the object", elements=(OBJECT, HAND_OBJECT)),
    "object_size": replace(
        _SIZE, meaning="size of the object, all axes alike; mass stays, inertia follows", elements=(OBJECT, HAND_OBJECT)
    ),
    "object_damping": replace(
        _DAMPING,
        meaning="viscous resistance to the object's translation",
        unit="Ns/m",
        linear=True,
        elements=(f"{OBJECT}:joint", f"{HAND_OBJECT}:joint"),
    ),
    "friction": replace(
        _SLIDING,
        meaning="sliding friction of object, table and fingers, or of object and hand",
        elements=(OBJECT, TABLE, *_FINGERS, HAND_OBJECT, _HAND),
    ),
    "table_height": Parameter(
        "height of the table",
        "m",
        "body",
        "body_pos",
        2,
        operations=("add",),
        derived=True,
        often=_STILL,
        elements=(TABLE,),
    ),
}
"""By name. Those with default elements do nothing in a model that has none of them: fetch_reach has no object."""


def find_elements(model: mujoco.MjModel, name: str, parameter: Parameter, patterns: Iterable[str]) -> list[int]:
    """Indices of the elements that `patterns` name, in the order of the model; `*` stands for any characters.

    Geoms are found by their own name or by that of their body. What a pattern with `*` finds and does not have the
    parameter is left out.

    Raises:
        ConfigurationError: a name that the model lacks, or an element that lacks the parameter.
    """
    assert parameter.kind is not None
    names = _names(model, parameter.kind)
    found: set[int] = set()
    for pattern in patterns:
        matches = [i for i, known in names if fnmatchcase(known, pattern)]
        if not matches:
            valid = {known for _, known in names if known}
            raise ConfigurationError(
                f"physics: {name}: the model has no {parameter.kind} {pattern!r}{did_you_mean(pattern, valid)}"
            )
        having = [i for i in matches if parameter.applies(model, i)]
        if not having:
            raise ConfigurationError(f"physics: {name}: {parameter.kind} {pattern!r} lacks {parameter.lacks}")
        found |= set(having)
    return sorted(found)


def rows_of(model: mujoco.MjModel, parameter: Parameter, elements: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the parameter's field, and for each the position of its element in `elements`."""
    if parameter.kind != "joint":
        return np.array(elements, int), np.arange(len(elements))
    rows, owners = [], []
    for position, joint in enumerate(elements):
        first = int(model.jnt_dofadr[joint])
        count = _DEGREES_OF_FREEDOM[int(model.jnt_type[joint])]
        dofs = range(first, first + (min(count, 3) if parameter.linear else count))
        rows += dofs
        owners += [position] * len(dofs)
    return np.array(rows, int), np.array(owners, int)


def element_name(model: mujoco.MjModel, parameter: Parameter, element: int) -> str:
    """How a message calls an element: a nameless geom is called by its body."""
    return next((known for i, known in _names(model, parameter.kind) if i == element and known), f"number {element}")


_DEGREES_OF_FREEDOM = {
    int(mujoco.mjtJoint.mjJNT_FREE): 6,
    int(mujoco.mjtJoint.mjJNT_BALL): 3,
    int(mujoco.mjtJoint.mjJNT_SLIDE): 1,
    int(mujoco.mjtJoint.mjJNT_HINGE): 1,
}


def _names(model: mujoco.MjModel, kind: str | None) -> list[tuple[int, str]]:
    """Every index with every name that it goes by."""
    if kind == "weld":
        welds = np.flatnonzero(model.eq_type == mujoco.mjtEq.mjEQ_WELD)
        return [(int(i), model.body(model.eq_obj1id[i]).name) for i in welds]
    counts = {"body": model.nbody, "geom": model.ngeom, "joint": model.njnt, "actuator": model.nu}
    names = [(i, getattr(model, kind)(i).name) for i in range(counts[kind])] if kind else []
    if kind == "geom":
        names += [(i, model.body(model.geom_bodyid[i]).name) for i in range(model.ngeom)]
    return names
