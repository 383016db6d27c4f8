"""Square fiducial markers: printing them, finding them in an image, and their pose in the camera.

Pixels are counted from the centre of the top left pixel, x to the right and y down. A marker's frame has x to the
right and y up in the marker's image as printed, z out of the paper; the camera's is x right, y down, z forward.
"""

from collections.abc import Collection
from dataclasses import dataclass

import cv2
import numpy as np

from her_robot.robot.calibration import CameraIntrinsics, Markers


@dataclass(frozen=True)
class DetectedMarker:
    """One marker found in an image."""

    id: int
    """Its number in the dictionary."""
    corners: np.ndarray
    """Corners of the black square, (4, 2) [px], in the order top left, top right, bottom right, bottom left of the
    marker as printed, however it is turned in the image."""


@dataclass(frozen=True)
class MarkerPose:
    """One pose that explains a marker's corners."""

    position: np.ndarray
    """Centre of the marker in the camera frame, (3,) [m]."""
    rotation: np.ndarray
    """Marker frame to camera frame, (3, 3)."""
    reprojection_error: float
    """Root mean square distance of the corners from where this pose puts them [px]."""


def face_image(markers: Markers, face: str, pixels: int) -> np.ndarray:
    """The print of one face of the object, whole: (pixels, pixels) uint8, grey, its first row at the top.

    A face without a marker is white.
    """
    image = _blank(pixels)
    if face in markers.object.faces:
        scale = pixels / markers.object.size
        _print_marker(
            image, markers.dictionary, markers.object.faces[face], (0.0, 0.0), markers.object.marker_size * scale
        )
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
