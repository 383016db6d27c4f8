"""All that one control period of a policy of the hand computes: from measurements to positions of the joints.

Measurements arrive when they do, in `measured`; `tick` is called every control period. An action is a set of targets
for the joints, so there is no inverse kinematics: contract, policy, joint targets, safety.

Phases: `waiting` for joint states; `homing`; `looking` for object and goal; `running` the policy; `holding` while
something is wrong; `stopped` until re-armed.
"""

import numpy as np

from her_robot import contract as contracts
from her_robot.contract import HandContract, HandState, goal_distance, joint_targets, term_slice
from her_robot.errors import BundleError
from her_robot.policy.bundle import PolicyBundle
from her_robot.robot.calibration import JointOffsets
from her_robot.robot.hand_joints import ACTUATORS, HandJoints, SlowSprings, TendonPlay
from her_robot.robot.hand_kinematics import HandKinematics
from her_robot.robot.hand_measurements import HandMeasurements
from her_robot.robot.hand_profile import HandProfile
from her_robot.robot.joint_controller import JointController, timed
from her_robot.robot.nudge import Nudge
from her_robot.robot.safety import JointCommand, SafetyFilter

_MEASURED = ("joint_pos", "joint_vel", "fingertip_pos", "object_linear_vel", "object_angular_vel", "object_pose")
"""Terms of an observation that the controller can fill."""


class HandController(JointController):
    """Drives one hand with one policy."""

    _first_phase = "homing"

    def __init__(self, bundle: PolicyBundle, profile: HandProfile, joint_offsets: JointOffsets) -> None:
        """
        Raises:
            BundleError: a policy of another robot, or one that needs what this hand does not measure.
        """
        contract = bundle.contract
        if not isinstance(contract, HandContract):
            raise BundleError(f"robot {profile.name!r} is a hand, and {contract.task} is no task of a hand")
        unmeasured = [term.name for term in contract.observation if term.name not in _MEASURED]
        if unmeasured:
            raise BundleError(
                f"{contract.task} observes {', '.join(unmeasured)}, which no node measures for a hand yet"
            )
        self.profile, self.contract = profile, contract
        self._joints = HandJoints(profile, joint_offsets.offsets)
        self._kinematics = HandKinematics(profile)
        self.measured = HandMeasurements(contract, profile, self._joints, self._kinematics)
        self.joint_names = profile.command_names
        self.trajectory_topics = _columns(profile)
        home = profile.object_home if contract.has_object else profile.home
        self._home = np.array([home.get(name, 0.0) for name in ACTUATORS])
        self._springs = SlowSprings(contract.control_period)
        self._tendons = TendonPlay(profile, self._joints)
        self._limits = self._joints.limits()
        self._nudge = Nudge(profile.motion.nudge, contract.action_size, contract.control_period)
        super().__init__(bundle, SafetyFilter(self._limits, contract.control_period, together=False))

    def _measured_reference(self) -> np.ndarray:
        return self._joints.actuated(self.measured.positions)

    def _waits_for(self) -> str:
        return self.measured.unseen() if self._phase == "looking" else ""

    def _proceed(self, now: float, latency: dict[str, float]) -> JointCommand:
        if self._phase == "homing" and self._is_home():
            self._phase = "looking"
        if self._phase == "looking" and not self._waits_for():
            self._phase, self.steps = "running", 0
            self._springs.start(self._measured_reference())
            self._tendons.start(self.measured.positions)
        if self._phase != "running":
            return self.safety.approach(self._home, self.profile.motion.homing_speed)
        self.steps += 1
        return self._run(now, latency)

    def _run(self, now: float, latency: dict[str, float]) -> JointCommand:
        """One action of the policy."""
        measured = self.measured
        with timed(latency, "estimate"):
            seen = None if measured.object is None else measured.object.state(now)
            state = HandState(measured.positions, measured.velocities, measured.fingertips(), seen)
            observation = contracts.observation(self.contract, state)
        with timed(latency, "policy"):
            assert measured.goal is not None, "looking ends when the goal is known"
            action = self._act(now, observation, measured.goal)
            if self.contract.has_object:
                action = self._nudged(action, observation, measured.goal)
        if not np.isfinite(action).all():
            self.stop("the policy's action is not finite")
            return self._brake()
        with timed(latency, "safety"):
            targets = self._as_trained(joint_targets(self.contract, np.clip(action, -1.0, 1.0), measured.positions))
            here, lead = self._measured_reference(), self.profile.motion.lead
            return self.safety.approach(here + np.clip(targets - here, -lead, lead), speed=1.0)

    def _begin_episode(self) -> None:
        self._nudge.start()

    def _nudged(self, action: np.ndarray, observation: np.ndarray, goal: np.ndarray) -> np.ndarray:
        """The action, and what is added to it where the object has come to a standstill: the policy remembers that as
        it remembers exploration."""
        achieved = observation[term_slice(self.contract, self.contract.goal.name)]
        distance = float(goal_distance(self.contract, achieved, goal)) / self.contract.success_threshold
        action = np.clip(action + self._nudge.advance(distance), -1.0, 1.0)
        self._memory.correct(action)
        return action

    def _as_trained(self, targets: np.ndarray) -> np.ndarray:
        """Where joints of the simulation, with slow and weak springs and tendons with play, would be on the way to
        `targets` (20,) [rad]."""
        if self.profile.motion.lags_as_trained:
            targets = self._springs.advance(targets)
        if self.profile.motion.sags_as_trained:
            targets = targets - self._kinematics.sag(self.measured.positions)
        return np.clip(self._tendons.advance(targets), self._limits.position_low, self._limits.position_high)

    def _is_home(self) -> bool:
        """Near enough: what a finger lies on, or a weak wrist, keeps it from where it was told to be."""
        error = np.abs(self._measured_reference() - self._home)
        return not self.safety.moving and bool(np.all(error < self.profile.motion.homing_tolerance))

    def _to_robot(self, command: JointCommand) -> JointCommand:
        positions, velocities = self._joints.to_hand(command.positions, command.velocities)
        return JointCommand(command.times, positions, velocities, command.clamped)


def _columns(profile: HandProfile) -> dict[str, slice]:
    """Which joints of a command each controller takes."""
    columns, begin = {}, 0
    for controller in profile.controllers:
        columns[controller.topic] = slice(begin, begin + len(controller.joints))
        begin += len(controller.joints)
    return columns
