"""What belongs to one Shadow Hand, read from `config/robots/`: names, signs, limits, coupled joints, controllers."""

from collections import Counter
from dataclasses import dataclass, field

import mujoco
import numpy as np

from her_robot import configuration, resources
from her_robot.contract.hand import ACTUATOR_RANGES, COUPLED_JOINTS, FINGERTIPS, JOINTS
from her_robot.errors import ConfigurationError, did_you_mean
from her_robot.robot.nudge import NudgeConfig
from her_robot.robot.profile import JointConfig, load_spec

OTHER_HAND = {"rh_": "lh_", "lh_": "rh_"}
"""What the joints of the other hand begin with."""


@dataclass(frozen=True)
class HandModelConfig:
    """The hand's kinematic model."""

    file: str
    """Path of an MJCF or URDF file, or `package:path` for a model that a Python package ships."""
    prefix: str
    """What the model puts before the contract's joint names."""
    base_body: str
    """Body whose frame is `base_frame`."""
    tip_prefix: str
    """What the model puts before the contract's names of the fingertips; each is a site."""


@dataclass(frozen=True)
class HandControllerConfig:
    """A trajectory controller."""

    topic: str
    """trajectory_msgs/JointTrajectory, out."""
    joints: tuple[str, ...]
    """The hand's names of the joints that it takes. Of a coupled pair: both joints, or their sum."""


@dataclass(frozen=True)
class HandTopicsConfig:
    """Names of other topics, relative to the node's namespace."""

    joint_states: str = "joint_states"
    """sensor_msgs/JointState, in."""
    fingertip_goals: str = "fingertip_goals"
    """geometry_msgs/PoseArray in `base_frame`, in: where the fingertips shall be."""
    object_pose: str = "object_pose"
    """geometry_msgs/PoseWithCovarianceStamped in `base_frame`, in: where the object is."""
    object_goal: str = "object_goal"
    """geometry_msgs/PoseStamped in `base_frame`, in: how the object shall lie."""


@dataclass(frozen=True)
class HandTimingConfig:
    """How long an input is good for."""

    joint_states_timeout: float = 0.1
    """Joint states older than this stop the hand [s]."""
    object_timeout: float = 0.5
    """An object that no camera has seen for longer stops the hand [s]; until then it counts as being where it was."""
    clock_tolerance: float = 0.15
    """Joint states and poses stamped farther ahead than this were timed by another clock, and are refused [s]."""

    def __post_init__(self) -> None:
        configuration.require_positive(self)


@dataclass(frozen=True)
class HandMotionConfig:
    """How the joints move."""

    lead: float = 0.35
    """The commanded position of a joint stays within this of the measured one [rad]: how hard a servo presses against
    what is in the way. A joint that follows well at its full speed lags by about half of it."""
    lags_as_trained: bool = True
    """Joints are commanded to go to their targets no faster than those of the simulation, whose springs are slow."""
    sags_as_trained: bool = True
    """Whether the joints are commanded to hang below their targets as those of the simulation do, whose servos are weak
    (`HandKinematics.sag`). A policy has learnt to aim higher by that."""
    homing_speed: float = 0.5
    """Joint speed of homing, as part of each joint's velocity limit."""
    homing_tolerance: float = 0.1
    """Homing is done when every joint is nearer than this [rad]."""
    goal_margin: float = 0.005
    """A fingertip's goal farther than this outside of what the fingertip can reach is refused [m]."""
    nudge: NudgeConfig = field(default_factory=NudgeConfig)
    """Of a policy whose object has come to a standstill."""

    def __post_init__(self) -> None:
        configuration.require_positive(self, "lead", "homing_speed", "homing_tolerance")
        configuration.require_not_negative(self, "goal_margin")


