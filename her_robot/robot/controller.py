"""All that one control period of a deployed policy computes: from measurements to a joint command.

Measurements arrive when they do; `tick` is called every control period. The way of the data is that of the package:
state estimate, contract, policy, inverse kinematics, safety. A `PolicyController` knows nothing of ROS.

Where the arm has hidden the object from the camera for long, it goes back to the look pose until the object is seen.

Phases: `waiting` for inputs; `raising` the tool; `looking` from where the camera sees everything; `homing`; `running`
the policy; `holding` while something is wrong; `stopped` until re-armed.
"""

import time as clock
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import mujoco
import numpy as np

from her_robot import contract as contracts
from her_robot.contract import RobotState
from her_robot.errors import BundleError, ConfigurationError
from her_robot.policy.bundle import PolicyBundle
from her_robot.robot.calibration import JointOffsets, Table, load_calibration
from her_robot.robot.estimation import PoseTracker, VelocityFilter
from her_robot.robot.kinematics import Kinematics
from her_robot.robot.profile import RobotProfile, load_profile
from her_robot.robot.safety import JointCommand, JointLimits, SafetyFilter, braking_speed

_RAISE_SPEED = 0.4
"""Upward speed of the tool on its way to the look pose [m/s]."""
_CLEARANCE = 0.07
"""Above its lowest position, the tool passes over the object [m]."""
_LIFT_ITERATIONS = 60
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
        self.bundle, self.profile, self.contract = bundle, profile, bundle.contract
        self._kinematics = Kinematics(profile)
        limits = JointLimits(
            profile.position_low, profile.position_high, profile.velocity_limit, profile.acceleration_limit
        )
        self.safety = SafetyFilter(limits, self.contract.control_period)
        self._offsets = np.array([joint_offsets.offsets.get(name, 0.0) for name in profile.joint_names])
        lift = _table_lift(bundle, table)
        self._base_to_world = np.array(self.contract.base_position) - [0.0, 0.0, lift]
        self._workspace_low, self._workspace_high = _workspace(profile, table, lift)
        self._home = self._lifted("home", np.array(profile.home[task]), lift)
        self._look = self._lifted("look", np.array(profile.look[task]), lift)
        self._look_height = float(self._kinematics.forward(self._look)[0][2])
        rotation = np.zeros(9)
        mujoco.mju_quat2Mat(rotation, np.array(profile.tool_rotation_wxyz))
        self._tool_rotation = rotation.reshape(3, 3)
        self._object = PoseTracker()
        self._velocity_filter = VelocityFilter()
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
        self._joint_time = -np.inf
        self._joint_problem = "no joint states yet"
        self._measured = np.zeros(len(self.profile.joints))
        self._measured_velocities = np.zeros_like(self._measured)
        self._fingers = np.zeros(2)
        self._finger_velocities = np.zeros(2)
        self._velocity_filter.reset()
        self._object.reset()
        self._object_problem = ""
        self._goal: np.ndarray | None = None
        self._goal_time = -np.inf
        self._goal_problem = ""
        self._phase = "waiting"
        self._last_tick = -np.inf
        self.steps = 0

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
        wanted = (*self.profile.joint_names, *self.profile.gripper.joints)
        missing = [name for name in wanted if name not in index]
        if missing:
            self._joint_problem = f"joint states lack {', '.join(missing)}"
            return
        if len(positions) != len(names):
            self._joint_problem = f"joint states have {len(positions)} positions for {len(names)} names"
            return
        order = [index[name] for name in wanted]
        values = np.array([positions[i] for i in order], dtype=np.float64)
        if not np.isfinite(values).all():
            bad = [name for name, value in zip(wanted, values, strict=True) if not np.isfinite(value)]
            self._joint_problem = f"joint states are not finite: {', '.join(bad)}"
            return
        estimated = self._velocity_filter.update(time, values)
        rates = np.array([velocities[i] for i in order]) if len(velocities) == len(names) else estimated
        rates = np.where(np.isfinite(rates), rates, estimated)
        arm = len(self.profile.joints)
        self._joint_problem, self._joint_time = "", time
        self._measured = self.profile.from_robot(values[:arm] + self._offsets)
        self._measured_velocities = rates[:arm] * self.profile.signs()
        self._fingers, self._finger_velocities = values[arm:], rates[arm:]

    def observe_object(self, time: float, position: np.ndarray, rotation: np.ndarray) -> None:
        """Take in where the object is: centre (3,) [m] and rotation (3, 3), in base_link. Not finite: ignored."""
        if np.isfinite(time) and np.isfinite(position).all() and np.isfinite(rotation).all():
            position = position + self._base_to_world
            self._object_problem = ""
            self._object.update(np.array([True]), np.array([time]), position[None], rotation[None])

    def observe_goal(self, time: float, position: np.ndarray) -> None:
        """Take in the goal (3,) in base_link [m]. One outside of what the task can ask for is refused, and so holds."""
        if not (np.isfinite(time) and np.isfinite(position).all()):
            return
        goal = position + self._base_to_world
        margin = self.profile.workspace.goal_margin
        low, high = np.array(self.contract.goal_low) - margin, np.array(self.contract.goal_high) + margin
        self._goal_problem = ""
        if np.any(goal < low) or np.any(goal > high):
            self._goal_problem = (
                f"goal {np.round(goal, 3).tolist()} lies outside of the workspace "
                f"{np.round(low, 3).tolist()} ... {np.round(high, 3).tolist()} (world frame, m)"
            )
            return
        self._goal, self._goal_time = goal, time

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
        self._refuse_inputs_of_another_clock(now)
        reason = self._problem(now)
        if not self.safety.started:
            if self._joint_problem:
                return Command("waiting", self._joint_problem, None, self.profile.gripper.closed_gap)
            self.safety.start(self._measured)
        joints = self._brake() if reason else self._work(now, latency)
        phase = self._phase
        waits_for = reason or self.safety.stop_reason or self._waits_for()
        return Command(phase, waits_for, self._to_robot(joints), self.profile.gripper.closed_gap, latency)

    def hold(self) -> Command:
        """What to send when the policy shall not run: brake and stay."""
        if not self.safety.started:
            return Command("waiting", "not active", None, self.profile.gripper.closed_gap)
        self._phase = "waiting"
        command = self.safety.brake()
        # Nothing follows this command, and it ends at rest: so does the reference.
        self.safety.start(command.positions[-1])
        return Command("holding", "not active", self._to_robot(command), self.profile.gripper.closed_gap)

    def ages(self, now: float) -> dict[str, float]:
        """Age of each input [s]; infinite before the first."""
        return {
            "joint_states": now - self._joint_time,
            "object": float(self._object.age(now)[0]) if self.contract.has_object else 0.0,
            "goal": now - self._goal_time,
        }

    def _refuse_inputs_of_another_clock(self, now: float) -> None:
        """Forget what is stamped ahead of `now`: it would never grow old."""
        ahead = {name: -age for name, age in self.ages(now).items()}
        reason = "{} stamped {:.2f} s ahead of this node's clock: do sender and node use the same clock?"
        if ahead["joint_states"] > self.profile.timing.clock_tolerance:
            self._joint_problem = reason.format("joint states are", ahead["joint_states"])
            self._joint_time = -np.inf
            self._velocity_filter.reset()
        if ahead["object"] > self.profile.timing.clock_tolerance:
            self._object_problem = reason.format("the object is", ahead["object"])
            self._object.reset()
        if ahead["goal"] > self.profile.timing.clock_tolerance:
            self._goal_problem = reason.format("the goal is", ahead["goal"])
            self._goal, self._goal_time = None, -np.inf

    def _problem(self, now: float) -> str:
        """Why nothing may move now; empty if nothing is wrong."""
        timing, ages = self.profile.timing, self.ages(now)
        if self.stopped:
            return self.safety.stop_reason
        if self._joint_problem:
            return self._joint_problem
        if ages["joint_states"] > timing.joint_states_timeout:
            return f"joint states are {ages['joint_states']:.2f} s old (at most {timing.joint_states_timeout} s)"
        if self._goal_problem or self._object_problem:
            return self._goal_problem or self._object_problem
        if self._phase != "waiting":
            error = np.abs(self._measured - self.safety.positions)
            if error.max() > self.profile.motion.tracking_tolerance:
                name = self.profile.joint_names[int(error.argmax())]
                return f"the arm does not follow: {name} is {error.max():.2f} rad from where it was told to be"
        if self._phase in ("running", "holding"):
            if ages["goal"] > timing.goal_timeout:
                return f"the goal was seen {ages['goal']:.2f} s ago (at most {timing.goal_timeout} s)"
            if ages["object"] > timing.object_timeout:
                return f"the object was seen {ages['object']:.2f} s ago (at most {timing.object_timeout} s)"
        return ""

    def _waits_for(self) -> str:
        if self._phase != "looking":
            return ""
        unseen = [] if self._goal is not None else ["goal"]
        if self.contract.has_object and not np.isfinite(self._object.age(0.0)[0]):
            unseen.append("object")
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
            self.safety.start(self._measured)
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
        if self.ages(now)["object"] > self.profile.timing.object_hidden:
            return self._look_again(latency)
        return self._run(now, latency)

    def _look_again(self, latency: dict[str, float]) -> JointCommand:
        """Clear the object, then go to where the camera sees everything, until it sees the object."""
        if self._reference_height() < self._workspace_low[2] + _CLEARANCE:
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
            assert self._goal is not None, "looking ends when the goal is known"
            action = self.bundle.act(observation, self._goal)
        if not np.isfinite(action).all():
            self.stop("the policy's action is not finite")
            return self._brake()
        gain = self.contract.action_scale * self.profile.motion.displacement_gain
        return self._displace(gain * np.clip(action[:3], -1.0, 1.0), latency)

    def _state(self, now: float) -> RobotState:
        """The present state in the contract's terms, as a batch of one."""
        position, _ = self._kinematics.forward(self._measured)
        velocity = self._kinematics.velocity(self._measured, self._measured_velocities)
        grip_position = (position + self._base_to_world)[None]
        obj = None
        if self.contract.has_object:
            self._object.carry(now, grip_position)
            obj = self._object.state(now)
        return RobotState(grip_position, velocity[None], self._fingers[None], self._finger_velocities[None], obj)

    def _displace(self, displacement: np.ndarray, latency: dict[str, float]) -> JointCommand:
        """Move the tool by (3,) [m] in one period, within the workspace and near where it is measured to be."""
        lead = self.profile.motion.lead
        with _timed(latency, "inverse_kinematics"):
            reference = self.safety.positions
            measured, _ = self._kinematics.forward(self._measured)
            here, _ = self._kinematics.forward(reference)
            target = np.clip(here + self._before_walls(here, displacement), self._workspace_low, self._workspace_high)
            target = measured + np.clip(target - measured, -lead, lead)
            solution = self._kinematics.solve(reference, target, self._tool_rotation, posture=self._home)
        with _timed(latency, "safety"):
            return self.safety.move((solution - reference) / self.contract.control_period)

    def _before_walls(self, position: np.ndarray, displacement: np.ndarray) -> np.ndarray:
        """A displacement (3,) [m] after which the tool can still brake within the workspace."""
        period, deceleration = self.contract.control_period, self.profile.motion.deceleration
        return np.clip(
            displacement,
            -braking_speed(position - self._workspace_low, deceleration, period) * period,
            braking_speed(self._workspace_high - position, deceleration, period) * period,
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
        if error > _LIFT_TOLERANCE or target[2] < self._workspace_low[2] - _LIFT_TOLERANCE:
            raise ConfigurationError(
                f"{kind}.{self.contract.task} of robot {self.profile.name!r} would have the tool at a height of "
                f"{target[2]:.3f} m in base_link, where it stays above {self._workspace_low[2]:.3f} m and has to be in "
                f"reach; see table_height in the calibration's table.yaml, and {kind} in the robot's profile"
            )
        return pose

    def _is_at(self, pose: np.ndarray) -> bool:
        tolerance = self.profile.motion.homing_tolerance
        return not self.safety.moving and bool(np.all(np.abs(self._measured - pose) < tolerance))

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
    parts = load_calibration(calibration)
    return PolicyController(bundle, load_profile(robot), parts.joint_offsets, parts.table)


def _table_lift(bundle: PolicyBundle, table: Table | None) -> float:
    """How much higher the table stands than the one that the task was learnt on [m]; 0 in tasks without an object."""
    learnt = bundle.contract.table_height
    return 0.0 if table is None or learnt is None else table.table_height - learnt


def _workspace(profile: RobotProfile, table: Table | None, lift: float) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest corner of the box that the tool stays in, in base_link, each (3,) [m]."""
    low, high = np.array(profile.workspace.low), np.array(profile.workspace.high)
    if table is not None:
        low[2] = table.table_height + profile.workspace.table_clearance
    return low, high + [0.0, 0.0, lift]


@contextmanager
def _timed(latency: dict[str, float], stage: str) -> Iterator[None]:
    begun = clock.perf_counter()
    yield
    latency[stage] = 1e3 * (clock.perf_counter() - begun)
