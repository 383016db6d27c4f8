"""What belongs to one robot, read from `config/robots/`: another arm is another file, and no other code.

The robot's own model is an MJCF or URDF file that MuJoCo compiles; here it serves kinematics alone.
"""

from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path

import mujoco
import numpy as np

from her_robot import configuration, resources
from her_robot.errors import ConfigurationError, did_you_mean

_PACKAGE_ASSETS = {"gymnasium_robotics": "envs/assets"}
"""Where a package keeps its models: `gymnasium_robotics:fetch/reach.xml` names a file below it."""


@dataclass(frozen=True)
class ModelConfig:
    """The robot's kinematic model."""

    file: str
    """Path of an MJCF or URDF file, or `package:path` for a model that a Python package ships."""
    prefix: str
    """What the model puts before the robot's own joint names."""
    base_body: str
    """Body whose frame is the robot's `base_link`."""
    tool_site: str
    """Site at the point between the fingers, whose pose is commanded."""
    remove_bodies: tuple[str, ...] = ()
    """Bodies that are no part of the robot, such as mocap bodies."""
    locked_joints: dict[str, float] = field(default_factory=dict)
    """Model joints that do not move, and their positions [m or rad]."""


@dataclass(frozen=True)
class JointConfig:
    """One joint of the arm. Positions are the model's; the robot reports `sign * position + offset`."""

    name: str
    """The robot's name of the joint, as in /joint_states."""
    position: tuple[float, float] | None
    """Lowest and highest position [rad]; none for a continuous joint."""
    velocity: float
    """Largest speed [rad/s]."""
    acceleration: float
    """Largest acceleration [rad/s^2]."""
    sign: float = 1.0
    """1, or -1 where the robot counts the other way round."""
    offset: float = 0.0
    """What the robot reports where the model's position is 0 [rad]."""

    def __post_init__(self) -> None:
        if self.sign not in (1.0, -1.0):
            raise ValueError(f"sign of {self.name} must be 1 or -1, found {self.sign}")
        configuration.require_positive(self, "velocity", "acceleration")
        if self.position is not None and self.position[0] >= self.position[1]:
            raise ValueError(f"position limits of {self.name} are {list(self.position)}: low must be below high")


@dataclass(frozen=True)
class GripperConfig:
    """The gripper."""

    joints: tuple[str, str]
    """The robot's names of the right and the left finger joint; each measures half of the gap [m]."""
    closed_gap: float = 0.0
    """Gap that closes the gripper [m]."""
    open_gap: float = 0.10
    """Largest gap [m]."""
    finger_speed: float = 0.05
    """Largest speed of one finger [m/s]; the gap changes twice as fast."""
    gain: float = 2.0
    """Change of the gap that an action of 1 asks for [m]; in simulation each finger is asked to move by 1 m."""
    lead: float = 0.02
    """The commanded gap stays within this of the measured one [m]: how far a servo squeezes what is in the way."""

    def __post_init__(self) -> None:
        if not 0.0 <= self.closed_gap < self.open_gap:
            raise ValueError(
                f"gripper: closed_gap {self.closed_gap} and open_gap {self.open_gap} must be 0 <= closed < open"
            )
        configuration.require_positive(self, "finger_speed", "gain", "lead")


@dataclass(frozen=True)
class TopicsConfig:
    """Names of the robot's topics, relative to the node's namespace."""

    joint_states: str = "joint_states"
    """sensor_msgs/JointState, in."""
    joint_trajectory: str = "arm_controller/joint_trajectory"
    """trajectory_msgs/JointTrajectory, out."""
    gripper_command: str = "gripper_controller/command"
    """std_msgs/Float64, out: gap between the fingers [m]."""
    object_pose: str = "object_pose"
    """geometry_msgs/PoseWithCovarianceStamped, in."""
    goal_pose: str = "goal_pose"
    """geometry_msgs/PoseWithCovarianceStamped, in."""


@dataclass(frozen=True)
class TimingConfig:
    """How long an input is good for."""

    joint_states_timeout: float = 0.15
    """Joint states older than this stop the arm [s]."""
    object_hidden: float = 1.0
    """After this long without the object in view, the arm goes back to look [s]. The gripper often hides what it
    pushes; meanwhile the object's pose is carried along."""
    object_timeout: float = 4.0
    """An object that has not been seen for this long stops the arm [s]."""
    goal_timeout: float = 30.0
    """A goal that has not been seen for this long stops the arm [s]. The object often covers its goal."""
    clock_tolerance: float = 0.15
    """An input stamped farther ahead than this was timed by another clock, and is refused [s]."""

    def __post_init__(self) -> None:
        configuration.require_positive(self)


