"""What a recording says of the arm: joint states, and the trajectories that it was told to follow.

Read from an MCAP file or a rosbag2 folder, without ROS. Positions are the model's (`RobotProfile.from_robot`), in the
profile's order of joints; times are seconds since the first joint state, on the clock that stamped it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.highlevel import AnyReader, AnyReaderError
from rosbags.rosbag2 import ReaderError
from rosbags.typesys import Stores, get_typestore

from her_robot.errors import RecordingError, did_you_mean
from her_robot.robot.profile import RobotProfile

GOOD_RECORDING = (
    "A good recording has 20 to 60 s of the arm moving in free air, every joint by 0.1 rad or more and at several "
    "speeds, with joint states (positions and velocities, 50 Hz or more) and all trajectory commands; "
    "`her-robot identify --excite FILE` writes such a motion"
)
COMMAND_SENT = "/policy_node/command_sent"
"""Where the policy node tells what it sent; `her-robot evaluate --loop ros` records this."""

_TRAJECTORY, _JOINT_STATE = "trajectory_msgs/msg/JointTrajectory", "sensor_msgs/msg/JointState"
_LONGEST_GAP_S = 0.1
_SLOWEST_PERIOD_S = 0.05
_SAME_CLOCK_S = 1.0
"""A recorder whose times are nearer to the stamps than this read the clock that the robot stamps by."""
_JUMP_SPEED = 3.0
"""An arm that moves this many times as fast as its limit was put elsewhere, as a simulated one is by a reset."""
_JUMP_SLACK = 0.03
"""[rad]."""


@dataclass(frozen=True)
class TrajectoryCommand:
    """One trajectory."""

    received: float
    """[s]."""
    times: np.ndarray
    """When to be at each point, (k,) [s]."""
    positions: np.ndarray
    """(k, n) [rad]."""
    velocities: np.ndarray
    """(k, n) [rad/s]."""


@dataclass(frozen=True)
class ArmRecording:
    """An arm that was never put elsewhere by hand, and what it was told."""

    times: np.ndarray
    """Of joint states, (m,), increasing [s]."""
    positions: np.ndarray
    """(m, n) [rad]."""
    velocities: np.ndarray
    """(m, n) [rad/s]."""
    commands: tuple[TrajectoryCommand, ...]
    """In the order in which they were received."""


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
            states, offset = _read_joint_states(reader, profile, path)
            commands = _read_commands(reader, profile, path, command_topic, states.times[0], offset)
    except (AnyReaderError, ReaderError, OSError) as error:
        raise RecordingError(f"{path}: not an MCAP file or a rosbag2 folder: {error}") from None
    states = replace(states, times=states.times - states.times[0])
    _check_gaps(states.times, path)
    return _split_at_jumps(replace(_unwrapped(states, profile), commands=commands), profile)


def _read_joint_states(reader: AnyReader, profile: RobotProfile, path: Path) -> tuple[ArmRecording, float | None]:
    """Joint states on their own clock, and how far the recorder's is ahead of it [s]; None where they are unrelated."""
    topic = "/" + profile.topics.joint_states
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
    lag = float(np.median(np.array([t for t, _ in messages]) - stamps))
    stamps, first = np.unique(stamps, return_index=True)
    return ArmRecording(stamps, positions[first], velocities[first], ()), lag if abs(lag) < _SAME_CLOCK_S else None


def _read_commands(
    reader: AnyReader, profile: RobotProfile, path: Path, topic: str | None, begin: float, lag: float | None
) -> tuple[TrajectoryCommand, ...]:
    recorded = {connection.topic for connection in reader.connections}
    topic = topic or next((t for t in ("/" + profile.topics.joint_trajectory, COMMAND_SENT) if t in recorded), None)
    if topic is None:
        known = [connection.topic for connection in reader.connections if connection.msgtype == _TRAJECTORY]
        hint = f"--command-topic may be one of: {', '.join(known)}" if known else GOOD_RECORDING
        raise RecordingError(f"{path}: no trajectories on /{profile.topics.joint_trajectory}. {hint}")
    commands = [
        _command(message, nanoseconds * 1e-9, lag is not None, profile, f"{path}: {topic}")
        for nanoseconds, message in _messages(reader, topic, _TRAJECTORY, path)
    ]
    commands = [replace(c, received=c.received - begin, times=c.times - begin) for c in commands]
    return tuple(sorted(commands, key=lambda command: command.received))


