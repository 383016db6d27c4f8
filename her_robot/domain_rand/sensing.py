"""What a real robot's sensors do to a state before a policy sees it.

The object is seen by a camera: sampled at its rate, late, with noise and bias, and now and then not at all. What is
seen goes through the `PoseTracker` that runs on the robot, so its holding and its estimated velocities are trained on.
Rows are environments; a nominal row is seen as it is.
"""

from dataclasses import dataclass, replace

import numpy as np

from her_robot.contract import ObjectState, RobotState
from her_robot.domain_rand.distribution import Range
from her_robot.robot.estimation import PoseTracker

_HISTORY = 8
"""Control periods of true poses that are kept: the longest latency that can be simulated, less one."""

_DEVIATIONS = (
    "position_bias",
    "grip_noise",
    "grip_bias",
    "grip_velocity_noise",
    "finger_noise",
    "finger_velocity_noise",
    "joint_noise",
    "joint_velocity_noise",
)


@dataclass(frozen=True)
class SensingConfig:
    """Ranges are drawn from once an episode; noise is drawn for every sample."""

    camera_rate: float = 15.0
    """Images a second [Hz]."""
    camera_latency: Range = Range(0.0, 0.0)
    """From the exposure to the pose's arrival at the policy [s]."""
    position_noise: Range = Range(0.0, 0.0)
    """Standard deviation of an object position, each axis [m]."""
    position_bias: float = 0.0
    """Standard deviation of a constant error of object positions, each axis [m]."""
    yaw_noise: Range = Range(0.0, 0.0)
    """Standard deviation of the object's yaw [rad]."""
    dropout: Range = Range(0.0, 0.0)
    """Probability that an image shows no object."""
    occlusion_rate: Range = Range(0.0, 0.0)
    """Occlusions that begin in a second [1/s]."""
    occlusion_duration: Range = Range(0.0, 0.0)
    """How long an occlusion lasts [s]."""
    camera_position: tuple[float, float, float] | None = None
    """Where the camera is, world frame [m]; given, the gripper hides the object when it stands between the two."""
    gripper_radius: Range = Range(0.05, 0.05)
    """Radius of the upright column that hides the object: the gripper and the wrist above it [m]."""
    gripper_clearance: float = 0.08
    """How far above the grip position the column begins [m]; the fingers below it are thin."""
    camera_range: Range = Range(100.0, 100.0)
    """Farther than this from the camera, the object is too small to be seen [m]."""
    grip_noise: float = 0.0
    """Standard deviation of the grip position, each axis [m]."""
    grip_bias: float = 0.0
    """Standard deviation of a constant error of the grip position, each axis [m]."""
    grip_velocity_noise: float = 0.0
    """Standard deviation of the grip velocity, each axis [m/s]."""
    finger_noise: float = 0.0
    """Standard deviation of a finger's position [m]."""
    finger_velocity_noise: float = 0.0
    """Standard deviation of a finger's velocity [m/s]."""
    blind_finger: bool = False
    """Report the fingers as closed and still, as on a robot whose gripper is blocked."""
    joint_noise: float = 0.0
    """Standard deviation of a joint's position, of the hand [rad]."""
    joint_velocity_noise: float = 0.0
    """Standard deviation of a joint's velocity, of the hand [rad/s]."""
    rotation_noise: Range = Range(0.0, 0.0)
    """Standard deviation of the orientation of an object in the hand, about each axis [rad]."""

    def __post_init__(self) -> None:
        if self.camera_rate <= 0:
            raise ValueError(f"camera_rate must be above 0, found {self.camera_rate}")
        for name in _DEVIATIONS:
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, found {getattr(self, name)}")
        for name in (
            "camera_latency",
            "position_noise",
            "yaw_noise",
            "rotation_noise",
            "dropout",
            "occlusion_rate",
            "gripper_radius",
            "camera_range",
        ):
            if getattr(self, name).low < 0:
                raise ValueError(f"{name} must not be negative, found {getattr(self, name).low}")
        if self.dropout.high > 1:
            raise ValueError(f"dropout is a probability, found {self.dropout.high}")


