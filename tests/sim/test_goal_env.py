"""The goal environment: checkers, distributions, seeds, episode ends, randomisation."""

import dataclasses
from dataclasses import replace

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode

from her_robot.contract import CONTRACTS, FETCH_CONTRACTS, HAND_CONTRACTS, contract_of
from her_robot.domain_rand.distribution import Range
from her_robot.domain_rand.preset import RandomizationPreset, load_preset
from her_robot.domain_rand.pushes import PushConfig
from her_robot.domain_rand.sensing import SensingConfig
from her_robot.domain_rand.timing import TimingConfig
from her_robot.domain_rand.variation import Variation
from her_robot.errors import ConfigurationError
from her_robot.sim.goal_env import BatchedGoalEnv, GoalEnv
from her_robot.sim.tasks import make_gymnasium_env


@pytest.mark.parametrize("task", [*FETCH_CONTRACTS, "hand_reach", "hand_block_touch"])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_passes_gymnasiums_checker(task):
    check_env(GoalEnv(task), skip_render_check=True)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_passes_stable_baselines3s_checker():
    checker = pytest.importorskip("stable_baselines3.common.env_checker")
    checker.check_env(GoalEnv("fetch_push"), warn=False)


@pytest.mark.parametrize("task", CONTRACTS)
def test_resets_are_those_of_gymnasium_robotics(task):
    env = BatchedGoalEnv(task, num_envs=4)
    reference = make_gymnasium_env(contract_of(task).environment)
    observation, _ = env.reset(seed=100)
    for row in range(4):
        # Gymnasium-Robotics' hand keeps this from the episode before.
        reference.unwrapped.data.qacc_warmstart[:] = 0.0
        expected, _ = reference.reset(seed=100 + row)
        for name in expected:
            np.testing.assert_allclose(observation[name][row], expected[name], atol=1e-9)


def _rollout(env, seed, steps):
    rng = np.random.default_rng(3)
    observation, _ = env.reset(seed=seed)
    trace = [observation["observation"]]
    for _ in range(steps):
        observation, *_ = env.step(rng.uniform(-1, 1, env.action_space.shape))
        trace.append(observation["observation"])
    return np.array(trace)


@pytest.mark.parametrize("preset", ["none", "robot_loop", "nominal", "peng2017"])
def test_the_same_seed_gives_the_same_episodes_twice(preset):
    env = BatchedGoalEnv("fetch_push", num_envs=3, randomization=load_preset(preset))
    np.testing.assert_array_equal(_rollout(env, 5, 60), _rollout(env, 5, 60))
    assert not np.array_equal(_rollout(env, 5, 5), _rollout(env, 6, 5))


def test_a_finished_row_keeps_its_final_observation_and_starts_anew():
    env = BatchedGoalEnv("fetch_reach", num_envs=2)
    first, _ = env.reset(seed=0)
    for step in range(1, 51):
        observation, _, terminated, truncated, info = env.step(np.ones((2, 4)))
        assert not terminated.any()
        assert truncated.all() == (step == 50)
    final = info["final_obs"]
    assert np.linalg.norm(final["observation"][0, :3] - first["observation"][0, :3]) > 0.1
    np.testing.assert_allclose(observation["observation"][:, :3], first["observation"][:, :3], atol=1e-6)
    assert not np.array_equal(observation["desired_goal"], final["desired_goal"])


def test_without_autoreset_the_final_observation_is_returned():
    env = BatchedGoalEnv("fetch_reach", num_envs=1, autoreset_mode=AutoresetMode.DISABLED)
    env.reset(seed=0)
    for _ in range(50):
        observation, _, _, truncated, info = env.step(np.ones((1, 4)))
    assert truncated.all()
    assert "final_obs" not in info
    assert observation["observation"][0, 0] > 1.4


def test_random_states_can_be_restored():
    env = BatchedGoalEnv("fetch_push", num_envs=2, randomization=load_preset("robot_loop"))
    env.reset(seed=1)
    states = env.random_states()
    expected, _ = env.reset()
    env.reset(seed=9)
    env.set_random_states(states)
    again, _ = env.reset()
    for name in expected:
        np.testing.assert_array_equal(again[name], expected[name])


def test_compute_reward_is_vectorised():
    env = GoalEnv("fetch_push")
    goals = np.array([[0.0, 0, 0], [0.1, 0, 0]])
    np.testing.assert_array_equal(env.compute_reward(goals, np.zeros((2, 3)), {}), [0.0, -1.0])


