"""All that one control period of an arm's policy computes: from measurements to a joint command.

Measurements arrive when they do, in `measured`; `tick` is called every control period. The way of the data is that of
the package: state estimate, contract, policy, inverse kinematics, safety. An `ArmController` knows nothing of ROS.

Where the arm has hidden the object from the camera for long, it goes back to the look pose until the object is seen.

Phases: `waiting` for inputs; `raising` the tool; `looking` from where the camera sees everything; `homing`; `running`
the policy; `holding` while something is wrong; `stopped` until re-armed.
"""

import mujoco
import numpy as np

from her_robot import contract as contracts
from her_robot.contract import FetchContract, RobotState
from her_robot.errors import BundleError, ConfigurationError
from her_robot.policy.bundle import PolicyBundle
from her_robot.robot.calibration import JointOffsets, Table
from her_robot.robot.grasp import closes_on, without_leaving
from her_robot.robot.gripper import GripperReference
from her_robot.robot.joint_controller import JointController, timed
from her_robot.robot.kinematics import Kinematics
from her_robot.robot.measurements import Measurements
from her_robot.robot.profile import RobotProfile
from her_robot.robot.safety import JointCommand, JointLimits, SafetyFilter
from her_robot.robot.workspace import workspace_over

_RAISE_SPEED = 0.4
"""Upward speed of the tool on its way to the look pose [m/s]."""
_CLEARANCE = 0.07
"""Above its lowest position, the tool passes over the object [m]."""
_SQUEEZE = 0.002
"""Fingers that are told to be nearer to each other than they are by more than this squeeze something [m]."""
_WALL_TOLERANCE = 0.001
"""The tool may be commanded to come to rest this far outside of the workspace [m]."""
_LIFT_ITERATIONS = 60
_LIFT_TOLERANCE = 0.002
"""Home and look poses fit a table of another height within this [m]."""


