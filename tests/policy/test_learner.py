"""What targets are made of: rewards up to several steps ahead, worked out by hand."""

import numpy as np
import pytest
import torch

from her_robot.contract import contract_of
from her_robot.policy.config import load_config
from her_robot.policy.learner import Learner, _achieving
from her_robot.policy.replay import Episodes

GAMMA = 0.5
FALLS_AT = 4


def _learner(n_step, end_when_lost=True, tolerance=1.0):
    overrides = [
        f"replay.tolerance={tolerance}",
        f"agent.gamma={GAMMA}",
        f"agent.n_step={n_step}",
        f"replay.end_when_lost={str(end_when_lost).lower()}",
        "network.hidden_sizes=[8]",
        "buffer_steps=800",
    ]
    learner = Learner(contract_of("fetch_push"), load_config("fetch_push", "fast", overrides))
    contract = learner.contract
    rng, times = np.random.default_rng(0), contract.episode_steps + 1
    achieved = np.tile(np.array([1.3, 0.75, 0.42], np.float32), (2, times, 1))
    # Both objects move by 1 cm a step; the second falls.
    achieved[..., 0] += 0.01 * np.arange(times)
    achieved[1, FALLS_AT:, 2] = 0.3
    observation = rng.normal(size=(2, times, contract.observation_size)).astype(np.float32)
    action = np.zeros((2, times - 1, contract.action_size), np.float32)
    learner.take_in(Episodes(observation, achieved, achieved[:, 0], action))
    return learner, achieved


def _returns(learner, episode, step, goal):
    parts = learner._returns(
        learner.buffer.episodes, torch.tensor([episode]), torch.tensor([step]), torch.from_numpy(goal)[None]
    )
    return [part.item() for part in parts]


def test_rewards_are_summed_and_what_follows_is_discounted():
    learner, achieved = _learner(n_step=3)
    # From step 0 the goal, 8 cm ahead of the start, is missed at times 1 and 2 and met from time 3 on.
    goal = achieved[0, 8] - np.array([0.001, 0.0, 0.0], np.float32)
    rewards, discount, ahead = _returns(learner, 0, 0, goal)
    assert (rewards, discount, ahead) == (-1.0 - GAMMA, GAMMA**3, 3)


def test_half_of_the_tolerance_rewards_within_half_of_the_distance():
    learner, achieved = _learner(n_step=3, tolerance=0.5)
    # 7.9 cm ahead of the start, within 2.5 cm from time 6 on.
    goal = achieved[0, 8] - np.array([0.001, 0.0, 0.0], np.float32)
    assert _returns(learner, 0, 0, goal)[0] == -1.0 - GAMMA - GAMMA**2
    assert _returns(learner, 0, 4, goal)[0] == -1.0
    assert learner.contract.success_distance == 0.05


def test_the_end_of_an_episode_is_no_end_of_the_task():
    learner, achieved = _learner(n_step=3)
    rewards, discount, ahead = _returns(learner, 0, 49, achieved[0, 0])
    assert (rewards, discount, ahead) == (-1.0, GAMMA, 50)


@pytest.mark.parametrize(("step", "before"), [(FALLS_AT - 1, 0), (FALLS_AT - 2, 1), (FALLS_AT - 3, 2)])
def test_to_let_the_object_fall_is_worth_the_least_there_is(step, before):
    learner, achieved = _learner(n_step=3)
    rewards, discount, _ = _returns(learner, 1, step, achieved[1, 0])
    # The object is within 5 cm of its start until it falls.
    assert rewards == pytest.approx(-(GAMMA**before) / (1.0 - GAMMA))
    assert discount == 0.0


def test_otherwise_what_has_fallen_is_replayed_as_all_else():
    learner, achieved = _learner(n_step=3, end_when_lost=False)
    rewards, discount, ahead = _returns(learner, 1, FALLS_AT - 1, achieved[1, 0])
    assert (rewards, discount, ahead) == (-(1.0 + GAMMA + GAMMA**2), GAMMA**3, FALLS_AT + 2)


def test_normalisers_do_not_see_what_has_fallen():
    ending, going_on = (_learner(1, end_when_lost)[0] for end_when_lost in (True, False))
    times = 51
    assert going_on.inputs.normalizers["observation"].sums[-1] == 2 * times
    assert ending.inputs.normalizers["observation"].sums[-1] == times + FALLS_AT