def test_nominal_rows_are_not_randomised():
    preset = load_preset("robot_loop")
    env = BatchedGoalEnv("fetch_push", num_envs=40, randomization=preset)
    reference = BatchedGoalEnv("fetch_push", num_envs=40)
    observation, _ = env.reset(seed=0)
    expected, _ = reference.reset(seed=0)
    same = (observation["observation"] == expected["observation"]).all(axis=1)
    assert 0.15 < same.mean() < 0.7
    assert preset.nominal_fraction == pytest.approx(same.mean(), abs=0.25)


def test_what_was_drawn_is_recorded_and_repeats_with_the_seed():
    preset = replace(load_preset("robot_loop"), pushes=PushConfig(rate=Range(1.0, 2.0)), nominal_fraction=0.3)
    env = BatchedGoalEnv("fetch_push", num_envs=20, randomization=preset)
    env.reset(seed=4)
    first = list(env.drawn)
    nominal = [not record for record in first]
    assert 0 < sum(nominal) < 20
    record = first[nominal.index(False)]
    assert record.keys() == {"physics", "placement", "actuation", "sensing", "pushes"}
    assert 0.4 <= record["physics"]["object_mass"] <= 1.5
    env.reset()
    assert env.drawn != first
    env.reset(seed=4)
    assert env.drawn == first
    single = GoalEnv("fetch_push", replace(preset, nominal_fraction=0.0))
    single.reset(seed=1)
    assert single.drawn.keys() == record.keys()


def test_what_is_drawn_at_the_start_stays_over_episodes():
    start = Variation(0.5, 2.0, parameter="object_mass", when="start")
    preset = RandomizationPreset(0.0, {"weight": start, "friction": Variation(0.5, 2.0)})
    env = BatchedGoalEnv("fetch_push", num_envs=3, randomization=preset)
    records = []
    for _ in range(3):
        env.reset(seed=None if records else 5)
        records.append([record["physics"] for record in env.drawn])
    for row in range(3):
        assert len({record[row]["weight"] for record in records}) == 1
        assert len({record[row]["friction"] for record in records}) == 3
    assert len({record["weight"] for record in records[0]}) == 3


def test_a_larger_object_and_its_goal_lie_on_the_table():
    preset = RandomizationPreset(0.0, {"object_size": Variation(1.2, 1.2), "table_height": Variation(0.01, 0.01)})
    env, reference = BatchedGoalEnv("fetch_push", 1, 1, preset), BatchedGoalEnv("fetch_push", 1, 1)
    found, expected = env.reset(seed=2)[0], reference.reset(seed=2)[0]
    for name in ("achieved_goal", "desired_goal"):
        np.testing.assert_allclose(found[name] - expected[name], [[0.0, 0.0, 0.015]], atol=1e-9)
    for _ in range(20):
        found, *_ = env.step(np.zeros((1, 4)))
    assert found["achieved_goal"][0, 2] == pytest.approx(0.4 + 0.01 + 0.03, abs=1e-3)


def test_a_push_moves_the_puck_as_force_less_friction():
    config = PushConfig(rate=Range(25.0, 25.0), force=Range(5.0, 5.0), duration=Range(1.0, 1.0))
    preset = RandomizationPreset(0.0, pushes=config)
    env = BatchedGoalEnv("fetch_slide", num_envs=1, num_threads=1, randomization=preset)
    env.reset(seed=0)
    for _ in range(5):
        env.step(np.zeros((1, 4)))
    puck = env.simulation.state().object
    assert puck is not None
    acceleration = np.linalg.norm(puck.velocity[0, :2]) / (5 * 0.04)
    # 2 kg, friction 0.1; MuJoCo's pyramid of friction is lower by the root of 2 along a diagonal.
    most, least = 0.1 * 2.0 * 9.81, 0.1 * 2.0 * 9.81 / np.sqrt(2)
    assert 0.99 * (5.0 - most) / 2.0 < acceleration < 1.01 * (5.0 - least) / 2.0
    env.close()


def test_longer_control_periods_take_the_gripper_further_by_what_it_had_still_to_go():
    late = RandomizationPreset(0.0, timing=TimingConfig(Range(20.0, 20.0)), sensing=SensingConfig(camera_rate=25.0))
    envs = [BatchedGoalEnv("fetch_reach", 4, 1, preset) for preset in (None, late)]
    for env in envs:
        env.reset(seed=0)
    times = []
    for env in envs:
        for _ in range(10):
            env.step(np.tile([1.0, 0.0, 0.0, 0.0], (4, 1)))
        times.append([row.data.time for row in env.simulation.rows])
    np.testing.assert_allclose(np.diff(times[0]), 0.0, atol=1e-9)
    assert np.mean(np.subtract(times[1], times[0])) == pytest.approx(10 / 20.0, rel=0.5)


