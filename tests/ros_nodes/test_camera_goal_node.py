"""The node as a process of its own, over DDS."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np
import pytest

from her_robot.configuration import dump_yaml, read_yaml
from her_robot.resources import share_directory
from her_robot.robot.calibration import load_calibration
from her_robot.sim.robot import ARMS, SimulatedRobot

rclpy = pytest.importorskip("rclpy")
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus  # noqa: E402
from geometry_msgs.msg import PoseWithCovarianceStamped  # noqa: E402
from sensor_msgs.msg import Image, JointState  # noqa: E402
from std_srvs.srv import Trigger  # noqa: E402

from her_robot.ros_nodes import conversions  # noqa: E402

pytestmark = pytest.mark.ros
DOMAIN = int(os.environ["ROS_DOMAIN_ID"])


def command(*parameters: str) -> list[str]:
    arguments = [word for parameter in parameters for word in ("-p", parameter)]
    return [sys.executable, "-m", "her_robot.ros_nodes.camera_goal_node", "--ros-args", *arguments]


def environment() -> dict[str, str]:
    return os.environ | {"ROS_DOMAIN_ID": str(DOMAIN), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}


class Peer:
    """The camera and the policy's side of the node."""

    def __init__(self) -> None:
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=DOMAIN)
        self.node = rclpy.create_node("peer", context=self.context)
        self.executor = rclpy.executors.SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.images = self.node.create_publisher(Image, "head_camera/rgb/image_raw", 5)
        self.joints = self.node.create_publisher(JointState, "joint_states", 5)
        self.reset = self.node.create_client(Trigger, "camera_goal_node/reset")
        self.received: list[tuple[str, object]] = []
        for topic, kind in {
            "object_pose": PoseWithCovarianceStamped,
            "goal_pose": PoseWithCovarianceStamped,
            "camera_goal_node/status": DiagnosticArray,
        }.items():
            self.node.create_subscription(kind, topic, lambda m, topic=topic: self.received.append((topic, m)), 10)

    def wait(self, condition, seconds: float = 10.0):
        """What `condition` returns once it is true, while messages are received."""
        deadline = time.monotonic() + seconds
        while not (result := condition()):
            assert time.monotonic() < deadline, "the node did not answer in time"
            self.executor.spin_once(timeout_sec=0.05)
        return result

    def status_of(self, stamp: float) -> DiagnosticStatus | None:
        """The status with this stamp [s], if it has come."""
        for topic, message in self.received:
            if topic.endswith("status") and conversions.to_seconds(message.header.stamp) == stamp:
                return message.status[0]
        return None

    def show(self, image: Image) -> DiagnosticStatus:
        """Publish an image and wait for its status."""
        self.received.clear()
        self.images.publish(image)
        stamp = conversions.to_seconds(image.header.stamp)
        return self.wait(lambda: self.status_of(stamp))

    def topics(self, stamp: float) -> list[str]:
        """Topics of the messages received with this stamp [s], in order."""
        return [topic for topic, m in self.received if conversions.to_seconds(m.header.stamp) == stamp]

    def close(self) -> None:
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)


@pytest.fixture(scope="module")
def robot() -> Iterator[SimulatedRobot]:
    robot = SimulatedRobot(ARMS.load("fetch"), "fetch_push", seed=3)
    yield robot
    robot.close()


@pytest.fixture(scope="module")
def peer() -> Iterator[Peer]:
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    process = subprocess.Popen(command(), env=environment())
    peer = Peer()
    try:
        peer.wait(lambda: peer.images.get_subscription_count() and peer.reset.service_is_ready(), 20.0)
        peer.wait(lambda: peer.node.count_publishers("goal_pose"), 10.0)
        yield peer
    finally:
        peer.close()
        process.terminate()
        assert process.wait(10) == 0


def head_joints(**changes: float) -> JointState:
    positions = load_calibration("fetch_sim").hand_eye.joint_positions | changes
    return JointState(name=list(positions), position=list(positions.values()))


def values(status: DiagnosticStatus) -> dict[str, str]:
    return {pair.key: pair.value for pair in status.values}


def image_at(robot: SimulatedRobot, stamp: float) -> Image:
    return conversions.image_message(robot.render(), conversions.to_stamp(stamp), "head_camera_rgb_optical_frame")


def show_until_usable(peer: Peer, robot: SimulatedRobot, first_stamp: float) -> tuple[float, DiagnosticStatus]:
    """Show images until the joint states have arrived, which travel on another topic."""
    problems = []
    for stamp in first_stamp + 0.125 * np.arange(50):
        peer.joints.publish(head_joints())
        status = peer.show(image_at(robot, stamp))
        if status.level == DiagnosticStatus.OK:
            return stamp, status
        problems.append(status.message)
    raise AssertionError(f"no image was used: {problems}")


