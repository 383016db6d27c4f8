"""The scene of the simulated hand: Gymnasium-Robotics' model with a hand's own servos, cameras, and a printed block."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import mujoco
import numpy as np

from her_robot.configuration import require_not_negative, require_positive
from her_robot.contract.hand import ACTUATOR_RANGES, COUPLED_JOINTS
from her_robot.robot.hand_profile import HandProfile
from her_robot.robot.markers import ObjectPrints
from her_robot.robot.profile import load_spec
from her_robot.sim.camera import MountError
from her_robot.sim.machine import camera_in_model
from her_robot.sim.prints import dress_object

OBJECT, HAND_CAMERA = "object", "hand_camera"
CAMERA = camera_in_model(HAND_CAMERA)
_BLOCK_MODEL = "gymnasium_robotics:hand/manipulate_block.xml"
"""The same hand, with a block."""
_GOAL_BODY = "target"
"""By which Gymnasium-Robotics shows where the block shall be."""
_DECORATION_SITES = (*(f"target{index}" for index in range(5)), *(f"finger{index}" for index in range(5)))
"""By which Gymnasium-Robotics shows goals; a camera sees none."""


@dataclass(frozen=True)
class HandServoConfig:
    """A joint's servo: torque = stiffness * (reference - position) + damping * (its rate).

    A joint answers like a low pass of `damping / stiffness`. Gymnasium-Robotics has 1 Nm/rad and 0.1 s in the
    fingers, so weak that a wrist or a finger hangs below where it is told to be.
    """

    stiffness: float
    """[Nm/rad]."""
    damping: float
    """[Nms/rad]."""
    friction_loss: float = 0.0
    """Dry friction of the joint [Nm]."""

    def __post_init__(self) -> None:
        require_positive(self, "stiffness", "damping")
        require_not_negative(self, "friction_loss")


@dataclass(frozen=True)
class ViewConfig:
    """Where a camera stands, and what it looks at. Up in its image is up in the world."""

    position: tuple[float, float, float]
    """World frame [m]."""
    target: tuple[float, float, float]
    """What is in the middle of the image, world frame [m]."""
    field_of_view: float
    """Vertical [degrees]."""
    mount_error: MountError = field(default_factory=MountError)
    """What the calibration does not know."""

    def __post_init__(self) -> None:
        if not 0 < self.field_of_view < 180:
            raise ValueError(f"field_of_view must be within 0 ... 180 degrees, found {self.field_of_view}")
        if np.allclose(self.position[:2], self.target[:2]):
            raise ValueError("position must not be straight above or below target")


ONLOOKER = ViewConfig(position=(1.22, 0.62, 0.42), target=(0.99, 0.88, 0.16), field_of_view=45.0)
"""Above the palm, from the side of the little finger."""


@dataclass(frozen=True)
class HandSceneConfig:
    """What differs from the model that policies are trained in."""

    fingers: HandServoConfig = field(default_factory=lambda: HandServoConfig(6.0, 0.3, 0.01))
    """Servos of fingers and thumb."""
    wrist: HandServoConfig = field(default_factory=lambda: HandServoConfig(40.0, 2.0, 0.02))
    """Servos of the wrist."""
    object_mass: float = 1.0
    """Of what is in the hand, as a factor on Gymnasium-Robotics'."""
    friction: float = 1.0
    """Sliding friction of fingers, palm and object, as a factor on Gymnasium-Robotics'."""

    def __post_init__(self) -> None:
        require_positive(self, "object_mass", "friction")

    def servo(self, joint: str) -> HandServoConfig:
        """The servo of a joint, by its name in the contract."""
        return self.wrist if joint.startswith("WR") else self.fingers


def compile_hand_scene(
    config: HandSceneConfig,
    profile: HandProfile,
    views: Mapping[str, ViewConfig],
    block: ObjectPrints | None,
    width: int,
    height: int,
) -> mujoco.MjModel:
    """The model. Its actuators are in the order of the action; their controls are positions, of coupled pairs sums.

    Args:
        config: servos.
        profile: of the hand.
        views: of the cameras, by name.
        block: what is printed on the block in the hand; None for a hand without one.
        width: of camera images [px].
        height: of camera images [px].
    """
    spec = load_spec(profile.model.file if block is None else _BLOCK_MODEL)
    _make_servos(spec, profile, config)
    for geom in spec.geoms:
        geom.friction[0] *= config.friction
    if block is None:
        for name in _DECORATION_SITES:
            spec.delete(spec.site(name))
    else:
        _dress_block(spec, block)
        for geom in spec.body(OBJECT).geoms:
            geom.mass *= config.object_mass
            geom.density *= config.object_mass
    add_cameras(spec, views, width, height)
    # Servos may be stiffer than an explicit integration of their damping could stand.
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    return spec.compile()


def add_cameras(spec: mujoco.MjSpec, views: Mapping[str, ViewConfig], width: int, height: int) -> None:
    """Add cameras by their names, for images of that size [px]."""
    for name, view in views.items():
        _add_camera(spec, camera_in_model(name), view)
    spec.visual.global_.offwidth, spec.visual.global_.offheight = width, height
    spec.visual.quality.offsamples = 0
    spec.visual.map.znear = 0.01


def _make_servos(spec: mujoco.MjSpec, profile: HandProfile, config: HandSceneConfig) -> None:
    """Servos with the force limits of the model's. One tendon drives both joints of a coupled pair."""
    prefix = profile.model.prefix
    forces = {actuator.target: actuator.forcerange.copy() for actuator in spec.actuators}
    for actuator in list(spec.actuators):
        spec.delete(actuator)
    for name in ACTUATOR_RANGES:
        servo, joint = config.servo(name), prefix + name
        moved = [joint]
        actuator = spec.add_actuator(name=joint, target=joint, trntype=mujoco.mjtTrn.mjTRN_JOINT)
        if name in COUPLED_JOINTS:
            moved.append(prefix + COUPLED_JOINTS[name])
            tendon = spec.add_tendon(name=f"{joint}+")
            for part in moved:
                tendon.wrap_joint(part, 1.0)
            actuator.target, actuator.trntype = tendon.name, mujoco.mjtTrn.mjTRN_TENDON
        for part in moved:
            spec.joint(part).frictionloss = servo.friction_loss
        actuator.gaintype, actuator.biastype = mujoco.mjtGain.mjGAIN_FIXED, mujoco.mjtBias.mjBIAS_AFFINE
        actuator.gainprm[0] = servo.stiffness
        actuator.biasprm[1:3] = -servo.stiffness, -servo.damping
        actuator.forcerange = forces[joint]


def _dress_block(spec: mujoco.MjSpec, markers: ObjectPrints) -> None:
    """Its mass and its contacts stay those of Gymnasium-Robotics."""
    spec.delete(spec.body(_GOAL_BODY))
    spec.delete(spec.geom("object_hidden"))
    dress_object(spec, spec.body(OBJECT), spec.geom("object"), markers)


def _add_camera(spec: mujoco.MjSpec, name: str, view: ViewConfig) -> None:
    backward = np.array(view.position) - view.target
    backward /= np.linalg.norm(backward)
    right = np.cross([0.0, 0.0, 1.0], backward)
    right /= np.linalg.norm(right)
    rotation = np.stack([right, np.cross(backward, right), backward], axis=1)
    quaternion = np.zeros(4)
    mujoco.mju_mat2Quat(quaternion, rotation.ravel())
    spec.worldbody.add_camera(name=name, pos=view.position, quat=quaternion, fovy=view.field_of_view)
