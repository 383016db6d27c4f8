"""What a policy remembers, against windows written out by hand."""

import dataclasses

import numpy as np
import pytest
import torch

from her_robot.contract import FETCH_CONTRACTS, contract_of
from her_robot.policy.config import load_config
from her_robot.policy.episode_memory import EpisodeMemory
from her_robot.policy.learner import Learner
from her_robot.policy.mirror import Mirror
from her_robot.policy.perceptron import Perceptron
from her_robot.policy.replay import Episodes, ReplayBuffer

TOY = [
    "agent.algorithm=ddpg",
    "network.hidden_sizes=[8]",
    "buffer_steps=800",
    "batch_size=64",
    "relabel.future=1.0",
    "replay.end_when_lost=false",
]


def _learner(*overrides, preset="fast"):
    """A learner with history 3 and three episodes of random numbers."""
    config = load_config("fetch_push", preset, [*TOY, "network.history=3", *overrides])
    learner, rng = Learner(contract_of("fetch_push"), config), np.random.default_rng(0)
    contract = learner.contract

    def draw(*shape):
        return rng.normal(size=(3, *shape)).astype(np.float32)

    steps = contract.episode_steps
    goals = (steps + 1, contract.goal_size)
    episodes = Episodes(
        draw(steps + 1, contract.observation_size), draw(*goals), draw(contract.goal_size), draw(steps, 4).clip(-1, 1)
    )
    learner.take_in(episodes)
    return learner, episodes


def test_an_episode_begins_as_if_the_arm_had_stood_still():
    memory = EpisodeMemory(3, action_size=1)
    for episode in range(2):
        memory.reset()
        for time in range(5):
            observation = np.array([[10.0 * episode + time]])
            observations, actions = memory.before(observation)
            before = [max(time - i, 0) for i in (1, 2, 3)]
            assert observations.tolist() == [[[10.0 * episode + t] for t in before]]
            assert actions.tolist() == [[[float(time - i) if time >= i else 0.0] for i in (1, 2, 3)]]
            memory.record(observation, np.array([[float(time)]]))


def test_replay_looks_back_as_the_memory_does():
    rng, length = np.random.default_rng(0), 4
    observation, action = rng.normal(size=(2, 6, 3)).astype(np.float32), rng.normal(size=(2, 5, 1)).astype(np.float32)
    goals = np.zeros((2, 6, 2), np.float32)
    buffer = ReplayBuffer(2 * 5, 5, 3, 2, 1)
    buffer.add(Episodes(observation, goals, goals[:, 0], action))
    memory = EpisodeMemory(length, 1)
    for time in range(6):
        expected = memory.before(observation[:, time])
        found = buffer.episodes.before(torch.arange(2), torch.full((2,), time), length)
        for of_memory, of_replay in zip(expected, found, strict=True):
            np.testing.assert_array_equal(of_replay.numpy(), of_memory)
        if time < 5:
            memory.record(observation[:, time], action[:, time])


@pytest.mark.parametrize("positions", ["relative", "absolute"])
def test_a_batch_sees_the_window_of_its_transition_with_one_goal(positions):
    """Actions are unlike each other, so a transition is known by its own."""
    learner, episodes = _learner("replay.mirrored=false", f"network.positions={positions}", "agent.n_step=2")
    (batch,) = learner._batches(1, imitates=False)
    columns, past = len(learner.inputs.columns), 3 * (len(learner.inputs.past_columns) + 4)
    assert batch.inputs.shape[1] == learner.inputs.size == columns + past
    assert len(learner.inputs.past_columns) == {"relative": 24, "absolute": 28}[positions]
    memory = EpisodeMemory(3, 4)
    flat = episodes.action.reshape(-1, 4)
    for row in range(len(batch.actions)):
        episode, step = divmod(int(np.abs(flat - batch.actions[row].numpy()).sum(axis=1).argmin()), 50)
        goal = _goal_of(learner, episodes, episode, step, batch.inputs[row])
        memory.reset()
        for time in range(min(step + 2, 50) + 1):
            seen = _seen(learner, episodes, episode, time, memory, goal)
            if time == step:
                torch.testing.assert_close(batch.inputs[row], seen)
            if time < 50:
                memory.record(episodes.observation[episode, time], episodes.action[episode, time])
        torch.testing.assert_close(batch.next_inputs[row], seen)


def _seen(learner, episodes, episode, time, memory, goal):
    """What the networks should see at one time."""
    observation = episodes.observation[episode, time]
    past = tuple(torch.from_numpy(array) for array in memory.before(observation))
    return learner.inputs(torch.from_numpy(observation), torch.from_numpy(goal), past)


def _goal_of(learner, episodes, episode, step, inputs):
    """The goal in hindsight that is behind the present part of some inputs."""
    candidates = episodes.achieved_goal[episode, step + 1 :]
    observation = np.repeat(episodes.observation[episode, step][None], len(candidates), axis=0)
    present = learner.inputs(torch.from_numpy(observation), torch.from_numpy(candidates))
    error = (present - inputs[: present.shape[1]]).abs().amax(dim=1)
    assert error.min() < 1e-6
    return candidates[error.argmin()]


def test_a_reflected_window_is_the_window_of_the_reflected_episode():
    learner, _ = _learner()
    mirror, every = Mirror(FETCH_CONTRACTS["fetch_push"]), torch.ones(3, dtype=torch.bool)
    episodes = learner.buffer.episodes
    reflected = dataclasses.replace(
        episodes,
        observation=mirror.observation(episodes.observation, every),
        action=mirror.action(episodes.action, every),
    )
    goals = mirror.goal(torch.randn(3, 3), every)
    for time in (0, 2, 7, 50):
        at = torch.arange(3), torch.full((3,), time), goals
        torch.testing.assert_close(learner._inputs_at(episodes, *at, every), learner._inputs_at(reflected, *at, None))


def test_playing_and_replay_see_the_same():
    learner, episodes = _learner("network.precision=float32")
    policy, goal, actor = learner.policy(), episodes.desired_goal, learner.agent.actor
    assert isinstance(actor, Perceptron)
    memory, rng = policy.memory(), np.random.default_rng(0)
    for time in range(6):
        observation = episodes.observation[:, time]
        found = policy.explore(observation, goal, memory, rng, np.ones(len(goal), bool))
        past = learner.buffer.episodes.before(torch.arange(3), torch.full((3,), time), 3)
        inputs = learner.inputs(torch.from_numpy(observation), torch.from_numpy(goal), past)
        np.testing.assert_allclose(found, torch.tanh(actor(inputs)).numpy(), atol=1e-5)
        # What is commanded in the end is what is remembered, not what the policy would have done.
        memory.record(observation, episodes.action[:, time])


def test_what_was_commanded_in_the_end_is_remembered():
    memory = EpisodeMemory(2, 1)
    observation = np.zeros(3)
    memory.before(observation)
    for action in (0.1, 0.2):
        memory.record(observation, np.array([action]))
    memory.correct(np.array([0.9]))
    np.testing.assert_allclose(memory.before(observation)[1], [[0.9], [0.1]], rtol=1e-6)
    EpisodeMemory(0, 1).correct(np.array([0.9]))
