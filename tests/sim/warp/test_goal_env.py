"""Episodes on the device: resets, goals, ends and rewards are those of the CPU; randomised worlds differ."""

from dataclasses import replace
from operator import attrgetter

import numpy as np
import pytest

pytest.importorskip("mujoco_warp")
import torch
import warp
from torch.overrides import TorchFunctionMode

from her_robot.domain_rand.distribution import Range
from her_robot.domain_rand.physics import Physics
from her_robot.domain_rand.preset import RandomizationPreset, load_preset
from her_robot.domain_rand.pushes import PushConfig
from her_robot.domain_rand.timing import TimingConfig
from her_robot.domain_rand.variation import Variation
from her_robot.errors import BackendError
from her_robot.policy.config import ExplorationConfig
from her_robot.policy.exploration import Explorer
from her_robot.sim.goal_env import BatchedGoalEnv
from her_robot.sim.warp.fetch import WarpFetchSimulation
from her_robot.sim.warp.generator import DeviceGenerator
from her_robot.sim.warp.goal_env import WarpGoalEnv
from her_robot.sim.warp.physics import WarpPhysics, varied_fields

WORLDS, EPISODE_STEPS = 3, 3
"""As in conftest.py."""


def test_episodes_begin_as_on_the_cpu(env):
    native = BatchedGoalEnv("fetch_push", WORLDS, 1)
    for seed in (100, 7):
        observation, _ = env.reset(seed=seed)
        expected, _ = native.reset(seed=seed)
        for name in expected:
            assert observation[name].dtype == torch.float32
            np.testing.assert_allclose(observation[name].numpy(), expected[name], atol=2e-6)


def test_a_finished_row_keeps_its_final_observation_and_starts_anew(env):
    first, _ = env.reset(seed=0)
    for step in range(1, EPISODE_STEPS + 1):
        observation, reward, terminated, truncated, info = env.step(torch.ones(WORLDS, 4))
        assert not terminated.any()
        assert truncated.all() == (step == EPISODE_STEPS)
        assert (reward == -1).all()
    final = info["final_obs"]
    assert (final["observation"][:, 0] > first["observation"][:, 0] + 0.03).all()
    torch.testing.assert_close(observation["observation"][:, :3], first["observation"][:, :3], atol=1e-6, rtol=0)
    assert not torch.equal(observation["desired_goal"], final["desired_goal"])


def test_rows_end_by_themselves(env):
    env.reset(seed=0)
    env.step(torch.zeros(WORLDS, 4))
    env._steps[1] = EPISODE_STEPS - 1
    *_, truncated, info = env.step(torch.zeros(WORLDS, 4))
    assert truncated.tolist() == [False, True, False]
    assert env._steps.tolist() == [2, 0, 2]
    assert "final_obs" in info


def test_reaching_the_goal_is_rewarded(env):
    observation, _ = env.reset(seed=0)
    env._goals[1] = observation["achieved_goal"][1]
    _, reward, _, _, info = env.step(torch.zeros(WORLDS, 4))
    assert reward.tolist() == [-1.0, 0.0, -1.0]
    assert info["is_success"].tolist() == [False, True, False]


def test_random_states_can_be_restored(randomized_env):
    env = randomized_env
    env.reset(seed=1)
    states = env.random_states()
    expected, _ = env.reset()
    env.reset(seed=9)
    env.set_random_states(states)
    again, _ = env.reset()
    for name in expected:
        assert torch.equal(again[name], expected[name])


def test_worlds_differ_and_tables_carry_their_objects(randomized_env):
    env = randomized_env
    observation, _ = env.reset(seed=3)
    rise = observation["achieved_goal"][:, 2] - env.simulation.task.object_height
    assert rise.abs().max() > 1e-3
    assert len(set(rise.tolist())) == WORLDS
    torch.testing.assert_close(observation["desired_goal"][:, 2], observation["achieved_goal"][:, 2], atol=1e-5, rtol=0)
    lying = env.step(torch.zeros(WORLDS, 4))[0]["achieved_goal"]
    torch.testing.assert_close(lying, observation["achieved_goal"], atol=5e-4, rtol=0)


def test_a_heavier_object_is_lifted_more_slowly(randomized_env):
    """A force that lifts it: after a control period, velocity is (force / mass - g) times the time."""
    env = randomized_env
    env.reset(seed=4)
    simulation = env.simulation
    body = simulation.task.model.body("object0").id
    mass = warp.to_torch(simulation.worlds.model.body_mass)[:, body]
    assert len(set(mass.tolist())) == WORLDS
    force = torch.zeros(WORLDS, 3)
    force[:, 2] = 100.0
    simulation.push(force)
    state = simulation.step(torch.zeros(WORLDS, 4))
    simulation.push(0 * force)
    torch.testing.assert_close(state.object.velocity[:, 2], (100.0 / mass - 9.81) * 0.04, rtol=0.02, atol=0)


