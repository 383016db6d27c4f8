"""Metrics of known movements."""

from itertools import pairwise

import numpy as np
import pytest

from her_robot.evaluation.metrics import spectral_arc_length, speeds, time_to_goal

PERIOD = 0.04


def _minimum_jerk(samples):
    """Speed of a straight reach of length 1 (Flash and Hogan 1985)."""
    time = np.linspace(0.0, 1.0, samples)
    return 30 * time**2 * (1 - time) ** 2


def test_time_to_goal_is_when_it_last_came_near():
    # Near, away again, and near from the fifth step on.
    distances = [0.2, 0.04, 0.1, 0.05, 0.049, 0.01, 0.03]
    assert time_to_goal(distances, 0.05, PERIOD) == pytest.approx(5 * PERIOD)
    assert time_to_goal([0.01, 0.02], 0.05, PERIOD) == pytest.approx(PERIOD)
    assert time_to_goal([0.2, 0.01, 0.05], 0.05, PERIOD) is None


def test_speeds():
    positions = np.array([[0.0, 0.0, 0.0], [0.03, 0.04, 0.0], [0.03, 0.04, 0.0]])
    assert speeds(positions, 0.5) == pytest.approx([0.1, 0.0])


def test_one_reach_and_two():
    reach = _minimum_jerk(50)
    # Of a minimum-jerk movement, whatever its length and duration.
    assert spectral_arc_length(reach, PERIOD) == pytest.approx(-1.40, abs=0.02)
    assert spectral_arc_length(0.1 * reach, PERIOD) == pytest.approx(spectral_arc_length(reach, PERIOD))
    assert spectral_arc_length(_minimum_jerk(25), PERIOD) == pytest.approx(-1.40, abs=0.02)
    rested = np.concatenate([reach, np.zeros(80)])
    assert spectral_arc_length(rested, PERIOD) == pytest.approx(-1.40, abs=0.02)
    assert spectral_arc_length(np.concatenate([reach, reach]), PERIOD) < -2.0


def test_the_more_it_shakes_the_less_smooth_it_is():
    time = PERIOD * np.arange(100)
    reach = _minimum_jerk(100)
    values = [spectral_arc_length(reach + a * np.sin(2 * np.pi * 4 * time) ** 2, PERIOD) for a in (0.0, 1.0, 3.0)]
    assert values[0] > values[1] > values[2]


def test_arc_length_by_its_definition():
    """Summed point by point from a Fourier sum, for a movement of five samples."""
    speed, period = np.array([0.1, 0.6, 1.0, 0.5, 0.2]), 0.05
    samples = 128
    frequencies = [k / (samples * period) for k in range(samples // 2 + 1)]
    amplitudes = [abs(sum(v * np.exp(-2j * np.pi * f * period * i) for i, v in enumerate(speed))) for f in frequencies]
    kept = [(f, a / amplitudes[0]) for f, a in zip(frequencies, amplitudes, strict=True) if f <= 10.0]
    last = max(i for i, (_, a) in enumerate(kept) if a >= 0.05)
    kept = kept[: last + 1]
    span = kept[-1][0]
    length = sum(np.sqrt(((f2 - f1) / span) ** 2 + (a2 - a1) ** 2) for (f1, a1), (f2, a2) in pairwise(kept))
    assert spectral_arc_length(speed, period) == pytest.approx(-length)


def test_what_does_not_move_has_no_smoothness():
    assert spectral_arc_length(np.zeros(50), PERIOD) is None
    assert spectral_arc_length(np.array([1.0]), PERIOD) is None
