"""Square fiducial markers: printing them, finding them in an image, and their pose in the camera.

Pixels are counted from the centre of the top left pixel, x to the right and y down. A marker's frame has x to the
right and y up in the marker's image as printed, z out of the paper; the camera's is x right, y down, z forward.
"""

from collections.abc import Collection
from dataclasses import dataclass

import cv2
import numpy as np

from her_robot.robot.calibration import CameraIntrinsics


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


def printed_marker(dictionary: str, marker_id: int, marker_size: float, outer_size: float, pixels: int) -> np.ndarray:
    """The face to print: a marker of `marker_size` centred on a white square of `outer_size` [m].

    Returns a grey image, (pixels, pixels) uint8, whose first row is the top of the marker. Sizes are rounded so that
    each of the marker's cells is a whole number of pixels; take `pixels` a multiple of
    `cells * outer_size / marker_size` to have them exact.
    """
    side = round(pixels * marker_size / outer_size)
    border = (pixels - side) // 2
    image = np.full((pixels, pixels), 255, np.uint8)
    image[border : border + side, border : border + side] = cv2.aruco.generateImageMarker(
        _dictionary(dictionary), marker_id, side
    )
    return image


def _dictionary(name: str) -> cv2.aruco.Dictionary:
    return cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, name))