@dataclass(frozen=True)
class WorkspaceConfig:
    """Box that the tool stays in, in `base_link`."""

    low: tuple[float, float, float]
    """Lowest corner [m]. Its height serves where no table is calibrated."""
    high: tuple[float, float, float]
    """Highest corner [m]."""
    goal_margin: float = 0.03
    """A goal farther than this outside of the contract's range is refused [m]."""
    table_clearance: float = 0.021
    """The tool stays this far above the calibrated table, a little more than the fingers reach below it [m]."""

    def __post_init__(self) -> None:
        if any(low >= high for low, high in zip(self.low, self.high, strict=True)):
            raise ValueError(f"low {list(self.low)} must be below high {list(self.high)}")
        configuration.require_not_negative(self, "goal_margin", "table_clearance")


@dataclass(frozen=True)
class TaskConfig:
    """What differs in one task."""

    locked_joints: dict[str, float] = field(default_factory=dict)
    """Model joints that do not move, at other positions than `model.locked_joints` has [m or rad]."""
    workspace: WorkspaceConfig | None = None
    """Another box that the tool stays in."""


@dataclass(frozen=True)
class MotionConfig:
    """How a Cartesian action becomes a motion of the joints."""

    displacement_gain: float = 0.65
    """Part of a commanded displacement that the tool makes in one control period, as in simulation."""
    lead: float = 0.08
    """The commanded tool position stays within this of the measured one [m]."""
    deceleration: float = 3.0
    """The tool comes no faster towards a wall of the workspace than it can brake at this [m/s^2]. Somewhat less than
    what the slowest joints, at their acceleration limits, give the tool."""
    tracking_tolerance: float = 0.35
    """A joint farther than this from where it was told to be stops the arm: something is in its way [rad]."""
    homing_speed: float = 0.6
    """Joint speed of homing, as part of each joint's velocity limit."""
    homing_tolerance: float = 0.02
    """Homing is done when every joint is nearer than this [rad]."""

    def __post_init__(self) -> None:
        configuration.require_positive(self)


@dataclass(frozen=True)
class RobotProfile:
    """One robot."""

    name: str
    model: ModelConfig
    joints: tuple[JointConfig, ...]
    """The arm, from the base to the tool."""
    gripper: GripperConfig
    home: dict[str, tuple[float, ...]]
    """Arm positions that episodes start from, by task [rad]."""
    look: dict[str, tuple[float, ...]]
    """Arm positions from which the camera sees the whole workspace, by task [rad]; homing passes through them."""
    tool_rotation_wxyz: tuple[float, float, float, float]
    """Orientation of the tool in `base_link`, held constant."""
    workspace: WorkspaceConfig
    topics: TopicsConfig = field(default_factory=TopicsConfig)
    timing: TimingConfig = field(default_factory=TimingConfig)
    motion: MotionConfig = field(default_factory=MotionConfig)
    tasks: dict[str, TaskConfig] = field(default_factory=dict)
    """What differs in a task, such as the height of the torso; a task that is not named has no differences."""

    def __post_init__(self) -> None:
        for task, config in self.tasks.items():
            for name in config.locked_joints:
                if name not in self.model.locked_joints:
                    known = did_you_mean(name, self.model.locked_joints)
                    raise ValueError(f"tasks.{task}.locked_joints: model.locked_joints has no {name!r}{known}")
        for kind, poses in (("home", self.home), ("look", self.look)):
            for task, positions in poses.items():
                if len(positions) != len(self.joints):
                    raise ValueError(f"{kind}.{task} has {len(positions)} values for {len(self.joints)} joints")

    def for_task(self, task: str) -> "RobotProfile":
        """This robot as it is in one task."""
        if task not in self.tasks:
            return self
        config = self.tasks[task]
        locked = {**self.model.locked_joints, **config.locked_joints}
        return replace(
            self,
            model=replace(self.model, locked_joints=locked),
            workspace=config.workspace or self.workspace,
            tasks={},
        )

    @property
    def joint_names(self) -> tuple[str, ...]:
        return tuple(joint.name for joint in self.joints)

    @property
    def position_low(self) -> np.ndarray:
        """Lowest positions (n,) [rad]; -inf for continuous joints."""
        return np.array([-np.inf if joint.position is None else joint.position[0] for joint in self.joints])

    @property
    def position_high(self) -> np.ndarray:
        """Highest positions (n,) [rad]; inf for continuous joints."""
        return np.array([np.inf if joint.position is None else joint.position[1] for joint in self.joints])

    @property
    def velocity_limit(self) -> np.ndarray:
        """(n,) [rad/s]."""
        return np.array([joint.velocity for joint in self.joints])

    @property
    def acceleration_limit(self) -> np.ndarray:
        """(n,) [rad/s^2]."""
        return np.array([joint.acceleration for joint in self.joints])

    def from_robot(self, reported: np.ndarray) -> np.ndarray:
        """Model positions (n,) for positions as the robot reports them [rad]."""
        return np.array([j.sign * (x - j.offset) for j, x in zip(self.joints, reported, strict=True)])

    def to_robot(self, positions: np.ndarray) -> np.ndarray:
        """What the robot calls model positions (n,) [rad]."""
        return np.array([j.sign * x + j.offset for j, x in zip(self.joints, positions, strict=True)])

    def signs(self) -> np.ndarray:
        """Factor (n,) between velocities of the model and of the robot."""
        return np.array([joint.sign for joint in self.joints])