EVERYTHING = {
    "object_mass": Variation(1.3, 1.3),
    "heavy_links": Variation(0.8, 0.8, parameter="body_mass", elements=("robot0:*_link",)),
    "shifted": Variation(0.01, 0.01, parameter="body_com", elements=("robot0:gripper_link",)),
    "friction": Variation(0.7, 0.7),
    "object_size": Variation(1.1, 1.1),
    "object_damping": Variation(0.3, 0.3, operation="add"),
    "contact": Variation(0.03, 0.03, parameter="contact_time_constant", elements=("object0",), operation="set"),
    "joint_damping": Variation(2.0, 2.0, elements=("robot0:*",)),
    "joint_armature": Variation(1.5, 1.5, elements=("robot0:*",)),
    "joint_friction_loss": Variation(0.1, 0.1, elements=("robot0:*",)),
    "weld_time_constant": Variation(1.2, 1.2),
    "gravity": Variation(0.2, 0.2),
    "table_height": Variation(0.01, 0.01),
}


def test_every_parameter_becomes_what_it_is_on_the_cpu(short_task):
    """Constant draws, in the second of two worlds: the first stays nominal."""
    nominal = short_task.model
    physics = Physics(EVERYTHING, nominal, [(model := nominal.__copy__())], np.random.default_rng(0))
    physics.reset(0, nominal=False)
    fields = varied_fields(nominal, EVERYTHING)
    simulation = WarpFetchSimulation(short_task, 2, "cpu", fields)
    worlds = simulation.worlds
    rng = DeviceGenerator(0, torch.device("cpu"))
    device = WarpPhysics(EVERYTHING, nominal, simulation.worlds.model, simulation.worlds.data, rng, rng)
    device.reset(torch.arange(2), torch.tensor([True, False]))
    torch.testing.assert_close(device.object_rise, torch.tensor([0.0, physics.object_rise(0)]))
    for field in fields:
        found = warp.to_torch(attrgetter(field)(worlds.model)).numpy()
        for row, source in enumerate((nominal, model)):
            expected = attrgetter(field)(source)
            shown = found[row].reshape(expected.shape)
            np.testing.assert_allclose(shown, expected, rtol=2e-3, atol=1e-6, err_msg=f"{field} of world {row}")
    changed = {field for field in fields if (attrgetter(field)(model) != attrgetter(field)(nominal)).any()}
    assert {"body_mass", "geom_size", "dof_invweight0", "body_pos", "eq_solref", "opt.gravity"} <= changed


class _Factories(TorchFunctionMode):
    """Remembers what is made without a device being named: on a GPU it would be made elsewhere."""

    names = ("zeros", "ones", "full", "arange", "empty", "eye", "tensor", "rand", "randn", "randint", "as_tensor")

    def __init__(self):
        super().__init__()
        self.homeless = []

    def __torch_function__(self, function, types, args=(), kwargs=None):
        name, kwargs = getattr(function, "__name__", ""), kwargs or {}
        if name in self.names and "device" not in kwargs and not isinstance(args[0], torch.Tensor):
            self.homeless.append(name)
        return function(*args, **kwargs)


def test_nothing_is_made_elsewhere(short_task):
    """All that a step and a reset make is made on the environments' device, whatever the default one."""
    preset = load_preset("robot_loop_pick")
    env = WarpGoalEnv(short_task, 2, "cpu", replace(preset, nominal_fraction=0.5, pushes=PushConfig(rate=Range(9, 9))))
    explorer = Explorer(env, ExplorationConfig(guided_episodes=0.5), DeviceGenerator(0, env.device))
    with _Factories() as found:
        torch.zeros(1)
        with env.device:
            torch.zeros(1)
        assert found.homeless == ["zeros"], "this test would see nothing"
        episodes = explorer.play(None)
    assert found.homeless == ["zeros"]
    assert episodes.observation.isfinite().all()


def test_what_the_device_does_not_know_is_refused(short_task):
    late = RandomizationPreset(nominal_fraction=0.0, timing=TimingConfig(lateness_rate=Range(100.0, 200.0)))
    with pytest.raises(BackendError, match="same number of physics steps"):
        WarpGoalEnv(short_task, 1, "cpu", late)
    shaken = Variation(0.5, 2.0, parameter="friction", when="step")
    with pytest.raises(BackendError, match="when is step"):
        WarpGoalEnv(short_task, 1, "cpu", RandomizationPreset(nominal_fraction=0.0, physics={"friction": shaken}))
