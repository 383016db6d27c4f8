"""Recordings can be read back, without ROS."""

from pathlib import Path

from mcap.reader import make_reader
from rosbags.highlevel import AnyReader
from rosbags.typesys import Stores, get_typestore

from her_robot.evaluation.recording import Recording


def test_messages_come_back(tmp_path: Path):
    typestore = get_typestore(Stores.ROS2_JAZZY)
    double = typestore.types["std_msgs/msg/Float64"]
    recording = Recording(tmp_path / "bag")
    for i in range(5):
        data = bytes(typestore.serialize_cdr(double(data=0.5 * i), "std_msgs/msg/Float64"))
        recording.write("/gap", "std_msgs/msg/Float64", 1000 + i, data)
    recording.close()

    assert {path.suffix for path in (tmp_path / "bag").iterdir()} == {".mcap", ".yaml"}
    with AnyReader([tmp_path / "bag"]) as reader:
        found = [
            (topic.topic, time, reader.deserialize(raw, topic.msgtype).data) for topic, time, raw in reader.messages()
        ]
    assert found == [("/gap", 1000 + i, 0.5 * i) for i in range(5)]
    with next((tmp_path / "bag").glob("*.mcap")).open("rb") as file:
        schema, channel, _ = next(iter(make_reader(file).iter_messages()))
    assert (channel.topic, schema.name, schema.encoding) == ("/gap", "std_msgs/msg/Float64", "ros2msg")