def test_nothing_is_believed_before_the_head_is_known(peer, robot):
    status = peer.show(image_at(robot, 1.0))
    assert status.level == DiagnosticStatus.ERROR
    assert status.message == "torso_lift_joint not measured"
    assert peer.topics(1.0) == ["camera_goal_node/status"]


def test_poses_come_before_the_status_and_carry_the_stamp_of_the_image(peer, robot):
    stamp, status = show_until_usable(peer, robot, 10.0)
    peer.wait(lambda: len(peer.topics(stamp)) == 3)
    poses = {topic: message for topic, message in peer.received if topic != "camera_goal_node/status"}
    truth, base = robot.ground_truth(), np.array(robot.contract.base_position)
    for topic, expected in (("object_pose", truth.object_position), ("goal_pose", truth.goal)):
        assert poses[topic].header.frame_id == "base_link"
        position, _ = conversions.pose_to_numpy(poses[topic].pose.pose)
        np.testing.assert_allclose(position + base, expected, atol=0.0015)
        assert np.all(np.array(poses[topic].pose.covariance).reshape(6, 6).diagonal()[:3] > 0)
    assert status.message == "goal seen, object seen"
    assert int(values(status)["object.seen"]) >= 1
    assert float(values(status)["processing_ms"]) < 500


def test_unreadable_image_and_turned_head_give_a_status_and_no_pose(peer, robot):
    show_until_usable(peer, robot, 20.0)
    broken = image_at(robot, 30.0)
    broken.encoding = "16UC1"
    assert peer.show(broken).message == "image not readable"
    assert peer.topics(30.0) == ["camera_goal_node/status"]

    peer.joints.publish(head_joints(head_tilt_joint=0.0))
    stamps = iter(np.arange(31.0, 37.0, 0.125))
    peer.wait(lambda: peer.show(image_at(robot, next(stamps))).message == "head_tilt_joint not as calibrated")
    assert not [topic for topic, _ in peer.received if topic.endswith("pose")]
    _, status = show_until_usable(peer, robot, 40.0)
    assert int(values(status)["object.rejected.image not readable"]) == 1


def test_silent_camera_is_reported(peer, robot):
    show_until_usable(peer, robot, 50.0)
    peer.received.clear()
    status = peer.wait(lambda: peer.status_of(0.0), 5.0)
    assert status.level == DiagnosticStatus.STALE
    assert status.message == "no image on head_camera/rgb/image_raw for 0.5 s"


def test_reset_lets_time_start_again(peer, robot):
    show_until_usable(peer, robot, 60.0)
    assert peer.show(image_at(robot, 59.0)).message == "image not newer than the last"
    future = peer.reset.call_async(Trigger.Request())
    peer.wait(future.done)
    assert future.result().success
    assert peer.show(image_at(robot, 58.0)).level == DiagnosticStatus.OK


@pytest.mark.parametrize(
    ("parameter", "message"),
    [
        ("task:=fetch_pussh", "unknown task 'fetch_pussh'; did you mean 'fetch_push'"),
        ("calibration:=nowhere", "unknown calibration 'nowhere'"),
        ("estimator.pixel_noise:=-1.0", "pixel_noise must be above 0"),
        ("image_timeout:=soon", "image_timeout"),
    ],
)
def test_impossible_parameters_are_refused_without_a_traceback(parameter, message):
    refused = subprocess.run(command(parameter), env=environment(), capture_output=True, text=True, timeout=30)
    assert refused.returncode == 1
    assert message in refused.stderr
    assert "Traceback" not in refused.stderr


def test_uncalibrated_camera_is_refused(tmp_path):
    for file in (share_directory() / "calibration" / "fetch_sim").glob("*.yaml"):
        (tmp_path / file.name).write_text(file.read_text())
    camera = read_yaml(tmp_path / "camera.yaml") | {"camera_matrix": {"rows": 3, "cols": 3, "data": [0.0] * 9}}
    (tmp_path / "camera.yaml").write_text(dump_yaml(camera))
    refused = subprocess.run(
        command(f"calibration:={tmp_path}"), env=environment(), capture_output=True, text=True, timeout=30
    )
    assert refused.returncode == 1
    assert "camera.yaml: camera_matrix: the camera is not calibrated (K[0] = 0)" in refused.stderr
    assert "Traceback" not in refused.stderr
