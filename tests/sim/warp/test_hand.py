"""The Shadow Hand on the device beside MuJoCo's own simulation: contacts included, both agree to float32.

But for the egg: an ellipsoid and its neighbours are collided by iteration, which stops at other points.
"""

import dataclasses
from operator import attrgetter

import numpy as np
import pytest

pytest.importorskip("mujoco_warp")
import torch
import warp

from her_robot.domain_rand.physics import Physics
from her_robot.domain_rand.preset import load_preset
from her_robot.domain_rand.variation import Variation
from her_robot.errors import ConfigurationError
from her_robot.sim.batched import Start
from her_robot.sim.goal_env import BatchedGoalEnv
from her_robot.sim.hand import HandSimulation
from her_robot.sim.hand_tasks import hand_task
from her_robot.sim.warp.generator import DeviceGenerator
from her_robot.sim.warp.goal_env import WarpGoalEnv
from her_robot.sim.warp.hand import WarpHandSimulation
from her_robot.sim.warp.physics import WarpPhysics, varied_fields
from her_robot.sim.warp.simulation import Starts

WORLDS = 2


def _rngs(*seeds):
    return [np.random.default_rng(seed) for seed in seeds]


def _begun(name):
    """MuJoCo's simulation of a task, at the start of two episodes."""
    native = HandSimulation(hand_task(name), WORLDS, 1)
    goals = native.begin(range(WORLDS), _rngs(0, 1), [Start()] * WORLDS)
    return native, goals


def _copy(native, simulation):
    """Put the worlds where MuJoCo's simulations are."""
    for field in ("qpos", "qvel", "qacc_warmstart"):
        values = np.stack([getattr(row.data, field) for row in native.rows])
        simulation.worlds.view(field)[:] = torch.as_tensor(values)


def _assert_near(found, expected, position=2e-6, velocity=1e-4):
    np.testing.assert_allclose(found.joint_position.numpy(), expected.joint_position, atol=position)
    np.testing.assert_allclose(found.joint_velocity.numpy(), expected.joint_velocity, atol=velocity)
    if expected.fingertip_position is not None:
        np.testing.assert_allclose(found.fingertip_position.numpy(), expected.fingertip_position, atol=position)
    if expected.object is not None:
        obj, wanted = found.object, expected.object
        np.testing.assert_allclose(obj.position.numpy(), wanted.position, atol=position)
        np.testing.assert_allclose(obj.quaternion.numpy(), wanted.quaternion, atol=10 * position)
        np.testing.assert_allclose(obj.velocity.numpy(), wanted.velocity, atol=velocity)
        np.testing.assert_allclose(obj.angular_velocity.numpy(), wanted.angular_velocity, atol=10 * velocity)
    if expected.touch is not None:
        assert expected.touch.max() > 0.1, "nothing is touched"
        np.testing.assert_allclose(found.touch.numpy(), expected.touch, atol=2e-3)


FLOAT32, ITERATED = (2e-6, 1e-4), (1e-4, 2e-2)
"""How near joints are [rad], and their velocities [rad/s]."""


@pytest.mark.parametrize(
    ("name", "near"),
    [("hand_reach_relative", FLOAT32), ("hand_block_touch", FLOAT32), ("hand_egg", ITERATED), ("hand_pen", FLOAT32)],
)
def test_a_control_period_is_that_of_mujoco(name, near):
    """The object lies on palm and fingers meanwhile."""
    native, _ = _begun(name)
    simulation = WarpHandSimulation(hand_task(name), WORLDS, "cpu")
    _copy(native, simulation)
    actions = np.random.default_rng(1).uniform(-1, 1, (WORLDS, 20)).astype(np.float32)
    _assert_near(simulation.step(torch.as_tensor(actions)), native.step(actions), *near)


@pytest.fixture(scope="module")
def settled():
    """A block that both simulations have put on the palm and let come to rest."""
    native, expected = _begun("hand_block")
    simulation = WarpHandSimulation(hand_task("hand_block"), WORLDS, "cpu")
    zeros = torch.zeros(WORLDS)
    goals = simulation.begin(torch.arange(WORLDS), _rngs(0, 1), Starts(zeros, zeros, zeros))
    np.testing.assert_allclose(goals.numpy(), expected, atol=1e-4)
    return native, simulation


def test_objects_come_to_rest_where_they_do_on_the_cpu(settled):
    native, simulation = settled
    _assert_near(simulation.state(), native.state(), position=1e-4, velocity=5e-3)


