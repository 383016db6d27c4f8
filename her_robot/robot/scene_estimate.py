"""From camera images to where the object and the goal are, in the robot's base frame.

An image passes through `SceneEstimator.process` in this order: is it usable, and the head where it was calibrated;
which markers are in it; the pose of each body that carries markers; is that pose over the table, and consistent with
the last one; the filter of the goal, which stands still. Whatever fails yields no pose and a reason, and every outcome
is counted. The object's pose is not filtered here: velocities are estimated where they are used.

Positions are in base_link [m]; times are those of image acquisition [s].
"""

import time as clock
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from her_robot.configuration import require_positive
from her_robot.contract import Contract
from her_robot.robot.calibration import Calibration, Table
from her_robot.robot.fiducials import DetectedMarker, MarkerDetector
from her_robot.robot.gating import JumpGate, StaticFilter, StreamCheck, head_problem
from her_robot.robot.marker_bodies import (
    Body,
    LiftedFit,
    TileFit,
    UprightFit,
    corners_of,
    cube,
    fit_consistent,
    fit_lifted,
    fit_tile,
    fit_upright,
    guess_lifted,
    guess_upright,
    image_area,
    rotation_about_z,
    standings,
    tile,
    turned,
)

_HEIGHT_TOLERANCE = 0.01
"""Nothing that floats is believed to be farther than this below where it would rest on the table [m]."""


@dataclass(frozen=True)
class EstimatorConfig:
    """What is believed and what is not."""

    pixel_noise: float = 0.1
    """Standard deviation of a marker corner's coordinates, the least that covariances assume [px]."""
    height_noise: float = 0.002
    """Standard deviation of the height of what stands on the table [m]."""
    max_reprojection_error: float = 1.0
    """A pose that leaves a larger root mean square error of the corners is rejected [px]."""
    upright_clean_error: float = 0.5
    """Markers of a body on the table that leave a larger error together are tried in smaller company, as one may be
    partly covered [px]."""
    floating_clean_error: float = 0.2
    """The same for a floating tile, whose pose suffers more [px]."""
    max_tilt: float = 0.6
    """A marker whose pose has the object or the tile on the table leaning farther than this is not believed [rad]."""
    lean: float = 0.03
    """Standard deviation of how far a lifted object leans [rad]: a gripper that points down holds it upright."""
    table_tolerance: float = 0.008
    """An object, or a tile, seen within this of its height on the table stands on it [m]."""
    table_deviations: float = 5.0
    """So does one within this many standard deviations of that height. Of one foreshortened face, the edges are blurred
    into each other, and its distance is off by more than noise explains."""
    max_ambiguity: float = 0.2
    """Error of the best pose over that of the second, above which the pose of a floating tile is ambiguous."""
    ambiguity_distance: float = 0.01
    """Two poses that agree on the goal within this are not ambiguous [m]."""
    object_jump: float = 0.05
    """An object farther than this, plus `object_speed` times the elapsed time, from where it was must repeat [m]."""
    object_speed: float = 1.5
    """Largest speed of the object [m/s]."""
    goal_jump: float = 0.02
    """A goal farther than this from where it was must repeat [m]."""
    jump_repeats: int = 3
    """A jump is believed once it has been seen this many times in a row."""
    goal_window: int = 5
    """The goal's position is the median of this many."""
    goal_time_constant: float = 0.2
    """Time constant of the low pass after the median [s]."""
    frozen_after: int = 5
    """A camera that repeats an image, bit for bit, this many times is frozen."""

    def __post_init__(self) -> None:
        require_positive(self)


@dataclass(frozen=True)
class PoseEstimate:
    """Where something is, in base_link."""

    position: np.ndarray
    """Centre of the object, or the goal point, (3,) [m]."""
    rotation: np.ndarray
    """Object or goal tile to base_link, (3, 3)."""
    covariance: np.ndarray
    """Of x, y, z and rotations about the base's x, y, z, (6, 6) [m^2, rad^2]."""


