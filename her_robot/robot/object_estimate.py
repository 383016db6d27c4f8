"""From the images of the cameras around a hand to where the object in it is, in the hand's base frame.

Images that were acquired together make one look. A look is over when all cameras that still send have contributed, or
when an image of the next one comes. Then, in this order: the pose that explains the markers in all images
(`multi_view_fit`); is it good enough, and is there no other that explains them as well; is it consistent with the last
one. Whatever fails yields no pose and a reason, and every outcome is counted.

Fingers hide the object often, and from some cameras always: a look needs one marker in one camera. A pose that is
ambiguous by itself is believed where it follows from the last one. An object that has not been seen for a while is
lost; until then the last pose is the best there is. Poses are not filtered here: velocities are estimated where they
are used.
"""

import time as clock
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from her_robot.configuration import require_positive
from her_robot.robot.fiducials import DetectedMarker, MarkerDetector
from her_robot.robot.gating import JumpGate, StreamCheck
from her_robot.robot.hand_calibration import HandCalibration
from her_robot.robot.marker_bodies import cube
from her_robot.robot.multi_view_fit import BodyFit, Sighting, fit_body
from her_robot.robot.scene_estimate import Counts, PoseEstimate, to_grey


@dataclass(frozen=True)
class ObjectEstimatorConfig:
    """What is believed and what is not."""

    pixel_noise: float = 0.1
    """Standard deviation of a marker corner's coordinates, the least that covariances assume [px]."""
    max_reprojection_error: float = 2.0
    """A marker whose corners are farther than this from where the pose puts them has no part in it [px]."""
    max_error_alone: float = 0.5
    """The same for one marker that nothing else confirms: a finger that covers a corner bends the pose to it [px]."""
    max_ambiguity: float = 0.2
    """What the best pose leaves unexplained over what another leaves, above which a look is ambiguous. One marker alone
    is so whenever both its poses are within `max_reprojection_error`."""
    jump: float = 0.02
    """A pose farther than this, plus `speed` times the elapsed time, from the last one must repeat [m]."""
    speed: float = 1.0
    """Largest speed of the object [m/s]."""
    turn_jump: float = 0.35
    """The same for its orientation [rad]."""
    turning_speed: float = 10.0
    """Largest turning speed of the object [rad/s]."""
    jump_repeats: int = 3
    """A jump is believed once it has been seen this many times in a row."""
    together: float = 0.005
    """Images whose times differ by less than this are of one look [s]."""
    camera_timeout: float = 0.25
    """A camera that has not sent an image for this long is not waited for [s]."""
    lost_after: float = 0.5
    """An object that has not been seen for this long is lost [s]."""
    frozen_after: int = 5
    """A camera that repeats an image, bit for bit, this many times is frozen."""

    def __post_init__(self) -> None:
        require_positive(self)


@dataclass(frozen=True)
class CameraView:
    """What one image told."""

    problem: str
    """Why it was not used; empty if it was."""
    markers: int = 0
    """Markers of the object that were found in it."""
    used: int = 0
    """Of these, those that the pose explains."""
    error: float | None = None
    """Root mean square distance of their corners from where the pose puts them [px]: how well this camera agrees with
    the others; None where it has none."""


@dataclass(frozen=True)
class ObjectEstimate:
    """What one look told."""

    time: float
    """When its images were acquired [s]."""
    outcome: str
    """`seen`, `missed`, or the reason for rejection."""
    pose: PoseEstimate | None
    """Of the object in the hand's base frame; None unless the outcome is `seen`."""
    views: Mapping[str, CameraView]
    """By camera, of those that contributed."""
    unseen_for: float
    """Time since the object was last seen [s]; infinite before the first."""
    lost: bool
    """Whether that is too long."""

    @property
    def summary(self) -> str:
        """One line for people."""
        problems = [f"{name}: {view.problem}" for name, view in self.views.items() if view.problem]
        return ", ".join([f"object {'lost' if self.lost else self.outcome}", *problems])


@dataclass
class _Look:
    """What was found in images that were acquired together."""

    time: float
    markers: dict[str, list[DetectedMarker]] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)


