"""An arm as it was recorded: how it moved, what it was told, and whether that can tell anything.

Positions are the model's (`RobotProfile.from_robot`), in the profile's order of joints; times are seconds since the
first joint state, on the clock that stamped it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from her_robot.errors import RecordingError
from her_robot.robot.profile import RobotProfile

GOOD_RECORDING = (
    "A good recording has 20 to 60 s of the arm moving in free air, every joint by 0.1 rad or more and at several "
    "speeds, with joint states (positions and velocities, 50 Hz or more) and all trajectory commands; "
    "`her-robot identify --excite FILE` writes such a motion"
)

_LONGEST_GAP_S = 0.1
_SLOWEST_PERIOD_S = 0.05
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


def check_gaps(times: np.ndarray, where: str) -> None:
    """Refuse joint states that are too rare, or missing for a while.

    Args:
        times: (m,) [s], from 0 on.
        where: they come from, for the message.

    Raises:
        RecordingError: the message says where the first gap is.
    """
    if times.size < 2 or np.median(np.diff(times)) > _SLOWEST_PERIOD_S:
        rate = (times.size - 1) / max(times[-1], 1e-9)
        raise RecordingError(f"{where}: {times.size} joint states, {rate:.0f} a second. {GOOD_RECORDING}")
    gaps = np.flatnonzero(np.diff(times) > _LONGEST_GAP_S)
    if gaps.size:
        first = gaps[0]
        raise RecordingError(
            f"{where}: {gaps.size} gaps in the joint states, the first of {times[first + 1] - times[first]:.2f} s at "
            f"{times[first]:.1f} s; commands may be missing there too. Record on a machine that keeps up, or cut the "
            f"recording with `ros2 bag convert`. {GOOD_RECORDING}"
        )


def unwrapped(recording: ArmRecording, profile: RobotProfile) -> ArmRecording:
    """Continuous joints count on beyond a turn."""
    turns = [joint.position is None for joint in profile.joints]
    positions = recording.positions.copy()
    positions[:, turns] = np.unwrap(positions[:, turns], axis=0)
    return replace(recording, positions=positions)


def split_at_jumps(recording: ArmRecording, profile: RobotProfile) -> tuple[ArmRecording, ...]:
    """Parts between which the arm was put elsewhere in no time; each with the commands received in it."""
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


def describe(parts: Sequence[ArmRecording]) -> str:
    """Length and contents in a line."""
    seconds = sum(part.times[-1] - part.times[0] for part in parts)
    states, commands = sum(part.times.size for part in parts), sum(len(part.commands) for part in parts)
    return f"{seconds:.1f} s, {states} joint states, {commands} commands"
