"""The scene around the simulated robot: Gymnasium-Robotics' own model, rebuilt as a robot that one could buy.

The mocap weld that drags the gripper in training is removed; arm and fingers get position-controlled joints; the
object and the goal carry fiducials. The base, the torso and the head are fixed.
"""

from dataclasses import dataclass, field

import mujoco
import numpy as np

from her_robot.configuration import require_not_negative, require_positive
from her_robot.contract import Contract
from her_robot.domain_rand.rendering import add_textures
from her_robot.errors import UnknownNameError
from her_robot.robot.fiducials import goal_tile_image
from her_robot.robot.markers import Markers
from her_robot.robot.profile import RobotProfile, load_spec, lock_joint
from her_robot.sim.machine import camera_in_model
from her_robot.sim.prints import PIXELS_PER_METER, add_print, dress_object

OBJECT, TABLE, GOAL_TILE, HEAD_CAMERA = "object0", "table0", "goal_tile", "head_camera"
CAMERA = camera_in_model(HEAD_CAMERA)

_MODEL_FILES = {
    "fetch_push": "gymnasium_robotics:fetch/push.xml",
    "fetch_reach": "gymnasium_robotics:fetch/reach.xml",
    "fetch_slide": "gymnasium_robotics:fetch/slide.xml",
    "fetch_pick_and_place": "gymnasium_robotics:fetch/pick_and_place.xml",
}
_FINGER_STIFFNESS, _FINGER_DAMPING = 10_000.0, 500.0
"""Of a finger's servo [N/m], [N s/m]. A finger that is kept 6 mm or more from its target presses with all its force, as
one does that is commanded with an effort; a free one lags by 50 ms."""
_COLLIDING_BODIES = ("gripper_link", "r_gripper_finger_link", "l_gripper_finger_link", "wrist_roll_link")
"""Of the robot, only these can touch anything in the workspace."""
_LARGEST_TABLE_OFFSET = 0.2


@dataclass(frozen=True)
class JointControlConfig:
    """Each arm joint is a servo: torque = stiffness * (reference - position) + damping * (its rate).

    A joint answers like a low pass of `damping / stiffness` (50 ms by default), and hardly overshoots up to an inertia
    of damping^2 / (3 stiffness), 4 kg m^2: that of the rotor and the stretched arm. Gravity is compensated.
    """

    stiffness: float = 5000.0
    """Proportional gain [Nm/rad]."""
    damping: float = 250.0
    """Derivative gain [Nms/rad]."""
    armature: float = 1.0
    """Rotor inertia seen at the joint [kg m^2]."""
    friction_loss: float = 0.5
    """Dry friction of each joint [Nm]."""
    viscous_friction: float = 0.0
    """Friction in proportion to a joint's speed [Nms/rad]: unlike `damping`, it holds back a motion as commanded."""

    def __post_init__(self) -> None:
        require_positive(self, "stiffness", "damping", "armature")
        require_not_negative(self, "friction_loss", "viscous_friction")


@dataclass(frozen=True)
class SceneConfig:
    """What differs from the model that policies are trained in."""

    object_mass: float = 0.5
    """Mass of the object [kg]; 2 in Gymnasium-Robotics."""
    friction: float = 0.8
    """Sliding friction of object, table and hand over that in Gymnasium-Robotics, where it is 1, or 0.1 of the puck and
    its table."""
    table_height_offset: float = 0.0
    """How far the table top stands above the nominal height [m]."""
    finger_mass: float = 0.1
    """Mass of each finger [kg]; 4 in Gymnasium-Robotics, whose gripper is dragged by a weld."""
    finger_force: float = 60.0
    """Largest force of each finger [N]: the effort limit of the Fetch's."""
    joint_control: JointControlConfig = field(default_factory=JointControlConfig)
    """The arm's servos."""
    servos: dict[str, JointControlConfig] = field(default_factory=dict)
    """Servos that differ from `joint_control`, by the robot's name of the joint."""

    def __post_init__(self) -> None:
        require_positive(self, "object_mass", "friction", "finger_mass", "finger_force")
        if not abs(self.table_height_offset) <= _LARGEST_TABLE_OFFSET:
            raise ValueError(
                f"table_height_offset must be within {_LARGEST_TABLE_OFFSET} m, found {self.table_height_offset}"
            )

    def servo(self, joint: str) -> JointControlConfig:
        """The servo of one arm joint, by the robot's name of it."""
        return self.servos.get(joint, self.joint_control)


def compile_scene(
    config: SceneConfig,
    contract: Contract,
    profile: RobotProfile,
    markers: Markers,
    width: int,
    height: int,
    paintable: bool = False,
) -> mujoco.MjModel:
    """The model of robot, table, object and goal.

    Args:
        config: masses, friction, servos.
        contract: of the task.
        profile: of the robot; its locked joints are fixed here too.
        markers: what is printed on object and goal.
        width: of camera images [px].
        height: of camera images [px].
        paintable: give every material a texture that can be painted anew.

    Raises:
        UnknownNameError: a servo of a joint that the profile does not have.
    """
    for name in config.servos:
        if name not in profile.joint_names:
            raise UnknownNameError("joint", name, profile.joint_names, where="scene.servos")
    spec = load_spec(_MODEL_FILES[contract.task])
    _remove_mocap_weld(spec)
    for name, position in profile.model.locked_joints.items():
        lock_joint(spec, spec.joint(name), position)
    _make_servos(spec, profile, config)
    touching = _keep_needed_collisions(spec, profile)
    spec.body(TABLE).pos += np.array([0.0, 0.0, config.table_height_offset])
    if contract.has_object:
        _dress_object(spec, config, markers)
        touching.append(spec.geom(OBJECT))
    for geom in (*touching, *spec.body(TABLE).geoms):
        geom.friction[0] *= config.friction
    _add_goal_tile(spec, markers)
    _set_up_rendering(spec, width, height)
    if paintable:
        add_textures(spec)
    return spec.compile()


