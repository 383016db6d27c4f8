"""The calibrations of one robot's camera: intrinsics, hand-eye, table, joint offsets and fiducials.

A calibration is a folder with five files, each a frozen dataclass here:

    camera.yaml          CameraIntrinsics, the file that ROS camera calibrators write (camera_info)
    hand_eye.yaml        HandEye, where the camera is on the robot
    table.yaml           Table, the support plane
    joint_offsets.yaml   JointOffsets, errors of the encoders
    markers.yaml         Markers, what is printed on the object and at the goal

Where one is different in a task, `table.fetch_slide.yaml` goes before `table.yaml` in that task, and so with others.
Lengths are in metres, angles in radians, pixels are counted from the centre of the top left pixel.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from her_robot import configuration
from her_robot.errors import UnknownNameError
from her_robot.resources import share_directory
from her_robot.robot.markers import Markers, ObjectPrints

_DISTORTION_COEFFICIENTS = {"plumb_bob": 5, "rational_polynomial": 8}


@dataclass(frozen=True)
class Matrix:
    """A matrix as camera_info files write it."""

    rows: int
    """Number of rows."""
    cols: int
    """Number of columns."""
    data: tuple[float, ...]
    """Elements, row by row."""

    def __post_init__(self) -> None:
        if len(self.data) != self.rows * self.cols:
            raise ValueError(f"data has {len(self.data)} elements, rows x cols says {self.rows * self.cols}")
        if not np.all(np.isfinite(self.data)):
            raise ValueError("data is not finite")

    def to_numpy(self) -> np.ndarray:
        """Shape (rows, cols)."""
        return np.array(self.data).reshape(self.rows, self.cols)


@dataclass(frozen=True)
class CameraIntrinsics:
    """How the camera projects: the ROS camera_info file, for the unrectified image (`image_raw`)."""

    image_width: int
    """Width of the images [px]."""
    image_height: int
    """Height of the images [px]."""
    camera_name: str
    """Name that the calibrator gave the camera."""
    camera_matrix: Matrix
    """K, 3 x 3 [px]."""
    distortion_model: Literal["plumb_bob", "rational_polynomial"]
    """OpenCV's model with 5 or with 8 coefficients."""
    distortion_coefficients: Matrix
    """D, 1 x 5 or 1 x 8."""
    rectification_matrix: Matrix
    """R, 3 x 3; unused for a single camera, the identity."""
    projection_matrix: Matrix
    """P, 3 x 4, of the rectified image; unused here [px]."""

    def __post_init__(self) -> None:
        coefficients = _DISTORTION_COEFFICIENTS[self.distortion_model]
        shapes = {
            "camera_matrix": (3, 3),
            "distortion_coefficients": (1, coefficients),
            "rectification_matrix": (3, 3),
            "projection_matrix": (3, 4),
        }
        for name, shape in shapes.items():
            matrix: Matrix = getattr(self, name)
            if (matrix.rows, matrix.cols) != shape:
                raise ValueError(f"{name} is {matrix.rows} x {matrix.cols}, expected {shape[0]} x {shape[1]}")
        if self.image_width <= 0 or self.image_height <= 0:
            raise ValueError(f"image_width and image_height are {self.image_width} x {self.image_height} px")
        fx, fy = self.camera_matrix.data[0], self.camera_matrix.data[4]
        if fx == 0.0:
            raise ValueError(
                "camera_matrix: the camera is not calibrated (K[0] = 0); calibrate it, see calibration/README.md"
            )
        if fx < 0.0 or fy <= 0.0:
            raise ValueError(f"camera_matrix: focal lengths must be positive, found {fx} and {fy} px")

    @property
    def matrix(self) -> np.ndarray:
        """K, shape (3, 3) [px]."""
        return self.camera_matrix.to_numpy()

    @property
    def distortion(self) -> np.ndarray:
        """D in OpenCV's order, shape (5,) or (8,)."""
        return np.array(self.distortion_coefficients.data)


