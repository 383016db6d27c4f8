"""Nudges: when, how long, and that they are the same in every episode."""

import numpy as np
import pytest

from her_robot.robot.nudge import Nudge, NudgeConfig

PERIOD = 0.04
AFTER, LASTS = 25, 12
"""Control periods of 1 s and of 0.5 s, the latter rounded."""


def _offsets(distances, **config):
    nudge = Nudge(NudgeConfig(**config), 3, PERIOD)
    return np.array([nudge.advance(distance) for distance in distances])


def _nudged(distances, **config):
    return np.flatnonzero(_offsets(distances, **config).any(axis=1)).tolist()


def test_a_standstill_is_nudged_after_a_while_and_for_a_while():
    # The first distance is progress, however far it is.
    assert _nudged([8.0] * (AFTER + LASTS + 10)) == list(range(AFTER, AFTER + LASTS))


def test_a_nudge_is_followed_by_as_long_a_wait():
    assert _nudged([8.0] * 90)[LASTS] == 2 * AFTER


def test_an_offset_holds_and_the_next_is_another():
    offsets = _offsets([8.0] * 90)
    first, second = offsets[AFTER : AFTER + LASTS], offsets[2 * AFTER : 2 * AFTER + LASTS]
    assert (first == first[0]).all()
    assert (second == second[0]).all()
    assert not (first[0] == second[0]).any()


def test_who_gets_nearer_is_left_alone():
    assert _nudged(np.linspace(40.0, 0.0, 500)) == []


def test_who_swings_without_getting_nearer_is_not():
    assert _nudged(8.0 + np.sin(np.arange(60))) != []


def test_who_has_arrived_is_left_alone_and_given_time_after_losing_the_goal():
    arrived = [0.5] * 100
    assert _nudged(arrived) == []
    assert _nudged(arrived + [1.5] * 60)[0] == 100 + AFTER - 1


def test_every_episode_has_the_same_nudges():
    nudge = Nudge(NudgeConfig(), 3, PERIOD)
    first = [nudge.advance(8.0) for _ in range(60)]
    nudge.start()
    np.testing.assert_array_equal(first, [nudge.advance(8.0) for _ in range(60)])
    assert np.any(first)


def test_size_is_a_standard_deviation():
    nudge = Nudge(NudgeConfig(size=0.4), 20_000, PERIOD)
    assert np.std([nudge.advance(8.0) for _ in range(AFTER + 1)][-1]) == pytest.approx(0.4, abs=0.01)


def test_size_0_never_nudges():
    assert _nudged([8.0] * 200, size=0.0) == []


@pytest.mark.parametrize("field", ["size", "after", "lasts"])
def test_impossible_values_are_refused_by_name(field):
    with pytest.raises(ValueError, match=field):
        NudgeConfig(**{field: -1.0})
