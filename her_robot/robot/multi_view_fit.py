"""A body's pose from its markers in the images of several calibrated cameras.

All markers in all cameras make one least squares problem in the six unknowns of the pose: each corner counts by what
its pixels tell, so a near camera counts more than a distant one, and depth comes from the camera that looks from the
side. What several cameras see together is fitted together; a single camera is the same problem with fewer rows.

A planar marker alone is explained nearly as well by a second pose, with its normal mirrored about the line of sight.
So the largest markers propose both, every proposal is fitted to all markers, and the one that explains most of them
wins. Markers that it does not explain, partly covered or misread ones, lose their weight while it is fitted.

Positions are in the cameras' parent frame [m]; pixels are without lens distortion.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from her_robot.robot.fiducials import planar_poses
from her_robot.robot.hand_calibration import CalibratedCamera
from her_robot.robot.marker_bodies import image_area, marker_frame
from her_robot.rotations import turn_between

_SCALES = (64.0, 32.0, 16.0, 8.0, 4.0, 2.0, 1.0, 1.0, 1.0)
"""Of the errors that still count in each iteration, in units of the largest that is believed in the end (graduated
non-convexity): a proposal from one marker may put the others off by many pixels."""
_PROPOSERS = 2
"""Markers of each camera that propose poses, the largest ones."""
_SAME_ANGLE, _SAME_DISTANCE = 0.05, 0.005
"""Fits nearer to each other than this are one [rad], [m]."""
_NEAREST = 0.01
"""What is nearer to a camera than this, or behind it, is projected as if it were here [m]."""


@dataclass(frozen=True)
class Sighting:
    """One marker of a body in one camera."""

    camera: str
    """Name of the camera."""
    view: CalibratedCamera
    """The camera."""
    marker_id: int
    points: np.ndarray
    """The marker's corners in the body's frame, (4, 3) [m]."""
    pixels: np.ndarray
    """Where they are seen, (4, 2) [px]."""


@dataclass(frozen=True)
class BodyFit:
    """One pose that explains sightings."""

    position: np.ndarray
    """Origin of the body, (3,) [m]."""
    rotation: np.ndarray
    """Body to parent frame, (3, 3)."""
    unit_covariance: np.ndarray
    """Covariance of position and rotation about the parent frame's axes if each pixel coordinate had a standard
    deviation of 1 px, (6, 6) [m^2, rad^2]."""
    errors: np.ndarray
    """Root mean square distance of each sighting's corners from where this pose puts them, (n,) [px]."""
    used: np.ndarray
    """Which sightings it explains, boolean (n,)."""
    error: float
    """Root mean square distance of the corners of those [px]; infinite if there are none."""
    cost: float
    """Root mean square of all sightings' errors, none of which counts more than twice the largest that is believed
    [px]."""


def fit_body(sightings: Sequence[Sighting], max_error: float) -> list[BodyFit]:
    """The poses that explain what is seen of one body, best first; empty where nothing is.

    Args:
        sightings: of its markers.
        max_error: a sighting with a larger error is not explained [px].
    """
    if not sightings:
        return []
    proposals = [pose for sighting in _largest(sightings) for pose in _proposals(sighting)]
    position, rotation = (np.stack(values) for values in zip(*proposals, strict=True))
    problem = _Problem(sightings)
    for scale in _SCALES:
        position, rotation = problem.improved(position, rotation, scale * max_error)
    errors = problem.errors(position, rotation)
    order = np.argsort(_cost(errors, max_error))
    fits: list[BodyFit] = []
    for index in order:
        pose = position[index], rotation[index]
        if not any(_same(fit, *pose) for fit in fits):
            fits.append(problem.fit(*pose, errors[index], max_error))
    return fits


def _largest(sightings: Sequence[Sighting]) -> list[Sighting]:
    """The largest few of each camera."""
    by_camera: dict[str, list[Sighting]] = {}
    for sighting in sorted(sightings, key=lambda sighting: -image_area(sighting.pixels)):
        by_camera.setdefault(sighting.camera, []).append(sighting)
    return [sighting for own in by_camera.values() for sighting in own[:_PROPOSERS]]