def load_profile(name: str) -> RobotProfile:
    """A shipped profile by name, or one from a YAML file by its path.

    Raises:
        UnknownNameError: no such profile.
        ConfigurationError: the file holds something else, or names what its model does not have.
    """
    path = resources.named_file("config/robots", name, "robot")
    profile = configuration.load(RobotProfile, path)
    _check_against_model(profile, path)
    return profile


def compile_model(config: ModelConfig) -> mujoco.MjModel:
    """The robot's model with foreign bodies removed and locked joints replaced by fixed poses.

    Raises:
        ConfigurationError: the file cannot be compiled, or names do not occur in it.
    """
    spec = load_spec(config.file)
    for equality in list(spec.equalities):
        if {equality.name1, equality.name2} & set(config.remove_bodies):
            spec.delete(equality)
    for name in config.remove_bodies:
        spec.delete(_find(spec.body(name), "body", name, config.file))
    for name, position in config.locked_joints.items():
        lock_joint(spec, _find(spec.joint(name), "joint", name, config.file), position)
    try:
        return spec.compile()
    except ValueError as error:
        raise ConfigurationError(f"{config.file}: does not compile: {error}") from None


def load_spec(file: str) -> mujoco.MjSpec:
    """Parse the model `file`, a path or `package:path`.

    Raises:
        ConfigurationError: there is no such file, or it cannot be parsed.
    """
    package, separator, relative = file.partition(":")
    path = _package_directory(package) / _PACKAGE_ASSETS.get(package, "") / relative if separator else Path(file)
    if not path.is_file():
        raise ConfigurationError(f"model {file!r}: no such file ({path})")
    try:
        return mujoco.MjSpec.from_file(str(path))
    except ValueError as error:
        raise ConfigurationError(f"model {file!r}: cannot be parsed: {error}") from None


def _package_directory(package: str) -> Path:
    """Where a package lies, without importing it."""
    found = find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise ConfigurationError(f"package {package!r} is not installed; its models are needed")
    return Path(found.submodule_search_locations[0])


def lock_joint(spec: mujoco.MjSpec, joint: mujoco.MjsJoint, position: float) -> None:
    """Replace a slide or hinge joint by the fixed pose that it has at `position` [m or rad]."""
    body, travel = joint.parent, position - joint.ref
    body_rotation, axis = _matrix(body.quat), np.asarray(joint.axis) / np.linalg.norm(joint.axis)
    if joint.type == mujoco.mjtJoint.mjJNT_SLIDE:
        body.pos = body.pos + body_rotation @ (axis * travel)
    else:
        half = travel / 2
        turn = np.array([np.cos(half), *(np.sin(half) * axis)])
        product = np.zeros(4)
        mujoco.mju_mulQuat(product, np.asarray(body.quat, float), turn)
        anchor = np.asarray(joint.pos)
        body.pos = body.pos + body_rotation @ (anchor - _matrix(turn) @ anchor)
        body.quat = product
    spec.delete(joint)


def _check_against_model(profile: RobotProfile, path: Path) -> None:
    model = compile_model(profile.model)
    joints = {model.joint(i).name for i in range(model.njnt)}
    for joint in profile.joints:
        name = profile.model.prefix + joint.name
        if name not in joints:
            raise ConfigurationError(f"{path}: the model has no joint {name!r}{did_you_mean(name, joints)}")
    for kind, name, names in (
        ("body", profile.model.base_body, {model.body(i).name for i in range(model.nbody)}),
        ("site", profile.model.tool_site, {model.site(i).name for i in range(model.nsite)}),
    ):
        if name not in names:
            raise ConfigurationError(f"{path}: the model has no {kind} {name!r}{did_you_mean(name, names)}")


def _find(element, kind: str, name: str, file: str):
    if element is None:
        raise ConfigurationError(f"model {file!r} has no {kind} {name!r}")
    return element


def _matrix(quaternion_wxyz) -> np.ndarray:
    matrix = np.zeros(9)
    mujoco.mju_quat2Mat(matrix, np.asarray(quaternion_wxyz, float))
    return matrix.reshape(3, 3)