def test_an_episode_that_begins_leaves_the_other_worlds_alone(settled):
    _, simulation = settled
    before, qpos = simulation.state(), simulation.worlds.view("qpos").clone()
    one = torch.zeros(1)
    simulation.begin(torch.tensor([1]), _rngs(7), Starts(one, one, one))
    after = simulation.state()
    for state in (before, after):
        assert torch.equal(state.object.position[0], before.object.position[0])
    assert torch.equal(simulation.worlds.view("qpos")[0], qpos[0])
    assert (after.object.position[1] - before.object.position[1]).abs().max() > 1e-3
    assert (after.object.position[1, 2] > simulation.contract.lost_height).all()


def test_a_higher_table_is_refused(settled):
    with pytest.raises(ConfigurationError, match="no table"):
        settled[1].begin(torch.arange(2), _rngs(0, 1), Starts(torch.zeros(2), torch.full((2,), 0.1), torch.zeros(2)))


def test_a_heading_without_an_object_is_refused():
    simulation = WarpHandSimulation(hand_task("hand_reach"), 1, "cpu")
    with pytest.raises(ConfigurationError, match="no heading of the object"):
        simulation.begin(torch.arange(1), _rngs(0), Starts(torch.full((1,), 0.1), torch.zeros(1), torch.zeros(1)))


def test_objects_that_are_turned_come_to_rest_where_they_do_on_the_cpu():
    task = hand_task("hand_pen_rotate")
    native, simulation = HandSimulation(task, 2, 1), WarpHandSimulation(task, 2, "cpu")
    yaws = torch.tensor([0.0, 2.0])
    native.begin([0, 1], _rngs(0, 1), [Start(object_yaw=yaw) for yaw in yaws.tolist()])
    simulation.begin(torch.arange(2), _rngs(0, 1), Starts(yaws, torch.zeros(2), torch.zeros(2)))
    _assert_near(simulation.state(), native.state(), position=1e-4, velocity=5e-3)


def test_an_episode_with_randomised_sensors_and_actuators():
    """Begins as on the CPU, but for what sensors add; ends, and begins anew."""
    task = hand_task("hand_reach")
    task = dataclasses.replace(task, contract=dataclasses.replace(task.contract, episode_steps=2))
    preset = dataclasses.replace(load_preset("hand_reach"), nominal_fraction=0.5)
    env = WarpGoalEnv(task, 4, "cpu", preset)
    observation, _ = env.reset(seed=3)
    expected, _ = BatchedGoalEnv("hand_reach", 4, 1).reset(seed=3)
    for name in ("achieved_goal", "desired_goal"):
        np.testing.assert_allclose(observation[name].numpy(), expected[name], atol=1e-6)
    error = np.abs(observation["observation"].numpy() - expected["observation"]).max(axis=1)
    assert ((error < 1e-5) | ((error > 1e-2) & (error < 1.0))).all()
    assert error.max() > 1e-2
    for _ in range(2):
        observation, reward, _, truncated, info = env.step(torch.zeros(4, 20))
    assert truncated.all()
    assert set(reward.tolist()) <= {0.0, -1.0}
    assert (info["final_obs"]["achieved_goal"] - observation["achieved_goal"]).abs().max() > 1e-4


def test_masses_and_friction_become_what_they_are_on_the_cpu():
    variations = {"object_mass": Variation(1.4, 1.4), "friction": Variation(0.8, 0.8)}
    task = hand_task("hand_block")
    physics = Physics(variations, task.model, [(model := task.model.__copy__())], np.random.default_rng(0))
    physics.reset(0, nominal=False)
    fields = varied_fields(task.model, variations)
    worlds = WarpHandSimulation(task, 2, "cpu", fields).worlds
    rng = DeviceGenerator(0, torch.device("cpu"))
    WarpPhysics(variations, task.model, worlds.model, worlds.data, rng, rng).reset(
        torch.arange(2), torch.tensor([True, False])
    )
    for field in fields:
        found = warp.to_torch(attrgetter(field)(worlds.model)).numpy()
        for row, source in enumerate((task.model, model)):
            expected = attrgetter(field)(source)
            np.testing.assert_allclose(
                found[row].reshape(expected.shape), expected, rtol=2e-3, atol=1e-6, err_msg=f"{field} of world {row}"
            )
    assert (model.body_mass != task.model.body_mass).any()
    assert (model.geom_friction != task.model.geom_friction).any()