def _command(
    message: Any, recorded: float, on_the_same_clock: bool, profile: RobotProfile, where: str
) -> TrajectoryCommand:
    """A trajectory, in ROS time [s]. One without a stamp begins when it is received."""
    names, points, stamp = list(message.joint_names), message.points, _seconds(message.header.stamp)
    if sorted(names) != sorted(profile.joint_names):
        raise RecordingError(f"{where} commands the joints {names}; expected all of {list(profile.joint_names)}")
    if not points or any(len(p.positions) != len(names) or len(p.velocities) not in (0, len(names)) for p in points):
        raise RecordingError(f"{where} has a trajectory without points, or with points that lack joints")
    if not stamp and not on_the_same_clock:
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
    received = recorded if on_the_same_clock else stamp
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


def _check_gaps(times: np.ndarray, path: Path) -> None:
    if times.size < 2 or np.median(np.diff(times)) > _SLOWEST_PERIOD_S:
        rate = (times.size - 1) / max(times[-1], 1e-9)
        raise RecordingError(f"{path}: {times.size} joint states, {rate:.0f} a second. {GOOD_RECORDING}")
    gaps = np.flatnonzero(np.diff(times) > _LONGEST_GAP_S)
    if gaps.size:
        first = gaps[0]
        raise RecordingError(
            f"{path}: {gaps.size} gaps in the joint states, the first of {times[first + 1] - times[first]:.2f} s at "
            f"{times[first]:.1f} s; commands may be missing there too. Record on a machine that keeps up, or cut the "
            f"recording with `ros2 bag convert`. {GOOD_RECORDING}"
        )


def _unwrapped(recording: ArmRecording, profile: RobotProfile) -> ArmRecording:
    """Continuous joints count on beyond a turn."""
    turns = [joint.position is None for joint in profile.joints]
    positions = recording.positions.copy()
    positions[:, turns] = np.unwrap(positions[:, turns], axis=0)
    return replace(recording, positions=positions)


def _split_at_jumps(recording: ArmRecording, profile: RobotProfile) -> tuple[ArmRecording, ...]:
    times, positions = recording.times, recording.positions
    farthest = _JUMP_SPEED * np.diff(times)[:, None] * profile.velocity_limit + _JUMP_SLACK
    jumps = np.flatnonzero((np.abs(np.diff(positions, axis=0)) > farthest).any(axis=1)) + 1
    bounds = [0, *jumps, times.size]
    return tuple(_part(recording, a, b, profile) for a, b in pairwise(bounds))


def _part(recording: ArmRecording, begin: int, end: int, profile: RobotProfile) -> ArmRecording:
    times, positions = recording.times[begin:end], recording.positions[begin:end]
    commands = [
        _in_the_turn_of(command, positions[np.searchsorted(times, command.received).clip(max=times.size - 1)], profile)
        for command in recording.commands
        if times[0] <= command.received <= times[-1]
    ]
    return ArmRecording(times, positions, recording.velocities[begin:end], tuple(commands))


def _in_the_turn_of(command: TrajectoryCommand, measured: np.ndarray, profile: RobotProfile) -> TrajectoryCommand:
    """Continuous joints go the shorter way round, as controllers have them."""
    turns = [joint.position is None for joint in profile.joints]
    way = np.concatenate([measured[None], command.positions])
    way[:, turns] = np.unwrap(way[:, turns], axis=0)
    return replace(command, positions=way[1:])


def _seconds(stamp: Any) -> float:
    return stamp.sec + stamp.nanosec * 1e-9


def describe(parts: Sequence[ArmRecording]) -> str:
    """Length and contents in a line."""
    seconds = sum(part.times[-1] - part.times[0] for part in parts)
    states, commands = sum(part.times.size for part in parts), sum(len(part.commands) for part in parts)
    return f"{seconds:.1f} s, {states} joint states, {commands} commands"
