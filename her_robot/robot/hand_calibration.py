"""The calibration of the cameras around a hand, and of the object that they look for.

It is a folder:

    cameras/<name>/camera.yaml      CameraIntrinsics, one folder for each camera
    cameras/<name>/hand_eye.yaml    HandEye, where the camera is in the hand's base frame
    markers.yaml                    ObjectPrints, what is printed on the object
    joint_offsets.yaml              JointOffsets, errors of the encoders
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from her_robot import configuration
from her_robot.errors import ConfigurationError
from her_robot.robot.calibration import CameraIntrinsics, HandEye, calibration_directory, load_prints
from her_robot.robot.markers import ObjectPrints


@dataclass(frozen=True)
class CalibratedCamera:
    """One camera: how it projects, and where it is."""

    intrinsics: CameraIntrinsics
    hand_eye: HandEye

    @property
    def projection(self) -> np.ndarray:
        """From homogeneous points of the parent frame to homogeneous pixels without lens distortion, (3, 4)."""
        to_camera = self.hand_eye.rotation.T
        return self.intrinsics.matrix @ np.column_stack([to_camera, -to_camera @ self.hand_eye.position])


@dataclass(frozen=True)
class HandCalibration:
    """All that is needed to find the object."""

    cameras: Mapping[str, CalibratedCamera]
    """By name; all in one parent frame."""
    markers: ObjectPrints
    """On the object."""

    def __post_init__(self) -> None:
        if not self.cameras:
            raise ValueError("at least one camera is needed")
        frames = {camera.hand_eye.parent_frame for camera in self.cameras.values()}
        if len(frames) > 1:
            raise ValueError(f"all cameras must be calibrated in one parent_frame, found {', '.join(sorted(frames))}")

    @property
    def frame(self) -> str:
        """In which poses are: the hand's base frame."""
        return next(iter(self.cameras.values())).hand_eye.parent_frame


def load_hand_calibration(name_or_path: str | Path) -> HandCalibration:
    """Read and check a calibration, by shipped name (`shadow_hand_sim`) or by folder.

    Raises:
        UnknownNameError: there is no such calibration.
        ConfigurationError: no camera is calibrated, a file is missing or malformed, or a field is impossible.
    """
    folder = calibration_directory(str(name_or_path))
    cameras = {
        camera.name: CalibratedCamera(
            configuration.load(CameraIntrinsics, camera / "camera.yaml"),
            configuration.load(HandEye, camera / "hand_eye.yaml"),
        )
        for camera in sorted((folder / "cameras").glob("*/"))
    }
    try:
        return HandCalibration(cameras, load_prints(folder))
    except ValueError as error:
        raise ConfigurationError(f"{folder / 'cameras'}: {error}") from None
