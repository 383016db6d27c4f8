"""What all controllers have in common: they wait for measurements, hold while something is wrong, and stop when told.

A controller's state is its phase. What a robot does in the phases in which it works, its own controller says.
"""

import time as clock
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from her_robot.contract import goal_distance
from her_robot.policy.bundle import PolicyBundle
from her_robot.policy.episode_memory import EpisodeMemory
from her_robot.robot.measured_inputs import MeasuredInputs
from her_robot.robot.safety import JointCommand, SafetyFilter

_LONGEST_PAUSE = 3.5
"""What a policy remembers is of no use after so many control periods in which it did not act. A late tick or two are no
pause."""


@dataclass(frozen=True)
class Command:
    """What is to be sent after one tick. Without joints (no measurement yet), nothing is sent."""

    phase: str
    reason: str
    """Why the robot waits, holds or is stopped; empty while it works."""
    joints: JointCommand | None
    """In the robot's own joint convention."""
    gripper_gap: float | None
    """[m]; None for a robot without a gripper."""
    brakes: bool = False
    """Whether the robot is to brake and stay, because something is wrong or the policy shall not run. Such a command
    begins when it arrives: its time is not to be trusted to clocks that may disagree."""
    latency_ms: dict[str, float] = field(default_factory=dict)
    """Time that each stage took: estimate, policy, inverse_kinematics (of an arm), safety."""


class JointController(ABC):
    """Drives the joints of one robot with one policy."""

    measured: MeasuredInputs
    joint_names: tuple[str, ...]
    """The robot's names of what is commanded, in the order of a command."""
    trajectory_topics: dict[str, slice]
    """Which joints of a command go to which controller's topic."""
    _first_phase: str
    """In which the robot begins to move."""

    def __init__(self, bundle: PolicyBundle, safety: SafetyFilter) -> None:
        self.bundle, self.safety = bundle, safety
        self._memory, self._remembered_goal = bundle.memory(), np.zeros(bundle.contract.goal_size)
        self._phase = self._phase_before_hold = "waiting"
        self.steps = 0
        """Control periods since the policy last began to run."""
        self.holds = 0
        """Times that the robot began to hold because something was wrong."""
        self._last_tick = self._last_action = -np.inf

    @property
    def stopped(self) -> bool:
        """Whether a stop is latched."""
        return bool(self.safety.stop_reason)

    def forget(self) -> None:
        """Forget measurements and goal, and begin anew. A latched stop stays."""
        self.measured.reset()
        self._phase = "waiting"
        self._last_tick = self._last_action = -np.inf
        self.steps = 0

    def stop(self, reason: str) -> None:
        """Latch a stop."""
        self.safety.stop(reason)

    def rearm(self) -> None:
        """Release a latched stop. The robot comes to rest, and starts anew."""
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
            self.safety.start(self._measured_reference())
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

    @abstractmethod
    def _measured_reference(self) -> np.ndarray:
        """Where the joints that the safety filter keeps are measured to be (n,) [rad]."""

    @abstractmethod
    def _proceed(self, now: float, latency: dict[str, float]) -> JointCommand:
        """One tick of a phase in which the robot moves."""

    @abstractmethod
    def _to_robot(self, command: JointCommand) -> JointCommand:
        """A command in the robot's own joint convention."""

    @abstractmethod
    def _waits_for(self) -> str:
        """What the robot could go on with; empty if with nothing."""

    def _act(self, now: float, observation: np.ndarray, goal: np.ndarray) -> np.ndarray:
        """The policy's action (n,) for an observation and a goal, as the contract has them."""
        return self.bundle.act(observation, goal, self._memory_at(now, goal))

    def _memory_at(self, now: float, goal: np.ndarray) -> EpisodeMemory:
        """What the policy remembers. An episode begins anew after a pause, whatever the reason, and when the goal has
        gone elsewhere: in training an episode had one goal. Noise of the camera is no other goal."""
        contract = self.bundle.contract
        paused = now - self._last_action > _LONGEST_PAUSE * contract.control_period
        if paused or goal_distance(contract, goal, self._remembered_goal) > contract.success_threshold:
            self._memory.reset()
            self._remembered_goal = goal
            self._begin_episode()
        self._last_action = now
        return self._memory

    def _begin_episode(self) -> None:  # noqa: B027, a controller may have nothing else
        """What else begins anew with what the policy remembers."""

    def _gripper_gap(self) -> float | None:
        return None

    def _tracking_problem(self) -> str:
        """Why the robot is not where it was told to be; empty if it is."""
        return ""

    def _problem(self, now: float) -> str:
        """Why nothing may move now; empty if nothing is wrong."""
        if self.stopped:
            return self.safety.stop_reason
        if problem := self.measured.problem(now):
            return problem
        if self._phase != "waiting" and (problem := self._tracking_problem()):
            return problem
        return self.measured.stale(now) if self._phase in ("running", "holding") else ""

    def _brake(self) -> JointCommand:
        if self.stopped:
            self._phase = "stopped"
        elif self._phase not in ("holding", "waiting"):
            self._phase_before_hold = self._phase
            self._phase = "holding"
            self.holds += 1
        return self.safety.brake()

    def _work(self, now: float, latency: dict[str, float]) -> JointCommand:
        """One tick in which nothing is wrong."""
        if self._phase == "holding":
            self._phase = self._phase_before_hold
        if self._phase in ("waiting", "stopped"):
            if self.safety.moving:
                return self.safety.brake()
            self.safety.start(self._measured_reference())
            self._phase = self._first_phase
        return self._proceed(now, latency)


@contextmanager
def timed(latency: dict[str, float], stage: str) -> Iterator[None]:
    """Put down in `latency` how long a stage took [ms]."""
    begun = clock.perf_counter()
    yield
    latency[stage] = 1e3 * (clock.perf_counter() - begun)