def test_the_single_environment_is_truncated():
    env = GoalEnv("fetch_reach")
    assert isinstance(env, gymnasium.Env)
    env.reset(seed=0)
    ends = [env.step(env.action_space.sample())[3] for _ in range(50)]
    assert ends == [False] * 49 + [True]


@pytest.mark.parametrize("task", ["hand_reach", "hand_egg_rotate"])
def test_hands_are_randomised_and_repeat_themselves(task):
    preset = load_preset("hand" if contract_of(task).has_object else "hand_reach")
    env = BatchedGoalEnv(task, 3, randomization=dataclasses.replace(preset, nominal_fraction=0.0))
    first = _rollout(env, 5, 8)
    np.testing.assert_array_equal(first, _rollout(env, 5, 8))
    assert (np.abs(first[0, 0] - GoalEnv(task).reset(seed=5)[0]["observation"]) > 1e-4).any()
    unchanged = BatchedGoalEnv(task, 3, randomization=dataclasses.replace(preset, nominal_fraction=1.0))
    np.testing.assert_array_equal(_rollout(unchanged, 5, 8), _rollout(BatchedGoalEnv(task, 3), 5, 8))


@pytest.mark.parametrize("task", HAND_CONTRACTS)
def test_dactyl_draws_what_is_published_and_an_episode_runs(task):
    env = BatchedGoalEnv(task, 2, randomization=load_preset("dactyl"))
    nominal = env.simulation.task.model
    links = [body for body in range(nominal.nbody) if nominal.body(body).name.startswith("robot0:")]
    env.reset(seed=0)
    for row, drawn in zip(env.simulation.rows, env.drawn, strict=True):
        mass = row.model.body_mass[links] / nominal.body_mass[links]
        assert 0.5 <= mass.min() < 0.7 < 1.3 < mass.max() <= 1.5
        damping = row.model.dof_damping[:24] / nominal.dof_damping[:24]
        assert 0.3 <= damping.min() < 0.6 < 1.5 < damping.max() <= 3.0
        gain = row.model.actuator_gainprm[:, 0] / nominal.actuator_gainprm[:, 0]
        np.testing.assert_allclose(row.model.actuator_biasprm[:, 1], gain * nominal.actuator_biasprm[:, 1])
        assert 0.75 <= gain.min() < gain.max() <= 1.5
        assert 0.7 <= row.model.geom("robot0:C_palm0").friction[0] <= 1.3
        assert (np.abs(row.model.opt.gravity - nominal.opt.gravity) <= 1.2).all()
        assert drawn["actuation"]["delay_steps"] in (0, 1, 2)
        assert 250.0 <= drawn["timing"]["lateness_rate"] <= 2000.0
        if env.contract.has_object:
            size = row.model.geom("object").size[0] / nominal.geom("object").size[0]
            assert 0.95 <= size <= 1.05
            assert size == pytest.approx(drawn["physics"]["object_size"])
            assert 0.0125 <= drawn["pushes"]["rate"] <= 1.25
    for _ in range(5):
        observation, *_ = env.step(env.action_space.sample())
        assert np.isfinite(observation["observation"]).all()
    env.close()


def test_what_a_hand_cannot_have_randomised_is_refused():
    with pytest.raises(ConfigurationError, match="yaw_noise is not simulated for the hand"):
        BatchedGoalEnv("hand_block", 1, randomization=load_preset("robot_loop"))
    with pytest.raises(ConfigurationError, match="finger_speed is of a gripper; a hand has none"):
        BatchedGoalEnv("hand_block", 1, randomization=load_preset("robot_loop_pick"))
    with pytest.raises(ConfigurationError, match="joint_noise is of the hand; it is not simulated for the Fetch"):
        BatchedGoalEnv("fetch_push", 1, randomization=load_preset("hand"))
    with pytest.raises(ConfigurationError, match="the model has no actuator 'robot0:A_\\*'"):
        BatchedGoalEnv("fetch_push", 1, randomization=load_preset("dactyl"))
    with pytest.raises(ConfigurationError, match="grip_noise is not simulated for the hand"):
        BatchedGoalEnv("hand_reach", 1, randomization=load_preset("robot_loop_reach"))
