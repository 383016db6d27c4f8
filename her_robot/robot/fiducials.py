"""Square fiducial markers: printing them, finding them in an image, and their pose in the camera.

Pixels are counted from the centre of the top left pixel, x to the right and y down. A marker's frame has x to the
right and y up in the marker's image as printed, z out of the paper; the camera's is x right, y down, z forward.
"""

from collections.abc import Collection
from dataclasses import dataclass

import cv2
import numpy as np

from her_robot.robot.calibration import CameraIntrinsics
from her_robot.robot.markers import Markers, ObjectPrints

_UPSCALING = 2
"""Images are enlarged before the search: a cell of a marker is 2 to 4 pixels wide, and its bits are read at points."""
_WHITE = 240
"""Images are brightened until 1 % of their pixels are at least this bright, of 255: thresholds are in grey levels."""
_LARGEST_GAIN = 8.0
_EDGE_REACH = 0.5
"""Edges are looked for this far to either side, in cells of the marker; the white around a marker is wider."""
_LARGEST_CELL = 8.0
"""Larger cells count as this large, lest the samples across an edge lie far apart [px]."""
_EDGE_PROFILES = 12
_EDGE_SAMPLES = 13
_LARGEST_CORRECTION = 3.0
"""A corner that the refinement moves farther than this was not on a clean edge, and stays where it was [px]."""


@dataclass(frozen=True)
class DetectedMarker:
    """One marker found in an image."""

    id: int
    """Its number in the dictionary."""
    corners: np.ndarray
    """Corners of the black square, (4, 2) [px], freed of lens distortion, in the order top left, top right, bottom
    right, bottom left of the marker as printed, however it is turned in the image."""


@dataclass(frozen=True)
class MarkerPose:
    """One pose that explains the corners of one or several markers."""

    position: np.ndarray
    """Origin of the marker frame in the camera frame, (3,) [m]."""
    rotation: np.ndarray
    """Marker frame to camera frame, (3, 3)."""
    error: float
    """Root mean square distance of the corners from where this pose puts them [px]."""


class MarkerDetector:
    """Finds the markers of one dictionary, their corners to about a twentieth of a pixel."""

    def __init__(self, dictionary: str, ids: Collection[int], camera: CameraIntrinsics) -> None:
        """Look for the markers `ids` of OpenCV's predefined `dictionary`; others are ignored."""
        self._ids = frozenset(ids)
        self._camera = camera
        marker_dictionary = _dictionary(dictionary)
        self._cells = marker_dictionary.markerSize + 2
        # Windows as narrow as a marker's white border: wider ones lose a face in the shade before a bright table.
        parameters = cv2.aruco.DetectorParameters()
        parameters.adaptiveThreshWinSizeMin = 7
        parameters.adaptiveThreshWinSizeMax = 9
        parameters.adaptiveThreshWinSizeStep = 2
        parameters.adaptiveThreshConstant = 12
        parameters.perspectiveRemovePixelPerCell = 8
        parameters.perspectiveRemoveIgnoredMarginPerCell = 0.25
        self._detector = cv2.aruco.ArucoDetector(marker_dictionary, parameters)

    def detect(self, image: np.ndarray) -> list[DetectedMarker]:
        """Markers in a grey image (height, width) uint8, ordered by id; one id may be found more than once."""
        gain = _WHITE / max(float(np.percentile(image[::8, ::8], 99)), 1.0)
        bright = cv2.convertScaleAbs(image, alpha=min(max(gain, 1.0), _LARGEST_GAIN))
        enlarged = cv2.resize(bright, None, fx=_UPSCALING, fy=_UPSCALING, interpolation=cv2.INTER_LINEAR)
        quads, ids, _ = self._detector.detectMarkers(enlarged)
        if ids is None:
            return []
        known = [i for i, marker_id in enumerate(ids.ravel()) if int(marker_id) in self._ids]
        if not known:
            return []
        corners = (np.array(quads, np.float64).reshape(-1, 4, 2)[known] + 0.5) / _UPSCALING - 0.5
        corners = undistort(refine_corners(image, corners, self._cells), self._camera)
        found = [DetectedMarker(int(ids.ravel()[i]), corner) for i, corner in zip(known, corners, strict=True)]
        return sorted(found, key=lambda marker: marker.id)


def refine_corners(image: np.ndarray, corners: np.ndarray, cells: int) -> np.ndarray:
    """Corners of black squares on white, where the lines through their edges meet.

    Along each edge, short profiles across it are read; the area under a profile says where it passes from black to
    white, without bias by blur. A line is fitted to each edge. This is several times more accurate on small markers
    than a search for corner points.

    Args:
        image: grey, (height, width) uint8.
        corners: first guesses, (n, 4, 2) [px], right to about half a cell.
        cells: number of cells along a marker's edge, border included.

    Returns:
        Refined corners (n, 4, 2) [px].
    """
    refined = corners
    for _ in range(2):
        lines = _edge_lines(image, refined, cells)
        # Corner i is where edge i - 1, which ends there, meets edge i, which begins there.
        candidate = np.cross(np.roll(lines, 1, axis=1), lines)
        candidate = candidate[..., :2] / candidate[..., 2:]
        moved = np.abs(candidate - corners).max(axis=(1, 2), keepdims=True)
        refined = np.where(moved < _LARGEST_CORRECTION, candidate, refined)
    return refined


