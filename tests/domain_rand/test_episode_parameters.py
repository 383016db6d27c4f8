"""The vector of an episode's draws: hand-computed, and what it leaves out."""

import numpy as np
import pytest

from her_robot.contract import CONTRACTS
from her_robot.domain_rand.actuation import ActuationConfig
from her_robot.domain_rand.distribution import Range
from her_robot.domain_rand.episode_parameters import EpisodeParameters
from her_robot.domain_rand.preset import RandomizationPreset, load_preset
from her_robot.domain_rand.rendering import RenderingConfig
from her_robot.domain_rand.sensing import SensingConfig
from her_robot.domain_rand.timing import TimingConfig
from her_robot.domain_rand.variation import Variation
from her_robot.sim.goal_env import BatchedGoalEnv
from her_robot.sim.tasks import fetch_task

FINGERS = "robot0:r_gripper_finger_link", "robot0:l_gripper_finger_link"


def _parameters(preset, task="fetch_push", num_envs=1):
    return EpisodeParameters(preset, fetch_task(task).model, CONTRACTS[task].has_object, num_envs)


def test_hand_computed():
    preset = RandomizationPreset(
        nominal_fraction=0.5,
        physics={
            "object_mass": Variation(0.5, 2.0, distribution="log_uniform"),
            "fingers": Variation(1.0, 3.0, parameter="body_mass", elements=FINGERS, independent=True),
            "gravity": Variation(-0.5, 0.5),
        },
        actuation=ActuationConfig(delay_steps=(0, 4), bias=0.1),
        timing=TimingConfig(Range(100.0, 200.0)),
    )
    parameters = _parameters(preset, num_envs=2)
    assert parameters.names == (
        "randomized",
        "physics.object_mass",
        *(f"physics.fingers[{name}]" for name in FINGERS),
        *(f"physics.gravity.{axis}" for axis in "xyz"),
        "actuation.delay_steps",
        *(f"actuation.bias.{axis}" for axis in "xyz"),
        "timing.lateness_rate",
    )
    drawn = {
        "physics": {"object_mass": np.sqrt(2.0), "fingers": [1.0, 2.5], "gravity": [0.5, 0.0, -0.25]},
        "actuation": {"delay_steps": 1, "bias": [0.1, -0.2, 0.0]},
        "timing": {"lateness_rate": 125.0},
    }
    parameters.record(1, drawn)
    expected = [1.0, 0.5, -1.0, 0.5, 1.0, 0.0, -0.5, -0.5, 0.5, -1.0, 0.0, -0.5]
    np.testing.assert_allclose(parameters.values[1], expected, atol=1e-6)
    # Nothing scaled, nothing added; an infinite rate, which is punctual, is nearest to the largest.
    parameters.record(1, {})
    np.testing.assert_allclose(parameters.values[1], [-1, 0, -1, -1, 0, 0, 0, -1, 0, 0, 0, 1], atol=1e-6)
    np.testing.assert_array_equal(parameters.values[0], 0.0)


@pytest.mark.parametrize(
    "preset",
    [
        RandomizationPreset(0.0, physics={"friction": Variation(0.5, 2.0, when="step")}),
        RandomizationPreset(0.0, physics={"friction": Variation(0.7, 0.7)}),
        RandomizationPreset(0.0, sensing=SensingConfig(grip_noise=0.001, camera_rate=10.0)),
        RandomizationPreset(0.0, sensing=SensingConfig(occlusion_duration=Range(0.1, 0.5))),
        RandomizationPreset(0.0, rendering=RenderingConfig(camera_position=Range(-0.1, 0.1))),
    ],
    ids=["step", "constant", "noise", "event", "look"],
)
def test_what_has_no_number(preset):
    assert _parameters(preset).names == ()


def test_a_task_without_an_object_has_no_numbers_of_one():
    names = _parameters(load_preset("robot_loop"), "fetch_reach").names
    assert {"actuation.scale", "physics.table_height"} <= set(names)
    assert not any("object" in name or "camera" in name for name in names)


@pytest.mark.parametrize(
    ("task", "preset"),
    [("fetch_push", "robot_loop"), ("fetch_pick_and_place", "robot_loop_pick"), ("fetch_push", "peng2017")],
)
def test_an_environment_shows_what_it_drew(task, preset):
    env = BatchedGoalEnv(task, num_envs=12, num_threads=1, randomization=load_preset(preset))
    names = env.parameter_names
    found = []
    for _ in range(8):
        env.reset(seed=None if found else 0)
        found.append(env.parameters)
        mass = np.array([drawn["physics"]["object_mass"] if drawn else np.nan for drawn in env.drawn])
        low, high = load_preset(preset).physics["object_mass"].low, load_preset(preset).physics["object_mass"].high
        scaled = 2 * np.log(mass / low) / np.log(high / low) - 1
        column = names.index("physics.object_mass")
        np.testing.assert_allclose(found[-1][~np.isnan(mass), column], scaled[~np.isnan(mass)], atol=1e-5)
    values = np.concatenate(found)
    env.close()
    assert values.dtype == np.float32
    assert values.shape[1] == len(names) == len(set(names))
    unlimited = np.array(["bias" in name for name in names])
    assert np.abs(values[:, ~unlimited]).max() <= 1.0 + 1e-6
    assert np.all(np.ptp(values, axis=0) > 0.5), "every number varies"
    if preset == "robot_loop_pick":
        flag = values[:, names.index("randomized")]
        assert set(flag.tolist()) == {-1.0, 1.0}
        assert np.unique(values[flag < 0], axis=0).shape[0] == 1


def test_the_same_seed_shows_the_same_numbers():
    first, second = (BatchedGoalEnv("fetch_push", 3, 1, load_preset("nominal")) for _ in range(2))
    for env in (first, second):
        env.reset(seed=5)
    np.testing.assert_array_equal(first.parameters, second.parameters)
    kept = first.parameters
    first.reset()
    assert not np.array_equal(first.parameters, kept), "what was given is a copy"
    np.testing.assert_array_equal(kept, second.parameters)
    for env in (first, second):
        env.close()
