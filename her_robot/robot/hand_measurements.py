"""What a hand's controller was told last about its joints and its goal, and what is wrong with it.

Measurements come in the hand's own terms: joints by its names, goals in its base frame. They are kept in the
contract's.
"""

from collections.abc import Sequence

import numpy as np

from her_robot.contract.hand import FINGERTIPS, JOINTS
from her_robot.robot.estimation import VelocityFilter
from her_robot.robot.hand_joints import FloatSequence, HandJoints
from her_robot.robot.hand_kinematics import HandKinematics
from her_robot.robot.hand_profile import HandProfile
from her_robot.rotations import to_matrix


class HandMeasurements:
    """The newest measurements of one hand.

    What cannot be used is refused with a reason, and the reason stays until good measurements of its kind come.
    """

    def __init__(self, profile: HandProfile, joints: HandJoints, kinematics: HandKinematics) -> None:
        self._profile, self._joints, self._kinematics = profile, joints, kinematics
        self._base_rotation = to_matrix(np.array(profile.base_rotation_wxyz))
        self._base_position = np.array(profile.base_position)
        self._reach = kinematics.reach()
        self._velocity_filter = VelocityFilter()
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self.joint_problem = "no joint states yet"
        """Why the newest joint states cannot be used; empty if they can."""
        self.positions = np.zeros(len(JOINTS))
        """In the order of the contract (24,) [rad]."""
        self.velocities = np.zeros(len(JOINTS))
        """In the order of the contract (24,) [rad/s]."""
        self.goal: np.ndarray | None = None
        """Where the fingertips shall be, in the policy's world (15,) [m]; None before the first."""
        self._joint_time = self._goal_time = -np.inf
        self._goal_problem = ""
        self._velocity_filter.reset()

    def observe_joints(
        self, time: float, names: Sequence[str], positions: FloatSequence, velocities: FloatSequence = ()
    ) -> None:
        """Take in measured joints; those that are not of this hand are refused (`HandJoints.read`).

        Args:
            time: when they were measured [s].
            names: of the joints, in any order.
            positions: as the hand reports them [rad].
            velocities: [rad/s]; estimated from positions where there are none.
        """
        try:
            self.positions, rates = self._joints.read(names, positions, velocities)
        except ValueError as error:
            self.joint_problem = str(error)
            return
        estimated = self._velocity_filter.update(time, self.positions)
        self.velocities = np.where(np.isfinite(rates), rates, estimated)
        self.joint_problem, self._joint_time = "", time

    def observe_fingertip_goals(self, time: float, frame: str, positions: np.ndarray) -> None:
        """Take in where the fingertips shall be: one position for each, in the hand's base frame, (5, 3) [m].

        One that its fingertip cannot reach is refused, and so holds the hand.
        """
        wanted, count = self._profile.base_frame, len(FINGERTIPS)
        if frame != wanted:
            self._goal_problem = f"fingertip goals are in frame {frame!r}; expected {wanted!r}"
        elif positions.shape != (count, 3):
            self._goal_problem = f"{len(positions)} fingertip goals; expected {count}: {', '.join(FINGERTIPS)}"
        elif not np.isfinite(positions).all():
            self._goal_problem = "fingertip goals are not finite"
        else:
            self._goal_problem = self._out_of_reach(positions)
        if not self._goal_problem:
            self.goal = self.to_world(positions).ravel()
            self._goal_time = time

    def fingertips(self) -> np.ndarray:
        """Where the fingertips are, by the measured joints, in the policy's world (5, 3) [m]."""
        return self.to_world(self._kinematics.fingertips(self.positions))

    def to_world(self, positions: np.ndarray) -> np.ndarray:
        """Positions (..., 3) [m] in the hand's base frame, in the policy's world."""
        return positions @ self._base_rotation.T + self._base_position

    def ages(self, now: float) -> dict[str, float]:
        """Age of each measurement [s]; infinite before the first."""
        return {"joint_states": now - self._joint_time, "goal": now - self._goal_time}

    def refuse_those_of_another_clock(self, now: float) -> None:
        """Forget joint states that are stamped ahead of `now` [s]: they would never grow old."""
        ahead = self._joint_time - now
        if ahead > self._profile.timing.clock_tolerance:
            self.joint_problem = (
                f"joint states are stamped {ahead:.2f} s ahead of this node's clock: do sender and node use the same "
                "clock?"
            )
            self._joint_time = -np.inf
            self._velocity_filter.reset()

    def problem(self, now: float) -> str:
        """Why no joint may move on these measurements; empty if they may."""
        age, limit = now - self._joint_time, self._profile.timing.joint_states_timeout
        if self.joint_problem:
            return self.joint_problem
        if age > limit:
            return f"joint states are {age:.2f} s old (at most {limit} s)"
        return self._goal_problem

    def stale(self, now: float) -> str:
        """Empty: a goal for the fingertips is a command, and stands until the next."""
        return ""

    def _out_of_reach(self, positions: np.ndarray) -> str:
        margin = self._profile.motion.goal_margin
        low, high = self._reach[0] - margin, self._reach[1] + margin
        outside = ((positions < low) | (positions > high)).any(axis=1)
        if not outside.any():
            return ""
        tip = int(outside.argmax())
        box = f"{np.round(low[tip], 3).tolist()} ... {np.round(high[tip], 3).tolist()}"
        return (
            f"goal {np.round(positions[tip], 3).tolist()} of {FINGERTIPS[tip]} lies outside of what it reaches, {box} "
            f"({self._profile.base_frame}, m)"
        )
