"""What a real robot's sensors do to a state before a policy sees it.

The object is seen by a camera: sampled at its rate, late, with noise and bias, and now and then not at all. What is
seen goes through the `PoseTracker` that runs on the robot, so its holding and its estimated velocities are trained on.
Rows are environments; a nominal row is seen as it is. Arrays are NumPy's or PyTorch's.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from her_robot import arrays
from her_robot.arrays import Array
from her_robot.configuration import require_not_negative, require_positive
from her_robot.contract import ObjectState, RobotState
from her_robot.domain_rand.distribution import Range
from her_robot.domain_rand.late_states import KEPT, LateStates, check_latency
from her_robot.errors import ConfigurationError
from her_robot.robot.estimation import PoseTracker

_DEVIATIONS = (
    "position_bias",
    "position_drift",
    "grip_noise",
    "grip_bias",
    "grip_drift",
    "grip_velocity_noise",
    "finger_noise",
    "finger_velocity_noise",
    "joint_noise",
    "joint_velocity_noise",
    "rotation_bias",
    "fingertip_noise",
    "fingertip_bias",
)
_OF_THE_HAND = (
    "joint_noise",
    "joint_velocity_noise",
    "rotation_noise",
    "rotation_bias",
    "fingertip_noise",
    "fingertip_bias",
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
    position_drift: float = 0.0
    """Standard deviation of an error of object positions that wanders about, each axis [m]."""
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
    grip_drift: float = 0.0
    """Standard deviation of an error of the grip position that wanders about, each axis [m]."""
    drift_time: float = 1.0
    """Time in which drifts forget two thirds of what they were [s]: noise that is correlated in time."""
    grip_latency: Range = Range(0.0, 0.0)
    """From the measurement of grip and fingers to its arrival at the policy [s]."""
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
    rotation_bias: float = 0.0
    """Standard deviation of a constant error of that orientation, about each axis [rad]."""
    fingertip_noise: float = 0.0
    """Standard deviation of a fingertip's position, of the hand, each axis [m]."""
    fingertip_bias: float = 0.0
    """Standard deviation of a constant error of each fingertip's position, each axis [m]."""

    def __post_init__(self) -> None:
        require_positive(self, "camera_rate")
        require_not_negative(self, *_DEVIATIONS)
        for name in (
            "camera_latency",
            "position_noise",
            "yaw_noise",
            "rotation_noise",
            "dropout",
            "occlusion_rate",
            "occlusion_duration",
            "grip_latency",
            "gripper_radius",
            "camera_range",
        ):
            if getattr(self, name).low < 0:
                raise ValueError(f"{name} must not be negative, found {getattr(self, name).low}")
        if self.drift_time <= 0:
            raise ValueError(f"drift_time must be above 0 s, found {self.drift_time}")
        if self.dropout.high > 1:
            raise ValueError(f"dropout is a probability, found {self.dropout.high}")


