"""What the sensors of a real hand do to a state before a policy sees it.

Joints have noise; fingertips and the object's pose have noise and a constant error. With a `camera_latency`, the pose
is late, and its velocities are estimated by the `PoseTracker` that runs on the robot; cameras are taken to be faster
than control. Rows are environments; a nominal row is seen as it is. What else belongs to the Fetch's camera is refused.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from her_robot import arrays, rotations
from her_robot.arrays import Array
from her_robot.contract import HandObjectState, HandState
from her_robot.contract.hand import FINGERTIPS
from her_robot.domain_rand.late_states import KEPT, LateStates, check_latency
from her_robot.domain_rand.sensing import SensingConfig
from her_robot.errors import ConfigurationError
from her_robot.robot.estimation import PoseTracker

_USED = (
    "camera_latency",
    "dropout",
    "position_noise",
    "position_bias",
    "rotation_noise",
    "rotation_bias",
    "joint_noise",
    "joint_velocity_noise",
    "fingertip_noise",
    "fingertip_bias",
)
_OF_NO_EFFECT = ("camera_rate",)


class HandSensing:
    """The sensors of a batch of hands."""

    def __init__(self, config: SensingConfig, num_envs: int, control_period: float, rng: Any, xp: Any = np) -> None:
        """
        Raises:
            ConfigurationError: the configuration asks for something that only the Fetch has.
            ValueError: a latency that is too long to be simulated.
        """
        for name, value in vars(config).items():
            if name not in (*_USED, *_OF_NO_EFFECT) and value != getattr(SensingConfig(), name):
                raise ConfigurationError(f"sensing: {name} is not simulated for the hand; it takes {', '.join(_USED)}")
        check_latency("camera_latency", config.camera_latency, (KEPT - 2) * control_period)
        if config.dropout.high and not config.camera_latency.high:
            raise ConfigurationError(
                "sensing: dropout is simulated for the hand with a camera_latency alone; give it one"
            )
        self._config, self._rng, self._xp, self._period = config, rng, xp, control_period
        self._is_late = config.camera_latency.high > 0.0
        self._late = LateStates(num_envs, {"position": (3,), "quaternion": (4,)}, xp)
        # Rows that have not begun yet are looked at, too.
        unturned = xp.tile(arrays.like(xp.zeros(1), [1.0, 0.0, 0.0, 0.0]), (num_envs, 1))
        self._late.reset(xp.arange(num_envs), (num_envs,), {"quaternion": unturned})
        self._tracker = PoseTracker(num_envs, xp=xp)
        self._quaternion = xp.zeros((num_envs, 4))
        self._latency = xp.zeros(num_envs)
        self._dropout = xp.zeros(num_envs)
        self._nominal = xp.ones(num_envs, dtype=bool)
        self._position_noise = xp.zeros((num_envs, 1))
        self._position_bias = xp.zeros((num_envs, 3))
        self._rotation_noise = xp.zeros((num_envs, 1))
        self._rotation_bias = xp.zeros((num_envs, 3))
        self._fingertip_bias = xp.zeros((num_envs, len(FINGERTIPS), 3))

    def reset(self, row: Any, nominal: Any, state: HandState, config: SensingConfig | None = None) -> dict[str, Any]:
        """Begin an episode of one row, or of several.

        Args:
            row: index, or indices (k,).
            nominal: whether it is nominal, or (k,).
            state: at its beginning.
            config: what this episode's draws are from: ranges within those of the batch; default: those.

        Returns:
            What was drawn, by field; nothing for a nominal row, and for several.
        """
        config, rng, shape = config or self._config, self._rng, tuple(getattr(nominal, "shape", ()))
        self._nominal[row] = nominal
        self._position_noise[row] = config.position_noise.sample(rng, (*shape, 1))
        self._position_bias[row] = rng.normal(0.0, config.position_bias, (*shape, 3)) if config.position_bias else 0.0
        self._rotation_noise[row] = config.rotation_noise.sample(rng, (*shape, 1))
        # What is off draws nothing: presets made before it was there keep their draws.
        self._rotation_bias[row] = rng.normal(0.0, config.rotation_bias, (*shape, 3)) if config.rotation_bias else 0.0
        tips = (*shape, len(FINGERTIPS), 3)
        self._fingertip_bias[row] = rng.normal(0.0, config.fingertip_bias, tips) if config.fingertip_bias else 0.0
        if self._is_late and state.object is not None:
            self._latency[row] = config.camera_latency.sample(rng, shape)
            self._dropout[row] = config.dropout.sample(rng, shape)
            self._late.reset(row, shape, {name: value[row] for name, value in _pose_of(state.object).items()})
            rows = self._xp.zeros_like(self._nominal)
            rows[row] = True
            self._tracker.reset(rows)
            self._watch(rows)
        if shape or nominal:
            return {}
        return {
            "position_noise": float(self._position_noise[row, 0]),
            "position_bias": self._position_bias[row].tolist(),
            "rotation_noise": float(self._rotation_noise[row, 0]),
            "rotation_bias": self._rotation_bias[row].tolist(),
            "fingertip_bias": self._fingertip_bias[row].tolist(),
            "camera_latency": float(self._latency[row]),
            "dropout": float(self._dropout[row]),
        }

    def advance(self, state: HandState, periods: Array = 1.0) -> None:
        """Let some time pass, at whose end the true state is `state`.

        Args:
            state: of all rows.
            periods: how long it lasted, (n,) or one for all, in nominal control periods.
        """
        if self._is_late and state.object is not None:
            self._late.advance(periods, _pose_of(state.object))
            self._watch(self._rng.random(len(self._nominal)) >= self._dropout)

    def present(self, state: HandState) -> HandState:
        """What the policy sees where the true state is `state`."""
        if self._nominal.all():
            return state
        noise = self._rng.standard_normal((2, *state.joint_position.shape)) * ~self._nominal[:, None]
        return replace(
            state,
            joint_position=state.joint_position + self._config.joint_noise * noise[0],
            joint_velocity=state.joint_velocity + self._config.joint_velocity_noise * noise[1],
            object=None if state.object is None else self._look(state.object),
            fingertip_position=self._feel(state.fingertip_position),
        )

    def _feel(self, fingertips: Array | None) -> Array | None:
        if fingertips is None or not (self._config.fingertip_noise or self._config.fingertip_bias):
            return fingertips
        noise = self._config.fingertip_noise * self._rng.standard_normal(fingertips.shape)
        xp = arrays.namespace(fingertips)
        return xp.where(self._nominal[:, None, None], fingertips, fingertips + self._fingertip_bias + noise)

    def _watch(self, seen: Array) -> None:
        """Show the tracker the object as it was one latency ago."""
        rows = self._xp.arange(len(self._nominal))
        at = self._late.look_up(rows, self._latency / self._period)
        quaternion = self._late.between("quaternion", rows, at)
        quaternion = quaternion / self._xp.linalg.norm(quaternion, axis=-1, keepdims=True)
        position, quaternion = self._measure(self._late.between("position", rows, at), quaternion)
        taken = self._late.now * self._period - self._latency
        self._tracker.update(seen, taken, position, rotations.to_matrix(quaternion))
        self._quaternion = self._xp.where(seen[:, None], quaternion, self._quaternion)

    def _look(self, obj: HandObjectState) -> HandObjectState:
        if self._is_late:
            tracked = self._tracker.state(self._late.now * self._period)
            about_own_axes = self._xp.einsum("ni,nij->nj", tracked.angular_velocity, tracked.rotation)
            seen = HandObjectState(tracked.position, self._quaternion, tracked.velocity, about_own_axes)
        else:
            position, quaternion = self._measure(obj.position, obj.quaternion)
            seen = replace(obj, position=position, quaternion=quaternion)
        xp, sensed = self._xp, ~self._nominal[:, None]
        return HandObjectState(
            **{name: xp.where(sensed, getattr(seen, name), getattr(obj, name)) for name in vars(obj)}
        )

    def _measure(self, position: Array, quaternion: Array) -> tuple[Array, Array]:
        """A pose (n, 3) [m], (n, 4), with its errors."""
        noise = self._rng.standard_normal((2, *position.shape))
        angles = self._rotation_bias + self._rotation_noise * noise[1]
        error = rotations.from_euler(*angles.swapaxes(0, 1))
        return position + self._position_bias + self._position_noise * noise[0], rotations.multiply(error, quaternion)


def _pose_of(obj: HandObjectState) -> dict[str, Array]:
    return {"position": obj.position, "quaternion": obj.quaternion}