@dataclass(frozen=True)
class HandEye:
    """Pose of the camera in the robot's base, and the joint positions at which it was measured."""

    parent_frame: str
    """Frame that the pose is given in: the robot's base, `base_link`."""
    camera_frame: str
    """Optical frame of the camera: x right, y down, z forward."""
    translation: tuple[float, float, float]
    """Origin of the camera frame in the parent frame [m]."""
    rotation_wxyz: tuple[float, float, float, float]
    """Quaternion w, x, y, z that turns vectors of the camera frame into the parent frame."""
    joint_positions: dict[str, float]
    """Positions of the joints between the two frames at which the pose holds [rad, or m for a prismatic joint]."""
    joint_tolerance: float = 0.01
    """Farther than this from `joint_positions`, the pose is not to be used [rad, or m]."""

    def __post_init__(self) -> None:
        norm = float(np.linalg.norm(self.rotation_wxyz))
        if not abs(norm - 1.0) < 1e-3:
            raise ValueError(f"rotation_wxyz is not a unit quaternion: its norm is {norm:.6g}")
        if not np.all(np.isfinite([*self.translation, *self.joint_positions.values()])):
            raise ValueError("translation and joint_positions must be finite")
        if not self.joint_tolerance > 0.0:
            raise ValueError(f"joint_tolerance must be positive, found {self.joint_tolerance}")

    @property
    def position(self) -> np.ndarray:
        """Origin of the camera frame in the parent frame, shape (3,) [m]."""
        return np.array(self.translation)

    @property
    def rotation(self) -> np.ndarray:
        """Camera frame to parent frame, shape (3, 3)."""
        w, x, y, z = np.array(self.rotation_wxyz) / np.linalg.norm(self.rotation_wxyz)
        return np.array(
            [
                [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
                [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
                [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
            ]
        )


@dataclass(frozen=True)
class Table:
    """The support plane, level, in the robot's base frame."""

    table_height: float
    """Height of the table top above the origin of base_link [m]."""
    low: tuple[float, float]
    """Smallest x and y of the table top in base_link [m]. What is seen outside the table is not believed."""
    high: tuple[float, float]
    """Largest x and y of the table top in base_link [m]."""

    def __post_init__(self) -> None:
        if not np.all(np.isfinite([self.table_height, *self.low, *self.high])):
            raise ValueError("table_height, low and high must be finite")
        if not np.all(np.array(self.low) < np.array(self.high)):
            raise ValueError(f"low {self.low} must be below high {self.high}")


@dataclass(frozen=True)
class JointOffsets:
    """Errors of the joint encoders."""

    offsets: dict[str, float] = field(default_factory=dict)
    """True position less the encoder's, by joint name [rad]; a joint that is not named has none."""

    def __post_init__(self) -> None:
        for name, offset in self.offsets.items():
            if not abs(offset) < np.pi:
                raise ValueError(f"offsets.{name}: {offset} rad is not an encoder error; expected within +-pi")


@dataclass(frozen=True)
class Calibration:
    """All five files of one robot."""

    camera: CameraIntrinsics
    hand_eye: HandEye
    table: Table
    joint_offsets: JointOffsets
    markers: Markers


def calibration_directory(name_or_path: str) -> Path:
    """The folder of a shipped calibration, or the folder itself where it is a path.

    Raises:
        UnknownNameError: neither; the message lists the shipped names.
    """
    if Path(name_or_path).is_dir():
        return Path(name_or_path)
    shipped = share_directory() / "calibration"
    names = sorted(folder.name for folder in shipped.iterdir() if folder.is_dir()) if shipped.is_dir() else []
    if name_or_path in names:
        return shipped / name_or_path
    raise UnknownNameError("calibration", name_or_path, names, where=str(shipped))


def load_calibration(name_or_path: str | Path, task: str | None = None) -> Calibration:
    """Read and check the five files of a calibration, by shipped name (`fetch_sim`) or by folder, for a task.

    Raises:
        UnknownNameError: there is no such calibration.
        ConfigurationError: a file is missing or malformed, or a field is missing, unknown or impossible; the message
            names file and field.
    """
    folder = calibration_directory(str(name_or_path))
    return Calibration(
        camera=configuration.load(CameraIntrinsics, _file(folder, "camera", task)),
        hand_eye=load_hand_eye(folder, task),
        table=configuration.load(Table, _file(folder, "table", task)),
        joint_offsets=load_joint_offsets(folder, task),
        markers=load_markers(folder, task),
    )


def load_hand_eye(name_or_path: str | Path, task: str | None = None) -> HandEye:
    """Read `hand_eye.yaml` of a calibration alone; raises as `load_calibration`."""
    return configuration.load(HandEye, _file(calibration_directory(str(name_or_path)), "hand_eye", task))


def load_joint_offsets(name_or_path: str | Path, task: str | None = None) -> JointOffsets:
    """Read `joint_offsets.yaml` of a calibration alone; raises as `load_calibration`."""
    return configuration.load(JointOffsets, _file(calibration_directory(str(name_or_path)), "joint_offsets", task))


def load_markers(name_or_path: str | Path, task: str | None = None) -> Markers:
    """Read `markers.yaml` of a calibration alone; raises as `load_calibration`."""
    return configuration.load(Markers, _file(calibration_directory(str(name_or_path)), "markers", task))


def load_prints(name_or_path: str | Path) -> ObjectPrints:
    """Read `markers.yaml` of a calibration alone, be it of an arm, with a goal tile, or of a hand, without one.

    Raises:
        UnknownNameError: there is no such calibration.
        ConfigurationError: the file is missing or malformed, or a field is missing, unknown or impossible.
    """
    path = calibration_directory(str(name_or_path)) / "markers.yaml"
    data = configuration.read_yaml(path)
    return configuration.build(Markers if "goal" in data else ObjectPrints, data, str(path))


def _file(folder: Path, name: str, task: str | None) -> Path:
    """The file of a task where there is one, otherwise that of all tasks."""
    own = folder / f"{name}.{task}.yaml"
    return own if task is not None and own.is_file() else folder / f"{name}.yaml"
