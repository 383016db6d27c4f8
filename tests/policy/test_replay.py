"""The ring of episodes."""

import dataclasses

import numpy as np
import pytest
import torch

from her_robot.policy.replay import Episodes, ReplayBuffer


def _episodes(*labels):
    n = len(labels)
    value = np.array(labels, np.float32)[:, None, None]
    return Episodes(
        observation=np.broadcast_to(value, (n, 6, 3)),
        achieved_goal=np.broadcast_to(value, (n, 6, 2)),
        desired_goal=np.broadcast_to(value[:, 0], (n, 2)),
        action=np.broadcast_to(value, (n, 5, 1)),
    )


def _buffer(episodes=3):
    return ReplayBuffer(episodes * 5, 5, 3, 2, 1)


def test_the_oldest_make_room():
    buffer = _buffer()
    buffer.add(_episodes(1, 2))
    assert len(buffer) == 2
    buffer.add(_episodes(3, 4))
    assert len(buffer) == 3
    assert sorted(buffer.episodes.action[:, 0, 0]) == [2, 3, 4]


def test_drawn_steps_have_a_successor():
    buffer = _buffer()
    buffer.add(_episodes(1, 2, 3))
    episode, step = buffer.draw(1000, torch.Generator().manual_seed(0))
    assert set(episode.tolist()) == {0, 1, 2}
    assert set(step.tolist()) == {0, 1, 2, 3, 4}


@pytest.mark.parametrize("still_weight", [1.0, 0.25])
def test_episodes_in_which_nothing_moved_are_drawn_less_often(still_weight):
    buffer = ReplayBuffer(20, 5, 3, 2, 1, still_weight=still_weight, moved_distance=0.01)
    episodes = _episodes(1, 2, 3)
    moving = episodes.achieved_goal.copy()
    moving[1, 3:] += 0.1
    buffer.add(dataclasses.replace(episodes, achieved_goal=moving))
    episode, _ = buffer.draw(20_000, torch.Generator().manual_seed(0))
    share = (episode == 1).float().mean().item()
    assert share == pytest.approx(1 / (1 + 2 * still_weight), abs=0.02)


def test_state_round_trip_of_a_ring_that_has_wrapped():
    buffer, restored = _buffer(), _buffer()
    buffer.add(_episodes(1, 2, 3, 4))
    restored.restore({name: array.copy() for name, array in buffer.state().items()})
    buffer.add(_episodes(5))
    restored.add(_episodes(5))
    for name, array in vars(buffer.episodes).items():
        np.testing.assert_array_equal(getattr(restored.episodes, name), array)


def test_nothing_is_replayed_after_an_object_is_lost():
    buffer = ReplayBuffer(20, 5, 3, 2, 1, lost=lambda achieved: achieved[..., 1] < 0)
    episodes = _episodes(1, 2, 3)
    falling = episodes.achieved_goal.copy()
    falling[1, 3:, 1] = -1.0
    falling[2, 5, 1] = -1.0
    buffer.add(dataclasses.replace(episodes, achieved_goal=falling))
    assert buffer.episodes.last.tolist() == [5, 2, 4]
    episode, step = buffer.draw(5000, torch.Generator().manual_seed(0))
    for index, steps in enumerate(({0, 1, 2, 3, 4}, {0, 1, 2}, {0, 1, 2, 3, 4})):
        assert set(step[episode == index].tolist()) == steps
    restored = ReplayBuffer(20, 5, 3, 2, 1, lost=lambda achieved: achieved[..., 1] < 0)
    restored.restore(buffer.state())
    assert torch.equal(restored.episodes.last, buffer.episodes.last)
