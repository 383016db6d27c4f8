"""The mirror image of experience against the simulation: a reflected episode is one that the simulation plays."""

import numpy as np
import pytest
import torch

from her_robot import contract as contracts
from her_robot.contract import FETCH_CONTRACTS
from her_robot.policy.mirror import Mirror
from her_robot.sim.batched import Start
from her_robot.sim.fetch import FetchSimulation
from her_robot.sim.tasks import fetch_task

LEFT = torch.tensor([True])


@pytest.mark.parametrize("name", FETCH_CONTRACTS)
def test_twice_reflected_is_as_before(name):
    mirror, contract = Mirror(FETCH_CONTRACTS[name]), FETCH_CONTRACTS[name]
    for reflect, size in (
        (mirror.observation, contract.observation_size),
        (mirror.goal, contract.goal_size),
        (mirror.action, contract.action_size),
    ):
        values = torch.randn(7, size)
        rows = torch.ones(7, dtype=torch.bool)
        torch.testing.assert_close(reflect(reflect(values, rows), rows), values)
        assert torch.equal(reflect(values, ~rows), values)


@pytest.mark.parametrize("name", FETCH_CONTRACTS)
def test_the_simulation_plays_the_reflected_actions_nearly_so(name):
    task = fetch_task(name)
    contract, mirror = task.contract, Mirror(task.contract)
    simulation = FetchSimulation(task, num_envs=2)
    home = task.home_grip_position[:2]
    start = np.array([0.03, 0.11])
    for row, side in enumerate((1.0, -1.0)):
        simulation.reset(row, home + start * [1.0, side] if contract.has_object else None, Start(object_yaw=0.2 * side))
    rng = np.random.default_rng(0)
    for _ in range(5):
        action = rng.uniform(-0.3, 0.3, 4).astype(np.float32)
        if contract.has_object:
            # A push along the table: a block that tips over does not do so twice in the same way.
            state = simulation.state()
            action[:2] += 8 * (state.object.position - state.grip_position)[0, :2]
            action[2] = 0.0
        reflected = mirror.action(torch.from_numpy(action)[None], LEFT)[0].numpy()
        state = simulation.step(np.stack([action, reflected]))
    observation = torch.from_numpy(contracts.observation(contract, state)).float()
    expected = mirror.observation(observation[:1], LEFT)[0]
    # The arm is not quite symmetric, and the gripper is off the plane by 0.1 mm: they agree for a while.
    torch.testing.assert_close(observation[1], expected, atol=0.03, rtol=0.0)
    goal = torch.from_numpy(contracts.achieved_goal(contract, state)).float()
    torch.testing.assert_close(goal[1], mirror.goal(goal[:1], LEFT)[0], atol=0.006, rtol=0.0)
