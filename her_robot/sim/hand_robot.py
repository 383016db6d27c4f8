"""The simulated Shadow Hand as a robot: joint servos, encoders, a camera that looks on, and goals from a planner.

Commands and measurements carry the hand's joint names and its own clock, which starts at 0 and is never set back.
What a scorer may know and a policy may not is in `ground_truth`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import mujoco
import numpy as np

from her_robot import configuration, resources
from her_robot.contract import HandContract, contract_of
from her_robot.contract.hand import FINGERTIPS, JOINTS
from her_robot.errors import ConfigurationError
from her_robot.robot.hand_joints import ACTUATORS, HandJoints
from her_robot.robot.hand_profile import load_hand_profile
from her_robot.rotations import to_matrix
from her_robot.sim.camera import CameraConfig
from her_robot.sim.hand_scene import CAMERA, HandSceneConfig, compile_hand_scene
from her_robot.sim.hand_tasks import HandReachTask, hand_task
from her_robot.sim.machine import JointMeasurement, SimulatedMachine
from her_robot.sim.trajectory import TrajectoryController


@dataclass(frozen=True)
class SimulatedHandConfig:
    """A hand that no training run has seen. Shipped ones are in `config/simulated_hands/`."""

    profile: str = "shadow_hand"
    """Robot profile in config/robots/."""
    scene: HandSceneConfig = field(default_factory=HandSceneConfig)
    """Servos."""
    camera: CameraConfig = field(default_factory=CameraConfig)
    """The camera that looks on."""
    joint_state_rate: float = 125.0
    """Joint measurements a second [Hz]."""
    command_delay: float = 0.008
    """From the arrival of a command to its effect [s]."""
    encoder_noise: float = 0.002
    """Standard deviation of a joint position [rad]."""
    velocity_noise: float = 0.02
    """Standard deviation of a joint velocity [rad/s]."""

    def __post_init__(self) -> None:
        for name in ("command_delay", "encoder_noise", "velocity_noise"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must not be negative, found {getattr(self, name)}")
        if not self.joint_state_rate > 0:
            raise ValueError(f"joint_state_rate must be above 0, found {self.joint_state_rate}")


@dataclass(frozen=True)
class FingertipTruth:
    """What is true, in the world frame. For scorers only."""

    time: float
    """On the robot's clock [s]."""
    achieved: np.ndarray
    """Where the fingertips are (5, 3) [m]."""
    goal: np.ndarray
    """Where they shall be (5, 3) [m]."""


def load_simulated_hand(name: str) -> SimulatedHandConfig:
    """A shipped simulated hand by name, or one from a YAML file by its path.

    Raises:
        UnknownNameError: no such hand.
        ConfigurationError: the file holds something else.
    """
    path = resources.named_file("config/simulated_hands", name, "simulated hand")
    return configuration.load(SimulatedHandConfig, path)


class SimulatedHand(SimulatedMachine):
    """One simulated hand, and goals for its fingertips."""

    camera_topic = "hand_camera/rgb"
    camera_frame = "hand_camera_rgb_optical_frame"

    def __init__(self, config: SimulatedHandConfig, task: str, seed: int = 0) -> None:
        """
        Raises:
            ConfigurationError: a task that the simulated hand cannot do.
        """
        contract = contract_of(task)
        if not isinstance(contract, HandContract) or contract.has_object:
            raise ConfigurationError(f"{task}: the simulated hand does hand_reach; it has no object yet")
        self.config, self.contract = config, contract
        self.profile = load_hand_profile(config.profile)
        self._task = _reach_task(task)
        model = compile_hand_scene(config.scene, self.profile, *config.camera.rendered_size)
        super().__init__(model, CAMERA, config.camera)
        prefix = self.profile.model.prefix
        self._qpos = np.array([self.model.joint(prefix + name).qposadr[0] for name in JOINTS])
        self._dofs = np.array([self.model.joint(prefix + name).dofadr[0] for name in JOINTS])
        self._tips = np.array([self.model.site(self.profile.model.tip_prefix + tip).id for tip in FINGERTIPS])
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
        self.reset(seed)

    def reset(self, seed: int) -> None:
        """Put the hand where an episode starts, with a goal that the task can ask for. The clock goes on."""
        self._noise = np.random.default_rng([seed, 1])
        self._camera.reseed(seed, 2)
        mujoco.mj_resetData(self.model, self.data)
        self.data.qpos[self._qpos] = self._task.initial_qpos[: len(JOINTS)]
        self._hold_where_it_is()
        self._goal = self._sampled_goal = self._task.sample_goal(np.random.default_rng([seed, 0])).reshape(-1, 3)
        self._set_servo_references()
        mujoco.mj_forward(self.model, self.data)

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

    def fingertip_goals(self) -> np.ndarray:
        """The goal as a planner would send it: (5, 3) [m] in the hand's base frame."""
        return (self._goal - self.profile.base_position) @ self._base_rotation

    def ground_truth(self) -> FingertipTruth:
        """Where the fingertips are and shall be."""
        return FingertipTruth(self.time, self.data.site_xpos[self._tips].copy(), self._goal.copy())

    def hide_markers(self, hidden: bool) -> None:
        """A hand without an object has no markers; nothing to hide."""

    def move_goal(self, beyond: float) -> None:
        """Move the goal up, by more than fingers are long and `beyond` [m]; 0 puts it back."""
        self._goal = self._sampled_goal + [0.0, 0.0, 0.3 + beyond if beyond else 0.0]

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


def _reach_task(task: str) -> HandReachTask:
    reach = hand_task(task)
    assert isinstance(reach, HandReachTask), "the only task of the hand without an object"
    return reach
