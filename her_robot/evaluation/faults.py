"""Faults on a schedule, what has to happen, and whether it did. Times count from when the policy begins to run [s]."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from her_robot import configuration, resources
from her_robot.contract import Contract, HandObjectContract
from her_robot.errors import UnknownNameError
from her_robot.sim.faults import FAULTS, RobotFault

CAMERA_NODE = "camera_node"
"""The node that finds object and goal in images, whatever it is called for a robot."""
NODES = (CAMERA_NODE, "policy_node")
"""Those that can be killed."""
LOOP_FAULTS = {
    "node_killed": "the process of `node` is killed, and started again at the end",
    "clock_jump": "/clock jumps by `by` [s] against the robot's clock, and back at the end; lockstep only",
    "stop_requested": "a stop is requested, and released at the end",
}
"""Faults of the loop around the robot, by kind."""
KINDS = FAULTS | LOOP_FAULTS

Expectation = Literal["hold", "stop", "carry_on"]

_STILL_TIPS = 0.002
"""An arm's tool, or fingertips, that stay within this stand still [m]."""
_STILL_REFERENCE = 0.001
"""Trajectories whose ends stay within this hold the robot where it is [rad]."""
_ROUNDING = 1e-6


@dataclass(frozen=True)
class FaultEvent:
    """One fault, and what has to happen."""

    kind: str
    """One of `KINDS`."""
    at: float
    """When it begins [s]."""
    lasts: float
    """[s]."""
    expect: Expectation
    """`hold`: the robot stands still, and no trajectory moves it; `stop`: the same, latched; `carry_on`: the policy
    runs on."""
    within: float = 0.0
    """The robot has to stand still so long after the beginning, and until the end [s]."""
    recover_within: float | None = None
    """The policy has to run again so long after the end [s]; none: it need not."""
    by: float = 0.0
    """How much, in the kind's unit."""
    node: str | None = None
    """Which is killed."""
    without_object: Expectation | None = None
    """What has to happen instead in tasks without an object."""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UnknownNameError("fault", self.kind, KINDS)
        if not (self.at >= 0.0 and self.lasts > 0.0):
            raise ValueError(f"{self.kind}: at and lasts must not be negative, and lasts above 0")
        if (self.kind == "node_killed") != (self.node is not None):
            raise ValueError(f"{self.kind}: node belongs to node_killed, which needs one")
        if self.node is not None and self.node not in NODES:
            raise UnknownNameError("node", self.node, NODES)
        if self.kind == "clock_jump" and self.by == 0.0:
            raise ValueError("clock_jump: by must not be 0")
        if self.kind in FAULTS:
            RobotFault(self.kind, self.by)
        if self.expect != "carry_on" and not 0.0 < self.within < self.lasts:
            raise ValueError(f"{self.kind}: within must lie between 0 and lasts, found {self.within:g}")

    @property
    def end(self) -> float:
        """When it is over [s]."""
        return self.at + self.lasts

    def covers(self, time: float) -> bool:
        """Whether the control period that ends at `time` [s] has the fault."""
        return self.at + _ROUNDING < time <= self.end + _ROUNDING

    @property
    def needs_camera(self) -> bool:
        """Whether it means nothing to a robot that sees nothing."""
        return self.kind.startswith("images_") or self.kind == "markers_hidden" or self.node == CAMERA_NODE

    def expectation(self, contract: Contract) -> Expectation:
        """What has to happen in a task."""
        if self.kind == "goal_moved" and isinstance(contract, HandObjectContract) and not contract.position_counts:
            return "carry_on"  # No place is out of reach where no place is asked for.
        return self.expect if contract.has_object or self.without_object is None else self.without_object

    def expected(self, contract: Contract) -> str:
        """What has to happen in a task, in words."""
        expectation = self.expectation(contract)
        if expectation == "carry_on":
            return "carry on"
        text = f"{expectation} within {self.within:g} s"
        return text if self.recover_within is None else f"{text}, recover within {self.recover_within:g} s"


@dataclass(frozen=True)
class FaultSchedule:
    """Faults of one episode."""

    description: str
    """One line for people."""
    events: tuple[FaultEvent, ...]
    """In the order of time; the next begins when the one before is over."""

    def __post_init__(self) -> None:
        if not self.events:
            raise ValueError("events must not be empty")
        for before, after in zip(self.events, self.events[1:], strict=False):
            if after.at < before.end:
                raise ValueError(f"{after.kind} at {after.at:g} s begins before {before.kind} is over")

    def active(self, time: float) -> FaultEvent | None:
        """The fault of the control period that ends at `time` [s]."""
        return next((event for event in self.events if event.covers(time)), None)


