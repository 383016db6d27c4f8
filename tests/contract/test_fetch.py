"""The contracts of the Fetch against Gymnasium-Robotics, and their arithmetic."""

import dataclasses

import numpy as np
import pytest
from gymnasium import spaces

from her_robot import contract as contracts
from her_robot.contract import FETCH_CONTRACTS, ObjectState, RobotState, contract_of, is_lost
from her_robot.errors import UnknownNameError
from her_robot.sim.tasks import fetch_task, make_gymnasium_env


@pytest.mark.parametrize("name", FETCH_CONTRACTS)
def test_sizes_and_goal_range_are_those_of_the_environment(name):
    contract, task = FETCH_CONTRACTS[name], fetch_task(name)
    env = make_gymnasium_env(contract.environment)
    _check_sizes(contract, env)
    assert task.block_gripper == contract.gripper_blocked
    np.testing.assert_allclose(task.home_grip_position, contract.home_grip_position, atol=1e-6)
    goals = np.array([task.sample_goal(np.random.default_rng(seed)) for seed in range(200)])
    assert (goals >= np.array(contract.goal_low) - 1e-6).all()
    assert (goals <= np.array(contract.goal_high) + 1e-6).all()


def _check_sizes(contract, env):
    assert isinstance(env.observation_space, spaces.Dict)
    assert env.observation_space["observation"].shape == (contract.observation_size,)
    assert env.observation_space["desired_goal"].shape == (contract.goal_size,)
    assert env.action_space.shape == (contract.action_size,)
    assert env.spec.max_episode_steps == contract.episode_steps
    assert env.unwrapped.distance_threshold == contract.success_distance
    assert env.unwrapped.dt == pytest.approx(contract.control_period)


@pytest.mark.parametrize("name", FETCH_CONTRACTS)
def test_base_position_is_where_the_environment_settles(name):
    task = fetch_task(name)
    env = make_gymnasium_env(task.contract.environment).unwrapped
    env.reset(seed=0)
    base = env.data.body("robot0:base_link").xpos
    np.testing.assert_allclose(base, task.contract.base_position, atol=2e-4)


def test_unknown_task_names_the_nearest():
    with pytest.raises(UnknownNameError, match=r"did you mean 'fetch_push'.*fetch_reach"):
        contract_of("fetch_pusch")


def _state(batch=()):
    rng = np.random.default_rng(0)
    return RobotState(
        grip_position=rng.normal(size=(*batch, 3)),
        grip_velocity=rng.normal(size=(*batch, 3)),
        finger_position=rng.normal(size=(*batch, 2)),
        finger_velocity=rng.normal(size=(*batch, 2)),
        object=ObjectState(
            position=rng.normal(size=(*batch, 3)),
            rotation=np.broadcast_to(np.eye(3), (*batch, 3, 3)),
            velocity=rng.normal(size=(*batch, 3)),
            angular_velocity=rng.normal(size=(*batch, 3)),
        ),
    )


def test_observation_holds_the_terms_in_order():
    contract, state = contract_of("fetch_push"), _state()
    observation = contracts.observation(contract, state)
    period = contract.control_period
    np.testing.assert_array_equal(observation[contracts.term_slice(contract, "grip_pos")], state.grip_position)
    np.testing.assert_array_equal(
        observation[contracts.term_slice(contract, "object_rel_pos")], state.object.position - state.grip_position
    )
    np.testing.assert_allclose(
        observation[contracts.term_slice(contract, "object_velp")],
        (state.object.velocity - state.grip_velocity) * period,
    )
    np.testing.assert_allclose(
        observation[contracts.term_slice(contract, "gripper_vel")], state.finger_velocity * period
    )


def test_batches_are_rows():
    contract, batch = contract_of("fetch_push"), _state((4,))
    rows = contracts.observation(contract, batch)
    one = RobotState(
        *(
            getattr(batch, field)[2]
            for field in ("grip_position", "grip_velocity", "finger_position", "finger_velocity")
        ),
        object=ObjectState(**{name: value[2] for name, value in vars(batch.object).items()}),
    )
    np.testing.assert_array_equal(rows[2], contracts.observation(contract, one))


def test_a_state_without_object_is_refused_where_one_is_needed():
    state = dataclasses.replace(_state(), object=None)
    with pytest.raises(ValueError, match="the state has none"):
        contracts.observation(contract_of("fetch_push"), state)


def test_reward_and_success_at_the_threshold():
    contract = contract_of("fetch_reach")
    desired = np.zeros(3)
    inside, outside = np.array([0.0499, 0, 0]), np.array([0.0501, 0, 0])
    assert contracts.sparse_reward(contract, inside, desired) == 0.0
    assert contracts.sparse_reward(contract, outside, desired) == -1.0
    assert contracts.is_success(contract, inside, desired)
    assert not contracts.is_success(contract, outside, desired)


def test_an_object_is_lost_below_the_table_it_stood_on():
    push, reach = contract_of("fetch_push"), contract_of("fetch_reach")
    heights = np.array([[1.3, 0.7, 0.425], [1.3, 0.7, 0.399], [2.0, 0.7, 0.9]])
    assert is_lost(push, heights).tolist() == [False, True, False]
    assert not is_lost(reach, heights).any()


def test_differences_name_the_field():
    expected = dataclasses.asdict(contract_of("fetch_push"))
    found = {**expected, "success_distance": 0.1}
    assert contracts.differences(expected, expected) == []
    assert contracts.differences(expected, found) == ["success_distance: expected 0.05, found 0.1"]
