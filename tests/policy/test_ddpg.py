"""One update, worked out by hand, and what state() keeps."""

import numpy as np
import pytest
import torch

from her_robot.policy.config import AgentConfig, NetworkConfig
from her_robot.policy.ddpg import Agent, Batch

NETWORK = NetworkConfig(hidden_sizes=(16, 16))


def _batch(rng, size=32):
    def draw(*shape):
        return torch.from_numpy(rng.standard_normal(shape).astype(np.float32))

    return Batch(draw(size, 5), draw(size, 5), draw(size, 2).clamp(-1, 1), -torch.ones(size))


def test_the_critics_target_is_clipped_and_bootstraps():
    torch.manual_seed(0)
    agent = Agent(5, 2, NETWORK, AgentConfig(gamma=0.5), "cpu")
    batch = _batch(np.random.default_rng(0))
    with torch.no_grad():
        next_value = agent._target_critic(batch.next_inputs, agent._target_actor(batch.next_inputs))
        target = (-1.0 + 0.5 * next_value).clamp(-2.0, 0.0)
        expected = (agent.critic(batch.inputs, batch.actions) - target).square().mean()
    loss, _ = agent.update(batch)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_the_actor_climbs_the_critic():
    torch.manual_seed(0)
    agent = Agent(5, 2, NETWORK, AgentConfig(learning_rate=1e-3, action_l2=0.0), "cpu")
    batch = _batch(np.random.default_rng(0))

    def value():
        with torch.no_grad():
            return agent.critic(batch.inputs, agent.actor(batch.inputs)).mean().item()

    before = value()
    for _ in range(20):
        agent._update_actor(batch)
    assert value() > before


def test_targets_follow_by_polyak_at_their_interval():
    torch.manual_seed(0)
    agent = Agent(5, 2, NETWORK, AgentConfig(polyak=0.9, target_interval=2), "cpu")
    old = [p.clone() for p in agent._target_critic.parameters()]
    rng = np.random.default_rng(0)
    agent.update(_batch(rng))
    assert all(torch.equal(a, b) for a, b in zip(old, agent._target_critic.parameters(), strict=True))
    agent.update(_batch(rng))
    for before, online, target in zip(old, agent.critic.parameters(), agent._target_critic.parameters(), strict=True):
        torch.testing.assert_close(target, 0.9 * before + 0.1 * online)


def test_the_actor_waits_for_its_interval():
    agent = Agent(5, 2, NETWORK, AgentConfig(actor_interval=3), "cpu")
    rng = np.random.default_rng(0)
    assert [agent.update(_batch(rng))[1] is not None for _ in range(6)] == [False, False, True] * 2


def test_a_restored_agent_goes_on_alike():
    torch.manual_seed(0)
    agent, restored = (Agent(5, 2, NETWORK, AgentConfig(), "cpu") for _ in range(2))
    rng = np.random.default_rng(0)
    for _ in range(3):
        agent.update(_batch(rng))
    restored.restore(agent.state())
    batch = _batch(rng)
    agent.update(batch)
    restored.update(batch)
    for name, tensor in agent.state().items():
        assert torch.equal(tensor, restored.state()[name]), name
