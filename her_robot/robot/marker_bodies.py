"""The bodies that carry markers, the cube and the goal tile, and their poses from marker corners.

A body that stands or lies on the table has three unknowns, x, y and yaw: its height and its upright axis are known.
This settles the ambiguity of a marker's pose, and leaves position errors of a fraction of a pixel's width. A tile that
floats has all six, and so has an object in a gripper, of which it is known that it leans little. Positions are in
base_link [m]; pixels are without lens distortion.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import cv2
import numpy as np

from her_robot.robot.calibration import Calibration
from her_robot.robot.fiducials import DetectedMarker, planar_poses, square_corners
from her_robot.robot.markers import FACES, Markers, ObjectPrints, face_rotation

_LIFTED_ITERATIONS = 8

Body = Mapping[int, np.ndarray]
"""Marker corners (4, 3) in the body's frame [m], by marker id."""


@dataclass(frozen=True)
class UprightFit:
    """A body that stands upright at a known height, fitted to its pixels."""

    x_y_yaw: np.ndarray
    """Position in base_link and turn about the vertical, (3,) [m, m, rad]."""
    unit_covariance: np.ndarray
    """Covariance of `x_y_yaw` if each pixel coordinate had a standard deviation of 1 px, (3, 3)."""
    error: float
    """Root mean square distance of the corners from where this pose puts them [px]."""


@dataclass(frozen=True)
class TileFit:
    """A tile that floats, fitted to its pixels."""

    position: np.ndarray
    """Centre of the tile in base_link, (3,) [m]."""
    rotation: np.ndarray
    """Tile to base_link, (3, 3)."""
    unit_covariance: np.ndarray
    """Covariance of x, y, z and rotations about the base's axes if each pixel coordinate had a standard deviation of
    1 px, (6, 6)."""
    error: float
    """Root mean square distance of the corners from where this pose puts them [px]."""
    ambiguity: float
    """This error over that of the second pose that explains the corners; 0 if there is none."""
    ambiguous_distance: float
    """How far apart the two poses have the tile's centre [m]."""


@dataclass(frozen=True)
class LiftedFit:
    """A body anywhere that leans little, fitted to its pixels."""

    position: np.ndarray
    """Origin of the body in base_link, (3,) [m]."""
    rotation: np.ndarray
    """Body to base_link, (3, 3)."""
    unit_covariance: np.ndarray
    """Covariance of position and rotation if each pixel coordinate had a standard deviation of 1 px, (6, 6)."""
    error: float
    """Root mean square distance of the corners from where this pose puts them [px]."""


class Fit(Protocol):
    """Anything with a reprojection error."""

    @property
    def error(self) -> float: ...


AnyFit = TypeVar("AnyFit", bound=Fit)


def cube(markers: ObjectPrints) -> Body:
    """The object, cube or puck; its frame has its origin at its centre."""
    corners = square_corners(markers.object.marker_size)
    return {
        marker_id: (corners + [x, y, 0.0]) @ face_rotation(face).T + markers.object.center_of(face)
        for face in markers.object.faces
        for marker_id, (x, y) in markers.object.layout(face).items()
    }


def standings(markers: ObjectPrints) -> list[np.ndarray]:
    """How the object may stand on a table but for a turn about the vertical: rotations (3, 3) of its frame, by each of
    which another side of a cube comes to be on top. The first leaves it as it is; a puck has no other."""
    others = [face for face in FACES if face != "top"] if markers.object.height is None else []
    return [face_rotation(face).T for face in ("top", *others)]


def turned(body: Body, rotation: np.ndarray) -> Body:
    """A body that `rotation` (3, 3) has turned about the origin of its frame."""
    return {marker_id: corners @ rotation.T for marker_id, corners in body.items()}


def tile(markers: Markers) -> Body:
    """The goal tile; its frame has its origin at the tile's centre."""
    corners = square_corners(markers.goal.marker_size)
    return {marker.id: corners + np.array([*marker.center, 0.0]) for marker in markers.goal.markers}


