"""Relabelling against cases worked out by hand."""

import pytest
import torch

from her_robot.policy.config import RelabelConfig
from her_robot.policy.her import STRATEGIES, hindsight_goals


def _episodes(count=3, steps=4):
    """Achieved goals that name their episode and time, [episode, time]; desired goals are [episode, -1]."""
    episode, time = torch.meshgrid(torch.arange(count), torch.arange(steps + 1), indexing="ij")
    achieved = torch.stack([episode, time], dim=-1).float()
    return achieved, torch.stack([torch.arange(count), torch.full((count,), -1)], dim=-1).float()


def _relabel(of_episode, step, **shares):
    generator = torch.Generator().manual_seed(0)
    config = RelabelConfig(**{"future": 0.0, **shares})
    return hindsight_goals(*_episodes(), of_episode, step, config, generator)[:2]


def _drawn(size=4000):
    generator = torch.Generator().manual_seed(1)
    return torch.randint(3, (size,), generator=generator), torch.randint(4, (size,), generator=generator)


def test_future_goals_come_from_the_future_of_the_same_episode():
    episode, step = _drawn()
    goals, chosen = _relabel(episode, step, future=1.0)
    assert (chosen == STRATEGIES.index("future")).all()
    assert torch.equal(goals[:, 0].long(), episode)
    assert (goals[:, 1] > step).all()
    assert (goals[:, 1] <= 4).all()
    for time in range(1, 5):
        assert (goals[step == 0, 1] == time).float().mean().item() == pytest.approx(0.25, abs=0.05)


def test_the_last_step_can_only_have_its_own_outcome():
    goals, _ = _relabel(torch.tensor([1]), torch.tensor([3]), future=1.0)
    assert goals.tolist() == [[1, 4]]


def test_final_goals_are_the_ends_of_the_same_episodes():
    episode, step = _drawn()
    goals, _ = _relabel(episode, step, final=1.0)
    assert torch.equal(goals[:, 0].long(), episode)
    assert (goals[:, 1] == 4).all()


def test_episode_goals_come_from_any_time_of_the_same_episode():
    episode, step = _drawn()
    goals, _ = _relabel(episode, step, episode=1.0)
    assert torch.equal(goals[:, 0].long(), episode)
    for time in range(5):
        assert (goals[:, 1] == time).float().mean().item() == pytest.approx(0.2, abs=0.03)


@pytest.mark.parametrize(("strategy", "times"), [("random", {0, 1, 2, 3, 4}), ("past_desired", {-1})])
def test_goals_of_any_episode(strategy, times):
    episode, step = torch.zeros(4000, dtype=torch.long), torch.zeros(4000, dtype=torch.long)
    goals, _ = _relabel(episode, step, **{strategy: 1.0})
    assert set(goals[:, 1].long().tolist()) == times
    for source in range(3):
        assert (goals[:, 0] == source).float().mean().item() == pytest.approx(1 / 3, abs=0.03)


def test_without_relabelling_goals_are_those_desired():
    episode, step = _drawn()
    goals, chosen = _relabel(episode, step)
    assert (chosen == len(STRATEGIES)).all()
    assert torch.equal(goals[:, 0].long(), episode)
    assert (goals[:, 1] == -1).all()


def test_the_shares_of_a_mix():
    episode, step = _drawn(20_000)
    shares = {"future": 0.4, "final": 0.1, "past_desired": 0.3}
    _, chosen = _relabel(episode, step, **shares)
    for index, name in enumerate((*STRATEGIES, "kept")):
        expected = {**shares, "kept": 0.2}.get(name, 0.0)
        assert (chosen == index).float().mean().item() == pytest.approx(expected, abs=0.015), name


@pytest.mark.parametrize("strategy", ["future", "final", "episode", "random"])
def test_goals_come_from_the_time_before_an_object_was_lost(strategy):
    achieved, desired = _episodes()
    last = torch.tensor([4, 2, 0])
    generator = torch.Generator().manual_seed(0)
    episode = torch.randint(3, (4000,), generator=generator)
    step = (torch.rand(4000, generator=generator) * (last[episode] + 1).clamp(max=4)).long()
    config = RelabelConfig(**{"future": 0.0, strategy: 1.0})
    goals, *_ = hindsight_goals(achieved, desired, episode, step, config, generator, last)
    source, time = goals.long().T
    assert (time <= last[source]).all()
    assert set(time[source == 1].tolist()) == (
        {2} if strategy == "final" else {1, 2} if strategy == "future" else {0, 1, 2}
    )
    if strategy == "future":
        # The step in which the object falls has no future: its goal is where it last was.
        assert (time >= torch.minimum(step + 1, last[episode])).all()


def test_the_time_at_which_a_goal_was_achieved():
    achieved, desired = _episodes()
    episode, step = _drawn()
    config, generator = RelabelConfig(future=0.5, final=0.5), torch.Generator().manual_seed(0)
    goals, _, time = hindsight_goals(achieved, desired, episode, step, config, generator)
    assert torch.equal(goals, achieved[episode, time])
    assert (time > step).all()
