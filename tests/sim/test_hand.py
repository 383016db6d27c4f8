"""The batched simulation of the hand against Gymnasium-Robotics, step by step."""

import numpy as np
import pytest
from gymnasium.utils import seeding
from step_parity import assert_episode_agrees

from her_robot import contract as contracts
from her_robot import rotations
from her_robot.contract import HAND_CONTRACTS, joint_targets
from her_robot.contract.hand import ACTUATOR_RANGES
from her_robot.errors import ConfigurationError, UnknownNameError
from her_robot.sim.batched import Start
from her_robot.sim.hand import HandSimulation
from her_robot.sim.hand_tasks import hand_task
from her_robot.sim.tasks import make_gymnasium_env


def _begin(simulation, seed):
    """The same episode in every row; its goal."""
    rows = range(simulation.num_envs)
    goals = simulation.begin(rows, [seeding.np_random(seed)[0] for _ in rows], [Start() for _ in rows])
    np.testing.assert_array_equal(goals, goals[:1].repeat(len(goals), axis=0))
    return goals[0]


def _anywhere(observation, noise):
    return noise.uniform(-1, 1, 20).astype(np.float32)


@pytest.mark.parametrize("name", [*HAND_CONTRACTS, "hand_block_touch", "hand_egg_rotate_touch", "hand_pen_touch"])
def test_whole_episodes_agree_with_gymnasium_robotics(name):
    task = hand_task(name)
    contract = task.contract
    env = make_gymnasium_env(contract.environment)
    simulation = HandSimulation(task, num_envs=2, num_threads=2)
    for seed in range(1 + (name == "hand_reach")):
        # Gymnasium-Robotics keeps this from the episode before.
        env.unwrapped.data.qacc_warmstart[:] = 0.0
        expected, _ = env.reset(seed=seed)
        np.testing.assert_array_equal(_begin(simulation, seed), expected["desired_goal"])
        observation = contracts.observation(contract, simulation.state())
        np.testing.assert_allclose(observation[1], expected["observation"], rtol=0, atol=1e-9)
        assert_episode_agrees(simulation, env, expected, _anywhere, np.random.default_rng(seed))
    simulation.close()


def test_relative_actions_are_absolute_ones_from_the_measured_posture():
    relative, absolute = (HandSimulation(hand_task(name), 1, 1) for name in ("hand_reach_relative", "hand_reach"))
    for simulation in (relative, absolute):
        _begin(simulation, 0)
    low, high = np.array(list(ACTUATOR_RANGES.values())).T
    rng = np.random.default_rng(0)
    for _ in range(20):
        action = rng.uniform(-0.3, 0.3, (1, 20)).astype(np.float32)
        targets = joint_targets(hand_task("hand_reach_relative").contract, action, relative.state().joint_position)
        same = (targets - (low + high) / 2) / ((high - low) / 2)
        np.testing.assert_allclose(
            relative.step(action).joint_position, absolute.step(same).joint_position, rtol=0, atol=1e-5
        )


def test_an_object_that_is_dropped_is_put_down_again():
    """Seeds are drawn until the object lies on the palm; its pose is another one then."""
    task = hand_task("hand_pen")
    simulation = HandSimulation(task, 1)
    settled = []
    for seed in range(30):
        _begin(simulation, seed)
        settled.append(simulation.state().object.position[0, 2])
    assert min(settled) > task.contract.lost_height


def test_an_episode_goes_on_where_the_last_one_ended_with_a_new_goal():
    simulation = HandSimulation(hand_task("hand_pen"), num_envs=2, num_threads=1)
    simulation.begin([0, 1], [np.random.default_rng(row) for row in (0, 1)], [Start()] * 2)
    rest = simulation.state().object.position
    for _ in range(20):
        simulation.step(np.full((2, 20), 0.3, np.float32))
    ended = simulation.state()
    goals = simulation.begin(
        [0, 1], [np.random.default_rng(row) for row in (2, 3)], [Start(continued=True), Start(continued=False)]
    )
    state = simulation.state()
    np.testing.assert_array_equal(state.joint_position[0], ended.joint_position[0])
    np.testing.assert_array_equal(state.object.quaternion[0], ended.object.quaternion[0])
    assert np.linalg.norm(state.joint_position[1] - ended.joint_position[1]) > 0.5
    # The draws are those of a goal alone, about where the object came to rest and not where it is now.
    np.testing.assert_array_equal(goals[0], simulation.task.sample_goal(np.random.default_rng(2), rest[0]))
    simulation.close()


def test_no_episode_goes_on_with_an_object_that_was_lost():
    simulation = HandSimulation(hand_task("hand_egg"), num_envs=1, num_threads=1)
    _begin(simulation, 0)
    row = simulation.rows[0]
    address = row.model.joint("object:joint").qposadr[0]
    row.data.qpos[address : address + 3] = [1.0, 0.87, -0.2]
    simulation.begin([0], [np.random.default_rng(1)], [Start(continued=True)])
    assert simulation.state().object.position[0, 2] > hand_task("hand_egg").contract.lost_height
    simulation.close()


def test_a_pen_that_is_put_down_the_other_way_round_points_there():
    """Gymnasium-Robotics puts every pen down alike."""
    simulation = HandSimulation(hand_task("hand_pen_rotate"), num_envs=2)
    rngs = [np.random.default_rng(0), np.random.default_rng(0)]
    simulation.begin([0, 1], rngs, [Start(), Start(object_yaw=np.pi)])
    tips = rotations.to_matrix(simulation.state().object.quaternion)[..., 2]
    assert np.arctan2(tips[0, 1], tips[0, 0]) == pytest.approx(0.48, abs=0.05)
    assert np.arctan2(tips[1, 1], tips[1, 0]) == pytest.approx(0.48 - np.pi, abs=0.3), "it has come to rest since"
    assert np.all(np.abs(tips[:, 2]) < 0.4), "both lie"


def test_actions_are_clipped_and_checked():
    simulation = HandSimulation(hand_task("hand_reach"), num_envs=2)
    _begin(simulation, 0)
    state = simulation.step(np.concatenate([np.full((1, 20), 5.0), np.ones((1, 20))]))
    np.testing.assert_array_equal(state.joint_position[0], state.joint_position[1])
    with pytest.raises(ValueError, match=r"expected \(2, 20\)"):
        simulation.step(np.zeros((2, 4)))


def test_what_the_hand_has_not_is_refused():
    simulation = HandSimulation(hand_task("hand_reach"), num_envs=1)
    with pytest.raises(ConfigurationError, match="hand_reach has no table"):
        simulation.begin([0], [np.random.default_rng(0)], [Start(rise=0.01)])
    with pytest.raises(ConfigurationError, match="no heading of the object"):
        simulation.begin([0], [np.random.default_rng(0)], [Start(object_yaw=0.1)])
    with pytest.raises(UnknownNameError, match="unknown task of the hand 'fetch_push'"):
        hand_task("fetch_push")


def test_coupled_joints_keep_their_tendons():
    model = hand_task("hand_block").model
    kept = {model.tendon(index).name for index in range(model.ntendon)}
    assert {f"robot0:T_{finger}J1c" for finger in ("FF", "MF", "RF", "LF")} <= kept