def marker_frame(corners: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The frame of a marker with these corners in a body's frame (4, 3) [m]: its origin (3,) [m], the rotation from
    marker to body (3, 3), and the corners in it (4, 3) [m]."""
    right, up = corners[1] - corners[0], corners[0] - corners[3]
    size = float(np.linalg.norm(right))
    marker_to_body = np.column_stack([right, up, np.cross(right, up) / size]) / size
    return corners.mean(axis=0), marker_to_body, square_corners(size)


def corners_of(body: Body, markers: Sequence[DetectedMarker]) -> tuple[np.ndarray, np.ndarray]:
    """All corners of some of a body's markers: in the body's frame (n, 3) [m], and in the image (n, 2) [px]."""
    return np.concatenate([body[marker.id] for marker in markers]), np.concatenate([m.corners for m in markers])


def fit_consistent(
    markers: Sequence[DetectedMarker], fit_to: Callable[[Sequence[DetectedMarker]], AnyFit], clean_error: float
) -> AnyFit:
    """The fit to all markers or, if its error is above `clean_error` [px], to all but one, or to one alone.

    A marker whose edge is covered a little is still found, with wrong corners. If no choice of markers is clean, this
    is the fit to all of them.
    """
    to_all = fit_to(markers)
    if to_all.error <= clean_error or len(markers) == 1:
        return to_all
    all_but_one = [[*markers[:i], *markers[i + 1 :]] for i in range(len(markers))] if len(markers) > 2 else []
    for choices in (all_but_one, [[marker] for marker in markers]):
        best = min((fit_to(used) for used in choices), key=lambda fit: fit.error, default=to_all)
        if best.error <= clean_error:
            return best
    return to_all


def guess_upright(
    corners: np.ndarray, pixels: np.ndarray, height: float, max_tilt: float, calibration: Calibration
) -> np.ndarray | None:
    """First x, y and yaw (3,) of an upright body from one of its markers.

    Args:
        corners: of the marker in the body's frame, (4, 3) [m].
        pixels: where they are seen, (4, 2) [px].
        height: of the body frame's origin above base_link [m].
        max_tilt: farther from upright than this, a pose of the marker is not believed [rad].
        calibration: where the camera is and how it projects.

    Returns:
        None if no pose that explains the marker has the body upright.
    """
    upright = _most_upright(corners, pixels, max_tilt, calibration)
    if upright is None:
        return None
    center, turn = corners.mean(axis=0), upright[1]
    yaw = np.arctan2(turn[1, 0] - turn[0, 1], turn[0, 0] + turn[1, 1])
    seen_at = intersect_level(pixels.mean(axis=0), height + center[2], calibration)
    return np.array([*(seen_at - rotation_about_z(yaw) @ center)[:2], yaw])


def guess_lifted(
    corners: np.ndarray, pixels: np.ndarray, max_tilt: float, calibration: Calibration
) -> tuple[np.ndarray, np.ndarray] | None:
    """First position (3,) [m] and rotation (3, 3) of a body that leans little, from one marker, as `guess_upright`.

    Of the two poses that explain a marker, the other one usually has the body lie on its side.
    """
    return _most_upright(corners, pixels, max_tilt, calibration)


def fit_upright(
    points: np.ndarray, pixels: np.ndarray, height: float, x_y_yaw: np.ndarray, calibration: Calibration
) -> UprightFit:
    """Least squares fit of x, y and yaw to what is seen of a body (Gauss-Newton), from a first guess.

    Args:
        points: marker corners in the body's frame, (n, 3) [m].
        pixels: where they are seen, (n, 2) [px].
        height: of the body frame's origin above base_link [m].
        x_y_yaw: first guess, (3,) [m, m, rad].
        calibration: where the camera is and how it projects.
    """
    estimate = x_y_yaw
    for _ in range(5):
        residual, jacobian = _linearised(points, pixels, height, estimate, calibration)
        estimate = estimate + np.linalg.lstsq(jacobian, residual, rcond=None)[0]
    residual, jacobian = _linearised(points, pixels, height, estimate, calibration)
    return UprightFit(estimate, np.linalg.pinv(jacobian.T @ jacobian), float(np.sqrt(2 * np.mean(residual**2))))


def fit_lifted(
    points: np.ndarray,
    pixels: np.ndarray,
    pose: tuple[np.ndarray, np.ndarray],
    pixels_per_radian: float,
    calibration: Calibration,
) -> LiftedFit:
    """Least squares fit of a pose to what is seen of a body (Gauss-Newton), to which leaning counts as an error too.

    Args:
        points: marker corners in the body's frame, (n, 3) [m].
        pixels: where they are seen, (n, 2) [px].
        pose: first guess: position (3,) [m] and rotation (3, 3).
        pixels_per_radian: how large an error it is to lean by 1 rad [px].
        calibration: where the camera is and how it projects.
    """
    position, rotation = pose
    for _ in range(_LIFTED_ITERATIONS):
        residual, jacobian = _linearised_freely(points, pixels, position, rotation, pixels_per_radian, calibration)
        step = np.linalg.lstsq(jacobian, residual, rcond=None)[0]
        position, rotation = position + step[:3], cv2.Rodrigues(step[3:])[0] @ rotation
    residual, jacobian = _linearised_freely(points, pixels, position, rotation, pixels_per_radian, calibration)
    error = float(np.sqrt(2 * np.mean(residual[:-2] ** 2)))
    return LiftedFit(position, rotation, np.linalg.pinv(jacobian.T @ jacobian), error)


def fit_tile(points: np.ndarray, pixels: np.ndarray, calibration: Calibration) -> TileFit:
    """The better of the two poses that explain what is seen of a planar body, and how much better it is.

    Args:
        points: marker corners in the body's frame, (n, 3) [m], z = 0.
        pixels: where they are seen, (n, 2) [px].
        calibration: where the camera is and how it projects.
    """
    hand_eye, matrix = calibration.hand_eye, calibration.camera.matrix
    best, *others = planar_poses(points, pixels, matrix)
    second = others[0] if others else None
    turned = points @ best.rotation.T
    by_pose = np.concatenate([np.tile(np.eye(3), (len(points), 1, 1)), -_cross_matrices(turned)], axis=-1)
    jacobian = (_projection_jacobian(turned + best.position, matrix) @ by_pose).reshape(-1, 6)
    to_base = np.kron(np.eye(2), hand_eye.rotation)
    return TileFit(
        position=hand_eye.position + hand_eye.rotation @ best.position,
        rotation=hand_eye.rotation @ best.rotation,
        unit_covariance=to_base @ np.linalg.pinv(jacobian.T @ jacobian) @ to_base.T,
        error=best.error,
        ambiguity=best.error / max(second.error, 1e-9) if second else 0.0,
        ambiguous_distance=float(np.linalg.norm(best.position - second.position)) if second else 0.0,
    )


def intersect_level(pixel: np.ndarray, height: float, calibration: Calibration) -> np.ndarray:
    """The point (3,) in base_link [m] at `height` that the camera sees at `pixel` (2,)."""
    ray = calibration.hand_eye.rotation @ np.linalg.solve(calibration.camera.matrix, np.array([*pixel, 1.0]))
    origin = calibration.hand_eye.position
    return origin + ray * (height - origin[2]) / ray[2]


def rotation_about_z(angle: float) -> np.ndarray:
    """Turn by `angle` [rad] about z, shape (3, 3)."""
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])


def image_area(corners: np.ndarray) -> float:
    """Area of a quadrilateral (4, 2) in an image [px^2]."""
    (ax, ay), (bx, by) = corners[2] - corners[0], corners[3] - corners[1]
    return abs(float(ax * by - ay * bx)) / 2


def _most_upright(
    corners: np.ndarray, pixels: np.ndarray, max_tilt: float, calibration: Calibration
) -> tuple[np.ndarray, np.ndarray] | None:
    """Of the poses in base_link that explain a marker of a body, the one that has the body most upright: position (3,)
    [m] and rotation (3, 3). None where it leans farther than `max_tilt` [rad]."""
    center, marker_to_body, in_marker = marker_frame(corners)
    hand_eye = calibration.hand_eye
    poses = planar_poses(in_marker, pixels, calibration.camera.matrix)
    turns = [hand_eye.rotation @ pose.rotation @ marker_to_body.T for pose in poses]
    best = max(range(len(poses)), key=lambda index: turns[index][2, 2])
    if turns[best][2, 2] < np.cos(max_tilt):
        return None
    marker_position = hand_eye.position + hand_eye.rotation @ poses[best].position
    return marker_position - turns[best] @ center, turns[best]


def _linearised_freely(
    points: np.ndarray,
    pixels: np.ndarray,
    position: np.ndarray,
    rotation: np.ndarray,
    pixels_per_radian: float,
    calibration: Calibration,
) -> tuple[np.ndarray, np.ndarray]:
    """Residual (2 n + 2,) [px] of a body, the last two for leaning, and its derivative by position and turn."""
    base_to_camera, matrix = calibration.hand_eye.rotation.T, calibration.camera.matrix
    turned = points @ rotation.T
    seen = (turned + position - calibration.hand_eye.position) @ base_to_camera.T
    projected = seen @ matrix.T
    residual = pixels - projected[:, :2] / projected[:, 2:]
    by_pose = np.concatenate([np.tile(np.eye(3), (len(points), 1, 1)), -_cross_matrices(turned)], axis=-1)
    jacobian = (_projection_jacobian(seen, matrix) @ base_to_camera @ by_pose).reshape(-1, 6)
    up = rotation[:, 2]
    lean = np.concatenate([np.zeros((3, 3)), -_cross_matrices(up[None])[0]], axis=-1)[:2]
    return (
        np.concatenate([residual.ravel(), -pixels_per_radian * up[:2]]),
        np.concatenate([jacobian, pixels_per_radian * lean]),
    )


def _linearised(
    points: np.ndarray, pixels: np.ndarray, height: float, x_y_yaw: np.ndarray, calibration: Calibration
) -> tuple[np.ndarray, np.ndarray]:
    """Residual (2 n,) [px] of an upright body, and its derivative by x, y and yaw (2 n, 3)."""
    base_to_camera, matrix = calibration.hand_eye.rotation.T, calibration.camera.matrix
    turned = points @ rotation_about_z(x_y_yaw[2]).T
    offset = np.array([x_y_yaw[0], x_y_yaw[1], height]) - calibration.hand_eye.position
    seen = (turned + offset) @ base_to_camera.T
    projected = seen @ matrix.T
    residual = pixels - projected[:, :2] / projected[:, 2:]
    by_parameters = np.zeros((len(points), 3, 3))
    by_parameters[:, [0, 1], [0, 1]] = 1.0
    by_parameters[:, 0, 2], by_parameters[:, 1, 2] = -turned[:, 1], turned[:, 0]
    jacobian = _projection_jacobian(seen, matrix) @ base_to_camera @ by_parameters
    return residual.ravel(), jacobian.reshape(-1, 3)


def _projection_jacobian(seen: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Derivative (n, 2, 3) [px/m] of the pixels of points (n, 3) in the camera frame."""
    projected = seen @ matrix.T
    ratio = projected[:, :2] / projected[:, 2:]
    return (matrix[:2] - ratio[..., None] * matrix[2]) / projected[:, 2, None, None]


def _cross_matrices(vectors: np.ndarray) -> np.ndarray:
    """Matrices (n, 3, 3) that map w to v x w, for vectors v (n, 3)."""
    x, y, z = vectors.T
    zero = np.zeros_like(x)
    return np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=-1).reshape(-1, 3, 3)
