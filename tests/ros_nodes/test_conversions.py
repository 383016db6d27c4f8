from array import array

import numpy as np
import pytest

pytest.importorskip("rclpy")
from geometry_msgs.msg import Pose, Quaternion
from sensor_msgs.msg import Image
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from her_robot.ros_nodes import conversions

STAMP = conversions.to_stamp(12.25)
IMAGE = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)


@pytest.mark.parametrize("seconds", [0.0, 0.04, 1.999999999, 1.7e9 + 0.123456])
def test_seconds_survive_a_stamp(seconds):
    stamp = conversions.to_stamp(seconds)
    assert 0 <= stamp.nanosec < 1_000_000_000
    assert conversions.to_seconds(stamp) == pytest.approx(seconds, abs=3e-7)
    assert conversions.to_seconds(conversions.to_duration(seconds)) == pytest.approx(seconds, abs=3e-7)


def test_an_image_survives_its_message():
    message = conversions.image_message(IMAGE, STAMP, "camera")
    assert (message.header.frame_id, message.header.stamp, message.encoding) == ("camera", STAMP, "rgb8")
    np.testing.assert_array_equal(conversions.image_to_numpy(message), IMAGE)


def test_other_encodings_and_padded_rows_are_read():
    message = conversions.image_message(IMAGE, STAMP, "camera")
    message.encoding = "bgr8"
    np.testing.assert_array_equal(conversions.image_to_numpy(message), IMAGE[..., ::-1])
    padded = np.pad(IMAGE[..., 0], ((0, 0), (0, 3)))
    grey = Image(height=4, width=6, step=9, encoding="mono8", data=array("B", padded.tobytes()))
    np.testing.assert_array_equal(conversions.image_to_numpy(grey), IMAGE[..., 0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"encoding": "16UC1"}, "encoding '16UC1' is not one of rgb8, bgr8, mono8"),
        ({"width": 7}, "do not make an image of 7 x 4 rgb8"),
        ({"height": 5}, "72 bytes in rows of 18 do not make an image of 6 x 5"),
        ({"step": 0}, "rows of 0"),
        ({"data": array("B")}, "0 bytes"),
        ({"height": 0, "width": 0, "step": 0, "data": array("B")}, "0 x 0"),
    ],
)
def test_images_that_make_no_sense_are_refused(change, message):
    image = conversions.image_message(IMAGE, STAMP, "camera")
    for name, value in change.items():
        setattr(image, name, value)
    with pytest.raises(ValueError, match=message):
        conversions.image_to_numpy(image)


def test_camera_info_has_the_intrinsics():
    matrix = np.array([[500.0, 0.0, 319.5], [0.0, 501.0, 239.5], [0.0, 0.0, 1.0]])
    message = conversions.camera_info(matrix, 640, 480, STAMP, "camera")
    np.testing.assert_array_equal(message.k.reshape(3, 3), matrix)
    np.testing.assert_array_equal(message.p.reshape(3, 4)[:, :3], matrix)
    np.testing.assert_array_equal(message.r.reshape(3, 3), np.eye(3))
    assert (message.width, message.height, list(message.d)) == (640, 480, [0.0] * 5)


def test_joint_states_may_lack_velocities():
    message = conversions.joint_state(["a", "b"], np.array([1.0, 2.0]), None, STAMP)
    assert (list(message.name), list(message.position), list(message.velocity)) == (["a", "b"], [1.0, 2.0], [])
    message = conversions.joint_state(["a"], np.ones(1), np.array([0.5]), STAMP)
    assert list(message.velocity) == [0.5]


def test_a_trajectory_survives_its_message():
    times, positions, velocities = np.array([0.05, 0.1]), np.arange(6.0).reshape(2, 3), np.ones((2, 3))
    message = conversions.joint_trajectory(["a", "b", "c"], times, positions, velocities, STAMP)
    found = conversions.joint_trajectory_to_numpy(message)
    assert found.joint_names == ("a", "b", "c")
    np.testing.assert_allclose(found.times, times)
    np.testing.assert_array_equal(found.positions, positions)
    np.testing.assert_array_equal(found.velocities, velocities)


def test_points_without_velocities_are_points_of_rest():
    message = JointTrajectory(joint_names=["a"], points=[JointTrajectoryPoint(positions=[1.0])])
    np.testing.assert_array_equal(conversions.joint_trajectory_to_numpy(message).velocities, [[0.0]])


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ([], "no points"),
        ([{"positions": [1.0]}], "point 0 has 1 positions for 2 joints"),
        ([{"positions": [1.0, 2.0]}, {"positions": [1.0, 2.0], "velocities": [0.0]}], "point 1 has 1 velocities"),
    ],
)
def test_trajectories_of_wrong_lengths_are_refused(points, message):
    trajectory = JointTrajectory(joint_names=["a", "b"], points=[JointTrajectoryPoint(**point) for point in points])
    with pytest.raises(ValueError, match=message):
        conversions.joint_trajectory_to_numpy(trajectory)


def rotation(axis: int, angle: float) -> np.ndarray:
    i, j = (axis + 1) % 3, (axis + 2) % 3
    matrix = np.eye(3)
    matrix[i, i] = matrix[j, j] = np.cos(angle)
    matrix[j, i], matrix[i, j] = np.sin(angle), -np.sin(angle)
    return matrix


@pytest.mark.parametrize("angle", [0.0, 0.3, np.pi / 2, np.pi, -3.0])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_pose_survives_its_message(axis, angle):
    position, turn = np.array([0.1, -0.2, 0.3]), rotation(axis, angle) @ rotation(0, 0.2)
    message = conversions.pose_with_covariance("base_link", STAMP, position, turn, np.diag(np.arange(6.0)))
    found_position, found_turn = conversions.pose_to_numpy(message.pose.pose)
    np.testing.assert_allclose(found_position, position)
    np.testing.assert_allclose(found_turn, turn, atol=1e-9)
    np.testing.assert_array_equal(message.pose.covariance.reshape(6, 6), np.diag(np.arange(6.0)))
    assert message.header.frame_id == "base_link"


def test_quaternions_change_order_between_numpy_and_messages():
    message = conversions.pose_stamped("world", STAMP, np.zeros(3), np.array([0.5, 0.1, 0.7, 0.5]))
    q = message.pose.orientation
    assert (q.w, q.x, q.y, q.z) == (0.5, 0.1, 0.7, 0.5)


def test_an_orientation_that_nobody_filled_in_is_refused():
    with pytest.raises(ValueError, match="norm 0, expected 1"):
        conversions.pose_to_numpy(Pose(orientation=Quaternion(x=0.0, y=0.0, z=0.0, w=0.0)))
