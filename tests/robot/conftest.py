"""A camera that sees the markers and nothing else: images drawn with OpenCV, exact to a fraction of a pixel."""

import cv2
import numpy as np
import pytest

from her_robot.robot.calibration import Calibration
from her_robot.robot.fiducials import face_image, goal_tile_image
from her_robot.robot.markers import face_rotation

_SUPERSAMPLING = 4


class SyntheticScene:
    """Draws the object and the goal tile of a calibration as its camera sees them; poses are in base_link."""

    def __init__(self, calibration: Calibration, noise: float = 2.0, seed: int = 0) -> None:
        self.calibration = calibration
        self._noise = noise
        self._random = np.random.default_rng(seed)

    def render(
        self,
        object_pose: tuple[np.ndarray, np.ndarray] | None = None,
        tile_pose: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> np.ndarray:
        """An RGB image, (height, width, 3) uint8. A pose is the position [m] and the rotation matrix of a body."""
        camera, markers = self.calibration.camera, self.calibration.markers
        canvas = np.full((camera.image_height * _SUPERSAMPLING, camera.image_width * _SUPERSAMPLING), 170, np.uint8)
        if tile_pose is not None:
            self._draw(canvas, goal_tile_image(markers, 540), markers.goal.tile_size, *tile_pose)
        if object_pose is not None:
            position, rotation = object_pose
            for face in ("front", "back", "left", "right", "top"):
                face_to_base = rotation @ face_rotation(face)
                center = position + face_to_base[:, 2] * markers.object.size / 2
                if face_to_base[:, 2] @ (self.calibration.hand_eye.position - center) > 0:
                    self._draw(canvas, face_image(markers, face, 300), markers.object.size, center, face_to_base)
        image = cv2.resize(canvas, (camera.image_width, camera.image_height), interpolation=cv2.INTER_AREA)
        noisy = image[..., None] + self._random.normal(0.0, self._noise, (*image.shape, 3))
        return np.clip(np.round(noisy), 0, 255).astype(np.uint8)

    def project(self, points: np.ndarray) -> np.ndarray:
        """Pixels (n, 2) of points in base_link (n, 3), without lens distortion."""
        hand_eye = self.calibration.hand_eye
        in_camera = (points - hand_eye.position) @ hand_eye.rotation
        pixels = in_camera @ self.calibration.camera.matrix.T
        return pixels[:, :2] / pixels[:, 2:]

    def _draw(self, canvas, texture, size, center, rotation) -> None:
        half = size / 2
        corners = np.array([[-half, half, 0], [half, half, 0], [half, -half, 0], [-half, -half, 0]])
        pixels = (self.project(center + corners @ rotation.T) + 0.5) * _SUPERSAMPLING - 0.5
        edge = texture.shape[0] - 0.5
        source = np.array([[-0.5, -0.5], [edge, -0.5], [edge, edge], [-0.5, edge]], np.float32)
        warp = cv2.getPerspectiveTransform(source, pixels.astype(np.float32))
        size_wh = (canvas.shape[1], canvas.shape[0])
        drawn = cv2.warpPerspective(texture, warp, size_wh, flags=cv2.INTER_AREA)
        inside = cv2.warpPerspective(np.full_like(texture, 255), warp, size_wh, flags=cv2.INTER_NEAREST)
        np.copyto(canvas, drawn, where=inside > 0)


@pytest.fixture
def synthetic_scene() -> type[SyntheticScene]:
    return SyntheticScene
