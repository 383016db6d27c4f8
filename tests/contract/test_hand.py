"""The contracts of the hand against Gymnasium-Robotics, and the arithmetic of poses."""

import dataclasses
from functools import cache

import numpy as np
import pytest
from gymnasium import spaces

from her_robot import contract as contracts
from her_robot import rotations
from her_robot.contract import HAND_CONTRACTS, HAND_OPTIONS, HandObjectContract, HandObjectState, HandState, contract_of
from her_robot.contract.hand import ACTUATOR_RANGES, ACTUATOR_STIFFNESS, COUPLED_JOINTS, FINGERTIPS, JOINTS
from her_robot.errors import UnknownNameError
from her_robot.sim.tasks import make_gymnasium_env

POSE_TASKS = [name for name, contract in HAND_CONTRACTS.items() if contract.has_object]


@cache
def _environment(name):
    return make_gymnasium_env(contract_of(name).environment)


@pytest.mark.parametrize("name", [*HAND_CONTRACTS, "hand_pen_rotate_touch", "hand_egg_full"])
def test_sizes_and_thresholds_are_those_of_the_environment(name):
    contract, env = contract_of(name), _environment(name)
    assert isinstance(env.observation_space, spaces.Dict)
    assert env.observation_space["observation"].shape == (contract.observation_size,)
    assert env.observation_space["desired_goal"].shape == (contract.goal_size,)
    assert env.action_space.shape == (contract.action_size,)
    assert env.spec.max_episode_steps == contract.episode_steps
    assert env.unwrapped.dt == pytest.approx(contract.control_period)
    assert env.unwrapped.distance_threshold == contract.success_distance
    if isinstance(contract, HandObjectContract):
        assert env.unwrapped.rotation_threshold == contract.success_angle
        assert env.unwrapped.ignore_z_target_rotation == contract.ignores_z_rotation
        assert (env.unwrapped.target_position != "ignore") == contract.position_counts


def test_joints_actuators_and_fingertips_are_those_of_the_model():
    model = _environment("hand_reach").unwrapped.model
    assert [model.joint(index).name for index in range(model.njnt)] == [f"robot0:{name}" for name in JOINTS]
    assert [model.actuator(index).name for index in range(model.nu)] == [f"robot0:A_{name}" for name in ACTUATOR_RANGES]
    np.testing.assert_array_equal(model.actuator_ctrlrange, list(ACTUATOR_RANGES.values()))
    np.testing.assert_array_equal(model.actuator_gainprm[:, 0], list(ACTUATOR_STIFFNESS.values()))
    assert set(JOINTS) - set(ACTUATOR_RANGES) == set(COUPLED_JOINTS.values())
    for tip in FINGERTIPS:
        assert model.site(f"robot0:S_{tip}").id >= 0


def test_options_follow_the_name():
    assert (
        contract_of("hand_block_rotate_z_touch").environment == "HandManipulateBlockRotateZ_ContinuousTouchSensors-v1"
    )
    assert contract_of("hand_block_rotate_z_touch").observation_size == 61 + 92
    assert contract_of("hand_reach_relative").relative_control
    assert contract_of("hand_egg_touch_relative").task == "hand_egg_touch_relative"
    assert contract_of("hand_pen_full").environment == "HandManipulatePenFull-v1"
    assert all(contract.task == name for name, contract in {**HAND_CONTRACTS, **HAND_OPTIONS}.items())
    for name in ("hand_reach_touch", "hand_block_rotate_z_full", "fetch_push_touch"):
        with pytest.raises(UnknownNameError, match="unknown task"):
            contract_of(name)


def _state(batch=()):
    rng = np.random.default_rng(0)
    return HandState(
        joint_position=rng.normal(size=(*batch, 24)),
        joint_velocity=rng.normal(size=(*batch, 24)),
        fingertip_position=rng.normal(size=(*batch, 5, 3)),
        object=HandObjectState(*(rng.normal(size=(*batch, size)) for size in (3, 4, 3, 3))),
        touch=rng.uniform(size=(*batch, 92)),
    )


def test_observations_hold_the_terms_in_order():
    state = _state((2,))
    reach = contracts.observation(contract_of("hand_reach"), state)
    np.testing.assert_array_equal(reach[1, -15:], state.fingertip_position[1].ravel())
    block = contracts.observation(contract_of("hand_block_touch"), state)
    expected = [state.joint_position, state.joint_velocity, state.object.velocity, state.object.angular_velocity]
    expected += [state.object.position, state.object.quaternion, state.touch]
    np.testing.assert_array_equal(block, np.concatenate(expected, axis=-1))
    goal = contracts.achieved_goal(contract_of("hand_block"), state)
    np.testing.assert_array_equal(goal, block[:, 54:61])


@pytest.mark.parametrize(
    ("task", "field"), [("hand_reach", "fingertip_position"), ("hand_block", "object"), ("hand_egg_touch", "touch")]
)
def test_a_state_that_lacks_something_is_refused(task, field):
    with pytest.raises(ValueError, match=f"HandState.{field}"):
        contracts.observation(contract_of(task), dataclasses.replace(_state(), **{field: None}))


