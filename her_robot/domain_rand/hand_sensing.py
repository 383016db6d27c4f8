"""What the sensors of a real hand do to a state before a policy sees it.

Joints have noise; fingertips and the object's pose have noise and a constant error. Rows are environments; a nominal
row is seen as it is. Of `SensingConfig`, what belongs to a camera's timing is not simulated for the hand, and is
refused.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from her_robot import arrays, rotations
from her_robot.arrays import Array
from her_robot.contract import HandObjectState, HandState
from her_robot.contract.hand import FINGERTIPS
from her_robot.domain_rand.sensing import SensingConfig
from her_robot.errors import ConfigurationError

_USED = (
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

    def __init__(self, config: SensingConfig, num_envs: int, rng: Any, xp: Any = np) -> None:
        """
        Raises:
            ConfigurationError: the configuration asks for something that only the Fetch has.
        """
        for name, value in vars(config).items():
            if name not in (*_USED, *_OF_NO_EFFECT) and value != getattr(SensingConfig(), name):
                raise ConfigurationError(f"sensing: {name} is not simulated for the hand; it takes {', '.join(_USED)}")
        self._config, self._rng = config, rng
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
        if shape or nominal:
            return {}
        return {
            "position_noise": float(self._position_noise[row, 0]),
            "position_bias": self._position_bias[row].tolist(),
            "rotation_noise": float(self._rotation_noise[row, 0]),
            "rotation_bias": self._rotation_bias[row].tolist(),
            "fingertip_bias": self._fingertip_bias[row].tolist(),
        }

    def advance(self, state: HandState, periods: Array = 1.0) -> None:
        """Let some time pass, at whose end the true state is `state`: what the hand senses is of the present."""

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

    def _look(self, obj: HandObjectState) -> HandObjectState:
        noise = self._rng.standard_normal((2, *obj.position.shape))
        position = obj.position + self._position_bias + self._position_noise * noise[0]
        angles = self._rotation_bias + self._rotation_noise * noise[1]
        quaternion = rotations.multiply(rotations.from_euler(*angles.swapaxes(0, 1)), obj.quaternion)
        xp, seen = arrays.namespace(position), ~self._nominal[:, None]
        return replace(
            obj,
            position=xp.where(seen, position, obj.position),
            quaternion=xp.where(seen, quaternion, obj.quaternion),
        )