def table_top(model: mujoco.MjModel) -> float:
    """World z of the table top [m]."""
    table = model.body(TABLE)
    box = model.geom(table.geomadr[0])
    return float(table.pos[2] + box.pos[2] + box.size[2])


def _remove_mocap_weld(spec: mujoco.MjSpec) -> None:
    for equality in list(spec.equalities):
        spec.delete(equality)
    spec.delete(spec.body("robot0:mocap"))
    # The site that shows the goal in Gymnasium-Robotics; here a tile does.
    spec.delete(spec.site("target0"))


def _make_servos(spec: mujoco.MjSpec, profile: RobotProfile, config: SceneConfig) -> None:
    prefix = profile.model.prefix
    for actuator in list(spec.actuators):
        spec.delete(actuator)
    for joint_config in profile.joints:
        joint, servo = spec.joint(prefix + joint_config.name), config.servo(joint_config.name)
        _set_passive_forces(joint, servo.armature, servo.friction_loss, servo.viscous_friction)
        _add_servo(spec, joint.name, servo.stiffness, servo.damping)
    for name in profile.gripper.joints:
        joint = spec.joint(prefix + name)
        _set_passive_forces(joint, armature=1.0, friction_loss=0.0, viscous_friction=0.0)
        _add_servo(spec, joint.name, _FINGER_STIFFNESS, _FINGER_DAMPING, config.finger_force)
        finger = joint.parent
        finger.mass, finger.inertia = config.finger_mass, np.full(3, 1e-4)
    for body in _below(spec.body(profile.model.base_body)):
        body.gravcomp = 1.0


def _set_passive_forces(joint: mujoco.MjsJoint, armature: float, friction_loss: float, viscous_friction: float) -> None:
    joint.armature, joint.frictionloss = armature, friction_loss
    damping = np.zeros_like(joint.damping)
    # The first coefficient is of the speed itself, others of its powers.
    damping.flat[0] = viscous_friction
    joint.damping = damping
    joint.stiffness = np.zeros_like(joint.stiffness)


def _add_servo(
    spec: mujoco.MjSpec, joint: str, stiffness: float, damping: float, largest_force: float | None = None
) -> None:
    actuator = spec.add_actuator(name=joint, target=joint, trntype=mujoco.mjtTrn.mjTRN_JOINT)
    actuator.gaintype, actuator.biastype = mujoco.mjtGain.mjGAIN_FIXED, mujoco.mjtBias.mjBIAS_AFFINE
    actuator.gainprm[0] = stiffness
    actuator.biasprm[1:3] = -stiffness, -damping
    if largest_force is not None:
        actuator.forcerange = np.array([-largest_force, largest_force])


def _keep_needed_collisions(spec: mujoco.MjSpec, profile: RobotProfile) -> list[mujoco.MjsGeom]:
    """Switch off the collisions of all but the hand; returns the geoms of the hand."""
    kept = {profile.model.prefix + name for name in _COLLIDING_BODIES}
    hand = []
    for body in _below(spec.body(profile.model.base_body)):
        if body.name in kept:
            hand += body.geoms
            continue
        for geom in body.geoms:
            geom.contype, geom.conaffinity = 0, 0
    return hand


def _dress_object(spec: mujoco.MjSpec, config: SceneConfig, markers: Markers) -> None:
    body, geom = spec.body(OBJECT), spec.geom(OBJECT)
    geom.mass = config.object_mass
    dress_object(spec, body, geom, markers)


def _add_goal_tile(spec: mujoco.MjSpec, markers: Markers) -> None:
    tile = spec.worldbody.add_body(name=GOAL_TILE, mocap=True)
    image = goal_tile_image(markers, round(markers.goal.tile_size * PIXELS_PER_METER / 2))
    add_print(spec, tile, "goal", image, markers.goal.tile_size, np.zeros(3), np.eye(3))


def _set_up_rendering(spec: mujoco.MjSpec, width: int, height: int) -> None:
    visual = spec.visual
    visual.global_.offwidth, visual.global_.offheight = width, height
    # Multisampling would smooth the outlines of bodies, at three times the cost. The edges that markers are located by
    # lie within textures, which are filtered anyhow: it changes no pose by a hundredth of a millimetre.
    visual.quality.offsamples = 0
    visual.map.znear = 0.01
    # A white table would swallow the white borders of the prints.
    spec.material("table_mat").rgba = np.array([0.62, 0.55, 0.47, 1.0])


def _below(body: mujoco.MjsBody) -> list[mujoco.MjsBody]:
    return [body, *(found for child in body.bodies for found in _below(child))]
