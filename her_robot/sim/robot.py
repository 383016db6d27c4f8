"""The simulated Fetch as a robot: joint servos, encoders, a camera, and nothing else to reach it by.

Commands and measurements carry the robot's joint names and its own clock, which starts at 0 and is never set back.
What a scorer may know and a policy may not is in `ground_truth`.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import mujoco
import numpy as np

from her_robot.configuration import require_not_negative, require_positive
from her_robot.contract import contract_of
from her_robot.domain_rand.rendering import Appearance, RenderingConfig, Table
from her_robot.robot.calibration import load_markers
from her_robot.robot.profile import load_profile
from her_robot.sim.camera import OPTICAL_FROM_GL, CameraConfig
from her_robot.sim.differences import Fleet
from her_robot.sim.machine import JointMeasurement, SimulatedMachine
from her_robot.sim.scene import CAMERA, GOAL_TILE, HEAD_CAMERA, OBJECT, TABLE, SceneConfig, compile_scene, table_top
from her_robot.sim.tasks import fetch_task
from her_robot.sim.trajectory import ROUNDING, TrajectoryController

_STILL_JOINTS = ("l_wheel_joint", "r_wheel_joint", "bellows_joint")
"""Joints that a Fetch reports beside those of its model here."""
_FLOATING_GOAL_CLEARANCE = 0.02
"""Goals without an object are at least this far above the table [m]: a tile inside of it could not be seen."""
_ON_THE_TABLE = 1e-6
"""A goal less than this above where the object rests lies on the table [m]."""
_VIEW_MARGIN = 0.01
"""A floating tile stays this far from the line of sight to what it might hide [m]."""


@dataclass(frozen=True)
class SimulatedRobotConfig:
    """A robot that no training run has seen. Shipped ones are in `config/simulated_robots/`."""

    profile: str = "fetch"
    """Robot profile in config/robots/."""
    calibration: str = "fetch_sim"
    """Calibration in calibration/, whose markers are printed on object and goal."""
    scene: SceneConfig = field(default_factory=SceneConfig)
    """Masses, friction, servos."""
    camera: CameraConfig = field(default_factory=CameraConfig)
    """The head camera."""
    rendering: RenderingConfig = field(default_factory=RenderingConfig)
    """How the scene looks, drawn with every reset; the calibration does not follow. Default: always the same."""
    joint_state_rate: float = 100.0
    """Joint measurements a second [Hz]."""
    command_delay: float = 0.012
    """From the arrival of a command to its effect [s]."""
    encoder_noise: float = 0.0003
    """Standard deviation of a joint position [rad]."""
    velocity_noise: float = 0.003
    """Standard deviation of a joint velocity [rad/s]."""
    object_yaw: float = 0.2
    """Objects start turned by up to this, either way [rad]."""

    def __post_init__(self) -> None:
        require_not_negative(self, "command_delay", "encoder_noise", "velocity_noise", "object_yaw")
        require_positive(self, "joint_state_rate")


@dataclass(frozen=True)
class GroundTruth:
    """What is true, in the world frame. For scorers only."""

    time: float
    """On the robot's clock [s]."""
    object_position: np.ndarray | None
    """(3,) [m]; None in tasks without an object."""
    object_quaternion: np.ndarray | None
    """w, x, y, z."""
    goal: np.ndarray
    """Desired goal (3,) [m]."""
    grip_position: np.ndarray
    """(3,) [m]."""
    grip_quaternion: np.ndarray
    """w, x, y, z."""

    @property
    def achieved_goal(self) -> np.ndarray:
        """(3,) [m]."""
        return self.grip_position if self.object_position is None else self.object_position


ARMS = Fleet("config/simulated_robots", "simulated robot", SimulatedRobotConfig)
"""All simulated arms."""


