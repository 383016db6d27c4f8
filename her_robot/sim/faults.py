"""What can go wrong with a robot's sensors, and with what they see, while it works."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from her_robot.errors import ConfigurationError, UnknownNameError
from her_robot.sim.hand_robot import SimulatedHand
from her_robot.sim.machine import JointMeasurement
from her_robot.sim.robot import SimulatedRobot
from her_robot.sim.sensors import CameraImage, Report

FAULTS = {
    "joint_states_silent": "no joint states come",
    "joint_states_nan": "the position of one joint is not a number",
    "joint_states_reordered": "joints come in the reverse order, each with its name",
    "joint_states_delayed": "joint states arrive later; `by` [s]",
    "images_frozen": "the camera repeats its last image, with new stamps",
    "images_silent": "no images come",
    "images_delayed": "images arrive later; `by` [s]",
    "markers_hidden": "neither object nor goal show their markers",
    "goal_moved": "the goal moves sideways to `by` [m] outside of what the task asks for",
}
"""By kind. Those with `by` need a number above 0."""

_WITH_NUMBER = ("joint_states_delayed", "images_delayed", "goal_moved")


@dataclass(frozen=True)
class RobotFault:
    """One fault, for as long as it lasts."""

    kind: str
    """One of `FAULTS`."""
    by: float = 0.0
    """How much, in the kind's unit."""

    def __post_init__(self) -> None:
        if self.kind not in FAULTS:
            raise UnknownNameError("fault", self.kind, FAULTS)
        if (self.kind in _WITH_NUMBER) != (self.by > 0.0):
            wanted = "needs a number above 0" if self.kind in _WITH_NUMBER else "takes no number"
            raise ConfigurationError(f"fault {self.kind} {wanted}, found {self.by:g}")

    def __str__(self) -> str:
        return f"{self.kind}:{self.by:g}" if self.by else self.kind


def parse_faults(text: str) -> list[RobotFault]:
    """Faults written as `kind` or `kind:by`, with commas between; none where the text is empty.

    Raises:
        UnknownNameError: no such kind.
        ConfigurationError: a number is missing, superfluous or not one.
    """
    faults = []
    for word in filter(None, (part.strip() for part in text.split(","))):
        kind, separator, number = word.partition(":")
        try:
            by = float(number) if separator else 0.0
        except ValueError:
            raise ConfigurationError(f"fault {word!r}: {number!r} is not a number") from None
        faults.append(RobotFault(kind, by))
    return faults


class FaultySensors:
    """Reports of a robot's sensors as they arrive while faults last. The ground truth is never touched."""

    def __init__(self, robot: SimulatedRobot | SimulatedHand) -> None:
        self._robot = robot
        self._faults: dict[str, float] = {}
        self._frozen: dict[str, np.ndarray] | None = None
        self._last_pixels: dict[str, np.ndarray] = {}
        self._late: dict[type, deque[tuple[float, Report]]] = {JointMeasurement: deque(), CameraImage: deque()}

    def begin(self, faults: Sequence[RobotFault]) -> None:
        """From now on, these faults and no others."""
        self._faults = {fault.kind: fault.by for fault in faults}
        if "images_frozen" not in self._faults:
            self._frozen = None
        elif self._frozen is None:
            self._frozen = dict(self._last_pixels)
        self._robot.hide_markers("markers_hidden" in self._faults)
        self._robot.move_goal(self._faults.get("goal_moved", 0.0))
        for kind, queue in self._late.items():
            if not self._delay(kind):
                # A network that recovers delivers at once, in order, what it kept back.
                self._late[kind] = deque((self._robot.time, report) for _, report in queue)

    def reset(self) -> None:
        """The robot was reset: no faults, and nothing under way."""
        for queue in self._late.values():
            queue.clear()
        self.begin(())

    def reports(self, reports: Iterable[Report]) -> Iterator[Report]:
        """What arrives, while the robot's time passes in `reports`."""
        for report in reports:
            yield from self._overdue()
            if isinstance(report, JointMeasurement):
                arriving = self._joint_states(report)
            elif isinstance(report, CameraImage):
                arriving = self._image(report)
            else:
                yield report
                continue
            if arriving is None:
                continue
            delay, queue = self._delay(type(report)), self._late[type(report)]
            if delay or queue:
                queue.append((self._robot.time + delay, arriving))
            else:
                yield arriving

    def _joint_states(self, report: JointMeasurement) -> JointMeasurement | None:
        if "joint_states_silent" in self._faults:
            return None
        if "joint_states_nan" in self._faults:
            positions = report.positions.copy()
            positions[report.names.index(self._robot.profile.joint_names[3])] = np.nan
            report = replace(report, positions=positions)
        if "joint_states_reordered" in self._faults:
            report = replace(
                report,
                names=report.names[::-1],
                positions=report.positions[::-1],
                velocities=report.velocities[::-1],
            )
        return report

    def _image(self, image: CameraImage) -> CameraImage | None:
        self._last_pixels[image.camera] = image.pixels
        if "images_silent" in self._faults:
            return None
        if self._frozen is not None:
            return replace(image, pixels=self._frozen.setdefault(image.camera, image.pixels))
        return image

    def _delay(self, kind: type) -> float:
        return self._faults.get("joint_states_delayed" if kind is JointMeasurement else "images_delayed", 0.0)

    def _overdue(self) -> Iterator[Report]:
        for queue in self._late.values():
            while queue and queue[0][0] <= self._robot.time:
                yield queue.popleft()[1]
