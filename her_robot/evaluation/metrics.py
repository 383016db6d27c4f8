"""What one episode is measured by, beside success."""

from collections.abc import Sequence

import numpy as np

_LARGEST_FREQUENCY_HZ = 10.0
_AMPLITUDE_THRESHOLD = 0.05
_PADDING = 16
"""The spectrum is sampled at least this many times as finely as the movement's length gives."""
_SMALLEST_SPEED = 1e-3
"""An arm that was never faster has not moved [m/s]."""


def time_to_goal(distances: Sequence[float], threshold: float, period: float) -> float | None:
    """First time from which the distance stays below `threshold` to the end [s]; None if it does not.

    Args:
        distances: after each control period, in any unit.
        threshold: in the same unit.
        period: control period [s].
    """
    outside = np.flatnonzero(np.asarray(distances) >= threshold)
    first_inside = int(outside[-1]) + 1 if len(outside) else 0
    return (first_inside + 1) * period if first_inside < len(distances) else None


def speeds(positions: np.ndarray, period: float) -> np.ndarray:
    """Speeds (n - 1,) [m/s] between positions (n, 3) [m], a control period [s] apart."""
    return np.linalg.norm(np.diff(positions, axis=0), axis=1) / period


def spectral_arc_length(speed: np.ndarray, period: float) -> float | None:
    """Smoothness of a movement: minus the arc length of its speed's normalised amplitude spectrum (SPARC).

    One straight minimum-jerk reach has about -1.4; every further submovement makes it more negative. It depends neither
    on how far nor on how long the arm moves, and an arm that rests at the end is none the smoother for it.
    Balasubramanian, Melendez-Calderon, Roby-Brami and Burdet (2015, Journal of NeuroEngineering and Rehabilitation
    12:112), with their constants: up to 10 Hz, as far as amplitudes reach 5 % of the largest.

    Args:
        speed: of the gripper (n,) [m/s].
        period: between its samples [s].

    Returns:
        None where nothing has moved.
    """
    if len(speed) < 2 or np.max(speed) < _SMALLEST_SPEED:
        return None
    samples = _PADDING * 2 ** int(np.ceil(np.log2(len(speed))))
    spectrum = np.abs(np.fft.rfft(speed, samples))
    frequencies = np.fft.rfftfreq(samples, period)
    amplitudes = (spectrum / spectrum.max())[frequencies <= _LARGEST_FREQUENCY_HZ]
    amplitudes = amplitudes[: np.flatnonzero(amplitudes >= _AMPLITUDE_THRESHOLD)[-1] + 1]
    if len(amplitudes) < 2:
        return None
    return -float(np.sum(np.hypot(1.0 / (len(amplitudes) - 1), np.diff(amplitudes))))
