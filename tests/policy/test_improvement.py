"""A process beside: the same outcome, and what becomes of it when it fails."""

import time

import pytest
import torch

from her_robot.errors import ImprovementError
from her_robot.policy.agent import Agent, Batch
from her_robot.policy.config import AgentConfig, NetworkConfig
from her_robot.policy.ddpg import Ddpg
from her_robot.policy.sac import Sac

_PATIENCE_S = 60.0


def _agent(beside: bool, algorithm: type[Agent] = Ddpg) -> Agent:
    generator = torch.Generator().manual_seed(0)
    network = NetworkConfig(hidden_sizes=(16, 16), precision="bfloat16")
    config = AgentConfig(actor_interval=2, actor_averaging=0.9)
    # Of the batch's 5 inputs, the actor sees 3.
    return algorithm(3, 2, network, config, torch.device("cpu"), generator, beside=beside, privileged=2)


def _batch(seed: int) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    inputs, next_inputs = torch.randn((2, 32, 5), generator=generator)
    actions, guide = torch.rand((2, 32, 2), generator=generator)
    return Batch(inputs, next_inputs, actions, -torch.ones(32), torch.full((32,), 0.5), guide)


def _update_for_an_interval(agent: Agent) -> None:
    for seed in range(2):
        agent.update(_batch(seed))


def _wait_for_process(agent: Agent):
    process = agent._improver._process
    end = time.monotonic() + _PATIENCE_S
    while not process.is_ready():
        assert time.monotonic() < end, "the process did not come up"
        time.sleep(0.05)
    return process


@pytest.fixture(params=[Ddpg, Sac])
def beside(request):
    agent = _agent(True, request.param)
    _update_for_an_interval(agent)
    yield agent
    agent._improver.close()


def test_it_does_not_matter_where_an_actor_is_improved(beside):
    here = _agent(False, type(beside))
    _update_for_an_interval(here)
    _wait_for_process(beside)
    for seed in range(2, 9):
        for agent in (here, beside):
            agent.update(_batch(seed), imitation=0.5)
    assert here.state().keys() == beside.state().keys()
    for name, tensor in here.state().items():
        assert torch.equal(tensor, beside.state()[name]), name
    restored = _agent(False, type(beside))
    restored.restore(beside.state())
    restored._generator.set_state(beside._generator.get_state())
    for agent in (restored, beside):
        for seed in range(9, 12):
            agent.update(_batch(seed))
    assert torch.equal(restored.state()["actor.parameters"], beside.state()["actor.parameters"])


def test_a_killed_process_is_reported_with_a_way_on(beside):
    process = _wait_for_process(beside)
    process._process.kill()
    process._process.join()
    with pytest.raises(ImprovementError, match=r"exit code -9.*--resume"):
        _update_for_an_interval(beside)


def test_closing_ends_the_process(beside):
    process = _wait_for_process(beside)
    beside.close()
    assert process._process.exitcode == 0