def _edge_lines(image: np.ndarray, corners: np.ndarray, cells: int) -> np.ndarray:
    """Homogeneous lines (n, 4, 3) through the edges from each corner (n, 4, 2) to the next."""
    along = np.linspace(0.08, 0.92, _EDGE_PROFILES)[:, None]
    across = np.linspace(-_EDGE_REACH, _EDGE_REACH, _EDGE_SAMPLES)[:, None]
    start, end = corners[:, :, None], np.roll(corners, -1, axis=1)[:, :, None]
    before, after = np.roll(corners, 1, axis=1)[:, :, None], np.roll(corners, -2, axis=1)[:, :, None]
    on_edge = start + along * (end - start)
    outward = ((1 - along) * (start - before) + along * (end - after)) / cells
    outward = outward * np.minimum(1.0, _LARGEST_CELL / np.linalg.norm(outward, axis=-1, keepdims=True))
    points = (on_edge[..., None, :] + across * outward[..., None, :]).reshape(-1, _EDGE_SAMPLES, 2).astype(np.float32)
    read = cv2.remap(image, points[..., 0], points[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    profiles = read.astype(np.float64).reshape(*on_edge.shape[:-1], _EDGE_SAMPLES)

    black = profiles[..., :2].mean(axis=-1, keepdims=True)
    white = profiles[..., -2:].mean(axis=-1, keepdims=True)
    brightness = np.clip((profiles - black) / np.maximum(white - black, 1.0), -0.2, 1.2)
    step = 2 * _EDGE_REACH / (_EDGE_SAMPLES - 1)
    white_width = step * (brightness.sum(axis=-1) - (brightness[..., 0] + brightness[..., -1]) / 2)
    on_edge = on_edge + (_EDGE_REACH - white_width)[..., None] * outward

    middle = on_edge.mean(axis=2)
    spread = on_edge - middle[:, :, None]
    normal = np.linalg.eigh(spread.swapaxes(-1, -2) @ spread)[1][..., 0]
    return np.concatenate([normal, -np.sum(normal * middle, axis=-1, keepdims=True)], axis=-1)


def undistort(pixels: np.ndarray, camera: CameraIntrinsics) -> np.ndarray:
    """Where a camera with the same matrix and no lens distortion would see `pixels` (..., 2) [px]."""
    if not np.any(camera.distortion):
        return pixels
    ideal = cv2.undistortPoints(pixels.reshape(-1, 1, 2), camera.matrix, camera.distortion, P=camera.matrix)
    return ideal.reshape(pixels.shape)


def square_corners(size: float) -> np.ndarray:
    """Corners of a marker of edge `size` in its own frame, (4, 3) [m], in the order of `DetectedMarker.corners`."""
    half = size / 2
    return np.array([[-half, half, 0.0], [half, half, 0.0], [half, -half, 0.0], [-half, -half, 0.0]])


def planar_poses(points: np.ndarray, pixels: np.ndarray, matrix: np.ndarray) -> list[MarkerPose]:
    """The poses of a planar pattern that explain what is seen of it, best first; usually two (IPPE).

    A small or distant pattern looks nearly the same when its normal is mirrored about the line of sight, so neither
    pose is to be trusted alone: compare their errors, or use what else is known.

    Args:
        points: points of the pattern in its own frame, (n, 3) [m], n >= 4, z = 0.
        pixels: where they are seen, without lens distortion, (n, 2) [px].
        matrix: the camera matrix K, (3, 3) [px].
    """
    _, turns, positions, errors = cv2.solvePnPGeneric(points, pixels, matrix, None, flags=cv2.SOLVEPNP_IPPE)
    poses = [
        MarkerPose(np.asarray(position).ravel(), cv2.Rodrigues(turn)[0], float(np.asarray(error).item()))
        for turn, position, error in zip(turns, positions, errors, strict=True)
    ]
    return sorted(poses, key=lambda pose: pose.error)


def face_image(markers: ObjectPrints, face: str, pixels: int) -> np.ndarray:
    """The print of one face of the object, whole: (pixels, pixels) uint8, grey, its first row at the top.

    A face without a marker is white.
    """
    image = _blank(pixels)
    if face in markers.object.faces:
        scale = pixels / markers.object.size
        for marker_id, (x, y) in markers.object.layout(face).items():
            center = (x * scale, y * scale)
            _print_marker(image, markers.dictionary, marker_id, center, markers.object.marker_size * scale)
    return image


def goal_tile_image(markers: Markers, pixels: int) -> np.ndarray:
    """The print of the goal tile, whole: (pixels, pixels) uint8, grey, its first row at the top."""
    image = _blank(pixels)
    scale = pixels / markers.goal.tile_size
    for marker in markers.goal.markers:
        center = (marker.center[0] * scale, marker.center[1] * scale)
        _print_marker(image, markers.dictionary, marker.id, center, markers.goal.marker_size * scale)
    return image


def _blank(pixels: int) -> np.ndarray:
    return np.full((pixels, pixels), 255, np.uint8)


def _print_marker(image: np.ndarray, dictionary: str, marker_id: int, center: tuple[float, float], side: float) -> None:
    """Draw a marker of `side` pixels at `center` (x right, y up from the image's centre), to the nearest pixel."""
    left = round(image.shape[1] / 2 + center[0] - side / 2)
    top = round(image.shape[0] / 2 - center[1] - side / 2)
    side = round(side)
    image[top : top + side, left : left + side] = cv2.aruco.generateImageMarker(
        _dictionary(dictionary), marker_id, side
    )


def _dictionary(name: str) -> cv2.aruco.Dictionary:
    return cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, name))
