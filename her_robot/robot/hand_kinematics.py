"""Where the fingertips of a hand are, by its joints: forward kinematics with the hand's own model."""

import mujoco
import numpy as np

from her_robot.contract.hand import ACTUATOR_STIFFNESS, COUPLED_JOINTS, FINGERTIPS, JOINTS
from her_robot.robot.hand_profile import HandProfile, compile_hand

_SAMPLES = 2000
"""Random postures that the reach of the fingertips is taken from."""


class HandKinematics:
    """One hand's kinematics. Joint arrays have the order of the contract; positions are in the hand's base frame."""

    def __init__(self, profile: HandProfile) -> None:
        config = profile.model
        self._model = model = compile_hand(config)
        self._data = mujoco.MjData(model)
        self._qpos = np.array([model.joint(config.prefix + name).qposadr[0] for name in JOINTS])
        self._sites = np.array([model.site(config.tip_prefix + tip).id for tip in FINGERTIPS])
        self._base = model.body(config.base_body).id
        self._actuated = np.array([model.joint(config.prefix + name).dofadr[0] for name in ACTUATOR_STIFFNESS])
        self._compliance = np.array([_compliance(name) for name in ACTUATOR_STIFFNESS])
        self._gravity = np.zeros(model.nv)
        self._ranges = np.array([profile.joints[name].position for name in JOINTS])

    def fingertips(self, positions: np.ndarray) -> np.ndarray:
        """Positions of the fingertips (5, 3) [m] for joint positions (24,) [rad]."""
        data = self._data
        data.qpos[self._qpos] = positions
        mujoco.mj_kinematics(self._model, data)
        return (data.site_xpos[self._sites] - data.xpos[self._base]) @ data.xmat[self._base].reshape(3, 3)

    def sag(self, positions: np.ndarray) -> np.ndarray:
        """How far below its target each actuator stays in the simulation that policies are trained in (20,) [rad], at
        joint positions (24,) [rad]: gravity's torque over the actuator's stiffness.

        The model's masses and the direction of gravity are taken to be those of the simulation. Coupled joints are left
        out: their tendons' friction and play outweigh a fingertip.
        """
        data = self._data
        data.qpos[self._qpos] = positions
        data.qvel[:] = 0.0
        mujoco.mj_fwdPosition(self._model, data)
        mujoco.mj_rne(self._model, data, 0, self._gravity)
        return self._gravity[self._actuated] * self._compliance

    def reach(self) -> tuple[np.ndarray, np.ndarray]:
        """Corners of the boxes, lowest (5, 3) and highest (5, 3) [m], that each fingertip stays in, whatever the
        joints' positions within their limits."""
        random = np.random.default_rng(0)
        low, high = self._ranges.T
        # The farthest points are reached with joints at the ends of their ranges.
        ends = random.integers(0, 2, (_SAMPLES, len(JOINTS)))
        anywhere = random.uniform(size=(_SAMPLES, len(JOINTS)))
        parts = np.concatenate([ends, anywhere])
        tips = np.stack([self.fingertips(low + part * (high - low)) for part in parts])
        return tips.min(axis=0), tips.max(axis=0)


def _compliance(actuator: str) -> float:
    """What a torque moves an actuator by [rad/Nm]."""
    return 0.0 if actuator in COUPLED_JOINTS else 1.0 / ACTUATOR_STIFFNESS[actuator]
