"""What the sensors of a real hand do to a state before a policy sees it.

Joints have noise; the object's pose has noise and a constant error. Rows are environments; a nominal row is seen as it
is. Of `SensingConfig`, what belongs to a camera's timing is not simulated for the hand, and is refused.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from her_robot import arrays, rotations
from her_robot.arrays import Array
from her_robot.contract import HandObjectState, HandState
from her_robot.domain_rand.sensing import SensingConfig
from her_robot.errors import ConfigurationError

_USED = ("position_noise", "position_bias", "rotation_noise", "joint_noise", "joint_velocity_noise")
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
        if shape or nominal:
            return {}
        return {
            "position_noise": float(self._position_noise[row, 0]),
            "position_bias": self._position_bias[row].tolist(),
            "rotation_noise": float(self._rotation_noise[row, 0]),
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
        )

    def _look(self, obj: HandObjectState) -> HandObjectState:
        noise = self._rng.standard_normal((2, *obj.position.shape))
        position = obj.position + self._position_bias + self._position_noise * noise[0]
        angles = self._rotation_noise * noise[1]
        quaternion = rotations.multiply(rotations.from_euler(*angles.swapaxes(0, 1)), obj.quaternion)
        xp, seen = arrays.namespace(position), ~self._nominal[:, None]
        return replace(
            obj,
            position=xp.where(seen, position, obj.position),
            quaternion=xp.where(seen, quaternion, obj.quaternion),
        )
