"""Recurrent actor and critics: sequences, targets by hand, and the same in numpy."""

import copy

import numpy as np
import pytest
import torch

from her_robot.contract import FETCH_CONTRACTS, contract_of
from her_robot.domain_rand.preset import load_preset
from her_robot.errors import ConfigurationError
from her_robot.policy import lstm
from her_robot.policy.bundle import PolicyBundle
from her_robot.policy.config import AgentConfig, NetworkConfig, load_config
from her_robot.policy.episode_memory import EpisodeMemory
from her_robot.policy.export import export_bundle
from her_robot.policy.learner import Learner
from her_robot.policy.mirror import Mirror
from her_robot.policy.recurrent import RecurrentDdpg, RecurrentNetwork, RecurrentTd3, Sequences
from her_robot.policy.replay import Episodes

CPU = torch.device("cpu")
NETWORK = NetworkConfig(hidden_sizes=(16, 16), recurrent="lstm", recurrent_size=6)
TOY = [
    "agent.algorithm=ddpg",
    "network.recurrent=lstm",
    "network.recurrent_size=6",
    "network.hidden_sizes=[16, 16]",
    "batch_size=200",
]


def _episodes(count=8, with_truth=False):
    contract, rng = contract_of("fetch_push"), np.random.default_rng(0)

    def draw(*shape):
        return rng.normal(size=(count, *shape)).astype(np.float32)

    action = np.clip(draw(50, 4), -1.0, 1.0)
    observation = draw(51, contract.observation_size)
    return Episodes(observation, draw(51, 3), draw(3), action, draw(51, 25) if with_truth else None)


def _learner(*overrides):
    config = load_config("fetch_push", "fast", [*TOY, "buffer_steps=800", "replay.end_when_lost=false", *overrides])
    learner = Learner(contract_of("fetch_push"), config)
    learner.take_in(_episodes(with_truth=config.network.asymmetric))
    return learner, config


def _agent(kind=RecurrentDdpg, **config):
    return kind(3, 2, NETWORK, AgentConfig(**config), CPU, torch.Generator().manual_seed(0), privileged=2)


def _sequences(seed=0, steps=4, count=5):
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn((steps + 1, count, 5), generator=generator)
    actions = torch.rand((steps + 1, count, 2), generator=generator) * 2 - 1
    actions[0] = 0.0
    ahead = (torch.arange(steps)[:, None] + 2).clamp(max=steps).expand(steps, count)
    counts = torch.ones(steps, count)
    counts[2:, 0] = 0.0
    return Sequences(inputs, actions, -torch.ones(steps, count), torch.full((steps, count), 0.5), ahead, counts)


def _network(seed=0):
    return RecurrentNetwork(3, 2, NETWORK, 2, False, CPU, torch.Generator().manual_seed(seed))


def test_parameters_and_gradients_are_views_of_one_vector():
    network = _network()
    other = copy.deepcopy(network)
    inputs, previous = torch.randn(4, 5, 3), torch.randn(4, 5, 2)
    outputs, _ = network(inputs, previous)
    outputs.square().mean().backward()
    assert network.gradient.abs().sum() > 0
    assert other.gradient.abs().sum() == 0
    assert sum(tensor.numel() for tensor in network._tensors()) == len(network.parameters)
    network.parameters.zero_()
    assert torch.equal(network(inputs, previous)[0], torch.zeros(4, 5, 2))
    assert torch.equal(other(inputs, previous)[0], outputs)


def test_step_by_step_is_as_the_whole_sequence():
    network, inputs, previous = _network(), torch.randn(6, 5, 3), torch.randn(6, 5, 2)
    whole, _ = network(inputs, previous)
    state = None
    for time in range(6):
        outputs, state = network(inputs[time : time + 1], previous[time : time + 1], state=state)
        torch.testing.assert_close(outputs[0], whole[time])


def test_the_critics_target_is_clipped_counted_and_bootstraps_ahead():
    agent, batch = _agent(gamma=0.5), _sequences()
    with torch.no_grad():
        outputs, _ = agent._target_actor(batch.inputs[..., :3], batch.previous_actions)
        next_value, _ = agent._target_critic[0](batch.inputs, batch.previous_actions, torch.tanh(outputs))
        value, _ = agent.critic[0](batch.inputs[:-1], batch.previous_actions[:-1], batch.previous_actions[1:])
    errors = []
    for time, ahead in enumerate((2, 3, 4, 4)):
        for episode in range(5):
            target = min(max(-1.0 + 0.5 * next_value[ahead, episode, 0].item(), -2.0), 0.0)
            if episode or time < 2:
                errors.append((value[time, episode, 0].item() - target) ** 2)
    loss, _ = agent.update(batch)
    assert loss.item() == pytest.approx(np.mean(errors), rel=1e-5)


@pytest.mark.parametrize("kind", [RecurrentDdpg, RecurrentTd3])
def test_a_restored_agent_goes_on_alike(kind):
    agent, restored = (_agent(kind, actor_averaging=0.9) for _ in range(2))
    for seed in range(3):
        agent.update(_sequences(seed))
    restored.restore(agent.state())
    restored._generator.set_state(agent._generator.get_state())
    for each in (agent, restored):
        each.update(_sequences(9), imitation=0.0)
    for name, tensor in agent.state().items():
        assert torch.equal(tensor, restored.state()[name]), name


