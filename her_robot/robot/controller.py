"""All that one control period of a deployed policy computes: from measurements to a joint command.

Measurements arrive when they do, in `measured`; `tick` is called every control period. The way of the data is that of
the package: state estimate, contract, policy, inverse kinematics, safety. A `PolicyController` knows nothing of ROS.

Where the arm has hidden the object from the camera for long, it goes back to the look pose until the object is seen.

Phases: `waiting` for inputs; `raising` the tool; `looking` from where the camera sees everything; `homing`; `running`
the policy; `holding` while something is wrong; `stopped` until re-armed.
"""

import time as clock
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import mujoco
import numpy as np

from her_robot import contract as contracts
from her_robot.contract import RobotState
from her_robot.errors import BundleError, ConfigurationError
from her_robot.policy.bundle import PolicyBundle
from her_robot.policy.episode_memory import EpisodeMemory
from her_robot.robot.calibration import JointOffsets, Table, load_calibration
from her_robot.robot.gripper import GripperReference
from her_robot.robot.kinematics import Kinematics
from her_robot.robot.measurements import Measurements
from her_robot.robot.profile import RobotProfile, load_profile
from her_robot.robot.safety import JointCommand, JointLimits, SafetyFilter
from her_robot.robot.workspace import workspace_over

_RAISE_SPEED = 0.4
"""Upward speed of the tool on its way to the look pose [m/s]."""
_CLEARANCE = 0.07
"""Above its lowest position, the tool passes over the object [m]."""
_WALL_TOLERANCE = 0.001
"""The tool may be commanded to come to rest this far outside of the workspace [m]."""
_LIFT_ITERATIONS = 60
_LONGEST_PAUSE = 3.5
"""What a policy remembers is of no use after so many control periods in which it did not act. A late tick or two are no
pause."""
_LIFT_TOLERANCE = 0.002
"""Home and look poses fit a table of another height within this [m]."""


@dataclass(frozen=True)
class Command:
    """What is to be sent after one tick. Without joints (no measurement yet), nothing is sent."""

    phase: str
    reason: str
    """Why the arm waits, holds or is stopped; empty while it works."""
    joints: JointCommand | None
    """In the robot's own joint convention."""
    gripper_gap: float
    """[m]."""
    brakes: bool = False
    """Whether the arm is to brake and stay, because something is wrong or the policy shall not run. Such a command
    begins when it arrives: its time is not to be trusted to clocks that may disagree."""
    latency_ms: dict[str, float] = field(default_factory=dict)
    """Time that each stage took: estimate, policy, inverse_kinematics, safety."""


