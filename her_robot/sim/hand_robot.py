"""The simulated Shadow Hand as a robot: joint servos, encoders, cameras, and goals from a planner.

Commands and measurements carry the hand's joint names and its own clock, which starts at 0 and is never set back.
What a scorer may know and a policy may not is in `ground_truth`.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import mujoco
import numpy as np

from her_robot.configuration import require_not_negative, require_positive
from her_robot.contract import HandContract
from her_robot.contract.hand import FINGERTIPS, JOINTS
from her_robot.errors import ConfigurationError
from her_robot.robot.hand_joints import ACTUATORS, HandJoints
from her_robot.robot.hand_profile import load_hand_profile
from her_robot.robot.markers import ObjectPrints
from her_robot.rotations import to_matrix
from her_robot.sim.camera import OPTICAL_FROM_GL, CameraConfig
from her_robot.sim.differences import Fleet
from her_robot.sim.hand_scene import HAND_CAMERA, ONLOOKER, HandSceneConfig, ViewConfig, compile_hand_scene
from her_robot.sim.hand_tasks import HandReachTask, hand_task
from her_robot.sim.machine import JointMeasurement, SimulatedMachine, camera_in_model
from her_robot.sim.trajectory import TrajectoryController


@dataclass(frozen=True)
class SimulatedHandConfig:
    """A hand that no training run has seen. Shipped ones are in `config/simulated_hands/`."""

    profile: str = "shadow_hand"
    """Robot profile in config/robots/."""
    scene: HandSceneConfig = field(default_factory=HandSceneConfig)
    """Servos."""
    camera: CameraConfig = field(default_factory=CameraConfig)
    """Every camera."""
    views: dict[str, ViewConfig] = field(default_factory=lambda: {HAND_CAMERA: ONLOOKER})
    """Where the cameras stand, by name. All look for an object; in tasks without one, `hand_camera` alone looks on. It
    is what reports show."""
    calibration: str = "shadow_hand_sim"
    """Of the cameras, in calibration/; what is printed on the object is taken from it."""
    joint_state_rate: float = 125.0
    """Joint measurements a second [Hz]."""
    command_delay: float = 0.008
    """From the arrival of a command to its effect [s]."""
    encoder_noise: float = 0.002
    """Standard deviation of a joint position [rad]."""
    velocity_noise: float = 0.02
    """Standard deviation of a joint velocity [rad/s]."""

    def __post_init__(self) -> None:
        if HAND_CAMERA not in self.views:
            raise ValueError(f"views: {HAND_CAMERA} is needed, found {', '.join(self.views) or 'none'}")
        require_not_negative(self, "command_delay", "encoder_noise", "velocity_noise")
        require_positive(self, "joint_state_rate")


@dataclass(frozen=True)
class FingertipTruth:
    """What is true, in the world frame. For scorers only."""

    time: float
    """On the robot's clock [s]."""
    achieved: np.ndarray
    """Where the fingertips are (5, 3) [m]."""
    goal: np.ndarray
    """Where they shall be (5, 3) [m]."""


@dataclass(frozen=True)
class ObjectTruth:
    """What is true of an object in the hand, in the world frame. For scorers only."""

    time: float
    """On the robot's clock [s]."""
    achieved: np.ndarray
    """Its pose, position [m] and quaternion w, x, y, z, (7,)."""
    goal: np.ndarray
    """What its pose shall be (7,)."""
    fingertips: np.ndarray
    """Where the fingertips are (5, 3) [m]."""


HandTruth = FingertipTruth | ObjectTruth


HANDS = Fleet("config/simulated_hands", "simulated hand", SimulatedHandConfig)
"""All simulated hands."""


