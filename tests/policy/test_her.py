"""Relabelling against cases worked out by hand."""

import numpy as np

from her_robot.policy.her import hindsight_goals


def _episodes(count=3, steps=4):
    """Achieved goals that name their episode and time: [episode, time]."""
    episode, time = np.meshgrid(np.arange(count), np.arange(steps + 1), indexing="ij")
    achieved = np.stack([episode, time], axis=-1).astype(np.float32)
    return achieved, np.full_like(achieved, -1.0)


def test_goals_come_from_the_future_of_the_same_episode():
    achieved, desired = _episodes()
    rng = np.random.default_rng(0)
    episode, step = rng.integers(3, size=4000), rng.integers(4, size=4000)
    goals, replaced = hindsight_goals(achieved, desired, episode, step, 1.0, rng)
    assert replaced.all()
    np.testing.assert_array_equal(goals[:, 0], episode)
    assert (goals[:, 1] > step).all()
    assert (goals[:, 1] <= 4).all()
    for time in range(1, 5):
        share = (goals[step == 0, 1] == time).mean()
        assert abs(share - 0.25) < 0.05


def test_the_last_step_can_only_have_its_own_outcome():
    achieved, desired = _episodes()
    goals, _ = hindsight_goals(achieved, desired, np.array([1]), np.array([3]), 1.0, np.random.default_rng(0))
    np.testing.assert_array_equal(goals, [[1, 4]])


def test_without_relabelling_goals_are_those_desired_after_the_step():
    achieved, desired = _episodes()
    desired[2, 3] = [7.0, 8.0]
    goals, replaced = hindsight_goals(achieved, desired, np.array([2]), np.array([2]), 0.0, np.random.default_rng(0))
    assert not replaced.any()
    np.testing.assert_array_equal(goals, [[7, 8]])


def test_the_share_of_replaced_goals():
    achieved, desired = _episodes()
    rng = np.random.default_rng(0)
    episode, step = np.zeros(5000, int), np.zeros(5000, int)
    goals, replaced = hindsight_goals(achieved, desired, episode, step, 0.8, rng)
    assert abs(replaced.mean() - 0.8) < 0.03
    np.testing.assert_array_equal(goals[~replaced], -1.0)
