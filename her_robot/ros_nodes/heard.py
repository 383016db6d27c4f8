"""What the nodes of a loop have said so far, what is true, and what the camera saw: the evaluator's ears."""

import time
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseArray, PoseStamped
from rclpy.node import Node
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import CompressedImage, Image, JointState

from her_robot.contract import Contract, HandContract, goal_distance
from her_robot.errors import LoopError
from her_robot.evaluation.film import thumbnail
from her_robot.evaluation.recording import Recording
from her_robot.ros_nodes import conversions
from her_robot.ros_nodes.loop_topics import COMMON_TOPICS, LoopTopics

_RECORDED_IMAGE_INTERVAL = 5
_JPEG_QUALITY = 85


class Heard:
    """The newest message of each topic."""

    def __init__(self, node: Node, contract: Contract, topics: LoopTopics, recording: Recording | None) -> None:
        """
        Args:
            node: subscribes to all topics.
            contract: of the task.
            topics: of the loop.
            recording: where messages go.
        """
        self._contract, self._topics, self._recording = contract, topics, recording
        self.stamps: dict[str, float] = {}
        """Of the newest message by topic [s]."""
        self.seen: dict[str, float] = {}
        """Stamps of the newest images in which object and goal were found, or of what told of them, by name [s]."""
        self.images_processed = 0
        """Images that the camera node has worked off."""
        self.frames: list[np.ndarray] = []
        """What the camera has seen, made small."""
        self._status: dict[str, dict[str, str]] = {}
        self._truth: dict[str, np.ndarray] = {}
        self._references: dict[str, np.ndarray] = {}
        self._seeing_status = f"{topics.seeing_node}/status"
        self._image: np.ndarray | None = None
        self._images = 0
        for topic, message_type in {
            **COMMON_TOPICS,
            **topics.messages,
            **dict.fromkeys(topics.references, JointState),
        }.items():
            node.create_subscription(message_type, topic, self._receiver(topic, message_type), 50, raw=True)
        node.create_subscription(Image, topics.camera, self._on_image, 5)

    def stamp(self, topic: str) -> float:
        """Of a topic's newest message [s]; -1 before the first."""
        return self.stamps.get(topic, -1.0)

    def forget_stamps(self, *topics: str) -> None:
        """Of what another clock has stamped."""
        for topic in topics:
            self.stamps.pop(topic, None)

    def reference(self) -> np.ndarray:
        """Where the last trajectories end (n,) [rad]; empty before the first."""
        return np.concatenate([np.zeros(0), *self._references.values()])

    def distance(self) -> float:
        """True distance of the achieved from the desired goal [distance_unit of the contract]."""
        achieved, goal = (self._truth[topic].ravel() for topic in (self._topics.achieved, self._topics.goal))
        return float(goal_distance(self._contract, achieved, goal))

    def tip_positions(self) -> np.ndarray:
        """Where the point between an arm's fingers truly is (1, 3), or a hand's fingertips are (5, 3) [m]."""
        return self._truth[self._topics.tips].reshape(-1, 3)

    def tool_position(self) -> tuple[float, float, float] | None:
        """That of an arm's tool [m]; None for a hand, which has none."""
        if isinstance(self._contract, HandContract):
            return None
        x, y, z = self.tip_positions()[0]
        return float(x), float(y), float(z)

    def status(self, node: str) -> dict[str, str]:
        """The newest status of a node; empty before the first."""
        return self._status.get(node, {})

    def seeing_status(self) -> dict[str, str]:
        """The newest status of the node that finds object and goal in images; empty before the first, or without."""
        return self.status(self._topics.seeing_node or "")

    def detections(self) -> dict[str, int]:
        """What became of the markers that the camera node looked for, since the start."""
        camera = self.seeing_status()
        return {name: int(camera.get(name, 0)) for name in ("seen", "missed", "rejected")}

    def newest_image(self) -> np.ndarray:
        """What the camera saw last, RGB (height, width, 3) uint8.

        Raises:
            LoopError: it has not sent an image.
        """
        if self._image is None:
            raise LoopError("no camera image has come; the log of sim_robot_node may say why")
        return self._image

    def _receiver(self, topic: str, message_type: type) -> Callable[[bytes], None]:
        package, _, _ = message_type.__module__.partition(".msg")
        type_name = f"{package}/msg/{message_type.__name__}"

        def receive(serialized: bytes) -> None:
            if self._recording is not None:
                self._recording.write(f"/{topic}", type_name, time.time_ns(), serialized)
            message = deserialize_message(serialized, message_type)
            self.stamps[topic] = conversions.to_seconds(message.header.stamp)
            if message_type is DiagnosticArray:
                self._on_status(topic, message)
            elif topic in self._topics.references:
                self._references[topic] = np.array(message.position)
            elif message_type is PoseStamped:
                # A position, or a whole pose, as goals are.
                self._truth[topic] = conversions.pose_vector(message.pose)[: self._contract.goal_size]
            elif message_type is PoseArray:
                self._truth[topic] = conversions.points_to_numpy(message)

        return receive

    def _on_status(self, topic: str, message: Any) -> None:
        stamp = self.stamps[topic]
        if topic == self._seeing_status and stamp > 0.0:
            self.images_processed += 1
        if not (message.status and message.status[0].values):
            return
        pairs = {pair.key: pair.value for pair in message.status[0].values}
        self._status[topic.partition("/")[0]] = pairs
        if topic == self._seeing_status:
            seen = [name for name in ("object", "goal") if pairs.get(name) == "seen"]
            # What an image tells may be of the one before, if that had to wait for other cameras.
            self.seen |= {name: float(pairs.get(f"{name}_s", stamp)) for name in seen}

    def _on_image(self, message: Image) -> None:
        self._image = conversions.image_to_numpy(message)
        self.frames.append(thumbnail(self._image))
        self._images += 1
        if self._recording is None or self._images % _RECORDED_IMAGE_INTERVAL:
            return
        quality = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
        _, jpeg = cv2.imencode(".jpg", cv2.cvtColor(self._image, cv2.COLOR_RGB2BGR), quality)
        compressed = CompressedImage(header=message.header, format="jpeg", data=jpeg.tobytes())
        topic, type_name = f"/{self._topics.camera}/compressed", "sensor_msgs/msg/CompressedImage"
        self._recording.write(topic, type_name, time.time_ns(), serialize_message(compressed))