class SimulatedRobot(SimulatedMachine):
    """One simulated robot in front of a table with an object and a goal."""

    def __init__(self, config: SimulatedRobotConfig, task: str, seed: int = 0) -> None:
        self.config = config
        self.contract = contract_of(task)
        self.profile = load_profile(config.profile).for_task(task)
        self._task = fetch_task(task)
        self._markers = load_markers(config.calibration, task)
        self.trajectory_topics = {self.profile.topics.joint_trajectory: self.profile.joint_names}
        """Which joints each controller takes."""
        model = compile_scene(
            config.scene,
            self.contract,
            self.profile,
            self._markers,
            *config.camera.rendered_size,
            paintable=config.rendering.textures > 0,
        )
        super().__init__(model, {HEAD_CAMERA: config.camera})
        self._camera = self._cameras[HEAD_CAMERA]
        prefix = self.profile.model.prefix
        names = (*self.profile.joint_names, *self.profile.gripper.joints)
        joints = [self.model.joint(prefix + name) for name in names]
        self._names = names
        self._qpos = np.array([joint.qposadr[0] for joint in joints])
        self._qvel = np.array([joint.dofadr[0] for joint in joints])
        servos = [config.scene.servo(name) for name in self.profile.joint_names]
        self._rate_gain = np.array([servo.damping / servo.stiffness for servo in servos])
        self._sign = self.profile.signs()
        self._offset = np.array([joint.offset for joint in self.profile.joints])
        self._arm = TrajectoryController(self.profile.joint_names, config.command_delay)
        same = config.rendering == RenderingConfig()
        self._appearance = None if same else Appearance(config.rendering, self.model, CAMERA)
        self.reset(seed)

    def reset(self, seed: int) -> None:
        """Put the arm into its look pose, and object and goal anywhere that the task can ask for. The clock goes on."""
        self._noise = np.random.default_rng([seed, 1])
        self._camera.reseed(seed, 2)
        looks = np.random.default_rng([seed, 3])
        if self._appearance is not None:
            self._camera.redress(partial(self._appearance.draw, looks))
        mujoco.mj_resetData(self.model, self.data)
        mujoco.mj_forward(self.model, self.data)
        arm = np.array(self.profile.look[self.contract.task])
        self.data.qpos[self._qpos[: arm.size]] = arm
        self._arm.start(self.profile.to_robot(arm))
        self._finger_target = self.profile.gripper.closed_gap / 2
        self._pending_gaps: deque[tuple[float, float]] = deque()
        self._place_object_and_goal(np.random.default_rng([seed, 0]))
        self._sampled_goal = self._goal.copy()
        self._sampled_tile = self.data.mocap_pos[self.model.body(GOAL_TILE).mocapid[0]].copy()
        if self._appearance is not None:
            self._camera.scatter(self._appearance.scatter(looks, self._table()))
        self._set_servo_references()
        mujoco.mj_forward(self.model, self.data)

    def command_arm(
        self, joint_names: Sequence[str], times: np.ndarray, positions: np.ndarray, velocities: np.ndarray
    ) -> np.ndarray:
        """Follow a trajectory from now on.

        Args:
            joint_names: all arm joints, in any order.
            times: when to be at each point, on the robot's clock, (k,) [s].
            positions: (k, n) [rad].
            velocities: (k, n) [rad/s].

        Returns:
            The last point, where the arm will hold, in the profile's order of joints (n,) [rad].

        Raises:
            ValueError: joints missing or unknown, shapes that do not fit, values not finite, or times that do not
                increase, are over, or cannot be of this clock. The arm goes on as if nothing had come.
        """
        return self._arm.command(self.time, joint_names, times, positions, velocities)

    def command(
        self, topic: str, joint_names: Sequence[str], times: np.ndarray, positions: np.ndarray, velocities: np.ndarray
    ) -> np.ndarray:
        """Follow a trajectory on a controller's topic, of which an arm has one; see `command_arm`."""
        return self.command_arm(joint_names, times, positions, velocities)

    def command_gripper(self, gap: float) -> None:
        """Open the fingers to a total gap [m].

        Raises:
            ValueError: not within 0 ... 0.10 m.
        """
        if not 0.0 <= gap <= 0.10:
            raise ValueError(f"gripper gap must lie in 0 ... 0.10 m, found {gap}")
        self._pending_gaps.append((self.time + self.config.command_delay, gap))

    def joint_state(self) -> JointMeasurement:
        """Measured positions and velocities of all joints, some of which do not move."""
        arm = len(self.profile.joints)
        positions = self.data.qpos[self._qpos] + self._noise.normal(0.0, self.config.encoder_noise, self._qpos.size)
        velocities = self.data.qvel[self._qvel] + self._noise.normal(0.0, self.config.velocity_noise, self._qvel.size)
        positions[arm:], velocities[arm:] = self.data.qpos[self._qpos[arm:]], self.data.qvel[self._qvel[arm:]]
        positions[:arm] = self.profile.to_robot(positions[:arm])
        velocities[:arm] *= self.profile.signs()
        prefix = self.profile.model.prefix
        still = {name: 0.0 for name in _STILL_JOINTS}
        still |= {
            name.removeprefix(prefix): position
            for name, position in self.profile.model.locked_joints.items()
            if "slide" not in name
        }
        return JointMeasurement(
            time=self.time,
            names=(*still, *self._names),
            positions=np.concatenate([list(still.values()), positions]),
            velocities=np.concatenate([np.zeros(len(still)), velocities]),
        )

    def arm_reference(self) -> np.ndarray:
        """Where the servos of the arm are told to be (n,) [rad], in the robot's convention."""
        return self._arm.reference(self.time)[0]

    def move_goal(self, beyond: float) -> None:
        """Move goal and tile sideways, to `beyond` [m] outside of what the task asks for; 0 puts them back."""
        sideways = self.contract.goal_high[1] + beyond - self._sampled_goal[1] if beyond else 0.0
        shift = np.array([0.0, sideways, 0.0])
        self._goal = self._sampled_goal + shift
        self.data.mocap_pos[self.model.body(GOAL_TILE).mocapid[0]] = self._sampled_tile + shift

    def camera_pose_base(self) -> tuple[np.ndarray, np.ndarray]:
        """Rotation (3, 3), optical frame to base_link, and position (3,) [m] of the camera in base_link."""
        base = self.data.body(self.profile.model.base_body)
        rotation, camera = base.xmat.reshape(3, 3), self.data.camera(CAMERA)
        return rotation.T @ camera.xmat.reshape(3, 3) @ OPTICAL_FROM_GL, rotation.T @ (camera.xpos - base.xpos)

    def ground_truth(self) -> GroundTruth:
        """Poses of object, goal and gripper."""
        has_object, grip = self.contract.has_object, self.data.site(self.profile.model.tool_site)
        grip_quaternion = np.zeros(4)
        mujoco.mju_mat2Quat(grip_quaternion, grip.xmat)
        return GroundTruth(
            time=self.time,
            object_position=self.data.body(OBJECT).xpos.copy() if has_object else None,
            object_quaternion=self.data.body(OBJECT).xquat.copy() if has_object else None,
            goal=self._goal.copy(),
            grip_position=grip.xpos.copy(),
            grip_quaternion=grip_quaternion,
        )

    def _place_object_and_goal(self, rng: np.random.Generator) -> None:
        lift = self.config.scene.table_height_offset
        if not self.contract.has_object:
            self._goal = self._sample_visible_goal(rng)
            self.data.mocap_pos[self.model.body(GOAL_TILE).mocapid[0]] = self._goal
            return
        position = np.array([*self._task.sample_object_position(rng), self._task.object_height + lift])
        self._goal, tile = self._sample_goal_and_tile(rng, position)
        yaw = rng.uniform(-self.config.object_yaw, self.config.object_yaw)
        self.data.joint(f"{OBJECT}:joint").qpos[:] = [
            *position,
            np.cos(yaw / 2),
            0.0,
            0.0,
            np.sin(yaw / 2),
        ]
        self.data.mocap_pos[self.model.body(GOAL_TILE).mocapid[0]] = tile

    def _table(self) -> Table:
        """The table; what lies about on it leaves object and goal in sight."""
        body = self.model.body(TABLE)
        half = self.model.geom_size[body.geomadr[0], :2]
        clear = [(self._goal[:2], self._markers.goal.tile_size / np.sqrt(2))]
        if self.contract.has_object:
            clear.append((self.data.joint(f"{OBJECT}:joint").qpos[:2].copy(), self._markers.object.size))
        return Table(body.pos[:2] - half, body.pos[:2] + half, table_top(self.model), tuple(clear))

    def _sample_goal_and_tile(self, rng: np.random.Generator, obj: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """A goal for an object at `obj` (3,) [m], and where the tile that marks it is: under an object that rests on
        the table, or else at the goal itself. Goals whose tile would hide the object are drawn again."""
        lift = self.config.scene.table_height_offset
        while True:
            goal = self._task.sample_goal(rng) + np.array([0.0, 0.0, lift])
            if goal[2] < obj[2] + _ON_THE_TABLE:
                return goal, np.array([*goal[:2], table_top(self.model)])
            if not self._hides(goal, obj):
                return goal, goal

    def _hides(self, tile: np.ndarray, obj: np.ndarray) -> bool:
        """Whether a level tile around `tile` (3,) [m] stands between the camera and an object at `obj` (3,) [m]."""
        camera = self.data.camera(CAMERA).xpos
        seen_through = camera + (obj - camera) * (tile[2] - camera[2]) / (obj[2] - camera[2])
        part = (tile[2] - camera[2]) / (obj[2] - camera[2])
        reach = self._markers.goal.tile_size / 2 + part * self._markers.object.size / np.sqrt(2) + _VIEW_MARGIN
        return bool(np.all(np.abs(seen_through - tile)[:2] < reach))

    def _sample_visible_goal(self, rng: np.random.Generator) -> np.ndarray:
        lowest = table_top(self.model) + _FLOATING_GOAL_CLEARANCE
        while True:
            goal = self._task.sample_goal(rng)
            if goal[2] >= lowest:
                return goal

    def _follow_commands(self) -> None:
        self._arm.advance(self.time)
        while self._pending_gaps and self._pending_gaps[0][0] <= self.time + ROUNDING:
            self._finger_target = self._pending_gaps.popleft()[1] / 2
        self._set_servo_references()

    def _set_servo_references(self) -> None:
        position, velocity = self._arm.reference(self.time)
        position, velocity = self._sign * (position - self._offset), self._sign * velocity
        # The servo damps the rate of the error, not of the joint: its reference leads by what that takes.
        self.data.ctrl[: position.size] = position + self._rate_gain * velocity
        self.data.ctrl[position.size :] = self._finger_target