class SimulatedHand(SimulatedMachine):
    """One simulated hand. What it is to do, and the start of an episode, are a subclass's."""

    def __init__(
        self,
        config: SimulatedHandConfig,
        contract: HandContract,
        views: Mapping[str, ViewConfig],
        block: ObjectPrints | None,
    ) -> None:
        """
        Args:
            config: of the hand.
            contract: of the task.
            views: of the cameras, by name.
            block: what is printed on the block in the hand; None for a hand without one.
        """
        self.config, self.contract = config, contract
        self.profile = load_hand_profile(config.profile)
        size = config.camera.rendered_size
        model = compile_hand_scene(config.scene, self.profile, views, block, *size)
        cameras = {name: replace(config.camera, mount_error=view.mount_error) for name, view in views.items()}
        super().__init__(model, cameras)
        prefix = self.profile.model.prefix
        self._tips = np.array([self.model.site(self.profile.model.tip_prefix + tip).id for tip in FINGERTIPS])
        self._qpos = np.array([self.model.joint(prefix + name).qposadr[0] for name in JOINTS])
        self._dofs = np.array([self.model.joint(prefix + name).dofadr[0] for name in JOINTS])
        servos = [config.scene.servo(name) for name in ACTUATORS]
        self._rate_gain = np.array([servo.damping / servo.stiffness for servo in servos])
        self._joints = HandJoints(self.profile)
        self._controllers = {
            controller.topic: TrajectoryController(controller.joints, config.command_delay)
            for controller in self.profile.controllers
        }
        self.trajectory_topics = {controller.topic: controller.joints for controller in self.profile.controllers}
        """Which joints each controller takes."""
        self._base_rotation = to_matrix(np.array(self.profile.base_rotation_wxyz))

    def reset(self, seed: int) -> None:
        """Put the hand where an episode starts, with a goal that the task can ask for. The clock goes on."""
        self._noise = np.random.default_rng([seed, 1])
        for index, camera in enumerate(self._cameras.values()):
            camera.reseed(seed, 2, index)
        self._begin(np.random.default_rng([seed, 0]))
        mujoco.mj_forward(self.model, self.data)

    @abstractmethod
    def ground_truth(self) -> HandTruth:
        """What is, and what shall be."""

    @abstractmethod
    def move_goal(self, beyond: float) -> None:
        """Move the goal up, by more than fingers are long and `beyond` [m]; 0 puts it back."""

    def command(
        self,
        topic: str,
        joint_names: Sequence[str],
        times: np.ndarray,
        positions: np.ndarray,
        velocities: np.ndarray,
    ) -> np.ndarray:
        """Follow a trajectory on one controller's topic from now on; see `TrajectoryController.command`."""
        return self._controllers[topic].command(self.time, joint_names, times, positions, velocities)

    def joint_state(self) -> JointMeasurement:
        """Measured positions and velocities of all joints."""
        count = len(JOINTS)
        positions = self.data.qpos[self._qpos] + self._noise.normal(0.0, self.config.encoder_noise, count)
        velocities = self.data.qvel[self._dofs] + self._noise.normal(0.0, self.config.velocity_noise, count)
        return JointMeasurement(self.time, self.profile.joint_names, *self._joints.reported(positions, velocities))

    def camera_pose_base(self, camera: str) -> tuple[np.ndarray, np.ndarray]:
        """Rotation (3, 3), optical frame to the hand's base frame, and position (3,) [m] of a camera in that."""
        found = self.data.camera(camera_in_model(camera))
        rotation = self._base_rotation.T @ found.xmat.reshape(3, 3) @ OPTICAL_FROM_GL
        return rotation, self._to_base(found.xpos)

    @abstractmethod
    def _begin(self, rng: np.random.Generator) -> None:
        """Set the state and the goal of an episode's start."""

    def _fingertips(self) -> np.ndarray:
        """World frame (5, 3) [m]."""
        return self.data.site_xpos[self._tips].copy()

    def _to_base(self, positions: np.ndarray) -> np.ndarray:
        """World positions (..., 3) [m] in the hand's base frame."""
        return (positions - self.profile.base_position) @ self._base_rotation

    def _place_joints(self, positions: np.ndarray) -> None:
        """Put the joints (24,) [rad] there, and let the controllers hold them there."""
        mujoco.mj_resetData(self.model, self.data)
        self.data.qpos[self._qpos] = positions
        self._hold_where_it_is()
        self._set_servo_references()

    def _hold_where_it_is(self) -> None:
        targets = self._joints.actuated(self.data.qpos[self._qpos])
        sent, _ = self._joints.to_hand(targets, np.zeros_like(targets))
        told = dict(zip(self.profile.command_names, sent, strict=True))
        for controller in self.profile.controllers:
            self._controllers[controller.topic].start(np.array([told[name] for name in controller.joints]))

    def _follow_commands(self) -> None:
        for controller in self._controllers.values():
            controller.advance(self.time)
        self._set_servo_references()

    def _set_servo_references(self) -> None:
        references = [controller.reference(self.time) for controller in self._controllers.values()]
        position, velocity = (np.concatenate(parts) for parts in zip(*references, strict=True))
        position, velocity = self._joints.driven(position, velocity)
        # The servo damps the rate of the error, not of the joint: its reference leads by what that takes.
        self.data.ctrl[:] = position + self._rate_gain * velocity


class ReachingHand(SimulatedHand):
    """One simulated hand, and goals for its fingertips."""

    def __init__(self, config: SimulatedHandConfig, task: str, seed: int = 0) -> None:
        """
        Raises:
            ConfigurationError: a task that is not about fingertips.
        """
        reach = hand_task(task)
        if not isinstance(reach, HandReachTask):
            raise ConfigurationError(f"{task} has an object: not for a hand that is empty")
        self._task = reach
        super().__init__(config, reach.contract, {HAND_CAMERA: config.views[HAND_CAMERA]}, None)
        self.reset(seed)

    def fingertip_goals(self) -> np.ndarray:
        """The goal as a planner would send it: (5, 3) [m] in the hand's base frame."""
        return self._to_base(self._goal)

    def ground_truth(self) -> FingertipTruth:
        """Where the fingertips are and shall be."""
        return FingertipTruth(self.time, self._fingertips(), self._goal.copy())

    def move_goal(self, beyond: float) -> None:
        self._goal = self._sampled_goal + [0.0, 0.0, 0.3 + beyond if beyond else 0.0]

    def _begin(self, rng: np.random.Generator) -> None:
        self._place_joints(self._task.initial_qpos[: len(JOINTS)])
        self._goal = self._sampled_goal = self._task.sample_goal(rng).reshape(-1, 3)
