"""A motion that tells much about an arm: every joint swings at once, slowly and fast, within its limits."""

from typing import Any

import numpy as np
from scipy.interpolate import CubicSpline

from her_robot.identification.recording import TrajectoryCommand
from her_robot.robot.profile import RobotProfile

_FREQUENCIES_HZ = np.geomspace(0.15, 3.0, 7)
_VELOCITY_PART, _ACCELERATION_PART = 0.5, 0.7
"""Of each joint's limits."""
_LARGEST_SWING = 0.25
"""From the middle [rad]."""
_EASE_S = 1.5
"""In and out."""
_POINT_PERIOD_S = 0.08
LEAD_IN_S = 5.0
"""Time in which the arm goes from where it is to the middle of the motion."""


def excitation(profile: RobotProfile, center: np.ndarray, duration: float, seed: int = 0) -> TrajectoryCommand:
    """Sums of sines about `center`, with other frequencies and phases for each joint, from rest to rest.

    Args:
        profile: whose limits are kept: half of the speeds, and 70 % of the accelerations.
        center: middle of the motion (n,) [rad], at least 0.25 rad from all limits to be used in full.
        duration: [s].
        seed: of the phases.

    Returns:
        Points every 0.08 s or so, the first of them the center, times from there; the model's positions.
    """
    rng = np.random.default_rng(seed)
    times = np.linspace(0.0, duration, round(duration / _POINT_PERIOD_S) + 1)
    joints = range(len(profile.joints))
    swings = np.stack([_swing(times, duration, rng) for _ in joints], axis=1)
    # A cubic spline is what controllers make of points that have its positions and velocities.
    spline = CubicSpline(times, swings, bc_type="clamped")
    velocities, accelerations = spline(times, 1), spline(times, 2)
    room = np.minimum(center - profile.position_low, profile.position_high - center)
    scale = np.min(
        [
            np.minimum(room, _LARGEST_SWING) / np.abs(swings).max(axis=0),
            _VELOCITY_PART * profile.velocity_limit / np.abs(velocities).max(axis=0),
            _ACCELERATION_PART * profile.acceleration_limit / np.abs(accelerations).max(axis=0),
        ],
        axis=0,
    )
    return TrajectoryCommand(0.0, times, center + scale * swings, scale * velocities)


def trajectory_message(profile: RobotProfile, command: TrajectoryCommand) -> dict[str, Any]:
    """A trajectory_msgs/JointTrajectory for `ros2 topic pub`, which begins when it arrives, and first goes there."""

    def point(time: float, position: np.ndarray, velocity: np.ndarray) -> dict[str, Any]:
        seconds, rest = divmod(round(time * 1e9), 10**9)
        return {
            "positions": [round(float(x), 5) for x in profile.to_robot(position)],
            "velocities": [round(float(x), 5) for x in velocity * profile.signs()],
            "time_from_start": {"sec": seconds, "nanosec": rest},
        }

    moves = zip(LEAD_IN_S + command.times, command.positions, command.velocities, strict=True)
    return {"joint_names": list(profile.joint_names), "points": [point(*move) for move in moves]}


def _swing(times: np.ndarray, duration: float, rng: np.random.Generator) -> np.ndarray:
    """Without unit; sines of the same speed each, eased in and out."""
    frequencies = 2 * np.pi * _FREQUENCIES_HZ * rng.uniform(0.85, 1.15, _FREQUENCIES_HZ.size)
    phases = rng.uniform(0.0, 2 * np.pi, frequencies.size)
    sines = np.sin(np.outer(times, frequencies) + phases) / frequencies
    s = np.clip(np.minimum(times, duration - times) / min(_EASE_S, duration / 2), 0.0, 1.0)
    return (s**2 * (3 - 2 * s)) * sines.sum(axis=1)
