"""Updates worked out by hand or by autograd, and what state() keeps."""

import pytest
import torch

from her_robot.policy.agent import Agent, Batch
from her_robot.policy.config import AgentConfig, NetworkConfig
from her_robot.policy.ddpg import Ddpg, Td3
from her_robot.policy.sac import LOG_STD_RANGE, Sac

NETWORK = NetworkConfig(hidden_sizes=(16, 16), precision="float32")
ALGORITHMS = (Ddpg, Td3, Sac)


def _agent(algorithm: type[Agent] = Ddpg, **config):
    generator = torch.Generator().manual_seed(0)
    return algorithm(5, 2, NETWORK, AgentConfig(**config), torch.device("cpu"), generator)


def _batch(seed=0, size=32):
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(shape, generator=generator)

    rewards, discounts = -torch.ones(size), torch.full((size,), 0.5)
    return Batch(draw(size, 5), draw(size, 5), draw(size, 2).clamp(-1, 1), rewards, discounts)


def test_the_critics_target_is_clipped_and_bootstraps():
    agent, batch = _agent(gamma=0.5), _batch()
    actions = torch.tanh(agent._target_actor(batch.next_inputs))
    next_value = agent._target_critic[0](torch.cat([batch.next_inputs, actions], 1))[:, 0]
    target = (-1.0 + 0.5 * next_value).clamp(-2.0, 0.0)
    expected = (agent.critic[0](torch.cat([batch.inputs, batch.actions], 1))[:, 0] - target).square().mean()
    loss, _ = agent.update(batch)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)


def _autograd(network, inputs):
    """What a network computes, with autograd watching its parameters."""
    parameters = network.parameters.clone().requires_grad_()
    values = inputs
    for index, layer in enumerate(network._views(parameters)):
        values = values @ layer.weight.T + layer.bias
        if index < len(network.layers) - 1:
            values = torch.relu(torch.nn.functional.layer_norm(values, values.shape[1:], layer.scale, layer.shift))
    return values, parameters


@pytest.mark.parametrize("algorithm", [Ddpg, Td3])
def test_the_actors_gradient_is_autograds(algorithm):
    agent, batch = _agent(algorithm, action_l2=0.3), _batch()
    guide = torch.full((32, 2), 0.5)
    outputs, parameters = _autograd(agent.actor, batch.inputs)
    actions = torch.tanh(outputs)
    joined = torch.cat([batch.inputs, actions], 1)
    value = torch.cat([_autograd(critic, joined)[0] for critic in agent.critic], 1).min(dim=1).values.mean()
    loss = 0.3 * actions.square().mean() + 0.7 * (actions - guide).square().mean() - value
    loss.backward()
    guided = Batch(batch.inputs, batch.next_inputs, batch.actions, batch.rewards, batch.discounts, guide)
    agent._update_actor(guided, imitation=0.7)
    assert agent.settle().item() == pytest.approx(value.item(), rel=1e-5)
    torch.testing.assert_close(agent._improver.improvement.actor.gradient, parameters.grad, rtol=1e-4, atol=1e-7)


def test_the_stochastic_actors_gradient_is_autograds():
    agent, batch = _agent(Sac, action_l2=0.0, temperature=0.2), _batch()
    outputs, parameters = _autograd(agent.actor, batch.inputs)
    state = agent._generator.get_state()
    draws = torch.empty(32, 2).normal_(generator=agent._generator)
    agent._generator.set_state(state)
    mean, log_std = outputs.chunk(2, dim=1)
    normal = torch.distributions.Normal(mean, log_std.clamp(*LOG_STD_RANGE).exp())
    before = mean + normal.scale * draws
    actions = torch.tanh(before)
    log_probability = (normal.log_prob(before) - torch.log(1 - actions.square())).sum(1)
    joined = torch.cat([batch.inputs, actions], 1)
    value = torch.cat([_autograd(critic, joined)[0] for critic in agent.critic], 1).min(dim=1).values
    (0.2 * log_probability - value).mean().backward()
    agent._update_actor(batch, imitation=0.0)
    torch.testing.assert_close(agent._improver.improvement.actor.gradient, parameters.grad, rtol=1e-3, atol=1e-6)