def _drawn(weight, places):
    """Of drawn transitions, the shares that begin at their goal, and that kept the desired one.

    Args:
        weight: of idle ones.
        places: of the object along x at each time of an episode [m].
    """
    contract, more = contract_of("fetch_push"), [f"replay.idle_weight={weight}", "buffer_steps=2000"]
    learner = Learner(contract, load_config("fetch_push", "published", [*more, "network.hidden_sizes=[8]"]))
    steps = contract.episode_steps
    achieved = np.zeros((8, steps + 1, 3), np.float32)
    achieved[..., 0] = places
    observation = np.zeros((8, steps + 1, contract.observation_size), np.float32)
    action, desired = np.zeros((8, steps, contract.action_size), np.float32), np.full((8, 3), 2.0, np.float32)
    learner.take_in(Episodes(observation, achieved, desired, action))
    episode, step, goals, *_ = learner._draw(learner.buffer, 40_000)
    begins_there = (learner.buffer.episodes.achieved_goal[episode, step] - goals).norm(dim=1) <= 0.05
    return begins_there.float().mean().item(), (goals[:, 0] == 2.0).float().mean().item()


def test_what_is_there_from_the_first_is_drawn_as_often_as_it_weighs():
    # At rest until step 48, then 6 cm a step, which is beyond the success distance.
    places = 0.06 * np.maximum(np.arange(51) - 48, 0)
    (before, desired_before), (after, desired) = (_drawn(weight, places) for weight in (1.0, 0.5))
    assert before > 0.5
    assert after / (1.0 - after) == pytest.approx(0.5 * before / (1.0 - before), rel=0.05)
    # Goals that were not achieved yet are as likely as they were among themselves.
    assert desired / (1.0 - after) == pytest.approx(desired_before / (1.0 - before), rel=0.05)


def test_what_is_kept_where_it_was_brought_is_drawn_like_all_else():
    places = np.where(np.arange(51) > 0, 0.1, 0.0)
    shares = [_drawn(weight, places)[0] for weight in (1.0, 0.1)]
    assert shares[0] > 0.7
    assert shares[1] == pytest.approx(shares[0], abs=0.02)


def _held(task="hand_reach", **shares):
    """A learner that has seen episodes in which every action is its own time, and every goal as well."""
    overrides = ["network.hidden_sizes=[8]", "num_envs=2", "buffer_steps=800", "batch_size=400"]
    overrides += ["agent.imitation_of=hindsight"]
    learner = Learner(
        contract_of(task), load_config(task, None, [*overrides, "agent.imitation=1", *shares.get("more", [])])
    )
    contract = learner.contract
    times = np.arange(contract.episode_steps + 1, dtype=np.float32)
    observation = np.tile(times[None, :, None], (2, 1, contract.observation_size))
    achieved = np.tile(times[None, :, None], (2, 1, contract.goal_size))
    action = np.tile(times[None, :-1, None] / 100.0, (2, 1, contract.action_size))
    learner.take_in(Episodes(observation, achieved, np.full((2, contract.goal_size), -1.0, np.float32), action))
    return learner


def test_an_example_is_the_action_that_achieved_the_goal():
    learner = _held()
    episode, step = learner.buffer.draw(400, learner._generator)
    goals, *how = learner._goals(learner.buffer.episodes, episode, step)
    actions = _achieving(learner.buffer.episodes, episode, *how)
    desired = goals[:, 0] == -1.0
    assert 0.1 < desired.float().mean() < 0.3
    assert actions[desired].isnan().all()
    assert (goals[~desired, 0] > step[~desired]).all()
    torch.testing.assert_close(actions[~desired], ((goals[~desired] - 1.0) / 100.0)[:, :1].expand(-1, 20))


def test_what_has_no_example_is_not_drawn_anywhere():
    """Transitions without an example change the actor as they would without imitation."""
    more = [f"relabel.{name}={share}" for name, share in (("future", 0), ("past_desired", 1))]
    actors = []
    for imitation in (0.0, 10.0):
        learner = _held(more=more)
        learner.learn(4, imitation)
        actors.append(learner.agent.actor.parameters.clone())
    assert torch.equal(*actors)


def test_the_actor_is_drawn_towards_its_examples():
    learner = _held()
    observation = np.full((1, learner.contract.observation_size), 10.0, np.float32)
    goal = np.full((1, learner.contract.goal_size), 41.0, np.float32)
    learner.learn(600, 10.0)
    policy = learner.policy()
    action = policy.act(observation, goal, policy.memory())
    assert np.abs(action - 0.4).max() < 0.1
