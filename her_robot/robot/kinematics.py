"""Forward and inverse kinematics of an arm, with the robot's own model.

All poses are of the tool site, in the robot's base frame. Inverse kinematics is one small quadratic program a call,
solved by mink: the arm follows a streamed target, so each solution starts at the last.
"""

import mink
import mujoco
import numpy as np

from her_robot.robot.profile import RobotProfile, compile_model

_ITERATIONS = 3
_STEP_S = 1.0
"""Time step of the integration within one solution: displacements, not speeds, are sought [s]."""
_DAMPING = 1e-4
_ORIENTATION_COST = 0.05
"""Beside a position cost of 1 [m/rad]: at the edge of its reach, an arm tilts its tool rather than stay behind."""


class Kinematics:
    """One arm's kinematics. Joint arrays have the order of the profile's joints."""

    def __init__(self, profile: RobotProfile) -> None:
        self._model = model = compile_model(profile.model)
        self._configuration = mink.Configuration(model)
        joints = [model.joint(profile.model.prefix + joint.name) for joint in profile.joints]
        self._qpos = np.array([joint.qposadr[0] for joint in joints])
        self._dofs = np.array([joint.dofadr[0] for joint in joints])
        self._site = model.site(profile.model.tool_site).id
        self._base = model.body(profile.model.base_body).id
        self._jacobian = np.zeros((3, model.nv))
        self._tool_task = mink.FrameTask(
            profile.model.tool_site, "site", position_cost=1.0, orientation_cost=_ORIENTATION_COST, lm_damping=1e-3
        )
        self._posture_task = mink.PostureTask(model, cost=1e-3)
        fixed = np.setdiff1d(np.arange(model.nv), self._dofs)
        self._constraints = [mink.DofFreezingTask(model, dof_indices=fixed.tolist())] if fixed.size else []
        self._limits = [mink.ConfigurationLimit(model)]

    def forward(self, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Position (3,) [m] and rotation (3, 3) of the tool for joint positions (n,) [rad]."""
        data = self._place(positions)
        base = data.xmat[self._base].reshape(3, 3)
        position = base.T @ (data.site_xpos[self._site] - data.xpos[self._base])
        return position, base.T @ data.site_xmat[self._site].reshape(3, 3)

    def velocity(self, positions: np.ndarray, velocities: np.ndarray) -> np.ndarray:
        """Linear velocity of the tool (3,) [m/s] for joint positions (n,) [rad] and velocities (n,) [rad/s]."""
        data = self._place(positions)
        mujoco.mj_jacSite(self._model, data, self._jacobian, None, self._site)
        return data.xmat[self._base].reshape(3, 3).T @ (self._jacobian[:, self._dofs] @ velocities)

    def solve(
        self,
        start: np.ndarray,
        position: np.ndarray,
        rotation: np.ndarray,
        posture: np.ndarray | None = None,
        iterations: int = _ITERATIONS,
    ) -> np.ndarray:
        """Joint positions (n,) [rad] that bring the tool to a pose, near `start` (n,) and within the model's limits.

        Args:
            start: where to start from (n,) [rad].
            position: of the tool in the base frame (3,) [m].
            rotation: of the tool in the base frame (3, 3).
            posture: preferred joint positions (n,) [rad], for what the pose leaves free; default: `start`.
            iterations: steps towards the pose; a streamed target needs few.
        """
        data = self._place(start)
        base = data.xmat[self._base].reshape(3, 3)
        target = np.eye(4)
        target[:3, :3] = base @ rotation
        target[:3, 3] = data.xpos[self._base] + base @ position
        self._tool_task.set_target(mink.SE3.from_matrix(target))
        self._posture_task.set_target(self._full(start if posture is None else posture))
        for _ in range(iterations):
            velocity = mink.solve_ik(
                self._configuration,
                [self._tool_task, self._posture_task],
                _STEP_S,
                solver="daqp",
                damping=_DAMPING,
                limits=self._limits,
                constraints=self._constraints,
            )
            self._configuration.integrate_inplace(velocity, _STEP_S)
        return self._configuration.q[self._qpos].copy()

    def _place(self, positions: np.ndarray) -> mujoco.MjData:
        self._configuration.update(self._full(positions))
        return self._configuration.data

    def _full(self, positions: np.ndarray) -> np.ndarray:
        qpos = self._model.qpos0.copy()
        qpos[self._qpos] = positions
        return qpos
