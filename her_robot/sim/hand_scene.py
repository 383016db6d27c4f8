"""The scene of the simulated hand: Gymnasium-Robotics' model with a hand's own servos, and a camera that looks on."""

from dataclasses import dataclass, field

import mujoco
import numpy as np

from her_robot.contract.hand import ACTUATOR_RANGES, COUPLED_JOINTS
from her_robot.robot.hand_profile import HandProfile
from her_robot.robot.profile import load_spec

CAMERA = "hand_camera_rgb"
_CAMERA_POSITION = np.array([1.22, 0.62, 0.42])
_CAMERA_TARGET = np.array([0.99, 0.88, 0.16])
"""World frame [m]: above the palm, from the side of the thumb."""
_CAMERA_FIELD_OF_VIEW = 45.0
"""Vertical [degrees]."""
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
        for name in ("stiffness", "damping"):
            if not 0 < getattr(self, name) < np.inf:
                raise ValueError(f"{name} must be above 0, found {getattr(self, name)}")
        if not 0 <= self.friction_loss < np.inf:
            raise ValueError(f"friction_loss must not be negative, found {self.friction_loss}")


@dataclass(frozen=True)
class HandSceneConfig:
    """What differs from the model that policies are trained in."""

    fingers: HandServoConfig = field(default_factory=lambda: HandServoConfig(6.0, 0.3, 0.01))
    """Servos of fingers and thumb."""
    wrist: HandServoConfig = field(default_factory=lambda: HandServoConfig(40.0, 2.0, 0.02))
    """Servos of the wrist."""

    def servo(self, joint: str) -> HandServoConfig:
        """The servo of a joint, by its name in the contract."""
        return self.wrist if joint.startswith("WR") else self.fingers


def compile_hand_scene(config: HandSceneConfig, profile: HandProfile, width: int, height: int) -> mujoco.MjModel:
    """The model. Its actuators are in the order of the action; their controls are positions, of coupled pairs sums.

    Args:
        config: servos.
        profile: of the hand.
        width: of camera images [px].
        height: of camera images [px].
    """
    spec = load_spec(profile.model.file)
    _make_servos(spec, profile, config)
    for name in _DECORATION_SITES:
        spec.delete(spec.site(name))
    add_camera(spec, width, height)
    # Servos may be stiffer than an explicit integration of their damping could stand.
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    return spec.compile()


def add_camera(spec: mujoco.MjSpec, width: int, height: int) -> None:
    """Add the camera that looks on, for images of that size [px]."""
    spec.visual.global_.offwidth, spec.visual.global_.offheight = width, height
    spec.visual.quality.offsamples = 0
    spec.visual.map.znear = 0.01
    backward = _CAMERA_POSITION - _CAMERA_TARGET
    backward /= np.linalg.norm(backward)
    right = np.cross([0.0, 0.0, 1.0], backward)
    right /= np.linalg.norm(right)
    rotation = np.stack([right, np.cross(backward, right), backward], axis=1)
    quaternion = np.zeros(4)
    mujoco.mju_mat2Quat(quaternion, rotation.ravel())
    spec.worldbody.add_camera(name=CAMERA, pos=_CAMERA_POSITION, quat=quaternion, fovy=_CAMERA_FIELD_OF_VIEW)


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