class ObjectEstimator:
    """The object's pose from the images of calibrated cameras."""

    def __init__(self, calibration: HandCalibration, config: ObjectEstimatorConfig | None = None) -> None:
        self._calibration, self._config = calibration, config or ObjectEstimatorConfig()
        self._body = cube(calibration.markers)
        dictionary = calibration.markers.dictionary
        self._detectors = {
            name: MarkerDetector(dictionary, self._body, camera.intrinsics)
            for name, camera in calibration.cameras.items()
        }
        self.counts = Counts()
        """Outcomes of looks."""
        self.camera_counts = {name: Counts() for name in calibration.cameras}
        """Outcomes of images by camera: seen means that the camera had a part in an accepted pose."""
        self.reset()

    def reset(self) -> None:
        """Forget what was seen, as when the object is put down anew. The counts go on."""
        config = self._config
        self._streams = {
            name: StreamCheck(camera.intrinsics.image_width, camera.intrinsics.image_height, config.frozen_after)
            for name, camera in self._calibration.cameras.items()
        }
        self._gate = JumpGate(config.jump, config.speed, config.jump_repeats, config.turn_jump, config.turning_speed)
        self._look: _Look | None = None
        self._newest: dict[str, float] = {}
        self._concluded = self._seen = -np.inf

    def process(self, camera: str, image: np.ndarray, time: float) -> tuple[float, list[ObjectEstimate]]:
        """Look for the object in one image.

        Args:
            camera: name of the camera.
            image: (height, width, 3) RGB or (height, width) grey, uint8.
            time: when it was acquired [s].

        Returns:
            How long it took [s], and what the looks told that are over by that; usually one or none.
        """
        started = clock.perf_counter()
        problem = self._streams[camera].problem(image, time)
        markers = [] if problem else self._detectors[camera].detect(to_grey(image))
        estimates = self._take(camera, time, problem, markers)
        return clock.perf_counter() - started, estimates

    def refuse(self, camera: str, time: float, problem: str) -> list[ObjectEstimate]:
        """Take in an image that cannot be used, as one that could not even be decoded."""
        return self._take(camera, time, problem, [])

    def tally(self) -> dict[str, int]:
        """All counts since the start, flat: `seen`, `missed`, `rejected`, `rejected.jumped`, `hand_camera.seen`, ..."""
        flat = self.counts.tally()
        for name, counts in self.camera_counts.items():
            flat |= {f"{name}.{key}": number for key, number in counts.tally().items()}
        return flat

    def _take(self, camera: str, time: float, problem: str, markers: list[DetectedMarker]) -> list[ObjectEstimate]:
        """Add what one image told to its look, and conclude what is over."""
        if not self._newest:
            # Before its first image, a camera is waited for like one that has just sent.
            self._newest = dict.fromkeys(self._calibration.cameras, time)
        self._newest[camera] = max(self._newest[camera], time)
        together = self._config.together
        begun = self._concluded + 2 * together if self._look is None else self._look.time
        if time <= begun - together:
            self.camera_counts[camera].add(problem or "image too late for its look")
            return []
        estimates = []
        if self._look is not None and time >= self._look.time + together:
            estimates.append(self._conclude(self._look))
        if self._look is None:
            self._look = _Look(time)
        twice = {i for i, count in Counter(marker.id for marker in markers).items() if count > 1}
        self._look.markers[camera] = [marker for marker in markers if marker.id not in twice]
        self._look.problems[camera] = problem or ("one marker seen twice" if twice else "")
        if self._is_complete(self._look):
            estimates.append(self._conclude(self._look))
        return estimates

    def _is_complete(self, look: _Look) -> bool:
        sending = {name for name, time in self._newest.items() if look.time - time < self._config.camera_timeout}
        return sending <= look.markers.keys()

    def _conclude(self, look: _Look) -> ObjectEstimate:
        """What all images of a look tell together."""
        self._look, self._concluded = None, look.time
        sightings = [
            Sighting(name, self._calibration.cameras[name], marker.id, self._body[marker.id], marker.corners)
            for name, markers in look.markers.items()
            for marker in markers
        ]
        outcome, fit = self._locate(look.time, fit_body(sightings, self._config.max_reprojection_error))
        pose = None
        if outcome == "seen" and fit is not None:
            self._seen = look.time
            noise = max(self._config.pixel_noise, fit.error)
            pose = PoseEstimate(fit.position, fit.rotation, fit.unit_covariance * noise**2)
        views = {name: _view(name, look, sightings, fit) for name in look.markers}
        self._count(outcome, views)
        unseen_for = look.time - self._seen
        return ObjectEstimate(look.time, outcome, pose, views, unseen_for, unseen_for > self._config.lost_after)

    def _locate(self, time: float, fits: list[BodyFit]) -> tuple[str, BodyFit | None]:
        """The outcome, and the pose that explains a look best or that follows from the last one."""
        if not fits:
            return "missed", None
        best, *others = fits
        if not best.used.any():
            return "reprojection error", None
        config, alone = self._config, best.used.sum() == 1
        if alone and best.error > config.max_error_alone:
            return "reprojection error", best
        # What tells one marker's two poses apart is less than what a finger at its edge does to them.
        excluded = config.max_reprojection_error if alone else max(best.cost, config.pixel_noise) / config.max_ambiguity
        rivals = [fit for fit in others if fit.cost <= excluded]
        if rivals:
            expected = [fit for fit in (best, *rivals) if self._gate.expects(time, fit.position, fit.rotation)]
            if len(expected) != 1:
                return "ambiguous", best
            (best,) = expected
        if self._gate.judge(time, best.position, best.rotation) == "rejected":
            return "jumped", best
        return "seen", best

    def _count(self, outcome: str, views: Mapping[str, CameraView]) -> None:
        self.counts.add(outcome)
        for name, view in views.items():
            if view.problem:
                self.camera_counts[name].add(view.problem)
            elif view.used or not view.markers:
                self.camera_counts[name].add(outcome if view.markers else "missed")
            else:
                self.camera_counts[name].add("disagrees")


def _view(name: str, look: _Look, sightings: list[Sighting], fit: BodyFit | None) -> CameraView:
    own = np.array([sighting.camera == name for sighting in sightings], bool)
    if fit is None or not own.any():
        return CameraView(look.problems[name], int(own.sum()))
    used = own & fit.used
    error = float(np.sqrt(np.mean(fit.errors[used] ** 2))) if used.any() else None
    return CameraView(look.problems[name], int(own.sum()), int(used.sum()), error)