@dataclass(frozen=True)
class HandProfile:
    """One hand."""

    name: str
    model: HandModelConfig
    base_frame: str
    """The hand's own name of the frame of its forearm, which goals and cameras are related to."""
    base_position: tuple[float, float, float]
    """Origin of `base_frame` in the policy's world [m]."""
    base_rotation_wxyz: tuple[float, float, float, float]
    """`base_frame` to the policy's world."""
    joints: dict[str, JointConfig]
    """Every joint, by its name in the contract. The hand reports `sign * position + offset`."""
    coupled: dict[str, tuple[str, str]]
    """The hand's names of the middle and the distal joint that one tendon bends, by the name of their sum."""
    controllers: tuple[HandControllerConfig, ...]
    coupling_gain: float = 2.142
    """The sum of two coupled joints over the middle one, until the distal one is at the end of its range: of what is
    commanded, and of how a sum that is reported alone is shared out. 2.142 is what the tendon gives in
    Gymnasium-Robotics; 2 bends both alike."""
    coupling_play: float = 0.142
    """How far a distal joint is from what the gain says before the tendon pulls it along, in Gymnasium-Robotics [rad].
    A policy has learnt to reckon with it; 0 bends a finger back on the way that it was bent."""
    home: dict[str, float] = field(default_factory=dict)
    """Where actuated joints are at the start of an episode without an object, by the contract's name [rad]; others are
    at 0."""
    object_home: dict[str, float] = field(default_factory=dict)
    """The same with an object on the palm."""
    topics: HandTopicsConfig = field(default_factory=HandTopicsConfig)
    timing: HandTimingConfig = field(default_factory=HandTimingConfig)
    motion: HandMotionConfig = field(default_factory=HandMotionConfig)

    def __post_init__(self) -> None:
        _check_names("joints", self.joints, JOINTS, complete=True)
        _check_names("home", self.home, ACTUATOR_RANGES)
        _check_names("object_home", self.object_home, ACTUATOR_RANGES)
        if not 1.0 < self.coupling_gain < np.inf:
            raise ValueError(f"coupling_gain must be above 1, found {self.coupling_gain}")
        configuration.require_not_negative(self, "coupling_play")
        for name, config in self.joints.items():
            if config.position is None:
                raise ValueError(f"joints.{name}: position limits are needed; no joint of a hand turns endlessly")
        twice = [name for name, count in Counter(self.joint_names).items() if count > 1]
        if twice:
            raise ValueError(f"joints: more than one is named {', '.join(twice)}")
        pairs = {(self.joints[middle].name, self.joints[distal].name) for middle, distal in COUPLED_JOINTS.items()}
        if set(self.coupled.values()) != pairs:
            raise ValueError(f"coupled: expected the pairs {sorted(pairs)}, found {sorted(self.coupled.values())}")
        self._check_controllers()

    @property
    def joint_names(self) -> tuple[str, ...]:
        """The hand's names, in the contract's order."""
        return tuple(self.joints[name].name for name in JOINTS)

    @property
    def prefix(self) -> str:
        """What the names of this hand's joints begin with: `rh_` for a right hand."""
        return self.joint_names[0][:3]

    @property
    def command_names(self) -> tuple[str, ...]:
        """The joints that all controllers take, in their order."""
        return tuple(name for controller in self.controllers for name in controller.joints)

    def _check_controllers(self) -> None:
        known = (*self.joint_names, *self.coupled)
        commanded = Counter[str]()
        for name in self.command_names:
            if name not in known:
                raise ValueError(f"controllers: the hand has no joint {name!r}{did_you_mean(name, known)}")
            commanded.update(self.coupled.get(name, (name,)))
        missing = [name for name in self.joint_names if not commanded[name]]
        twice = [name for name, count in commanded.items() if count > 1]
        if missing or twice:
            wrong = f"none takes {', '.join(missing)}" if missing else f"more than one takes {', '.join(twice)}"
            raise ValueError(f"controllers: {wrong}; of a coupled pair give both joints, or their sum")


def load_hand_profile(name: str) -> HandProfile:
    """A shipped profile of a hand by name, or one from a YAML file by its path.

    Raises:
        UnknownNameError: no such profile.
        ConfigurationError: the file holds something else, such as an arm, or names what its model does not have.
    """
    path = resources.named_file("config/robots", name, "robot")
    if "joints" in (data := configuration.read_yaml(path)) and not isinstance(data["joints"], dict):
        raise ConfigurationError(
            f"{path}: not a hand: its joints are a list; a hand's are named by the contract's names"
        )
    profile = configuration.load(HandProfile, path)
    _check_against_model(profile, compile_hand(profile.model), str(path))
    return profile


def compile_hand(config: HandModelConfig) -> mujoco.MjModel:
    """The hand's kinematic model.

    Raises:
        ConfigurationError: the file cannot be compiled.
    """
    try:
        return load_spec(config.file).compile()
    except ValueError as error:
        raise ConfigurationError(f"{config.file}: does not compile: {error}") from None


def _check_against_model(profile: HandProfile, model: mujoco.MjModel, where: str) -> None:
    config = profile.model
    needed = {
        "joint": [config.prefix + name for name in JOINTS],
        "site": [config.tip_prefix + tip for tip in FINGERTIPS],
        "body": [config.base_body],
    }
    there = {
        "joint": [model.joint(index).name for index in range(model.njnt)],
        "site": [model.site(index).name for index in range(model.nsite)],
        "body": [model.body(index).name for index in range(model.nbody)],
    }
    for kind, names in needed.items():
        for name in names:
            if name not in there[kind]:
                raise ConfigurationError(f"{where}: the model has no {kind} {name!r}{did_you_mean(name, there[kind])}")


def _check_names(what: str, found, valid, complete: bool = False) -> None:
    """That what is found is valid, and if wanted, that all of it is there."""
    for name in found:
        if name not in valid:
            raise ValueError(f"{what}: the contract has no joint {name!r}{did_you_mean(name, valid)}")
    missing = [name for name in valid if name not in found]
    if complete and missing:
        raise ValueError(f"{what}: missing {', '.join(missing)}")
