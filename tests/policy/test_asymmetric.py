"""Critics that see the truth, and an actor that does not."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode

from her_robot.contract import FETCH_CONTRACTS, contract_of, term_slice
from her_robot.domain_rand.preset import load_preset
from her_robot.policy.agent import Batch
from her_robot.policy.config import AgentConfig, ExplorationConfig, NetworkConfig, load_config
from her_robot.policy.exploration import Explorer
from her_robot.policy.learner import ALGORITHMS, Learner
from her_robot.policy.mirror import Mirror
from her_robot.sim.goal_env import BatchedGoalEnv

TOY = ["network.asymmetric=true", "network.hidden_sizes=[8, 8]", "buffer_steps=800", "batch_size=64"]


@pytest.fixture(scope="module")
def played():
    """Episodes under imperfect sensors, with the truth."""
    env = BatchedGoalEnv("fetch_push", 4, 1, load_preset("robot_loop"), AutoresetMode.DISABLED)
    env.reset(seed=3)
    episodes = Explorer(env, ExplorationConfig(), np.random.default_rng(0), with_truth=True).play(None)
    env.close()
    return episodes


def test_the_truth_is_what_perfect_sensors_would_tell(played):
    where = term_slice(contract_of("fetch_push"), "object_pos")
    assert played.truth.shape == played.observation.shape
    np.testing.assert_array_equal(played.truth[..., where], played.achieved_goal)
    assert not np.array_equal(played.observation[..., where], played.achieved_goal)


def test_the_truth_anticipates_what_is_under_way():
    """A gripper that is told to go up late: the truth has it higher than it is, until it is there."""
    from her_robot.domain_rand.actuation import ActuationConfig
    from her_robot.domain_rand.preset import RandomizationPreset

    contract = contract_of("fetch_push")
    grip, relative = (term_slice(contract, name) for name in ("grip_pos", "object_rel_pos"))
    preset = RandomizationPreset(nominal_fraction=0.0, actuation=ActuationConfig(delay_steps=(3, 3)))
    env = BatchedGoalEnv("fetch_push", 2, 1, preset, AutoresetMode.DISABLED)
    env.reset(seed=[1, 2])
    actions = [np.array([[0.0, 0.0, height, 0.0]] * 2) for height in (1.0, 0.0, 0.0, 0.0, 0.0)]
    ahead, behind = [], []
    for action in actions:
        observation = env.step(action)[0]["observation"]
        truth = env.true_observation()
        ahead.append(truth[:, grip] - observation[:, grip])
        behind.append(truth[:, relative] - observation[:, relative])
    env.close()
    np.testing.assert_array_equal([step[:, 2] > 1e-3 for step in ahead], [[True] * 2] * 3 + [[False] * 2] * 2)
    np.testing.assert_allclose(ahead, -np.array(behind), atol=1e-6)
    np.testing.assert_allclose(ahead[0], [[0.0, 0.0, 0.35 * contract.action_scale]] * 2, atol=1e-6)


@pytest.mark.parametrize("mirrored", ["false", "true"])
def test_a_batch_holds_the_truth_behind_what_the_actor_sees(played, mirrored):
    config = load_config("fetch_push", "fast", [*TOY, f"replay.mirrored={mirrored}", "replay.end_when_lost=false"])
    names = [f"physics.{i}" for i in range(played.parameters.shape[1])]
    learner = Learner(contract_of("fetch_push"), config, parameters=names)
    learner.take_in(played)
    (batch,) = learner._batches(1, imitates=False)
    inputs = learner.inputs
    assert batch.inputs.shape[1] == inputs.size + inputs.privileged_size
    truth, drawn = torch.from_numpy(played.truth).flatten(0, 1), torch.from_numpy(played.parameters)
    assert len(torch.unique(drawn, dim=0)) > 1
    both = [truth, Mirror(FETCH_CONTRACTS["fetch_push"]).observation(truth, torch.ones(len(truth), dtype=torch.bool))]
    # Without what depends on the goal: the last three numbers.
    goals, nothing = torch.zeros(len(truth), 3), torch.zeros(len(truth), 0)
    known = torch.cat([inputs.of_truth(each, goals, nothing)[:, :-3] for each in both])
    end = -3 - played.parameters.shape[1]
    for found in (batch.inputs, batch.next_inputs):
        distance = torch.cdist(found[:, inputs.size : end], known, compute_mode="donot_use_mm_for_euclid_dist")
        assert distance.min(dim=1).values.max() < 1e-3
        # What was drawn is that of the episode in which this was the truth.
        episode = distance.argmin(dim=1) % len(truth) // played.truth.shape[1]
        assert torch.equal(found[:, inputs.size + inputs.privileged_size - len(names) :], drawn[episode])


def test_what_was_drawn_sideways_turns_its_sign_in_the_mirror():
    names = (
        "actuation.bias.x",
        "actuation.bias.y",
        "actuation.axis_scale.y",
        "placement.object_yaw",
        "physics.friction",
    )
    mirror = Mirror(FETCH_CONTRACTS["fetch_push"], parameters=names)
    rows = torch.tensor([True, False])
    found = mirror.parameters(torch.full((2, 5), 0.5), rows)
    assert found.tolist() == [[0.5, -0.5, 0.5, -0.5, 0.5], [0.5] * 5]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_critics_see_it_and_the_actor_does_not(algorithm):
    def agent():
        network = NetworkConfig(hidden_sizes=(16, 16), precision="float32")
        generator = torch.Generator().manual_seed(0)
        cpu: Any = torch.device("cpu")
        return ALGORITHMS[algorithm](5, 2, network, AgentConfig(), cpu, generator, privileged=3)

    generator = torch.Generator().manual_seed(1)
    inputs, next_inputs = torch.randn((2, 32, 8), generator=generator)
    actions, rest = torch.zeros(32, 2), (-torch.ones(32), torch.full((32,), 0.5))
    batch = Batch(inputs, next_inputs, actions, *rest)
    first, second = agent(), agent()
    assert (first.actor.inputs, first.critic[0].inputs) == (5, 10)
    loss, _ = first.update(batch)
    other = inputs.clone()
    other[:, 5:] += 1.0
    assert second.update(Batch(other, next_inputs, actions, *rest))[0] != loss


def test_the_bundle_is_as_without(played, tmp_path):
    from her_robot.policy.bundle import PolicyBundle
    from her_robot.policy.export import export_bundle

    config = load_config("fetch_push", "fast", TOY)
    learner = Learner(contract_of("fetch_push"), config)
    learner.take_in(dataclasses.replace(played, parameters=None))
    learner.learn(3)
    export_bundle(learner, config, load_preset("none")).save(tmp_path)
    bundle, policy = PolicyBundle.load(tmp_path), learner.policy(averaged=True)
    seen = played.observation[:, 5], played.desired_goal
    np.testing.assert_allclose(bundle.act(*seen), policy.act(*seen, policy.memory()), atol=1e-5)
