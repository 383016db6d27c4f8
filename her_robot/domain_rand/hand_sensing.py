"""What the sensors of a real hand do to a state before a policy sees it.

Joints have noise; the object's pose has noise and a constant error. Rows are environments; a nominal row is seen as it
is. Of `SensingConfig`, what belongs to a camera's timing is not simulated for the hand, and is refused.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from her_robot import rotations
from her_robot.contract import HandObjectState, HandState
from her_robot.domain_rand.sensing import SensingConfig
from her_robot.errors import ConfigurationError

_USED = ("position_noise", "position_bias", "rotation_noise", "joint_noise", "joint_velocity_noise")
_OF_NO_EFFECT = ("camera_rate",)


class HandSensing:
    """The sensors of a batch of hands."""

    def __init__(self, config: SensingConfig, num_envs: int, rng: np.random.Generator) -> None:
        """
        Raises:
            ConfigurationError: the configuration asks for something that only the Fetch has.
        """
        for name, value in vars(config).items():
            if name not in (*_USED, *_OF_NO_EFFECT) and value != getattr(SensingConfig(), name):
                raise ConfigurationError(f"sensing: {name} is not simulated for the hand; it takes {', '.join(_USED)}")
        self._config = config
        self._rng = rng
        self._nominal = np.ones(num_envs, bool)
        self._position_noise = np.zeros((num_envs, 1))
        self._position_bias = np.zeros((num_envs, 3))
        self._rotation_noise = np.zeros((num_envs, 1))

    def reset(self, row: int, nominal: bool, state: HandState, config: SensingConfig | None = None) -> dict[str, Any]:
        """Begin an episode of one row.

        Args:
            row: index.
            nominal: whether it is nominal.
            state: at its beginning.
            config: what this episode's draws are from: ranges within those of the batch; default: those.

        Returns:
            What was drawn, by field; nothing for a nominal row.
        """
        config, rng = config or self._config, self._rng
        self._nominal[row] = nominal
        self._position_noise[row] = config.position_noise.sample(rng)
        self._position_bias[row] = rng.normal(0.0, config.position_bias, 3) if config.position_bias else 0.0
        self._rotation_noise[row] = config.rotation_noise.sample(rng)
        if nominal:
            return {}
        return {
            "position_noise": float(self._position_noise[row, 0]),
            "position_bias": self._position_bias[row].tolist(),
            "rotation_noise": float(self._rotation_noise[row, 0]),
        }

    def advance(self, state: HandState, periods: np.ndarray | float = 1.0) -> None:
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
        quaternion = rotations.multiply(rotations.from_euler(*angles.T), obj.quaternion)
        seen = ~self._nominal[:, None]
        return replace(
            obj,
            position=np.where(seen, position, obj.position),
            quaternion=np.where(seen, quaternion, obj.quaternion),
        )
