"""Training episodes under automatic domain randomisation: drawn from the parts, at their ends, judged by success."""

import numpy as np
import pytest
import torch

from her_robot.domain_rand.automatic import AutomaticConfig
from her_robot.domain_rand.preset import load_preset
from her_robot.policy.acting import Policy
from her_robot.policy.config import ExplorationConfig, NetworkConfig, NormalizerConfig
from her_robot.policy.curriculum import Curriculum
from her_robot.policy.exploration import Explorer
from her_robot.policy.inputs import Inputs
from her_robot.sim.goal_env import BatchedGoalEnv

PRESET = load_preset("robot_loop_reach")
CONFIG = AutomaticConfig(True, boundary_probability=0.6, episodes=1, step=0.3, initial_width=0.2)


@pytest.fixture
def env():
    env = BatchedGoalEnv("fetch_reach", num_envs=16, num_threads=1, randomization=PRESET)
    env.reset(seed=0)
    yield env
    env.close()


def _positions(env):
    """Of what randomised episodes drew from uniform ranges, 0 to 1."""
    columns = [env.parameter_names.index(f"actuation.{name}") for name in ("scale", "smoothing", "slew_limit")]
    return (env.parameters[:, columns] + 1) / 2


def test_episodes_are_drawn_from_the_parts_and_one_is_at_an_end(env):
    curriculum, rng = Curriculum(CONFIG, env, PRESET), np.random.default_rng(0)
    nominal = np.array([(1.0 - 0.35) / 0.75, 0.0, 1.0])
    low = np.clip(nominal - 0.1, 0.0, 0.8)
    randomised = env.parameter_names.index("randomized")
    for _ in range(5):
        judged = curriculum.begin(rng, judged=True)
        env.reset()
        assert np.all(env.parameters[judged, randomised] == 1.0)
        drawn = _positions(env)[env.parameters[:, randomised] == 1.0]
        assert np.all((drawn >= low - 1e-6) & (drawn <= low + 0.2 + 1e-6))
        ends = np.isclose(_positions(env), low, atol=1e-6) | np.isclose(_positions(env), low + 0.2, atol=1e-6)
        assert ends[~judged & (env.parameters[:, randomised] == 1.0)].sum() == 0
        assert ends[judged].sum(axis=1).max() <= 1
    assert not curriculum.begin(rng, judged=False).any()


def test_success_widens_what_is_drawn_up_to_the_preset(env):
    curriculum, rng = Curriculum(CONFIG, env, PRESET), np.random.default_rng(0)
    before = curriculum.numbers()
    for _ in range(40):
        curriculum.begin(rng, judged=True)
        curriculum.record(curriculum.count(np.ones(env.num_envs, bool)))
    after = curriculum.numbers()
    assert before["adr.entropy"] == pytest.approx(np.log(0.2))
    assert after["adr.entropy"] == 0.0
    assert (after["adr.actuation.scale.low"], after["adr.actuation.scale.high"]) == (0.35, 1.1)
    assert (after["adr.actuation.delay_steps.low"], after["adr.actuation.delay_steps.high"]) == (0.0, 2.0)


def test_episodes_at_a_boundary_are_played_without_exploration(env):
    class Constant(Policy):
        def _outputs(self, observation, desired_goal, memory):
            return torch.full((len(observation), 4), float(np.arctanh(0.25)))

    cpu = torch.device("cpu")
    policy = Constant(lambda _: None, Inputs(env.contract, NormalizerConfig(), NetworkConfig(), cpu), 4, cpu)
    judged = np.arange(env.num_envs) % 2 == 0
    explorer = Explorer(env, ExplorationConfig(noise=0.2, random_action=0.3), np.random.default_rng(0))
    action = explorer.play(policy, judged).action
    np.testing.assert_allclose(action[judged], 0.25, rtol=1e-6)
    assert np.all(np.std(action[~judged], axis=(1, 2)) > 0.1)