def test_the_actor_climbs_the_critics_value():
    agent, batch = _agent(action_l2=0.0, learning_rate=3e-3), _sequences()
    values = [agent._update_actor(batch, 0.0).item() for _ in range(30)]
    assert values[-1] > values[0] + 0.01
    assert agent.critic[0].gradient.abs().sum() == 0


@pytest.mark.parametrize("mirrored", ["true", "false"])
@pytest.mark.parametrize("asymmetric", ["true", "false"])
def test_sequences_are_whole_episodes_with_one_goal(mirrored, asymmetric):
    learner, _ = _learner(f"replay.mirrored={mirrored}", f"network.asymmetric={asymmetric}", "agent.n_step=2")
    first, second = learner._sequences(2, imitates=True)
    assert first.inputs.shape[:2] == second.inputs.shape[:2] == (51, 4)
    assert first.rewards.shape == first.counts.shape == (50, 4)
    episodes, every = learner.buffer.episodes, torch.ones(8, dtype=torch.bool)
    mirror = Mirror(FETCH_CONTRACTS["fetch_push"])
    for sequences in (first, second):
        for row in range(4):
            done = sequences.previous_actions[1:, row]
            assert torch.equal(sequences.previous_actions[0, row], torch.zeros(4))
            as_it_was = (episodes.action == done).flatten(1).all(1)
            reflected = (mirror.action(episodes.action, every) == done).flatten(1).all(1)
            episode = int((as_it_was | reflected).nonzero()[0])
            observation = episodes.observation[episode]
            if reflected[episode]:
                observation = mirror.observation(observation, torch.ones(51, dtype=torch.bool))
            present = sequences.inputs[:, row, : learner.inputs.size]
            # What is seen of the goal alone, the last three numbers, is what was achieved, or wanted, at one time.
            known = learner.inputs(observation, torch.zeros(51, 3))
            own = _independent_of_goal(learner)
            torch.testing.assert_close(present[:, own], known[:, own])
    assert torch.equal(first.ahead[:, 0], (torch.arange(50) + 2).clamp(max=50))


def _independent_of_goal(learner):
    size = learner.contract.observation_size
    return torch.from_numpy(np.flatnonzero(learner.inputs.columns < size))


def test_the_goal_is_the_same_at_all_times_and_so_are_its_rewards():
    learner, _ = _learner("replay.mirrored=false", "network.positions=absolute", "network.goal_difference=true")
    (sequences,) = learner._sequences(1, imitates=False)
    goals = sequences.inputs[:, :, 25:28]
    assert torch.equal(goals, goals[:1].expand_as(goals))


def test_nothing_is_learned_after_an_object_is_lost():
    learner, _ = _learner("replay.end_when_lost=true")
    episodes = _episodes()
    achieved = np.full_like(episodes.achieved_goal, 0.42)
    achieved[:, 20:, 2] = 0.1
    learner.buffer.add(Episodes(episodes.observation, achieved, episodes.desired_goal, episodes.action))
    learner.buffer.add(Episodes(episodes.observation, achieved, episodes.desired_goal, episodes.action))
    (sequences,) = learner._sequences(1, imitates=False)
    assert sequences.counts.sum(0).tolist() == [20.0] * 4


def test_the_lstm_in_numpy_is_pytorchs():
    reference, rng = torch.nn.LSTM(5, 7), np.random.default_rng(0)
    weight_inputs, weight_hidden, *biases = [tensor.detach().numpy() for tensor in reference.parameters()]
    zeros = np.zeros(7, np.float32)
    tensors = {
        "lstm.weight_inputs": weight_inputs,
        "lstm.weight_hidden": weight_hidden,
        "lstm.bias": biases[0] + biases[1],
        "lstm.initial_hidden": zeros,
        "lstm.initial_cell": zeros,
    }
    inputs = (3.0 * rng.normal(size=(40, 2, 5))).astype(np.float32)
    expected = reference(torch.from_numpy(inputs))[0].detach().numpy()
    state = lstm.initial_state(tensors, (2,))
    for time in range(40):
        state = lstm.step(tensors, inputs[time], state)
        np.testing.assert_allclose(state[0], expected[time], atol=1e-6)


@pytest.mark.parametrize("positions", ["absolute", "relative"])
def test_the_bundle_remembers_as_the_network_does(tmp_path, positions):
    learner, config = _learner(f"network.positions={positions}")
    learner.learn(3)
    export_bundle(learner, config, load_preset("none")).save(tmp_path)
    bundle, policy = PolicyBundle.load(tmp_path, "fetch_push"), learner.policy(averaged=True)
    assert bundle.remembers.recurrent_size == 6
    assert bundle.tensors["golden.observation"].shape == (4, 50, 25)
    episodes = _episodes()
    memories: list[EpisodeMemory] = [bundle.memory(), policy.memory()]
    for _ in range(2):
        for memory in memories:
            memory.reset()
        for time in range(50):
            seen = episodes.observation[:, time], episodes.desired_goal
            actions = [acting.act(*seen, memory) for acting, memory in zip((bundle, policy), memories, strict=True)]
            np.testing.assert_allclose(actions[0], actions[1], atol=1e-6)
    assert bundle.act(seen[0][0], seen[1][0], bundle.memory()).shape == (4,)


def test_what_does_not_go_together_is_refused():
    for override, message in [
        ("network.history=2", "network.history must be 0"),
        ("agent.algorithm=sac", "agent.algorithm must be ddpg or td3"),
        ("network.recurrent_size=0", "recurrent_size must be above 0"),
    ]:
        with pytest.raises(ConfigurationError, match=message):
            load_config("fetch_push", "fast", [*TOY, override])
