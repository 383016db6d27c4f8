"""A planner that knows the simulation: what it wants, and that it gets there."""

import mujoco
import numpy as np
import pytest

from her_robot import rotations
from her_robot.contract import goal_distance
from her_robot.policy.demonstrate import _GOALS, Demonstrator
from her_robot.policy.planner import PlannerConfig, SamplingPlanner, _interpolation
from her_robot.sim.hand_tasks import HandObjectTask, hand_task

HOME = np.array([1.0, 0.87, 0.2, 1.0, 0.0, 0.0, 0.0])
Z = np.array([0.0, 0.0, 1.0])


def _planner(name):
    task = hand_task(name)
    assert isinstance(task, HandObjectTask)
    return SamplingPlanner(task, PlannerConfig())


@pytest.fixture
def planner():
    planner = _planner("hand_block_rotate_z")
    goal = np.concatenate([HOME[:3], rotations.from_axis_angle(Z, 0.5)])
    planner.begin(HOME, goal, np.random.default_rng(0))
    yield planner
    planner.close()


def _cost(planner, position=(0.0, 0.0, 0.0), turned=0.0, velocity=(0.0,) * 6):
    """Of the object so far from where the episode began, turned about z, and moving."""
    model = planner._model
    state = np.zeros((1, 1, mujoco.mj_stateSize(model, mujoco.mjtState.mjSTATE_FULLPHYSICS)))
    pose = np.concatenate([HOME[:3] + position, rotations.from_axis_angle(Z, turned)])
    joint = model.joint("object:joint")
    qpos, qvel = int(joint.qposadr[0]), int(joint.dofadr[0])
    # A state is the time, the positions, and the velocities.
    state[..., 1 + qpos : 8 + qpos] = pose
    state[..., 1 + model.nq + qvel : 7 + model.nq + qvel] = velocity
    return planner._cost(state).item()


def test_what_is_missing_to_the_goal_costs_its_angle(planner):
    assert _cost(planner) == pytest.approx(0.5)
    assert _cost(planner, turned=0.5) == pytest.approx(0.0, abs=1e-6)
    # The sign of a quaternion says which way round: past it, the goal is farther away the farther one turns.
    assert _cost(planner, turned=-0.3) == pytest.approx(0.8)


def test_an_object_that_leaves_or_sinks_or_is_thrown_costs(planner):
    assert _cost(planner, turned=0.5, position=(0.03, 0.04, 0.0)) == pytest.approx(280.0 * 0.05**2)
    assert _cost(planner, turned=0.5, position=(0.0, 0.0, -0.01)) == pytest.approx(0.0, abs=1e-6)
    assert _cost(planner, turned=0.5, position=(0.0, 0.0, -0.03)) == pytest.approx(30.0 * 0.02)
    assert _cost(planner, turned=0.5, velocity=(0.0, 0.2, 0.0, 0.0, 0.0, 0.0)) == pytest.approx(0.1)
    assert _cost(planner, turned=0.5, velocity=(0.0, 0.0, 0.0, 2.0, 0.0, 0.0)) == pytest.approx(0.06)


def test_where_positions_count_the_goal_is_one():
    planner = _planner("hand_block")
    goal = HOME + np.array([0.03, 0.0, 0.04, 0.0, 0.0, 0.0, 0.0])
    planner.begin(HOME, goal, np.random.default_rng(0))
    assert _cost(planner) == pytest.approx(10.0 * 0.05)
    planner.close()


def test_a_plan_is_linear_between_its_knots():
    weights = _interpolation(7, 3)
    assert (weights @ np.array([0.0, 3.0, 0.0])).tolist() == pytest.approx([0, 1, 2, 3, 2, 1, 0])
    assert weights.sum(axis=1).tolist() == pytest.approx([1.0] * 7)


def test_the_first_plan_that_is_tried_is_the_last_one(planner):
    assert not planner._draw()[0].any()
    assert planner._draw()[1:].any(axis=(1, 2)).all()


def test_it_turns_a_block_towards_its_goal():
    demonstrator = Demonstrator(
        "hand_block_rotate_z", PlannerConfig(samples=20, horizon=8), nearer_goals=1.0, num_threads=2
    )
    contract = demonstrator.contract
    episode = demonstrator.play(_near_seed(demonstrator))
    angles = goal_distance(contract, episode.achieved_goal[0], episode.desired_goal.repeat(101, axis=0))
    assert 0.5 < angles[0] < 1.2
    assert angles[50:].min() < 0.1
    demonstrator.close()


def _near_seed(demonstrator):
    """The first episode whose goal is between 0.5 and 1.2 rad away."""
    for seed in range(100):
        observation, _ = demonstrator._env.reset(seed=seed)
        goal = demonstrator._goal(observation, np.random.default_rng([seed, _GOALS]))
        if 0.5 < goal_distance(demonstrator.contract, observation["achieved_goal"], goal)[0] < 1.2:
            return seed
    raise AssertionError("no such seed")


def test_the_same_seed_plays_the_same_episode():
    quick = PlannerConfig(samples=3, horizon=2, knots=2)
    demonstrator = Demonstrator("hand_egg_rotate", quick, nearer_goals=0.5, num_threads=2)
    first, other, again = (demonstrator.play(seed) for seed in (1, 2, 1))
    for name in ("observation", "achieved_goal", "desired_goal", "action"):
        assert np.array_equal(getattr(first, name), getattr(again, name))
    assert not np.array_equal(first.action, other.action)
    demonstrator.close()