@dataclass
class Counts:
    """Outcomes so far of looking for one thing."""

    seen: int = 0
    """Images that gave an accepted pose."""
    missed: int = 0
    """Images in which it was not found."""
    rejected: Counter[str] = field(default_factory=Counter)
    """Images that were not used, or whose pose was not believed, by reason."""

    def add(self, outcome: str) -> None:
        """Count `seen`, `missed`, or else a reason for rejection."""
        if outcome == "seen":
            self.seen += 1
        elif outcome == "missed":
            self.missed += 1
        else:
            self.rejected[outcome] += 1

    def tally(self) -> dict[str, int]:
        """Flat: `seen`, `missed`, `rejected`, and `rejected.jumped` and its like."""
        reasons = {f"rejected.{reason}": number for reason, number in self.rejected.items()}
        return {"seen": self.seen, "missed": self.missed, "rejected": self.rejected.total(), **reasons}


@dataclass(frozen=True)
class SceneEstimate:
    """What one image told."""

    time: float
    """When the image was acquired [s]."""
    problem: str
    """Why the image was not used at all; empty if it was."""
    outcomes: dict[str, str]
    """For `object` (where the task has one) and `goal`: seen, missed, or the reason for rejection."""
    object: PoseEstimate | None
    """None unless the outcome is `seen`."""
    goal: PoseEstimate | None
    """None unless the outcome is `seen`."""
    processing_s: float
    """Time that the image took [s]."""

    @property
    def summary(self) -> str:
        """One line for people."""
        return self.problem or ", ".join(f"{name} {outcome}" for name, outcome in self.outcomes.items())


