"""What a controller was told last about joints, object and goal, and what is wrong with it.

Measurements come in the robot's own terms: joints by name and in its convention, poses in `base_link`. They are kept in
the contract's: joints in the model's order and convention, poses in the frame of the policy's world.
"""

from collections.abc import Sequence

import numpy as np

from her_robot.contract import Contract
from her_robot.robot.estimation import PoseTracker
from her_robot.robot.measured_inputs import MeasuredInputs
from her_robot.robot.profile import RobotProfile


class Measurements(MeasuredInputs):
    """The newest measurements of one arm."""

    def __init__(
        self, contract: Contract, profile: RobotProfile, joint_offsets: np.ndarray, base_to_world: np.ndarray
    ) -> None:
        """
        Args:
            contract: of the policy.
            profile: of the robot.
            joint_offsets: added to what the encoders say (n,) [rad].
            base_to_world: added to positions in `base_link` (3,) [m].
        """
        self._contract, self._profile = contract, profile
        self._joint_offsets, self._base_to_world = joint_offsets, base_to_world
        self._wanted = (*profile.joint_names, *profile.gripper.joints)
        self.object = PoseTracker()
        """Where the object is, in the policy's world."""
        super().__init__(profile.timing)

    def reset(self) -> None:
        super().reset()
        self.positions = np.zeros(len(self._profile.joints))
        """Of the arm's joints (n,) [rad]."""
        self.velocities = np.zeros_like(self.positions)
        """Of the arm's joints (n,) [rad/s]."""
        self.fingers = np.zeros(2)
        """Finger positions (2,) [m]."""
        self.finger_velocities = np.zeros(2)
        """Finger velocities (2,) [m/s]."""

    def observe_joints(
        self, time: float, names: Sequence[str], positions: Sequence[float], velocities: Sequence[float] = ()
    ) -> None:
        """Take in measured joints, matched by name; others than the robot's are ignored.

        Args:
            time: when they were measured [s].
            names: of the joints, in any order.
            positions: as the robot reports them [rad; fingers m].
            velocities: [rad/s; fingers m/s]; estimated from positions where there are none.
        """
        index = {name: i for i, name in enumerate(names)}
        missing = [name for name in self._wanted if name not in index]
        if missing:
            self.joint_problem = f"joint states lack {', '.join(missing)}"
            return
        if len(positions) != len(names):
            self.joint_problem = f"joint states have {len(positions)} positions for {len(names)} names"
            return
        order = [index[name] for name in self._wanted]
        values = np.array([positions[i] for i in order], dtype=np.float64)
        if not np.isfinite(values).all():
            bad = [name for name, value in zip(self._wanted, values, strict=True) if not np.isfinite(value)]
            self.joint_problem = f"joint states are not finite: {', '.join(bad)}"
            return
        estimated = self._velocity_filter.update(time, values)
        rates = np.array([velocities[i] for i in order]) if len(velocities) == len(names) else estimated
        rates = np.where(np.isfinite(rates), rates, estimated)
        arm = len(self._profile.joints)
        self.joint_problem, self._joint_time = "", time
        self.positions = self._profile.from_robot(values[:arm] + self._joint_offsets)
        self.velocities = rates[:arm] * self._profile.signs()
        self.fingers, self.finger_velocities = values[arm:], rates[arm:]

    def observe_object(self, time: float, position: np.ndarray, rotation: np.ndarray) -> None:
        """Take in where the object is: centre (3,) [m] and rotation (3, 3), in base_link. Not finite: ignored."""
        if np.isfinite(time) and np.isfinite(position).all() and np.isfinite(rotation).all():
            position = position + self._base_to_world
            self._object_problem = ""
            self.object.update(np.array([True]), np.array([time]), position[None], rotation[None])

    def observe_goal(self, time: float, position: np.ndarray) -> None:
        """Take in the goal (3,) in base_link [m]. One outside of what the task can ask for is refused, and so holds."""
        if not (np.isfinite(time) and np.isfinite(position).all()):
            return
        goal = position + self._base_to_world
        margin = self._profile.workspace.goal_margin
        low, high = np.array(self._contract.goal_low) - margin, np.array(self._contract.goal_high) + margin
        self._goal_problem = ""
        if np.any(goal < low) or np.any(goal > high):
            self._goal_problem = (
                f"goal {np.round(goal, 3).tolist()} lies outside of the workspace "
                f"{np.round(low, 3).tolist()} ... {np.round(high, 3).tolist()} (world frame, m)"
            )
            return
        self.goal, self._goal_time = goal, time

    def ages(self, now: float) -> dict[str, float]:
        """Age of each measurement [s]; infinite before the first."""
        return {
            "joint_states": now - self._joint_time,
            "object": float(self.object.age(now)[0]) if self._contract.has_object else 0.0,
            "goal": now - self._goal_time,
        }

    def lost_for(self, now: float) -> float:
        """How long the object has been neither seen nor felt between the fingers [s]; 0 in tasks without one."""
        return float(self.object.lost_for(now)[0]) if self._contract.has_object else 0.0

    def refuse_those_of_another_clock(self, now: float) -> None:
        super().refuse_those_of_another_clock(now)
        self._refuse_goal_of_another_clock(now)

    def stale(self, now: float) -> str:
        """Which of goal and object is too old for a policy to go on; empty if none is."""
        goal_age, lost_for, timing = self.ages(now)["goal"], self.lost_for(now), self._timing
        if goal_age > timing.goal_timeout:
            return f"the goal was seen {goal_age:.2f} s ago (at most {timing.goal_timeout} s)"
        if lost_for > timing.object_timeout:
            return f"the object was seen {lost_for:.2f} s ago (at most {timing.object_timeout} s)"
        return ""

    def unseen(self) -> list[str]:
        """Which of goal and object have not been seen yet."""
        unseen = [] if self.goal is not None else ["goal"]
        if self._contract.has_object and not np.isfinite(self.object.age(0.0)[0]):
            unseen.append("object")
        return unseen

    def _forget_object(self) -> None:
        self.object.reset()