class PolicyController:
    """Drives one arm with one policy."""

    def __init__(
        self, bundle: PolicyBundle, profile: RobotProfile, joint_offsets: JointOffsets, table: Table | None = None
    ) -> None:
        """
        Raises:
            BundleError: the profile has no home or look pose for the policy's task.
            ConfigurationError: the table is so high that the arm would start inside of it.
        """
        task = bundle.contract.task
        if task not in profile.home or task not in profile.look:
            raise BundleError(
                f"robot {profile.name!r} has no home and look pose for {task}; it has {', '.join(sorted(profile.home))}"
            )
        profile = profile.for_task(task)
        self.bundle, self.profile, self.contract = bundle, profile, bundle.contract
        self._memory, self._remembered_goal = bundle.memory(), np.zeros(self.contract.goal_size)
        self._kinematics = Kinematics(profile)
        limits = JointLimits(
            profile.position_low, profile.position_high, profile.velocity_limit, profile.acceleration_limit
        )
        self.safety = SafetyFilter(limits, self.contract.control_period)
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
        lift = _table_lift(bundle, table)
        self._base_to_world = np.array(self.contract.base_position) - [0.0, 0.0, lift]
        self._workspace = workspace_over(profile.workspace, table, lift)
        self._home = self._lifted("home", np.array(profile.home[task]), lift)
        self._look = self._lifted("look", np.array(profile.look[task]), lift)
        self._look_height = float(self._kinematics.forward(self._look)[0][2])
        rotation = np.zeros(9)
        mujoco.mju_quat2Mat(rotation, np.array(profile.tool_rotation_wxyz))
        self._tool_rotation = rotation.reshape(3, 3)
        self.measured = Measurements(self.contract, profile, self._offsets, self._base_to_world)
        self._phase = self._phase_before_hold = "waiting"
        self.steps = 0
        """Control periods since the policy last began to run."""
        self.holds = 0
        """Times that the arm began to hold because something was wrong."""
        self.forget()

    @property
    def stopped(self) -> bool:
        """Whether a stop is latched."""
        return bool(self.safety.stop_reason)

    def forget(self) -> None:
        """Forget measurements, object and goal, and begin again with looking. A latched stop stays."""
        self.measured.reset()
        self._phase = "waiting"
        self._last_tick = self._last_action = -np.inf
        self.steps = 0

    def stop(self, reason: str) -> None:
        """Latch a stop."""
        self.safety.stop(reason)

    def rearm(self) -> None:
        """Release a latched stop. The arm comes to rest, and starts anew with looking."""
        self.safety.rearm()
        self._phase = "waiting"

    def tick(self, now: float) -> Command:
        """What to send at time `now` [s], on the clock of the measurements."""
        if now < self._last_tick:
            self.forget()
        self._last_tick = now
        latency: dict[str, float] = {}
        self.measured.refuse_those_of_another_clock(now)
        reason = self._problem(now)
        if not self.safety.started:
            if self.measured.joint_problem:
                return Command("waiting", self.measured.joint_problem, None, self._gripper_gap())
            self.safety.start(self.measured.positions)
        if not self._gripper.started:
            # What the fingers may already hold is squeezed rather than let go.
            self._gripper.start(self.measured.fingers.sum() - self.profile.gripper.lead)
        joints = self._brake() if reason else self._work(now, latency)
        phase = self._phase
        waits_for = reason or self.safety.stop_reason or self._waits_for()
        return Command(phase, waits_for, self._to_robot(joints), self._gripper_gap(), bool(reason), latency)

    def hold(self) -> Command:
        """What to send when the policy shall not run: brake and stay."""
        if not self.safety.started:
            return Command("waiting", "not active", None, self._gripper_gap())
        self._phase = "waiting"
        command = self.safety.brake()
        # Nothing follows this command, and it ends at rest: so does the reference.
        self.safety.start(command.positions[-1])
        return Command("holding", "not active", self._to_robot(command), self._gripper_gap(), brakes=True)

    def _problem(self, now: float) -> str:
        """Why nothing may move now; empty if nothing is wrong."""
        if self.stopped:
            return self.safety.stop_reason
        if problem := self.measured.problem(now):
            return problem
        if self._phase != "waiting":
            error = np.abs(self.measured.positions - self.safety.positions)
            if error.max() > self.profile.motion.tracking_tolerance:
                name = self.profile.joint_names[int(error.argmax())]
                return f"the arm does not follow: {name} is {error.max():.2f} rad from where it was told to be"
        return self.measured.stale(now) if self._phase in ("running", "holding") else ""

    def _waits_for(self) -> str:
        unseen = self.measured.unseen() if self._phase == "looking" else []
        return f"not seen yet: {', '.join(unseen)}" if unseen else ""

    def _brake(self) -> JointCommand:
        if self.stopped:
            self._phase = "stopped"
        elif self._phase not in ("holding", "waiting"):
            self._phase_before_hold = self._phase
            self._phase = "holding"
            self.holds += 1
        return self.safety.brake()

    def _work(self, now: float, latency: dict[str, float]) -> JointCommand:
        """One tick of a phase in which the arm may move."""
        if self._phase == "holding":
            self._phase = self._phase_before_hold
        if self._phase in ("waiting", "stopped"):
            if self.safety.moving:
                return self.safety.brake()
            self.safety.start(self.measured.positions)
            self._phase = "raising"
        if self._phase == "raising":
            if self._reference_height() < self._look_height - 1e-3:
                return self._raise(latency)
            self._phase = "looking"
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
        with _timed(latency, "estimate"):
            state = self._state(now)
            observation = contracts.observation(self.contract, state)[0]
        with _timed(latency, "policy"):
            assert self.measured.goal is not None, "looking ends when the goal is known"
            action = self.bundle.act(observation, self.measured.goal, self._memory_at(now, self.measured.goal))
        if not np.isfinite(action).all():
            self.stop("the policy's action is not finite")
            return self._brake()
        self._gripper.advance(action[3:], self.measured.fingers.sum(keepdims=True))
        gain = self.contract.action_scale * self.profile.motion.displacement_gain
        return self._displace(gain * np.clip(action[:3], -1.0, 1.0), latency)

    def _memory_at(self, now: float, goal: np.ndarray) -> EpisodeMemory:
        """What the policy remembers. An episode begins anew after a pause, whatever the reason, and when the goal (3,)
        has gone elsewhere: in training an episode had one goal. Noise of the camera is no other goal."""
        paused = now - self._last_action > _LONGEST_PAUSE * self.contract.control_period
        if (
            paused
            or contracts.goal_distance(self.contract, goal, self._remembered_goal) > self.contract.success_distance
        ):
            self._memory.reset()
            self._remembered_goal = goal
        self._last_action = now
        return self._memory

    def _gripper_gap(self) -> float:
        """Gap to command [m]. Only a running policy changes it: what is held is held on, whatever the arm does."""
        blocked = self.contract.gripper_blocked or not self._gripper.started
        return self.profile.gripper.closed_gap if blocked else float(self._gripper.gap[0])

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
        with _timed(latency, "inverse_kinematics"):
            reference = self.safety.positions
            measured, _ = self._kinematics.forward(self.measured.positions)
            here, _ = self._kinematics.forward(reference)
            period, deceleration = self.contract.control_period, self.profile.motion.deceleration
            target = here + self._workspace.before_walls(here, displacement, deceleration, period)
            target = measured + np.clip(target - measured, -lead, lead)
            solution = self._kinematics.solve(reference, target, self._tool_rotation, posture=self._home)
        with _timed(latency, "safety"):
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


def load_controller(task: str, policy: str | Path, robot: str, calibration: str) -> PolicyController:
    """A controller of named parts: a bundle's folder, a robot profile, a calibration.

    Raises:
        HerRobotError: any of them is missing, damaged, or does not fit the task.
    """
    bundle = PolicyBundle.load(Path(policy), task)
    parts = load_calibration(calibration, task)
    return PolicyController(bundle, load_profile(robot), parts.joint_offsets, parts.table)


def _table_lift(bundle: PolicyBundle, table: Table | None) -> float:
    """How much higher the table stands than the one that the task was learnt on [m]; 0 in tasks without an object."""
    learnt = bundle.contract.table_height
    return 0.0 if table is None or learnt is None else table.table_height - learnt


@contextmanager
def _timed(latency: dict[str, float], stage: str) -> Iterator[None]:
    begun = clock.perf_counter()
    yield
    latency[stage] = 1e3 * (clock.perf_counter() - begun)
