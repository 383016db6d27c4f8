"""Recordings of a robot on ROS 2 topics, an MCAP file or a rosbag2 folder, read without ROS."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.highlevel import AnyReader, AnyReaderError
from rosbags.rosbag2 import ReaderError
from rosbags.typesys import Stores, get_typestore

from her_robot.errors import RecordingError, did_you_mean
from her_robot.identification.recording import (
    GOOD_RECORDING,
    ArmRecording,
    TrajectoryCommand,
    check_gaps,
    split_at_jumps,
    unwrapped,
)
from her_robot.robot.profile import RobotProfile

COMMAND_SENT = "/policy_node/command_sent"
"""Where the policy node tells what it sent; `her-robot evaluate --loop ros` records this."""

_TRAJECTORY, _JOINT_STATE = "trajectory_msgs/msg/JointTrajectory", "sensor_msgs/msg/JointState"
_SAME_CLOCK_S = 1.0
"""A recorder whose times are nearer to the stamps than this read the clock that the robot stamps by."""


def read_recording(path: Path, profile: RobotProfile, command_topic: str | None = None) -> tuple[ArmRecording, ...]:
    """Read the arm's joint states and commands. Where the arm was put elsewhere in no time, another part begins.

    Args:
        path: an MCAP file, or a rosbag2 folder.
        profile: of the robot: names of joints and topics.
        command_topic: of the trajectories; default: the profile's, or else that of the policy node.

    Raises:
        RecordingError: no recording, other joints, joint states without velocities, gaps, no commands, or commands
            that cannot be placed in time. The message says what a good recording has.
    """
    try:
        with AnyReader([path], default_typestore=get_typestore(Stores.ROS2_JAZZY)) as reader:
            states, on_one_clock = _read_joint_states(reader, profile, path)
            commands = _read_commands(reader, profile, path, command_topic, states.times[0], on_one_clock)
    except (AnyReaderError, ReaderError, OSError) as error:
        raise RecordingError(f"{path}: not an MCAP file or a rosbag2 folder: {error}") from None
    states = replace(states, times=states.times - states.times[0])
    check_gaps(states.times, str(path))
    return split_at_jumps(replace(unwrapped(states, profile), commands=commands), profile)


def _read_joint_states(reader: AnyReader, profile: RobotProfile, path: Path) -> tuple[ArmRecording, bool]:
    """Joint states in ROS time [s], and whether the recorder read the clock that they are stamped by."""
    topic = _absolute(profile.topics.joint_states)
    messages = [(t * 1e-9, m) for t, m in _messages(reader, topic, _JOINT_STATE, path)]
    seen = {name for _, message in messages for name in message.name}
    missing = [name for name in profile.joint_names if name not in seen]
    if missing:
        raise RecordingError(
            f"{path}: {topic} has no joint {missing[0]!r}{did_you_mean(missing[0], seen)}. Is this a recording of a "
            f"{profile.name}? --robot names another profile"
        )
    # Grippers and heads may have publishers of their own on the same topic.
    messages = [(t, m) for t, m in messages if set(profile.joint_names) <= set(m.name)]
    if not messages:
        raise RecordingError(
            f"{path}: no message on {topic} has all joints of the arm: {', '.join(profile.joint_names)}"
        )
    if any(len(m.velocity) != len(m.name) for _, m in messages):
        raise RecordingError(f"{path}: {topic} has no velocities. {GOOD_RECORDING}")
    stamps = np.array([_seconds(m.header.stamp) for _, m in messages])
    if not stamps.any():
        raise RecordingError(f"{path}: joint states have no stamps; a fit needs to know when each was measured")
    orders = [[list(m.name).index(name) for name in profile.joint_names] for _, m in messages]
    positions = np.array([profile.from_robot(m.position[o]) for (_, m), o in zip(messages, orders, strict=True)])
    velocities = np.array([m.velocity[o] * profile.signs() for (_, m), o in zip(messages, orders, strict=True)])
    if not (np.isfinite(positions).all() and np.isfinite(velocities).all()):
        raise RecordingError(f"{path}: positions or velocities on {topic} are not all finite")
    lag = np.median(np.array([t for t, _ in messages]) - stamps)
    stamps, first = np.unique(stamps, return_index=True)
    return ArmRecording(stamps, positions[first], velocities[first], ()), bool(abs(lag) < _SAME_CLOCK_S)


def _read_commands(
    reader: AnyReader, profile: RobotProfile, path: Path, topic: str | None, begin: float, on_one_clock: bool
) -> tuple[TrajectoryCommand, ...]:
    """Commands, in seconds since `begin` [s, ROS time]."""
    recorded = {connection.topic for connection in reader.connections}
    usual = _absolute(profile.topics.joint_trajectory)
    topic = _absolute(topic) if topic else next((t for t in (usual, COMMAND_SENT) if t in recorded), None)
    if topic is None:
        known = [connection.topic for connection in reader.connections if connection.msgtype == _TRAJECTORY]
        hint = f"--command-topic may be one of: {', '.join(known)}" if known else GOOD_RECORDING
        raise RecordingError(f"{path}: no trajectories on {usual}. {hint}")
    commands = [
        _command(message, nanoseconds * 1e-9, on_one_clock, profile, f"{path}: {topic}")
        for nanoseconds, message in _messages(reader, topic, _TRAJECTORY, path)
    ]
    commands = [replace(c, received=c.received - begin, times=c.times - begin) for c in commands]
    return tuple(sorted(commands, key=lambda command: command.received))


def _command(message: Any, recorded: float, on_one_clock: bool, profile: RobotProfile, where: str) -> TrajectoryCommand:
    """A trajectory, in ROS time [s]. One without a stamp begins when it is received."""
    names, points, stamp = list(message.joint_names), message.points, _seconds(message.header.stamp)
    if sorted(names) != sorted(profile.joint_names):
        raise RecordingError(f"{where} commands the joints {names}; expected all of {list(profile.joint_names)}")
    if not points or any(len(p.positions) != len(names) or len(p.velocities) not in (0, len(names)) for p in points):
        raise RecordingError(f"{where} has a trajectory without points, or with points that lack joints")
    if not stamp and not on_one_clock:
        raise RecordingError(
            f"{where} has no stamps, and the recorder's clock is not the one that joint states are stamped by: nothing "
            "tells when a command came. Record with `ros2 bag record --use-sim-time`, or stamp the commands"
        )
    order = [names.index(name) for name in profile.joint_names]
    positions = np.array([profile.from_robot(p.positions[order]) for p in points])
    velocities = np.array(
        [p.velocities[order] * profile.signs() if len(p.velocities) else 0 * p.positions for p in points]
    )
    times = (stamp or recorded) + np.array([_seconds(p.time_from_start) for p in points])
    received = recorded if on_one_clock else stamp
    if not (np.isfinite(positions).all() and np.isfinite(velocities).all() and np.all(np.diff(times) > 0)):
        raise RecordingError(f"{where} has a trajectory with values that are not finite, or times that do not increase")
    return TrajectoryCommand(received, times, positions, velocities)


def _messages(reader: AnyReader, topic: str, message_type: str, path: Path) -> list[tuple[int, Any]]:
    connections = [connection for connection in reader.connections if connection.topic == topic]
    if not connections:
        topics = {connection.topic for connection in reader.connections}
        raise RecordingError(f"{path}: no topic {topic!r}{did_you_mean(topic, topics)}. {GOOD_RECORDING}")
    if connections[0].msgtype != message_type:
        raise RecordingError(f"{path}: {topic} is of type {connections[0].msgtype}; expected {message_type}")
    found = [(time, reader.deserialize(raw, c.msgtype)) for c, time, raw in reader.messages(connections)]
    if not found:
        raise RecordingError(f"{path}: no message on {topic}. {GOOD_RECORDING}")
    return found


def _absolute(topic: str) -> str:
    return "/" + topic.lstrip("/")


def _seconds(stamp: Any) -> float:
    return stamp.sec + stamp.nanosec * 1e-9
