"""Collisions that are left out change no trajectory, whatever the arm does."""

import numpy as np
import pytest

from her_robot.contract import FETCH_CONTRACTS
from her_robot.domain_rand.physics import Physics
from her_robot.domain_rand.preset import load_preset
from her_robot.sim.batched import Start
from her_robot.sim.fetch import FetchSimulation
from her_robot.sim.tasks import fetch_task
from her_robot.sim.trim import ArmCollisions

_ROWS = 24


def _reset(simulations, rng, preset):
    task, seed = simulations[0].task, int(rng.integers(2**31))
    variations = load_preset(preset).physics
    batches = [
        Physics(variations, task.model, [row.model for row in simulation.rows], np.random.default_rng(seed))
        for simulation in simulations
    ]
    for row in range(_ROWS):
        position = task.sample_object_position(rng) if task.contract.has_object else None
        for simulation, physics in zip(simulations, batches, strict=True):
            physics.reset(row, nominal=False)
            simulation.reset(row, position, Start(rise=physics.object_rise(row)))


def _wander(state, targets, step, rng):
    """A third of the rows goes straight, a third from place to place, a third to the object or at random."""
    actions = rng.uniform(-1, 1, (_ROWS, 4))
    third = _ROWS // 3
    actions[:third, :3] = np.clip(targets[0, :third] * 2 + 0.5 * actions[:third, :3], -1, 1)
    place = [1.25, 0.75, 0.6] + targets[1 + step // 13] * [0.4, 0.5, 0.3]
    actions[third : 2 * third, :3] = np.clip(20 * (place - state.grip_position)[third : 2 * third], -1, 1)
    if state.object is not None:
        reach = 8 * (state.object.position - state.grip_position)[2 * third :]
        actions[2 * third :, :3] = np.clip(reach + actions[2 * third :, :3], -1, 1)
    return actions


@pytest.mark.parametrize("preset", ["none", "robot_loop", "peng2017"])
@pytest.mark.parametrize("name", FETCH_CONTRACTS)
def test_a_trimmed_simulation_moves_bit_for_bit_as_a_full_one(name, preset):
    rng = np.random.default_rng(7)
    simulations = [FetchSimulation(fetch_task(name), _ROWS, trim_collisions=trim) for trim in (True, False)]
    trimmed_steps = full_steps = 0
    for _ in range(2):
        _reset(simulations, rng, preset)
        state = simulations[0].state()
        targets = rng.uniform(-1, 1, (5, _ROWS, 3))
        for step in range(50):
            actions = _wander(state, targets, step, rng)
            state, full = (simulation.step(actions) for simulation in simulations)
            np.testing.assert_array_equal(state.grip_position, full.grip_position)
            if state.object is not None:
                np.testing.assert_array_equal(state.object.position, full.object.position)
                np.testing.assert_array_equal(state.object.rotation, full.object.rotation)
            collides = [row.arm_collides for row in simulations[0].rows]
            full_steps += sum(collides)
            trimmed_steps += _ROWS - sum(collides)
    assert min(trimmed_steps, full_steps) > 200


def test_links_are_switched_and_the_rest_is_left_alone():
    task = fetch_task("fetch_push")
    collisions = ArmCollisions(task.model, task.contract.base_position[0])
    names = {task.model.geom(geom).name.removeprefix("robot0:") for geom in collisions.geoms}
    assert {"torso_lift_link", "head_pan_link", "forearm_roll_link", "wrist_roll_link"} <= names
    assert not names & {"base_link", "gripper_link", "r_gripper_finger_link", "object0", "floor0"}

    model = FetchSimulation(task, 1).rows[0].model
    collisions.switch(model, on=False)
    assert not model.geom_contype[collisions.geoms].any()
    kept = np.setdiff1d(np.arange(model.ngeom), collisions.geoms)
    np.testing.assert_array_equal(model.geom_contype[kept], task.model.geom_contype[kept])
    collisions.switch(model, on=True)
    for field in ("geom_contype", "geom_conaffinity", "body_contype", "body_conaffinity"):
        np.testing.assert_array_equal(getattr(model, field), getattr(task.model, field))


def test_where_the_arm_could_touch_something_its_collisions_are_on():
    task = fetch_task("fetch_push")
    collisions = ArmCollisions(task.model, task.contract.base_position[0])
    qpos, grip = task.initial_qpos[None], task.home_grip_position[None]
    obj = grip + [0.0, 0.1, 0.0]
    assert not collisions.needed(qpos, grip, obj)[0]
    assert collisions.needed(qpos, grip - [0, 0, 0.1], obj)[0]
    assert collisions.needed(qpos, grip, obj + [0, 0, 0.1])[0]
    assert collisions.needed(qpos, grip, obj - [0.4, 0, 0])[0]
    for joint, angle in {"shoulder_lift": -1.1, "shoulder_pan": 0.9, "wrist_flex": 0.1, "head_pan": 0.1}.items():
        turned = qpos.copy()
        turned[:, task.model.joint(f"robot0:{joint}_joint").qposadr[0]] = angle
        assert collisions.needed(turned, grip, obj)[0], joint