def _proposals(sighting: Sighting) -> list[tuple[np.ndarray, np.ndarray]]:
    """Poses of the body (3,) [m], (3, 3), by which one marker is where it is seen; usually two."""
    center, marker_to_body, corners = marker_frame(sighting.points)
    hand_eye = sighting.view.hand_eye
    poses = []
    for pose in planar_poses(corners, sighting.pixels, sighting.view.intrinsics.matrix):
        rotation = hand_eye.rotation @ pose.rotation @ marker_to_body.T
        marker_position = hand_eye.position + hand_eye.rotation @ pose.position
        poses.append((marker_position - rotation @ center, rotation))
    return poses


class _Problem:
    """The sightings as arrays. A pose may be one of several: positions (h, 3), rotations (h, 3, 3)."""

    def __init__(self, sightings: Sequence[Sighting]) -> None:
        self._points = np.stack([sighting.points for sighting in sightings])
        self._pixels = np.stack([sighting.pixels for sighting in sightings])
        self._projections = np.stack([sighting.view.projection for sighting in sightings])[:, None]

    def errors(self, position: np.ndarray, rotation: np.ndarray) -> np.ndarray:
        """Root mean square distances (h, n) [px]."""
        return _root_mean_square(self._linearised(position, rotation)[0])

    def improved(self, position: np.ndarray, rotation: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray]:
        """One step of Gauss-Newton, in which errors count the less the more they exceed `scale` [px] (the weights of
        Geman and McClure)."""
        residual, jacobian = self._linearised(position, rotation)
        weight = (1.0 + (_root_mean_square(residual) / scale) ** 2) ** -2.0
        weighted = jacobian * weight[..., None, None, None]
        normal = np.einsum("hnkci,hnkcj->hij", weighted, jacobian)
        gradient = np.einsum("hnkci,hnkc->hi", weighted, residual)
        # Damped a little, lest a proposal that explains nothing makes it singular.
        damping = 1e-9 * np.trace(normal, axis1=1, axis2=2)[:, None, None] * np.eye(6)
        step = np.linalg.solve(normal + damping + 1e-12 * np.eye(6), gradient[..., None])[..., 0]
        turns = np.stack([cv2.Rodrigues(vector)[0] for vector in step[:, 3:]])
        return position + step[:, :3], turns @ rotation

    def fit(self, position: np.ndarray, rotation: np.ndarray, errors: np.ndarray, max_error: float) -> BodyFit:
        """What is to be said of one pose (3,), (3, 3) with errors (n,) [px]."""
        used = errors <= max_error
        _, jacobian = self._linearised(position[None], rotation[None])
        rows = jacobian[0, used].reshape(-1, 6)
        return BodyFit(
            position=position,
            rotation=rotation,
            unit_covariance=np.linalg.pinv(rows.T @ rows),
            errors=errors,
            used=used,
            error=float(np.sqrt(np.mean(errors[used] ** 2))) if used.any() else np.inf,
            cost=float(_cost(errors, max_error)),
        )

    def _linearised(self, position: np.ndarray, rotation: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Residuals (h, n, 4, 2) [px], and the derivative of the pixels by position and turn (h, n, 4, 2, 6)."""
        turned = np.einsum("hij,nkj->hnki", rotation, self._points)
        matrix = self._projections[..., :3]
        projected = np.einsum("nkij,hnkj->hnki", matrix, turned + position[:, None, None]) + self._projections[..., 3]
        depth = np.maximum(projected[..., 2:], _NEAREST)
        ratio = projected[..., :2] / depth
        by_point = (matrix[..., :2, :] - ratio[..., None] * matrix[..., 2:, :]) / depth[..., None]
        # A turn w moves a point v by w x v, so its pixels by the rows of `by_point` times that: v x row.
        by_turn = np.cross(turned[..., None, :], by_point)
        return self._pixels - ratio, np.concatenate([by_point, by_turn], axis=-1)


def _root_mean_square(residual: np.ndarray) -> np.ndarray:
    return np.sqrt((residual**2).sum(axis=-1).mean(axis=-1))


def _cost(errors: np.ndarray, max_error: float) -> np.ndarray:
    return np.sqrt(np.mean(np.minimum(errors, 2.0 * max_error) ** 2, axis=-1))


def _same(fit: BodyFit, position: np.ndarray, rotation: np.ndarray) -> bool:
    near = np.linalg.norm(fit.position - position) < _SAME_DISTANCE
    return bool(near and turn_between(fit.rotation, rotation) < _SAME_ANGLE)
