"""Gap commands: in range, no faster than fingers, near what is measured."""

import numpy as np
import pytest

from her_robot.robot.gripper import GripperReference

PERIOD = 0.04


def _reference(measured=0.0, speed=0.1, lead=0.02):
    reference = GripperReference(0.0, 0.1, speed, lead, 2.0, PERIOD)
    reference.start(measured)
    return reference


def test_the_sign_of_the_action_opens_and_closes_at_the_fingers_speed():
    reference, gap = _reference(), 0.0
    for step in range(1, 6):
        gap = reference.advance(np.array([0.3]), np.array([gap]))[0]
        assert gap == pytest.approx(0.004 * step)
    assert reference.advance(np.array([-0.3]), np.array([gap]))[0] == pytest.approx(0.016)


def test_random_actions_keep_range_and_rate():
    random, reference, last = np.random.default_rng(0), _reference(0.05), 0.05
    for _ in range(500):
        measured = np.clip(last + random.normal(0.0, 0.01), -0.001, 0.101)
        gap = reference.advance(random.normal(0.0, 2.0, 1), np.array([measured]))[0]
        assert 0.0 <= gap <= 0.1
        assert abs(gap - last) <= 0.1 * PERIOD + 1e-12
        last = gap


def test_what_is_in_the_way_is_squeezed_by_the_lead():
    reference = _reference(0.05)
    for _ in range(20):
        gap = reference.advance(np.array([-1.0]), np.array([0.05]))[0]
    assert gap == pytest.approx(0.03)


def test_an_action_that_is_not_finite_changes_nothing():
    reference = _reference(0.05)
    assert reference.advance(np.array([np.nan]), np.array([0.05]))[0] == 0.05
    assert reference.advance(np.array([1.0]), np.array([np.nan]))[0] == 0.05
    assert reference.advance(np.array([1.0]), np.array([0.05]))[0] == pytest.approx(0.054)


def test_rows_have_speeds_of_their_own_and_start_when_they_are_told_to():
    reference = GripperReference(0.0, 0.1, np.array([0.1, 0.2]), 0.02, 2.0, PERIOD, 2)
    assert not reference.started
    reference.start(0.02, 0)
    reference.start(0.2, 1)
    assert reference.started
    np.testing.assert_allclose(reference.gap, [0.02, 0.1])
    np.testing.assert_allclose(reference.advance(np.array([-1.0, -1.0]), reference.gap), [0.016, 0.092])