def test_the_temperature_falls_while_there_is_more_entropy_than_wanted():
    agent = _agent(Sac, entropy=5.0)
    before = agent.state()["log_temperature"].item()
    for _ in range(5):
        agent.update(_batch())
    assert agent.state()["log_temperature"].item() < before


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_actor_climbs_the_critic(algorithm):
    agent, batch = _agent(algorithm, learning_rate=1e-3, action_l2=0.0, temperature=1e-3), _batch()
    values = [agent._update_actor(batch, imitation=0.0) for _ in range(41)]
    values = [value.item() for value in values if value is not None]
    assert values[-1] > values[0]


def test_twin_critics_give_the_smaller_value():
    agent, batch = _agent(Td3), _batch()
    joined = torch.cat([batch.inputs, batch.actions], 1)
    each = torch.cat([critic(joined) for critic in agent._target_critic], 1)
    torch.testing.assert_close(agent._target_value(batch.inputs, batch.actions), each.min(dim=1).values)


def test_targets_follow_by_polyak_at_their_interval():
    agent = _agent(polyak=0.9, target_interval=2)
    old = agent._target_critic[0].parameters.clone()
    agent.update(_batch(0))
    assert torch.equal(old, agent._target_critic[0].parameters)
    agent.update(_batch(1))
    torch.testing.assert_close(agent._target_critic[0].parameters, 0.9 * old + 0.1 * agent.critic[0].parameters)


def test_the_actor_waits_for_its_interval():
    agent = _agent(actor_interval=3)
    changed = []
    for i in range(9):
        before = agent.actor.parameters.clone()
        value = agent.update(_batch(i))[1]
        changed.append(not torch.equal(before, agent.actor.parameters))
        assert (value is not None) == changed[-1]
    # A step is begun every third time, and taken three updates later.
    assert changed == [False] * 5 + [True, False, False, True]


def test_a_step_of_the_actor_sees_the_critics_as_they_were_when_it_began():
    agent, alone = _agent(actor_interval=2), _agent(actor_interval=2)
    agent.update(_batch(0))
    alone.update(_batch(0))
    agent.update(_batch(1))
    alone._update_critics(_batch(1))
    alone._update_actor(_batch(1), imitation=0.0)
    agent.update(_batch(2))
    agent.settle()
    alone.settle()
    assert torch.equal(agent.actor.parameters, alone.actor.parameters)


def test_the_averaged_actor_follows_the_actor():
    agent = _agent(actor_averaging=0.9)
    before = agent.averaged_actor.parameters.clone()
    agent.update(_batch(0))
    agent.settle()
    expected = 0.9 * before + 0.1 * agent.actor.parameters
    torch.testing.assert_close(agent.averaged_actor.parameters, expected)
    plain = _agent()
    assert plain.averaged_actor is plain.actor


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_restored_agent_goes_on_alike(algorithm):
    agent, restored = _agent(algorithm), _agent(algorithm)
    for seed in range(3):
        agent.update(_batch(seed))
    restored.restore(agent.state())
    restored._generator.set_state(agent._generator.get_state())
    for each in (agent, restored):
        each.update(_batch(9))
    assert agent.state().keys() == restored.state().keys()
    for name, tensor in agent.state().items():
        assert torch.equal(tensor, restored.state()[name]), name


def test_gradients_are_averaged_before_they_are_applied():
    seen = []
    generator = torch.Generator().manual_seed(0)
    agent = Td3(5, 2, NETWORK, AgentConfig(), torch.device("cpu"), generator, lambda tensor: seen.append(tensor))
    agent.update(_batch())
    assert [id(tensor) for tensor in seen] == [
        id(network.gradient) for network in (*agent.critic, agent._improver.improvement.actor)
    ]