class Sensing:
    """The sensors of a batch of environments."""

    def __init__(self, config: SensingConfig, num_envs: int, control_period: float, rng: np.random.Generator) -> None:
        longest = (_HISTORY - 1) * control_period - 1.0 / config.camera_rate
        if config.camera_latency.high > longest:
            raise ValueError(f"camera_latency must not exceed {longest:.3f} s, found {config.camera_latency.high}")
        self._config = config
        self._rng = rng
        self._period = control_period
        self._tracker = PoseTracker(num_envs)
        self._nominal = np.ones(num_envs, bool)
        self._steps = np.zeros(num_envs)
        self._frame = np.zeros(num_envs, int)
        self._phase = np.zeros(num_envs)
        self._latency = np.zeros(num_envs)
        self._position_noise = np.zeros((num_envs, 1))
        self._position_bias = np.zeros((num_envs, 3))
        self._yaw_noise = np.zeros(num_envs)
        self._dropout = np.zeros(num_envs)
        self._occlusion_rate = np.zeros(num_envs)
        self._occluded_until = np.full(num_envs, -np.inf)
        self._gripper_radius = np.zeros(num_envs)
        self._camera_range = np.zeros(num_envs)
        self._grip_bias = np.zeros((num_envs, 3))
        self._positions = np.zeros((_HISTORY, num_envs, 3))
        self._rotations = np.zeros((_HISTORY, num_envs, 3, 3))

    def reset(self, row: int, nominal: bool, state: RobotState) -> None:
        """Begin an episode of one row of `state`; its object has been in view for a while."""
        config, rng = self._config, self._rng
        self._nominal[row] = nominal
        self._steps[row] = 0
        self._phase[row] = rng.uniform(0.0, 1.0 / config.camera_rate)
        self._latency[row] = config.camera_latency.sample(rng)
        self._position_noise[row] = config.position_noise.sample(rng)
        self._position_bias[row] = rng.normal(0.0, config.position_bias, 3) if config.position_bias else 0.0
        self._yaw_noise[row] = config.yaw_noise.sample(rng)
        self._dropout[row] = config.dropout.sample(rng)
        self._occlusion_rate[row] = config.occlusion_rate.sample(rng)
        self._occluded_until[row] = -np.inf
        self._gripper_radius[row] = config.gripper_radius.sample(rng)
        self._camera_range[row] = config.camera_range.sample(rng)
        self._grip_bias[row] = rng.normal(0.0, config.grip_bias, 3) if config.grip_bias else 0.0
        self._frame[row] = self._newest_frame(row)
        if state.object is not None:
            self._positions[:, row] = state.object.position[row]
            self._rotations[:, row] = state.object.rotation[row]
            self._tracker.reset(np.array([row]))
            seen = np.zeros(self._nominal.size, bool)
            seen[row] = True
            self._look(seen)

    def advance(self, state: RobotState) -> None:
        """Let a control period pass, at whose end the true state is `state`."""
        self._steps += 1
        if state.object is not None:
            self._watch(state.object, state)

    def present(self, state: RobotState) -> RobotState:
        """What the policy sees where the true state is `state`."""
        noise = self._rng.standard_normal((2, *state.grip_position.shape))
        seen = replace(
            state,
            grip_position=state.grip_position + self._grip_bias + self._config.grip_noise * noise[0],
            grip_velocity=state.grip_velocity + self._config.grip_velocity_noise * noise[1],
            object=None if state.object is None else self._tracker.state(self._steps * self._period),
        )
        if self._config.finger_noise or self._config.finger_velocity_noise:
            fingers = self._rng.standard_normal((2, *state.finger_position.shape))
            seen = replace(
                seen,
                finger_position=state.finger_position + self._config.finger_noise * fingers[0],
                finger_velocity=state.finger_velocity + self._config.finger_velocity_noise * fingers[1],
            )
        if self._config.blind_finger:
            zeros = np.zeros_like(state.finger_position)
            seen = replace(seen, finger_position=zeros, finger_velocity=zeros)
        return _select(self._nominal, state, seen)

    def _watch(self, obj: ObjectState, state: RobotState) -> None:
        for history, newest in ((self._positions, obj.position), (self._rotations, obj.rotation)):
            history[1:] = history[:-1]
            history[0] = newest
        now = self._steps * self._period
        begins = self._rng.random(now.size) < self._occlusion_rate * self._period
        duration = self._config.occlusion_duration.sample(self._rng, now.size)
        self._occluded_until = np.where(begins, now + duration, self._occluded_until)

        hidden = (now <= self._occluded_until) | self._out_of_sight(obj.position, state.grip_position)
        newest = self._newest_frame(slice(None))
        seen = (newest > self._frame) & ~hidden & (self._rng.random(now.size) >= self._dropout)
        self._frame = np.maximum(self._frame, newest)
        self._look(seen)
        self._tracker.carry(now, state.grip_position, state.finger_position.sum(axis=1))

    def _out_of_sight(self, position: np.ndarray, grip_position: np.ndarray) -> np.ndarray:
        """Whether each object is too far away, or the column above the gripper crosses the line of sight to it,
        boolean (n,)."""
        if self._config.camera_position is None:
            return np.zeros(len(position), bool)
        sight = np.asarray(self._config.camera_position) - position
        toward_grip = (grip_position - position)[:, :2]
        along = np.clip(
            np.einsum("ni,ni->n", toward_grip, sight[:, :2]) / np.square(sight[:, :2]).sum(axis=1), 0.0, 1.0
        )
        nearest = along[:, None] * sight
        distance = np.linalg.norm(nearest[:, :2] - toward_grip, axis=1)
        column = grip_position[:, 2] + self._config.gripper_clearance
        behind = (distance < self._gripper_radius) & (position[:, 2] + nearest[:, 2] > column)
        return behind | (np.linalg.norm(sight, axis=1) > self._camera_range)

    def _look(self, seen: np.ndarray) -> None:
        """Show the tracker the object as it was when the newest image was taken."""
        captured = self._phase + self._frame / self._config.camera_rate
        noise = self._rng.standard_normal((seen.size, 3))
        yaw = self._yaw_noise * self._rng.standard_normal(seen.size)
        # Noise is drawn for all, so that what one row sees does not depend on what the others see; the rest is not.
        rows = np.flatnonzero(seen)
        steps_ago = np.clip(self._steps[rows] - captured[rows] / self._period, 0, _HISTORY - 1.001)
        index, part = steps_ago.astype(int), (steps_ago % 1.0)[:, None]
        exact = (1 - part) * self._positions[index, rows] + part * self._positions[index + 1, rows]
        position, rotation = np.zeros((seen.size, 3)), np.zeros((seen.size, 3, 3))
        position[rows] = exact + self._position_bias[rows] + self._position_noise[rows] * noise[rows]
        rotation[rows] = _about_z(yaw[rows]) @ self._rotations[np.rint(steps_ago).astype(int), rows]
        self._tracker.update(seen, captured, position, rotation)

    def _newest_frame(self, row) -> np.ndarray:
        """Index of the newest image that has arrived; negative for one taken before the episode."""
        arrived = self._steps[row] * self._period - self._latency[row] - self._phase[row]
        return np.floor(arrived * self._config.camera_rate + 1e-9).astype(int)


def _about_z(angle: np.ndarray) -> np.ndarray:
    """Rotation matrices about z for angles (n,) [rad], shape (n, 3, 3)."""
    cos, sin, zero, one = np.cos(angle), np.sin(angle), np.zeros_like(angle), np.ones_like(angle)
    return np.stack([cos, -sin, zero, sin, cos, zero, zero, zero, one], axis=-1).reshape(-1, 3, 3)


def _select(rows: np.ndarray, chosen: RobotState, other: RobotState) -> RobotState:
    """`chosen` in the rows of a boolean mask, `other` elsewhere."""

    def pick(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.where(rows.reshape(-1, *(1,) * (a.ndim - 1)), a, b)

    obj = None
    if chosen.object is not None and other.object is not None:
        obj = ObjectState(
            **{name: pick(getattr(chosen.object, name), getattr(other.object, name)) for name in vars(chosen.object)}
        )
    names = [name for name in vars(chosen) if name != "object"]
    return RobotState(**{name: pick(getattr(chosen, name), getattr(other, name)) for name in names}, object=obj)