class Sensing:
    """The sensors of a batch of environments."""

    def __init__(self, config: SensingConfig, num_envs: int, control_period: float, rng: Any, xp: Any = np) -> None:
        """
        Raises:
            ConfigurationError: the configuration asks for something that only the hand has.
            ValueError: a latency that is too long to be simulated.
        """
        for name in _OF_THE_HAND:
            if getattr(config, name) != getattr(SensingConfig(), name):
                raise ConfigurationError(f"sensing: {name} is of the hand; it is not simulated for the Fetch")
        longest = (KEPT - 1) * control_period - 1.0 / config.camera_rate
        check_latency("camera_latency", config.camera_latency, longest)
        check_latency("grip_latency", config.grip_latency, (KEPT - 2) * control_period)
        self._config, self._rng, self._xp = config, rng, xp
        self._period = control_period
        self._tracker = PoseTracker(num_envs, xp=xp)
        self._nominal = xp.ones(num_envs, dtype=bool)
        self._late = LateStates(num_envs, {"arm": (10,), "position": (3,), "rotation": (3, 3)}, xp)
        self._frame = xp.zeros(num_envs, dtype=int)
        self._phase = xp.zeros(num_envs)
        self._latency = xp.zeros(num_envs)
        self._position_noise = xp.zeros((num_envs, 1))
        self._position_bias = xp.zeros((num_envs, 3))
        self._yaw_noise = xp.zeros(num_envs)
        self._dropout = xp.zeros(num_envs)
        self._occlusion_rate = xp.zeros(num_envs)
        self._occluded_until = xp.full((num_envs,), -np.inf)
        self._gripper_radius = xp.zeros(num_envs)
        self._camera_range = xp.zeros(num_envs)
        self._grip_bias = xp.zeros((num_envs, 3))
        self._position_drift = _Drift(config.position_drift, config.drift_time, num_envs, rng, xp)
        self._grip_drift = _Drift(config.grip_drift, config.drift_time, num_envs, rng, xp)
        self._grip_latency = xp.zeros(num_envs)

    def reset(self, row: Any, nominal: Any, state: RobotState, config: SensingConfig | None = None) -> dict[str, Any]:
        """Begin an episode of one row, or of several; its object has been in view for a while.

        Args:
            row: index, or indices (k,).
            nominal: whether it is nominal, or (k,).
            state: of all rows.
            config: what this episode's draws are from: ranges within those of the batch; default: those.

        Returns:
            What was drawn, by field; nothing for a nominal row, and for several.
        """
        config, rng, xp, shape = config or self._config, self._rng, self._xp, state.grip_position[row].shape[:-1]
        self._nominal[row] = nominal
        self._phase[row] = rng.uniform(0.0, 1.0 / config.camera_rate, shape)
        self._latency[row] = config.camera_latency.sample(rng, shape)
        self._position_noise[row] = config.position_noise.sample(rng, (*shape, 1))
        self._position_bias[row] = rng.normal(0.0, config.position_bias, (*shape, 3)) if config.position_bias else 0.0
        self._yaw_noise[row] = config.yaw_noise.sample(rng, shape)
        self._dropout[row] = config.dropout.sample(rng, shape)
        self._occlusion_rate[row] = config.occlusion_rate.sample(rng, shape)
        self._occluded_until[row] = -np.inf
        self._gripper_radius[row] = config.gripper_radius.sample(rng, shape)
        self._camera_range[row] = config.camera_range.sample(rng, shape)
        self._grip_bias[row] = rng.normal(0.0, config.grip_bias, (*shape, 3)) if config.grip_bias else 0.0
        self._position_drift.reset(row, shape)
        self._grip_drift.reset(row, shape)
        self._grip_latency[row] = config.grip_latency.sample(rng, shape) if config.grip_latency.high else 0.0
        self._late.reset(row, shape, {name: value[row] for name, value in self._remembered(state).items()})
        self._frame[row] = self._newest_frame(row)
        if state.object is not None:
            seen = xp.zeros_like(self._nominal)
            seen[row] = True
            self._tracker.reset(seen)
            self._look(seen)
        return {} if shape or nominal else self._drawn(row)

    def advance(self, state: RobotState, periods: Array | float = 1.0) -> None:
        """Let a control period pass, at whose end the true state is `state`.

        Args:
            state: of all rows.
            periods: how long it lasted, (n,) or one for all, in nominal control periods.
        """
        self._late.advance(periods, self._remembered(state))
        self._position_drift.advance(periods * self._period)
        self._grip_drift.advance(periods * self._period)
        if state.object is not None:
            self._watch(state.object, state)

    def present(self, state: RobotState) -> RobotState:
        """What the policy sees where the true state is `state`."""
        noise = self._rng.standard_normal((2, *state.grip_position.shape))
        measured = self._measured(state)
        grip_position = measured.grip_position + self._grip_bias + self._config.grip_noise * noise[0]
        if self._config.grip_drift:
            grip_position += self._grip_drift.value
        seen = replace(
            measured,
            grip_position=grip_position,
            grip_velocity=measured.grip_velocity + self._config.grip_velocity_noise * noise[1],
            object=None if state.object is None else self._tracker.state(self._late.now * self._period),
        )
        if self._config.finger_noise or self._config.finger_velocity_noise:
            fingers = self._rng.standard_normal((2, *state.finger_position.shape))
            seen = replace(
                seen,
                finger_position=seen.finger_position + self._config.finger_noise * fingers[0],
                finger_velocity=seen.finger_velocity + self._config.finger_velocity_noise * fingers[1],
            )
        if self._config.blind_finger:
            zeros = self._xp.zeros_like(state.finger_position)
            seen = replace(seen, finger_position=zeros, finger_velocity=zeros)
        return _select(self._nominal, state, seen)

    def _watch(self, obj: ObjectState, state: RobotState) -> None:
        xp = self._xp
        now = self._late.now * self._period
        begins = self._rng.random(len(now)) < self._occlusion_rate * self._period
        duration = self._config.occlusion_duration.sample(self._rng, len(now))
        self._occluded_until = xp.where(begins, now + duration, self._occluded_until)

        hidden = (now <= self._occluded_until) | self._out_of_sight(obj.position, state.grip_position)
        newest = self._newest_frame(slice(None))
        seen = (newest > self._frame) & ~hidden & (self._rng.random(len(now)) >= self._dropout)
        self._frame = xp.maximum(self._frame, newest)
        self._look(seen)
        self._tracker.carry(now, state.grip_position, state.finger_position.sum(axis=1))

    def _out_of_sight(self, position: Array, grip_position: Array) -> Array:
        """Whether each object is too far away, or the column above the gripper crosses the line of sight to it,
        boolean (n,)."""
        xp = self._xp
        if self._config.camera_position is None:
            return xp.zeros_like(self._nominal)
        sight = arrays.like(position, self._config.camera_position) - position
        toward_grip = (grip_position - position)[:, :2]
        along = xp.clip(
            xp.einsum("ni,ni->n", toward_grip, sight[:, :2]) / xp.square(sight[:, :2]).sum(axis=1), 0.0, 1.0
        )
        nearest = along[:, None] * sight
        distance = xp.linalg.norm(nearest[:, :2] - toward_grip, axis=1)
        column = grip_position[:, 2] + self._config.gripper_clearance
        behind = (distance < self._gripper_radius) & (position[:, 2] + nearest[:, 2] > column)
        return behind | (xp.linalg.norm(sight, axis=1) > self._camera_range)

    def _look(self, seen: Array) -> None:
        """Show the tracker the object as it was when the newest image was taken."""
        captured = self._phase + self._frame / self._config.camera_rate
        noise = self._rng.standard_normal((len(seen), 3))
        yaw = self._yaw_noise * self._rng.standard_normal(len(seen))
        # Noise is drawn for all, so that what one row sees does not depend on what the others see; the rest is not.
        rows = arrays.indices(seen)
        at = self._late.look_up(rows, self._late.now[rows] - captured[rows] / self._period)
        exact = self._late.between("position", rows, at)
        position, rotation = self._xp.zeros((len(seen), 3)), self._xp.zeros((len(seen), 3, 3))
        position[rows] = exact + self._position_bias[rows] + self._position_noise[rows] * noise[rows]
        if self._config.position_drift:
            position[rows] += self._position_drift.value[rows]
        rotation[rows] = _about_z(yaw[rows]) @ self._late.nearest("rotation", rows, at)
        self._tracker.update(seen, captured, position, rotation)

    def _measured(self, state: RobotState) -> RobotState:
        """Grip and fingers as they were one latency ago."""
        if not self._config.grip_latency.high:
            return state
        rows = self._xp.arange(len(self._nominal))
        arm = self._late.between("arm", rows, self._late.look_up(rows, self._grip_latency / self._period))
        grip, velocity, fingers, finger_velocity = arm[:, :3], arm[:, 3:6], arm[:, 6:8], arm[:, 8:]
        return replace(
            state,
            grip_position=grip,
            grip_velocity=velocity,
            finger_position=fingers,
            finger_velocity=finger_velocity,
        )

    def _remembered(self, state: RobotState) -> dict[str, Array]:
        """What is needed of it later, by name."""
        values = {"arm": _arm_of(state)} if self._config.grip_latency.high else {}
        obj = state.object
        return values if obj is None else {**values, "position": obj.position, "rotation": obj.rotation}

    def _drawn(self, row: int) -> dict[str, Any]:
        return {
            "camera_latency": float(self._latency[row]),
            "position_noise": float(self._position_noise[row, 0]),
            "position_bias": self._position_bias[row].tolist(),
            "yaw_noise": float(self._yaw_noise[row]),
            "dropout": float(self._dropout[row]),
            "occlusion_rate": float(self._occlusion_rate[row]),
            "gripper_radius": float(self._gripper_radius[row]),
            "camera_range": float(self._camera_range[row]),
            "grip_bias": self._grip_bias[row].tolist(),
            "grip_latency": float(self._grip_latency[row]),
        }

    def _newest_frame(self, row) -> Array:
        """Index of the newest image that has arrived; negative for one taken before the episode."""
        arrived = self._late.now[row] * self._period - self._latency[row] - self._phase[row]
        return arrays.to_int(self._xp.floor(arrived * self._config.camera_rate + 1e-9))