class ArmController(JointController):
    """Drives one arm with one policy."""

    _first_phase = "raising"

    def __init__(
        self, bundle: PolicyBundle, profile: RobotProfile, joint_offsets: JointOffsets, table: Table | None = None
    ) -> None:
        """
        Raises:
            BundleError: a policy of another robot, or a profile without home or look pose for the policy's task.
            ConfigurationError: the table is so high that the arm would start inside of it.
        """
        contract, task = bundle.contract, bundle.contract.task
        if not isinstance(contract, FetchContract):
            raise BundleError(f"robot {profile.name!r} is an arm, and {task} is no task of an arm")
        if task not in profile.home or task not in profile.look:
            raise BundleError(
                f"robot {profile.name!r} has no home and look pose for {task}; it has {', '.join(sorted(profile.home))}"
            )
        profile = profile.for_task(task)
        self.profile, self.contract = profile, contract
        self._kinematics = Kinematics(profile)
        limits = JointLimits(
            profile.position_low, profile.position_high, profile.velocity_limit, profile.acceleration_limit
        )
        super().__init__(bundle, SafetyFilter(limits, contract.control_period))
        gripper = profile.gripper
        self._gripper = GripperReference(
            gripper.closed_gap,
            gripper.open_gap,
            2 * gripper.finger_speed,
            gripper.lead,
            gripper.gain,
            self.contract.control_period,
        )
        self._offsets = np.array([joint_offsets.offsets.get(name, 0.0) for name in profile.joint_names])
        lift = _table_lift(contract, table)
        self._base_to_world = np.array(self.contract.base_position) - [0.0, 0.0, lift]
        self._workspace = workspace_over(profile.workspace, table, lift)
        self._home = self._lifted("home", np.array(profile.home[task]), lift)
        self._look = self._lifted("look", np.array(profile.look[task]), lift)
        self._look_height = float(self._kinematics.forward(self._look)[0][2])
        rotation = np.zeros(9)
        mujoco.mju_quat2Mat(rotation, np.array(profile.tool_rotation_wxyz))
        self._tool_rotation = rotation.reshape(3, 3)
        self.measured = Measurements(contract, profile, self._offsets, self._base_to_world)
        self.joint_names = profile.joint_names
        self.trajectory_topics = {profile.topics.joint_trajectory: slice(None)}

    def _measured_reference(self) -> np.ndarray:
        return self.measured.positions

    def _tracking_problem(self) -> str:
        error = np.abs(self.measured.positions - self.safety.positions)
        if error.max() <= self.profile.motion.tracking_tolerance:
            return ""
        name = self.profile.joint_names[int(error.argmax())]
        return f"the arm does not follow: {name} is {error.max():.2f} rad from where it was told to be"

    def _waits_for(self) -> str:
        unseen = self.measured.unseen() if self._phase == "looking" else []
        return f"not seen yet: {', '.join(unseen)}" if unseen else ""

    def _proceed(self, now: float, latency: dict[str, float]) -> JointCommand:
        if self._phase == "raising":
            if self._reference_height() < self._look_height - 1e-3:
                return self._raise(latency)
            self._phase = "looking"
        if self._phase != "running" and self.bundle.begins_open:
            self._open_empty_fingers()
        if self._phase == "looking":
            if self._is_at(self._look) and not self._waits_for():
                self._phase = "homing"
            else:
                return self.safety.approach(self._look, self.profile.motion.homing_speed)
        if self._phase == "homing":
            if not self._is_at(self._home):
                return self.safety.approach(self._home, self.profile.motion.homing_speed)
            self._phase, self.steps = "running", 0
        self.steps += 1
        if self.measured.lost_for(now) > self.profile.timing.object_hidden:
            return self._look_again(latency)
        return self._run(now, latency)

    def _look_again(self, latency: dict[str, float]) -> JointCommand:
        """Clear the object, then go to where the camera sees everything, until it sees the object."""
        if self._reference_height() < self._workspace.low[2] + _CLEARANCE:
            return self._raise(latency)
        return self.safety.approach(self._look, speed=1.0)

    def _raise(self, latency: dict[str, float]) -> JointCommand:
        return self._displace(np.array([0.0, 0.0, _RAISE_SPEED * self.contract.control_period]), latency)

    def _reference_height(self) -> float:
        """Height of the commanded tool position in base_link [m]."""
        return float(self._kinematics.forward(self.safety.positions)[0][2])

    def _run(self, now: float, latency: dict[str, float]) -> JointCommand:
        """One action of the policy."""
        with timed(latency, "estimate"):
            state = self._state(now)
            observation = contracts.observation(self.contract, state)[0]
        with timed(latency, "policy"):
            assert self.measured.goal is not None, "looking ends when the goal is known"
            action = self._act(now, observation, self.measured.goal)
        if not np.isfinite(action).all():
            self.stop("the policy's action is not finite")
            return self._brake()
        self._gripper.advance(action[3:], self.measured.fingers.sum(keepdims=True))
        gain = self.contract.action_scale * self.profile.motion.displacement_gain
        displacement = gain * np.clip(action[:3], -1.0, 1.0)
        if action[3] < 0.0 and state.object is not None and not self.contract.gripper_blocked:
            displacement = self._stay_until_held(displacement, state.grip_position[0] - state.object.position[0])
        return self._displace(displacement, latency)

    def _stay_until_held(self, displacement: np.ndarray, offset: np.ndarray) -> np.ndarray:
        """A displacement (3,) [m] that does not leave the object, `offset` (3,) [m] away, while fingers close on it."""
        gap, commanded = float(self.measured.fingers.sum()), float(self._gripper.gap[0])
        if not closes_on(offset, gap, commanded, self.measured.object.holding_gap):
            return displacement
        return without_leaving(displacement, offset)

    def _gripper_gap(self) -> float:
        """Gap to command [m]. Only a running policy changes it: what is held is held on, whatever the arm does."""
        if self.safety.started and not self._gripper.started:
            # What the fingers may already hold is squeezed rather than let go.
            self._gripper.start(self.measured.fingers.sum() - self.profile.gripper.lead)
        blocked = self.contract.gripper_blocked or not self._gripper.started
        return self.profile.gripper.closed_gap if blocked else float(self._gripper.gap[0])

    def _open_empty_fingers(self) -> None:
        """Open the fingers as far as their speed allows, unless they squeeze something."""
        gap = self.measured.fingers.sum(keepdims=True)
        if self._gripper.gap[0] > gap[0] - _SQUEEZE:
            self._gripper.advance(np.ones(1), gap)

    def _state(self, now: float) -> RobotState:
        """The present state in the contract's terms, as a batch of one."""
        measured = self.measured
        position, _ = self._kinematics.forward(measured.positions)
        velocity = self._kinematics.velocity(measured.positions, measured.velocities)
        grip_position = (position + self._base_to_world)[None]
        obj = None
        if self.contract.has_object:
            measured.object.carry(now, grip_position, measured.fingers.sum())
            obj = measured.object.state(now)
        return RobotState(grip_position, velocity[None], measured.fingers[None], measured.finger_velocities[None], obj)

    def _displace(self, displacement: np.ndarray, latency: dict[str, float]) -> JointCommand:
        """Move the tool by (3,) [m] in one period, within the workspace and near where it is measured to be."""
        lead = self.profile.motion.lead
        with timed(latency, "inverse_kinematics"):
            reference = self.safety.positions
            measured, _ = self._kinematics.forward(self.measured.positions)
            here, _ = self._kinematics.forward(reference)
            period, deceleration = self.contract.control_period, self.profile.motion.deceleration
            target = here + self._workspace.before_walls(here, displacement, deceleration, period)
            target = measured + np.clip(target - measured, -lead, lead)
            solution = self._kinematics.solve(reference, target, self._tool_rotation, posture=self._home)
        with timed(latency, "safety"):
            outside = max(self._workspace.distance_outside(here), _WALL_TOLERANCE)
            return self.safety.move(
                (solution - reference) / period,
                may_rest=lambda joints: (
                    self._workspace.distance_outside(self._kinematics.forward(joints)[0]) <= outside
                ),
            )

    def _lifted(self, kind: str, pose: np.ndarray, lift: float) -> np.ndarray:
        """Joint positions (n,) [rad] of a profile's pose with the tool `lift` higher [m].

        Raises:
            ConfigurationError: the arm cannot reach there, or the tool is too near the table.
        """
        position, rotation = self._kinematics.forward(pose)
        target = position + [0.0, 0.0, lift]
        if lift:
            pose = self._kinematics.solve(pose, target, rotation, posture=pose, iterations=_LIFT_ITERATIONS)
        error = np.linalg.norm(self._kinematics.forward(pose)[0] - target)
        if error > _LIFT_TOLERANCE or target[2] < self._workspace.low[2] - _LIFT_TOLERANCE:
            raise ConfigurationError(
                f"{kind}.{self.contract.task} of robot {self.profile.name!r} would have the tool at a height of "
                f"{target[2]:.3f} m in base_link, where it stays above {self._workspace.low[2]:.3f} m and has to be in "
                f"reach; see table_height in the calibration's table.yaml, and {kind} in the robot's profile"
            )
        return pose

    def _is_at(self, pose: np.ndarray) -> bool:
        tolerance = self.profile.motion.homing_tolerance
        return not self.safety.moving and bool(np.all(np.abs(self.measured.positions - pose) < tolerance))

    def _to_robot(self, command: JointCommand) -> JointCommand:
        positions = np.array([self.profile.to_robot(point) for point in command.positions]) - self._offsets
        velocities = command.velocities * self.profile.signs()
        return JointCommand(command.times, positions, velocities, command.clamped)


def _table_lift(contract: FetchContract, table: Table | None) -> float:
    """How much higher the table stands than the one that the task was learnt on [m]; 0 in tasks without an object."""
    learnt = contract.table_height
    return 0.0 if table is None or learnt is None else table.table_height - learnt
