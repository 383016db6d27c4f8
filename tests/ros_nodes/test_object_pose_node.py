"""The node that sees the object in a hand: what it says of images that it cannot use, and when it does not start."""

import os
import subprocess
import sys
import time

import numpy as np
import pytest

rclpy = pytest.importorskip("rclpy")
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus  # noqa: E402
from sensor_msgs.msg import Image  # noqa: E402

from her_robot.ros_nodes import conversions  # noqa: E402
from her_robot.ros_nodes.object_pose_node import ObjectPoseNode  # noqa: E402

pytestmark = pytest.mark.ros
DOMAIN = int(os.environ["ROS_DOMAIN_ID"])
CAMERAS = ("hand_camera", "thumb_camera", "wrist_camera")


class Peer:
    """The cameras of the node, and who reads its status."""

    def __init__(self) -> None:
        rclpy.init(domain_id=DOMAIN)
        self.node, self.seeing = rclpy.create_node("peer"), ObjectPoseNode()
        self.executor = rclpy.executors.SingleThreadedExecutor()
        for node in (self.node, self.seeing):
            self.executor.add_node(node)
        self.images = {name: self.node.create_publisher(Image, f"{name}/rgb/image_raw", 5) for name in CAMERAS}
        self.statuses: list[DiagnosticArray] = []
        self.node.create_subscription(DiagnosticArray, "object_pose_node/status", self.statuses.append, 10)
        self.wait(lambda: all(publisher.get_subscription_count() for publisher in self.images.values()))
        self.wait(lambda: self.seeing.count_subscribers("object_pose_node/status"))

    def wait(self, condition):
        deadline = time.monotonic() + 20.0
        while not (result := condition()):
            assert time.monotonic() < deadline, "nothing came in time"
            self.executor.spin_once(timeout_sec=0.05)
        return result

    def show(self, camera: str, message: Image) -> DiagnosticStatus:
        """Publish an image and wait for its status."""
        self.images[camera].publish(message)

        def answer():
            stamps = [(status.header.stamp, next(iter(status.status))) for status in self.statuses]
            own = [status for stamp, status in stamps if stamp == message.header.stamp]
            return next((status for status in own if values(status).get("camera") == camera), None)

        return self.wait(answer)

    def close(self) -> None:
        self.executor.shutdown()
        rclpy.try_shutdown()


@pytest.fixture
def peer(monkeypatch):
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    peer = Peer()
    yield peer
    peer.close()


def values(status: DiagnosticStatus) -> dict[str, str]:
    return {pair.key: pair.value for pair in status.values}


def test_images_that_cannot_be_used_are_named_by_camera(peer):
    stamp, dark = conversions.to_stamp(5.0), np.zeros((480, 640, 3), np.uint8)
    grey = np.tile(np.linspace(60, 200, 640).astype(np.uint8)[None, :, None], (480, 1, 3))
    first = peer.show("hand_camera", conversions.image_message(dark, stamp, "a"))
    assert first.message == "other cameras are waited for"
    unreadable = conversions.image_message(grey, stamp, "b")
    unreadable.encoding = "bayer_rggb8"
    peer.show("thumb_camera", unreadable)
    last = peer.show("wrist_camera", conversions.image_message(grey, stamp, "c"))
    assert last.level == DiagnosticStatus.WARN
    assert last.message == "object lost, hand_camera: image too dark, thumb_camera: image not readable"
    found = values(last)
    assert (found["object"], found["lost"], found["wrist_camera.markers"]) == ("missed", "True", "0")
    assert found["hand_camera.rejected.image too dark"] == found["missed"] == "1"
    # Nobody sends any more.
    silent = peer.wait(lambda: [s.status[0] for s in peer.statuses if s.status[0].level == DiagnosticStatus.STALE])
    assert "no image on" in silent[0].message


def test_the_node_refuses_to_start_with_one_line():
    command = [sys.executable, "-m", "her_robot.ros_nodes.object_pose_node", "--ros-args"]
    ended = subprocess.run([*command, "-p", "calibration:=nowhere"], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1
    (line,) = [line for line in ended.stderr.splitlines() if line.startswith("object_pose_node:")]
    assert "unknown calibration 'nowhere'" in line
