"""The batched simulation against Gymnasium-Robotics, step by step."""

import numpy as np
import pytest
from gymnasium.utils import seeding
from step_parity import assert_episode_agrees

from her_robot.contract import FETCH_CONTRACTS
from her_robot.errors import ConfigurationError
from her_robot.sim.batched import Start
from her_robot.sim.fetch import FetchSimulation
from her_robot.sim.tasks import fetch_task, make_gymnasium_env


def _toward_object(observation, rng):
    """Actions that soon touch the object, so that contacts are compared too."""
    noise = rng.normal(0.0, 0.3, 3)
    reach = observation[6:9] * 8 if observation.size > 10 else 0.0
    return np.append(np.clip(reach + noise, -1, 1), rng.uniform(-1, 1)).astype(np.float32)


def _toward_the_head(observation, rng):
    """Actions that draw the gripper back and up, until the arm runs into head and torso."""
    return np.append(np.clip([-0.8, 0.2, 0.5] + rng.normal(0.0, 0.5, 3), -1, 1), 0.0).astype(np.float32)


def _beside_the_table(observation, rng):
    """Actions that press the gripper onto the table, then the forearm against its edge."""
    return np.append(np.clip([-0.1, 0.8, -0.9] + rng.normal(0.0, 0.4, 3), -1, 1), 1.0).astype(np.float32)


@pytest.mark.parametrize("act", [_toward_object, _toward_the_head, _beside_the_table])
@pytest.mark.parametrize("name", FETCH_CONTRACTS)
def test_whole_episodes_agree_with_gymnasium_robotics(name, act):
    task = fetch_task(name)
    contract = task.contract
    env = make_gymnasium_env(contract.environment)
    simulation = FetchSimulation(task, num_envs=2, num_threads=2)
    for seed in range(3):
        rng, _ = seeding.np_random(seed)
        expected, _ = env.reset(seed=seed)
        position = task.sample_object_position(rng) if contract.has_object else None
        for row in range(2):
            simulation.reset(row, position)
        np.testing.assert_array_equal(task.sample_goal(rng), expected["desired_goal"])
        assert_episode_agrees(simulation, env, expected, act, np.random.default_rng(seed))
    simulation.close()


def test_actions_are_clipped_and_checked():
    task = fetch_task("fetch_reach")
    simulation = FetchSimulation(task, num_envs=2)
    for row in range(2):
        simulation.reset(row, None)
    state = simulation.step(np.array([[5.0, 0, 0, 0], [1.0, 0, 0, 0]]))
    np.testing.assert_array_equal(state.grip_position[0], state.grip_position[1])
    with pytest.raises(ValueError, match=r"expected \(2, 4\)"):
        simulation.step(np.zeros((3, 4)))


def test_no_rows_are_refused():
    with pytest.raises(ValueError, match="at least 1"):
        FetchSimulation(fetch_task("fetch_reach"), num_envs=0)


def test_a_turned_and_lifted_object_rests_there():
    task = fetch_task("fetch_push")
    simulation = FetchSimulation(task, num_envs=1)
    position = task.home_grip_position[:2] + 0.12
    simulation.reset(0, position, Start(object_yaw=0.3))
    rotation = simulation.state().object.rotation[0]
    assert np.arctan2(rotation[1, 0], rotation[0, 0]) == pytest.approx(0.3)
    simulation.reset(0, position, Start(rise=0.01))
    assert simulation.state().object.position[0, 2] == pytest.approx(task.object_height + 0.01)


def test_fingers_are_apart_where_they_shall_be():
    simulation = FetchSimulation(fetch_task("fetch_pick_and_place"), num_envs=2)
    rngs = [np.random.default_rng(0), np.random.default_rng(1)]
    simulation.begin([0, 1], rngs, [Start(finger_gap=0.09), Start()])
    np.testing.assert_allclose(simulation.state().finger_position.sum(axis=1), [0.09, 0.0], atol=1e-5)
    for _ in range(5):
        simulation.step(np.zeros((2, 4), np.float32))
    np.testing.assert_allclose(simulation.state().finger_position.sum(axis=1), [0.09, 0.0], atol=1e-3)


def test_blocked_fingers_are_not_apart():
    simulation = FetchSimulation(fetch_task("fetch_push"), num_envs=1)
    with pytest.raises(ConfigurationError, match="fetch_push has closed fingers: finger_gap must be 0"):
        simulation.begin([0], [np.random.default_rng(0)], [Start(finger_gap=0.09)])