@dataclass(frozen=True)
class Tick:
    """What was to be seen after one control period."""

    time: float
    """[s]."""
    phase: str
    """Of the policy node; `dead` while there is none."""
    reason: str
    """Why it waits, holds or is stopped."""
    steps: int
    """Control periods that the policy has run."""
    tips: np.ndarray
    """True positions of an arm's tool (1, 3), or of a hand's fingertips (5, 3) [m]."""
    reference: tuple[float, ...]
    """Where the last trajectories end [rad]."""


@dataclass(frozen=True)
class Verdict:
    """What one fault led to."""

    expected: str
    happened: str
    ok: bool


def load_faults(name: str) -> FaultSchedule:
    """A shipped schedule by name, or one from a YAML file by its path.

    Raises:
        UnknownNameError: no such schedule, kind or node.
        ConfigurationError: the file holds something else.
    """
    return configuration.load(FaultSchedule, resources.named_file("config/faults", name, "faults"))


def shipped_faults() -> list[str]:
    """Names of all shipped schedules."""
    return sorted(path.stem for path in (resources.share_directory() / "config/faults").glob("*.yaml"))


def judge(event: FaultEvent, ticks: Sequence[Tick], contract: Contract) -> Verdict:
    """Whether what had to happen did.

    Args:
        event: the fault.
        ticks: one for each control period of the episode, from the beginning of the fault or earlier.
        contract: of the task.
    """
    expectation = event.expectation(contract)
    during = [tick for tick in ticks if event.covers(tick.time)]
    after = [tick for tick in ticks if tick.time > event.end + _ROUNDING]
    if not during:
        return Verdict(event.expected(contract), "the fault never came: the policy did not run", False)
    happened, ok = _carried_on(event, during) if expectation == "carry_on" else _stood_still(event, during, expectation)
    if event.recover_within is not None and expectation != "carry_on":
        recovery, recovered = _recovered(event, after)
        happened, ok = f"{happened}; {recovery}", ok and recovered
    return Verdict(event.expected(contract), happened, ok)


def recovered_at(event: FaultEvent, ticks: Sequence[Tick]) -> float | None:
    """When the policy ran again after a fault [s]; None: not yet."""
    return next((tick.time for tick in ticks if tick.time > event.end + _ROUNDING and tick.phase == "running"), None)


def standing_since(ticks: Sequence[Tick]) -> float:
    """From when on, up to the last tick, the robot stands still and nothing tells it to move [s]."""
    last = ticks[-1]
    since = last.time
    for tick in reversed(ticks):
        moved = _moved(last, tick) > _STILL_TIPS
        told = np.abs(np.subtract(tick.reference, last.reference)).max(initial=0.0) > _STILL_REFERENCE
        if moved or told or tick.steps != last.steps:
            break
        since = tick.time
    return since


def _moved(first: Tick, second: Tick) -> float:
    """How far the tool, or the fingertip that went farthest, moved [m]."""
    return float(np.linalg.norm(second.tips - first.tips, axis=-1).max())


def _stood_still(event: FaultEvent, during: Sequence[Tick], expectation: Expectation) -> tuple[str, bool]:
    took = standing_since(during) - event.at
    if took > event.within + _ROUNDING:
        late = [tick for tick in during if tick.time >= event.at + event.within - _ROUNDING]
        moved = max(_moved(late[0], tick) for tick in late)
        return f"moved {1000 * moved:.0f} mm after {event.within:g} s ({during[-1].phase})", False
    wrong = [
        tick for tick in during if expectation == "stop" and tick.time > event.at + took and tick.phase != "stopped"
    ]
    if wrong:
        return f"stood still after {took:.2f} s, but {wrong[0].phase}", False
    return f"stood still after {took:.2f} s ({during[-1].phase})", True


def _carried_on(event: FaultEvent, during: Sequence[Tick]) -> tuple[str, bool]:
    first, last = during[0], during[-1]
    other = next((tick for tick in during if tick.phase != "running"), None)
    if other is not None:
        return f"{other.phase} after {other.time - event.at:.2f} s: {other.reason}", False
    return f"ran on for {last.steps - first.steps + 1} of {len(during)} periods", last.steps - first.steps + 1 == len(
        during
    )


def _recovered(event: FaultEvent, after: Sequence[Tick]) -> tuple[str, bool]:
    assert event.recover_within is not None
    when = recovered_at(event, after)
    if when is None:
        end = f"{after[-1].phase}: {after[-1].reason}" if after else "the episode ended"
        return f"not running again ({end})", False
    took = when - event.end
    return f"running again after {took:.2f} s", took <= event.recover_within + _ROUNDING
