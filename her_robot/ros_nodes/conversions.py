"""ROS messages <-> numpy. Rotations are matrices, quaternions w, x, y, z, times seconds in float64, on the numpy side.

What comes in is checked for shape, so that a caller can refuse a message by catching `ValueError`; whether values are
finite is for the caller to judge. Float64 resolves today's ROS times to a quarter of a microsecond.
"""

from array import array
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import mujoco
import numpy as np
from builtin_interfaces.msg import Duration, Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from geometry_msgs.msg import Point, Pose, PoseArray, PoseStamped, PoseWithCovarianceStamped, Quaternion
from sensor_msgs.msg import CameraInfo, Image, JointState
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

_CHANNELS = {"rgb8": 3, "bgr8": 3, "mono8": 1}
_NO_TURN = np.array([1.0, 0.0, 0.0, 0.0])
_NANOSECONDS = 1_000_000_000


class JointTrajectoryArrays(NamedTuple):
    """The points of a trajectory, in the message's order of joints."""

    joint_names: tuple[str, ...]
    times: np.ndarray
    """From the start, (k,) [s]."""
    positions: np.ndarray
    """(k, n) [rad]."""
    velocities: np.ndarray
    """(k, n) [rad/s]."""


def to_seconds(stamp: Time | Duration) -> float:
    """A stamp or a duration in seconds."""
    return stamp.sec + stamp.nanosec / _NANOSECONDS


def to_stamp(seconds: float) -> Time:
    """A stamp, to the nearest nanosecond."""
    whole, nanoseconds = divmod(round(seconds * _NANOSECONDS), _NANOSECONDS)
    return Time(sec=whole, nanosec=nanoseconds)


def to_duration(seconds: float) -> Duration:
    """A duration, to the nearest nanosecond."""
    whole, nanoseconds = divmod(round(seconds * _NANOSECONDS), _NANOSECONDS)
    return Duration(sec=whole, nanosec=nanoseconds)


def image_to_numpy(message: Image) -> np.ndarray:
    """The pixels, (height, width, 3) RGB or (height, width) grey, uint8. May share the message's memory.

    Raises:
        ValueError: an encoding other than rgb8, bgr8 and mono8, or a size that does not fit the data.
    """
    if message.encoding not in _CHANNELS:
        raise ValueError(f"encoding {message.encoding!r} is not one of {', '.join(_CHANNELS)}")
    height, width, channels = message.height, message.width, _CHANNELS[message.encoding]
    if not height or not width or message.step < width * channels or len(message.data) != height * message.step:
        size = f"{width} x {height} {message.encoding}"
        raise ValueError(f"{len(message.data)} bytes in rows of {message.step} do not make an image of {size}")
    rows = np.frombuffer(message.data, np.uint8).reshape(height, message.step)[:, : width * channels]
    if channels == 1:
        return rows
    pixels = rows.reshape(height, width, channels)
    return pixels[..., ::-1] if message.encoding == "bgr8" else pixels


def image_message(image: np.ndarray, stamp: Time, frame: str) -> Image:
    """An rgb8 image of (height, width, 3) uint8."""
    height, width, channels = image.shape
    message = Image(height=height, width=width, encoding="rgb8", step=width * channels)
    message.header.stamp, message.header.frame_id = stamp, frame
    # An array of bytes is taken as it is; anything else is checked byte by byte, 100 ms an image.
    message.data = array("B", image.tobytes())
    return message


def camera_info(camera_matrix: np.ndarray, width: int, height: int, stamp: Time, frame: str) -> CameraInfo:
    """Intrinsics of a single camera without distortion: K (3, 3) [px] and the size of its images [px]."""
    message = CameraInfo(height=height, width=width, distortion_model="plumb_bob", d=[0.0] * 5)
    message.header.stamp, message.header.frame_id = stamp, frame
    message.k = camera_matrix.ravel()
    message.r = np.eye(3).ravel()
    message.p = np.hstack([camera_matrix, np.zeros((3, 1))]).ravel()
    return message


def joint_state(names: Sequence[str], positions: np.ndarray, velocities: np.ndarray | None, stamp: Time) -> JointState:
    """Joint positions (n,) [rad, m] and, if known, velocities (n,) [rad/s, m/s]."""
    message = JointState(name=list(names), position=positions.tolist())
    if velocities is not None:
        message.velocity = velocities.tolist()
    message.header.stamp = stamp
    return message


def joint_trajectory(
    joint_names: Sequence[str], times: np.ndarray, positions: np.ndarray, velocities: np.ndarray, stamp: Time
) -> JointTrajectory:
    """A trajectory that starts at `stamp`: times from the start (k,) [s], positions and velocities (k, n)."""
    message = JointTrajectory(joint_names=list(joint_names))
    message.header.stamp = stamp
    message.points = [
        JointTrajectoryPoint(positions=p.tolist(), velocities=v.tolist(), time_from_start=to_duration(float(t)))
        for t, p, v in zip(times, positions, velocities, strict=True)
    ]
    return message


