"""What a hand's controller was told last about its joints, its object and its goal, and what is wrong with it.

Measurements come in the hand's own terms: joints by its names, poses and goals in its base frame. They are kept in the
contract's.
"""

from collections.abc import Sequence

import numpy as np

from her_robot import rotations
from her_robot.contract import HandContract, HandObjectContract
from her_robot.contract.hand import FINGERTIPS, JOINTS
from her_robot.robot.hand_joints import FloatSequence, HandJoints
from her_robot.robot.hand_kinematics import HandKinematics
from her_robot.robot.hand_object import HandObjectTracker
from her_robot.robot.hand_profile import HandProfile
from her_robot.robot.measured_inputs import MeasuredInputs
from her_robot.rotations import to_matrix


class HandMeasurements(MeasuredInputs):
    """The newest measurements of one hand. A goal is a command, and stands until the next."""

    def __init__(
        self, contract: HandContract, profile: HandProfile, joints: HandJoints, kinematics: HandKinematics
    ) -> None:
        self._contract, self._profile, self._joints, self._kinematics = contract, profile, joints, kinematics
        self._base_quaternion = np.array(profile.base_rotation_wxyz)
        self._base_rotation = to_matrix(self._base_quaternion)
        self._base_position = np.array(profile.base_position)
        self._reach = kinematics.reach()
        self.object = HandObjectTracker() if isinstance(contract, HandObjectContract) else None
        """Where the object is, in the policy's world; None in tasks without one."""
        super().__init__(profile.timing)

    def reset(self) -> None:
        super().reset()
        self.positions = np.zeros(len(JOINTS))
        """In the order of the contract (24,) [rad]."""
        self.velocities = np.zeros(len(JOINTS))
        """In the order of the contract (24,) [rad/s]."""

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
        count = len(FINGERTIPS)
        if wrong := self._wrong_frame("fingertip goals are", frame):
            self._goal_problem = wrong
        elif positions.shape != (count, 3):
            self._goal_problem = f"{len(positions)} fingertip goals; expected {count}: {', '.join(FINGERTIPS)}"
        elif not np.isfinite(positions).all():
            self._goal_problem = "fingertip goals are not finite"
        else:
            self._goal_problem = self._out_of_reach(positions)
        if not self._goal_problem:
            self.goal = self.to_world(positions).ravel()
            self._goal_time = time

    def observe_object_goal(self, time: float, frame: str, pose: np.ndarray) -> None:
        """Take in how the object shall lie: position [m] and unit quaternion w, x, y, z, in the hand's base frame (7,).

        The quaternion's sign tells which way round the object is to be turned, as it does in training.
        """
        if wrong := self._wrong_frame("the object's goal is", frame):
            self._goal_problem = wrong
        elif not np.isfinite(pose).all():
            self._goal_problem = "the object's goal is not finite"
        else:
            self._goal_problem = self._out_of_hand(pose[:3])
        if not self._goal_problem:
            quaternion = rotations.multiply(self._base_quaternion, pose[3:])
            self.goal, self._goal_time = np.concatenate([self.to_world(pose[:3]), quaternion]), time

    def observe_object(self, time: float, frame: str, position: np.ndarray, rotation: np.ndarray) -> None:
        """Take in where the object is, in the hand's base frame: centre (3,) [m] and rotation (3, 3). Not finite:
        ignored."""
        if self.object is None or not np.isfinite([time, *position, *rotation.ravel()]).all():
            return
        self._object_problem = self._wrong_frame("the object is", frame) or self._fallen(position)
        if not self._object_problem:
            self.object.update(time, self.to_world(position), self._base_rotation @ rotation)

    def fingertips(self) -> np.ndarray:
        """Where the fingertips are, by the measured joints, in the policy's world (5, 3) [m]."""
        return self.to_world(self._kinematics.fingertips(self.positions))

    def to_world(self, positions: np.ndarray) -> np.ndarray:
        """Positions (..., 3) [m] in the hand's base frame, in the policy's world."""
        return positions @ self._base_rotation.T + self._base_position

    def ages(self, now: float) -> dict[str, float]:
        """Age of each measurement [s]; infinite before the first."""
        ages = {"joint_states": now - self._joint_time, "goal": now - self._goal_time}
        return ages if self.object is None else ages | {"object": self.object.age(now)}

    def unseen(self) -> str:
        """What a policy still waits for; empty if for nothing."""
        if self.object is not None and not np.isfinite(self.object.age(0.0)):
            return "the object has not been seen yet"
        of = "the fingertips" if self.object is None else "the object"
        return f"no goal for {of} yet" if self.goal is None else ""

    def stale(self, now: float) -> str:
        """Whether the object has not been seen for too long for a policy to go on; empty if not."""
        limit = self._timing.object_timeout
        if self.object is not None and (age := self.object.age(now)) > limit:
            return f"no camera has seen the object for {age:.2f} s (at most {limit} s)"
        return ""

    def _forget_object(self) -> None:
        if self.object is not None:
            self.object.reset()

    def _wrong_frame(self, what: str, frame: str) -> str:
        wanted = self._profile.base_frame
        return "" if frame == wanted else f"{what} in frame {frame!r}; expected {wanted!r}"

    def _fallen(self, position: np.ndarray) -> str:
        assert isinstance(self._contract, HandObjectContract), "others have no object"
        height, limit = float(self.to_world(position)[2]), self._contract.lost_height
        if height >= limit:
            return ""
        return f"the object has fallen off the palm: its height is {height:.3f} m (world frame; at least {limit} m)"

    def _out_of_hand(self, position: np.ndarray) -> str:
        """Why an object cannot be held at a position (3,) [m]; empty if it can, or if its position does not count."""
        assert isinstance(self._contract, HandObjectContract), "others have no object"
        low, high = self._reach[0].min(axis=0), self._reach[1].max(axis=0)
        if not self._contract.position_counts or bool(np.all((position >= low) & (position <= high))):
            return ""
        return (
            f"the object's goal {np.round(position, 3).tolist()} lies outside of where fingertips reach, "
            f"{np.round(low, 3).tolist()} ... {np.round(high, 3).tolist()} ({self._profile.base_frame}, m)"
        )

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