class SceneEstimator:
    """Object and goal poses from the images of one calibrated camera."""

    def __init__(self, calibration: Calibration, contract: Contract, config: EstimatorConfig | None = None) -> None:
        """Look for what `contract` needs: object and goal, or the goal alone where the task has no object."""
        self._calibration = calibration
        self._config = config or EstimatorConfig()
        self._contract = contract
        self._bodies = {"goal": tile(calibration.markers)}
        upright = cube(calibration.markers)
        if contract.has_object:
            self._bodies["object"] = upright
        self._standings = [(side, turned(upright, side)) for side in standings(calibration.markers)]
        """Each way in which the object may stand: the rotation to it, and the object so turned."""
        ids = sorted(marker_id for body in self._bodies.values() for marker_id in body)
        self._detector = MarkerDetector(calibration.markers.dictionary, ids, calibration.camera)
        self.counts = {name: Counts() for name in self._bodies}
        """Outcomes by `object` and `goal`."""
        self.marker_counts = {marker_id: Counts() for marker_id in ids}
        """Outcomes by marker id: seen means that it had a part in an accepted pose."""
        self.reset()

    def reset(self) -> None:
        """Forget what was seen, as when the scene is set up anew. The counts go on."""
        camera, config = self._calibration.camera, self._config
        self._stream = StreamCheck(camera.image_width, camera.image_height, config.frozen_after)
        self._gates = {
            "object": JumpGate(config.object_jump, config.object_speed, config.jump_repeats),
            "goal": JumpGate(config.goal_jump, 0.0, config.jump_repeats),
        }
        self._goal_filter = StaticFilter(config.goal_window, config.goal_time_constant)
        self._standing = self._standings[0]

    def process(
        self, image: np.ndarray, time: float, joint_positions: Mapping[str, float] | None = None
    ) -> SceneEstimate:
        """Look for object and goal in one image.

        Args:
            image: (height, width, 3) RGB or (height, width) grey, uint8.
            time: when it was acquired [s].
            joint_positions: measured positions of the robot's joints by name [rad or m], to check that the camera is
                where it was calibrated; None skips the check.
        """
        started = clock.perf_counter()
        problem = self._stream.problem(image, time)
        if not problem and joint_positions is not None:
            problem = head_problem(self._calibration.hand_eye, joint_positions)
        if problem:
            return self.refuse(time, problem)
        markers = self._detector.detect(to_grey(image))
        outcomes: dict[str, str] = {}
        poses: dict[str, PoseEstimate | None] = {}
        for name in self._bodies:
            outcomes[name], poses[name] = self._locate(name, markers, time)
        self._count(outcomes, {marker.id for marker in markers})
        elapsed = clock.perf_counter() - started
        return SceneEstimate(time, "", outcomes, poses.get("object"), poses["goal"], elapsed)

    def refuse(self, time: float, problem: str) -> SceneEstimate:
        """Count an image that cannot be used, as one that could not even be decoded; no pose comes of it."""
        for counts in (*self.counts.values(), *self.marker_counts.values()):
            counts.add(problem)
        return SceneEstimate(time, problem, dict.fromkeys(self._bodies, problem), None, None, 0.0)

    def tally(self) -> dict[str, int]:
        """All counts since the start, flat: `seen`, `object.seen`, `object.rejected.jumped`, `marker_0.missed`, ...

        The plain `seen`, `missed` and `rejected` are those of object and goal together.
        """
        flat: dict[str, int] = {"seen": 0, "missed": 0, "rejected": 0}
        for counts in self.counts.values():
            flat["seen"] += counts.seen
            flat["missed"] += counts.missed
            flat["rejected"] += counts.rejected.total()
        named = self.counts | {f"marker_{marker_id}": counts for marker_id, counts in self.marker_counts.items()}
        for name, counts in named.items():
            flat |= {f"{name}.{key}": number for key, number in counts.tally().items()}
        return flat

    def _locate(self, name: str, markers: list[DetectedMarker], time: float) -> tuple[str, PoseEstimate | None]:
        """Outcome for one body, and its pose if that is `seen`."""
        own = [marker for marker in markers if marker.id in self._bodies[name]]
        if not own:
            return "missed", None
        if len({marker.id for marker in own}) < len(own):
            return "one marker seen twice", None
        reason, pose = self._pose(name, own)
        if pose is None:
            return reason, None
        if not _is_over(self._calibration.table, pose.position):
            return "off the table", None
        verdict = self._gates[name].judge(time, pose.position)
        if verdict == "rejected":
            return "jumped", None
        if name == "object":
            return "seen", pose
        if verdict == "moved":
            self._goal_filter.reset()
        return "seen", PoseEstimate(self._goal_filter.update(time, pose.position), pose.rotation, pose.covariance)

    def _pose(self, name: str, markers: list[DetectedMarker]) -> tuple[str, PoseEstimate | None]:
        """Pose of one body from its markers, or why there is none."""
        if not self._contract.has_object:
            return self._floating_tile(markers)
        if not self._contract.lifts_object:
            return self._on_table(name, markers)
        table, config = self._calibration.table.table_height, self._config
        resting = table + self._calibration.markers.object.half_height if name == "object" else table
        reason, pose = self._lifted_object(markers) if name == "object" else self._floating_tile(markers)
        if pose is None:
            fallen = self._on_table(name, markers)[1] if name == "object" else None
            return reason if fallen is None else "", fallen
        tolerance = max(config.table_tolerance, config.table_deviations * np.sqrt(pose.covariance[2, 2]))
        return self._on_table(name, markers) if abs(pose.position[2] - resting) < tolerance else (reason, pose)

    def _on_table(self, name: str, markers: list[DetectedMarker]) -> tuple[str, PoseEstimate | None]:
        """Pose of the object that stands on the table, as it stood last or, if that explains nothing, on the only other
        side that explains what is seen; or goal of the tile that lies there."""
        table, config = self._calibration.table.table_height, self._config
        object_height = table + self._calibration.markers.object.half_height
        if name == "goal":
            reason, fit = self._upright(self._bodies[name], markers, table)
            return reason, None if fit is None else _upright_pose(fit, np.eye(3), object_height, config)
        reason, fit = self._upright(self._standing[1], markers, object_height)
        if fit is None:
            others = [standing for standing in self._standings if standing is not self._standing]
            fits = [(standing, self._upright(standing[1], markers, object_height)[1]) for standing in others]
            clean = [
                (standing, other) for standing, other in fits if other and other.error <= config.upright_clean_error
            ]
            if len(clean) != 1:
                return reason, None
            self._standing, fit = clean[0]
        return "", _upright_pose(fit, self._standing[0], object_height, config)

    def _upright(self, body: Body, markers: list[DetectedMarker], height: float) -> tuple[str, UprightFit | None]:
        """An upright body at some height [m] fitted to all its markers or the best one, or why it cannot be."""
        calibration, config = self._calibration, self._config
        guesses = {}
        for marker in markers:
            guess = guess_upright(body[marker.id], marker.corners, height, config.max_tilt, calibration)
            if guess is not None:
                guesses[marker.id] = guess
        upright = sorted((m for m in markers if m.id in guesses), key=lambda m: -image_area(m.corners))
        if not upright:
            return "not upright", None

        def fit_to(used: Sequence[DetectedMarker]) -> UprightFit:
            return fit_upright(*corners_of(body, used), height, guesses[used[0].id], calibration)

        fit = fit_consistent(upright, fit_to, config.upright_clean_error)
        return ("reprojection error", None) if fit.error > config.max_reprojection_error else ("", fit)

    def _lifted_object(self, markers: list[DetectedMarker]) -> tuple[str, PoseEstimate | None]:
        """Pose of the object wherever it is, as upright as what is seen allows."""
        calibration, config, (side, body) = self._calibration, self._config, self._standing
        guesses = {}
        for marker in markers:
            guess = guess_lifted(body[marker.id], marker.corners, config.max_tilt, calibration)
            if guess is not None:
                guesses[marker.id] = guess
        upright = sorted((m for m in markers if m.id in guesses), key=lambda m: -image_area(m.corners))
        if not upright:
            return "not upright", None

        def fit_to(used: Sequence[DetectedMarker]) -> LiftedFit:
            weight = config.pixel_noise / config.lean
            return fit_lifted(*corners_of(body, used), guesses[used[0].id], weight, calibration)

        fit = fit_consistent(upright, fit_to, config.upright_clean_error)
        if fit.error > config.max_reprojection_error:
            return "reprojection error", None
        if fit.rotation[2, 2] < np.cos(config.max_tilt):
            return "not upright", None
        covariance = fit.unit_covariance * max(config.pixel_noise, fit.error) ** 2
        return "", PoseEstimate(fit.position, fit.rotation @ side, covariance)

    def _floating_tile(self, markers: list[DetectedMarker]) -> tuple[str, PoseEstimate | None]:
        """Pose of the goal tile, wherever it is."""
        calibration, config, body = self._calibration, self._config, self._bodies["goal"]

        def fit_to(used: Sequence[DetectedMarker]) -> TileFit:
            return fit_tile(*corners_of(body, used), calibration)

        fit = fit_consistent(markers, fit_to, config.floating_clean_error)
        if fit.error > config.max_reprojection_error:
            return "reprojection error", None
        if fit.ambiguity > config.max_ambiguity and fit.ambiguous_distance > config.ambiguity_distance:
            return "ambiguous", None
        covariance = fit.unit_covariance * max(config.pixel_noise, fit.error) ** 2
        return "", PoseEstimate(fit.position, fit.rotation, covariance)

    def _count(self, outcomes: Mapping[str, str], detected: set[int]) -> None:
        for name, outcome in outcomes.items():
            self.counts[name].add(outcome)
            for marker_id in self._bodies[name]:
                self.marker_counts[marker_id].add(outcome if marker_id in detected else "missed")


def to_grey(image: np.ndarray) -> np.ndarray:
    """An image (height, width, 3) RGB or (height, width) grey, uint8, as grey."""
    image = np.ascontiguousarray(image)
    return image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)


def _is_over(table: Table, position: np.ndarray) -> bool:
    x_y, height = position[:2], position[2]
    above = height >= table.table_height - _HEIGHT_TOLERANCE
    return bool(above and np.all(x_y >= table.low) and np.all(x_y <= table.high))


def _upright_pose(fit: UprightFit, standing: np.ndarray, height: float, config: EstimatorConfig) -> PoseEstimate:
    """The pose of a body fitted on the table in one of its `standings` (3, 3), its origin or goal point at `height`
    [m]."""
    free = np.ix_([0, 1, 5], [0, 1, 5])
    covariance = np.zeros((6, 6))
    covariance[free] = max(config.pixel_noise, fit.error) ** 2 * fit.unit_covariance
    covariance[2, 2] = config.height_noise**2
    x, y, yaw = fit.x_y_yaw
    return PoseEstimate(np.array([x, y, height]), rotation_about_z(yaw) @ standing, covariance)
