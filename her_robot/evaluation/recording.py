"""Recordings: a rosbag2 folder with MCAP inside, which `ros2 bag` and Foxglove open. Written without ROS."""

from pathlib import Path

from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

_BAG_VERSION = 9


class Recording:
    """Serialised messages, by topic, as they came."""

    def __init__(self, directory: Path) -> None:
        """Write to the new folder `directory`."""
        self._typestore = get_typestore(Stores.ROS2_JAZZY)
        self._writer = Writer(directory, version=_BAG_VERSION, storage_plugin=StoragePlugin.MCAP)
        self._writer.open()
        self._connections = {}

    def write(self, topic: str, message_type: str, nanoseconds: int, serialized: bytes) -> None:
        """Append one message in CDR.

        Args:
            topic: its absolute name.
            message_type: such as `sensor_msgs/msg/JointState`.
            nanoseconds: time of reception.
            serialized: the message.
        """
        if topic not in self._connections:
            self._connections[topic] = self._writer.add_connection(topic, message_type, typestore=self._typestore)
        self._writer.write(self._connections[topic], nanoseconds, serialized)

    def close(self) -> None:
        """Finish the file."""
        self._writer.close()