def _random_poses(rng, count):
    """Pairs of poses, of which about half are within reach of success in position, and in orientation."""
    axis, angle = rng.normal(size=(count, 3)), rng.uniform(-np.pi, np.pi, count)
    desired = np.concatenate([rng.normal(size=(count, 3)), rotations.from_axis_angle(axis, angle)], axis=-1)
    turn = rotations.from_axis_angle(rng.normal(size=(count, 3)), rng.uniform(0, 0.2, count))
    turn *= rng.choice([1.0, -1.0], (count, 1), p=[0.9, 0.1])
    position = desired[:, :3] + rng.normal(size=(count, 3)) * rng.choice([0.004, 0.02], (count, 1))
    return np.concatenate([position, rotations.multiply(turn, desired[:, 3:])], axis=-1), desired


@pytest.mark.parametrize("name", POSE_TASKS)
def test_rewards_and_distances_of_poses_are_those_of_gymnasium_robotics(name):
    contract, env = contract_of(name), _environment(name).unwrapped
    assert isinstance(contract, HandObjectContract)
    achieved, desired = _random_poses(np.random.default_rng(0), 300)
    # One at a time: of many at once, Gymnasium-Robotics mixes up rows where it ignores the z rotation.
    expected = [env._goal_distance(*pair) for pair in zip(achieved, desired, strict=True)]
    found = contracts.pose_distances(contract, achieved, desired)
    np.testing.assert_allclose(np.stack(found, axis=-1), expected, rtol=0, atol=1e-9)
    rewards = [env.compute_reward(*pair, {}) for pair in zip(achieved, desired, strict=True)]
    assert set(rewards) == {0.0, -1.0}
    np.testing.assert_array_equal(contracts.sparse_reward(contract, achieved, desired), rewards)
    success = contracts.is_success(contract, achieved.reshape(3, 100, 7), desired.reshape(3, 100, 7))
    np.testing.assert_array_equal(success.ravel(), np.array(rewards) == 0.0)
    below = contracts.goal_distance(contract, achieved, desired) < contract.success_threshold
    np.testing.assert_array_equal(below, success.ravel())


def test_rewards_of_fingertips_are_those_of_gymnasium_robotics():
    contract, env = contract_of("hand_reach"), _environment("hand_reach").unwrapped
    rng = np.random.default_rng(0)
    desired = rng.normal(size=(100, 15))
    achieved = desired + rng.normal(size=(100, 15)) * rng.choice([0.001, 0.005], (100, 1))
    rewards = env.compute_reward(achieved, desired, {})
    assert set(rewards.tolist()) == {0.0, -1.0}
    np.testing.assert_array_equal(contracts.sparse_reward(contract, achieved, desired), rewards)


@pytest.mark.parametrize("name", ["hand_reach", "hand_block", "hand_pen_rotate"])
def test_tensors_are_judged_as_arrays_are(name):
    torch = pytest.importorskip("torch")
    contract = contract_of(name)
    achieved, desired = _random_poses(np.random.default_rng(1), 200)
    if name == "hand_reach":
        desired, achieved = np.zeros((200, 15)), np.random.default_rng(1).normal(0, 0.003, (200, 15))
    tensors = torch.from_numpy(achieved), torch.from_numpy(desired)
    for function in (contracts.goal_distance, contracts.goal_difference, contracts.is_missed):
        expected = function(contract, achieved, desired)
        np.testing.assert_allclose(function(contract, *tensors).numpy(), expected, atol=1e-7)


def test_the_difference_of_poses_carried_out_reaches_the_goal():
    contract = contract_of("hand_block")
    achieved, desired = _random_poses(np.random.default_rng(2), 20)
    missing = contracts.goal_difference(contract, achieved, desired)
    position = achieved[:, :3] + missing[:, :3]
    quaternion = rotations.multiply(missing[:, 3:], achieved[:, 3:])
    np.testing.assert_allclose(np.concatenate([position, quaternion], axis=-1), desired, atol=1e-12)
    many = contracts.goal_difference(contract, achieved.reshape(4, 5, 7), desired[:4, None])
    np.testing.assert_array_equal(many[1, 2], contracts.goal_difference(contract, achieved[7], desired[1]))


def test_an_object_below_the_palm_is_lost():
    poses = np.zeros((2, 7))
    poses[:, 2] = 0.041, 0.039
    assert contracts.is_lost(contract_of("hand_egg"), poses).tolist() == [False, True]
    assert not contracts.is_lost(contract_of("hand_reach"), np.zeros((2, 15))).any()


def test_absolute_targets_span_the_actuators_ranges():
    contract = HAND_CONTRACTS["hand_block"]
    low, high = np.array(list(ACTUATOR_RANGES.values())).T
    actions = np.array([[-1.0] * 20, [0.0] * 20, [1.0] * 20])
    targets = contracts.joint_targets(contract, actions, np.zeros((3, 24)))
    np.testing.assert_allclose(targets, [low, (low + high) / 2, high], atol=1e-12)


def test_relative_targets_start_from_the_measured_posture():
    contract = HAND_OPTIONS["hand_block_relative"]
    position = np.zeros(24)
    position[[JOINTS.index("FFJ1"), JOINTS.index("FFJ0"), JOINTS.index("THJ4")]] = 0.3, 0.4, -0.2
    action = np.zeros(20)
    actuators = list(ACTUATOR_RANGES)
    action[[actuators.index("THJ4"), actuators.index("WRJ1")]] = 0.5, 1.0
    targets = dict(zip(actuators, contracts.joint_targets(contract, action, position), strict=True))
    assert targets["FFJ1"] == pytest.approx(0.7)
    assert targets["THJ4"] == pytest.approx(-0.2 + 0.5 * 1.047)
    assert targets["WRJ1"] == pytest.approx(0.14)
    assert targets["MFJ1"] == 0.0
    assert position[JOINTS.index("FFJ1")] == 0.3