def joint_trajectory_to_numpy(message: JointTrajectory) -> JointTrajectoryArrays:
    """The points of a trajectory. The arm comes to rest at points that have no velocities.

    Raises:
        ValueError: no points, or points whose positions or velocities are not one for each joint.
    """
    names, points = tuple(message.joint_names), list(message.points)
    if not points:
        raise ValueError("the trajectory has no points")
    for index, point in enumerate(points):
        if len(point.positions) != len(names):
            raise ValueError(f"point {index} has {len(point.positions)} positions for {len(names)} joints")
        if len(point.velocities) not in (0, len(names)):
            raise ValueError(f"point {index} has {len(point.velocities)} velocities for {len(names)} joints")
    times = np.array([to_seconds(point.time_from_start) for point in points])
    positions = np.array([point.positions for point in points], np.float64)
    velocities = np.array([point.velocities or [0.0] * len(names) for point in points], np.float64)
    return JointTrajectoryArrays(names, times, positions, velocities)


def reference_topic(trajectory_topic: str) -> str:
    """Where a simulated robot says what it was told last on a controller's topic."""
    return f"{trajectory_topic.rpartition('/')[0]}/reference"


def points(frame: str, stamp: Time, positions: np.ndarray) -> PoseArray:
    """Positions (n, 3) [m] in `frame`, each as a pose whose orientation does not count."""
    message = PoseArray(poses=[_pose(position, _NO_TURN) for position in positions])
    message.header.stamp, message.header.frame_id = stamp, frame
    return message


def points_to_numpy(message: PoseArray) -> np.ndarray:
    """The positions (n, 3) [m] of poses, whatever their orientations."""
    return np.array([[p.position.x, p.position.y, p.position.z] for p in message.poses]).reshape(-1, 3)


def pose_stamped(frame: str, stamp: Time, position: np.ndarray, quaternion_wxyz: np.ndarray) -> PoseStamped:
    """A pose: position (3,) [m] and quaternion (4,) in `frame`."""
    message = PoseStamped(pose=_pose(position, quaternion_wxyz))
    message.header.stamp, message.header.frame_id = stamp, frame
    return message


def pose_with_covariance(
    frame: str, stamp: Time, position: np.ndarray, rotation: np.ndarray, covariance: np.ndarray
) -> PoseWithCovarianceStamped:
    """A pose: position (3,) [m], rotation (3, 3), and the covariance (6, 6) [m^2, rad^2] that messages define."""
    quaternion = np.zeros(4)
    mujoco.mju_mat2Quat(quaternion, np.asarray(rotation, np.float64).ravel())
    message = PoseWithCovarianceStamped()
    message.header.stamp, message.header.frame_id = stamp, frame
    message.pose.pose = _pose(position, quaternion)
    message.pose.covariance = np.asarray(covariance, np.float64).ravel()
    return message


def pose_vector(message: Pose) -> np.ndarray:
    """Position [m] and quaternion w, x, y, z of a pose (7,); the quaternion's sign is as sent.

    Raises:
        ValueError: the quaternion is not of unit length, as in a pose that nobody filled in.
    """
    p, q = message.position, message.orientation
    quaternion = np.array([q.w, q.x, q.y, q.z])
    norm = float(np.linalg.norm(quaternion))
    if abs(norm - 1.0) > 1e-3:
        raise ValueError(f"the orientation's quaternion has norm {norm:.3g}, expected 1")
    return np.array([p.x, p.y, p.z, *(quaternion / norm)])


def pose_to_numpy(message: Pose) -> tuple[np.ndarray, np.ndarray]:
    """Position (3,) [m] and rotation (3, 3) of a pose; raises as `pose_vector`."""
    pose, rotation = pose_vector(message), np.zeros(9)
    mujoco.mju_quat2Mat(rotation, pose[3:])
    return pose[:3], rotation.reshape(3, 3)


def diagnostics(node: str, stamp: Time, values: Mapping[str, object], message: str, level: bytes) -> DiagnosticArray:
    """A node's status as one diagnostic message."""
    pairs = [KeyValue(key=key, value=str(value)) for key, value in values.items()]
    array = DiagnosticArray(status=[DiagnosticStatus(level=level, name=node, message=message, values=pairs)])
    array.header.stamp = stamp
    return array


def _pose(position: np.ndarray, quaternion_wxyz: np.ndarray) -> Pose:
    x, y, z = map(float, position)
    qw, qx, qy, qz = map(float, quaternion_wxyz)
    return Pose(position=Point(x=x, y=y, z=z), orientation=Quaternion(w=qw, x=qx, y=qy, z=qz))