class _Drift:
    """Errors that wander about: a stationary Gauss-Markov process on three axes of each row."""

    def __init__(self, deviation: float, time: float, num_envs: int, rng: Any, xp: Any) -> None:
        self._deviation, self._time, self._rng = deviation, time, rng
        self.value = xp.zeros((num_envs, 3))

    def reset(self, row: Any, shape: tuple[int, ...]) -> None:
        """Begin anywhere, in rows of a shape."""
        if self._deviation:
            self.value[row] = self._rng.normal(0.0, self._deviation, (*shape, 3))

    def advance(self, duration: Array | float) -> None:
        """Let `duration` pass, (n,) or one for all [s]."""
        if self._deviation:
            xp = arrays.namespace(self.value)
            duration = xp.broadcast_to(arrays.like(self.value, duration), (len(self.value),))
            kept = xp.exp(-duration / self._time)[:, None]
            fresh = self._deviation * self._rng.standard_normal(self.value.shape)
            self.value = kept * self.value + xp.sqrt(1.0 - kept**2) * fresh


def _arm_of(state: RobotState) -> Array:
    """What joint sensors tell, (n, 10): grip position and velocity, positions and velocities of the fingers."""
    return arrays.namespace(state.grip_position).concatenate(
        [state.grip_position, state.grip_velocity, state.finger_position, state.finger_velocity], axis=1
    )


def _about_z(angle: Array) -> Array:
    """Rotation matrices about z for angles (n,) [rad], shape (n, 3, 3)."""
    xp = arrays.namespace(angle)
    cos, sin, zero, one = xp.cos(angle), xp.sin(angle), xp.zeros_like(angle), xp.ones_like(angle)
    return xp.stack([cos, -sin, zero, sin, cos, zero, zero, zero, one], axis=-1).reshape(-1, 3, 3)


def _select(rows: Array, chosen: RobotState, other: RobotState) -> RobotState:
    """`chosen` in the rows of a boolean mask, `other` elsewhere."""

    def pick(a: Array, b: Array) -> Array:
        return arrays.namespace(a).where(rows.reshape(-1, *(1,) * (a.ndim - 1)), a, b)

    obj = None
    if chosen.object is not None and other.object is not None:
        obj = ObjectState(
            **{name: pick(getattr(chosen.object, name), getattr(other.object, name)) for name in vars(chosen.object)}
        )
    names = [name for name in vars(chosen) if name != "object"]
    return RobotState(**{name: pick(getattr(chosen, name), getattr(other, name)) for name in names}, object=obj)
