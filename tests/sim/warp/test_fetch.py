"""Worlds beside MuJoCo's own simulation of the same task.

Tolerances: physics is in float32, whose last digit of a position of 1 m is 1e-7 m. The weld that drags the gripper is
stiff, and lets errors of its solver (tolerance 1e-8 of the problem's scale, 1e-6 in float32) through to about 3e-5 m of
the grip. In contact, the points that a mesh and a box touch at differ between the two.
"""

import copy
import dataclasses

import mujoco
import numpy as np
import pytest

pytest.importorskip("mujoco_warp")
import torch

from her_robot.errors import BackendError
from her_robot.sim.batched import Start
from her_robot.sim.fetch import FetchSimulation
from her_robot.sim.tasks import fetch_task
from her_robot.sim.warp.fetch import WarpFetchSimulation
from her_robot.sim.warp.memory import check_memory, world_bytes
from her_robot.sim.warp.simulation import Starts

WORLDS = 2


def _pair(task):
    """Both simulations, at the start of the same episodes."""
    rng = np.random.default_rng(0)
    warp, native = WarpFetchSimulation(task, WORLDS, "cpu"), FetchSimulation(task, WORLDS, 1, trim_collisions=False)
    positions = np.stack([task.sample_object_position(rng) for _ in range(WORLDS)])
    for row in range(WORLDS):
        native.reset(row, positions[row], Start(object_yaw=0.2 * row))
    warp.reset(torch.arange(WORLDS), torch.as_tensor(positions), 0.2 * torch.arange(WORLDS))
    return warp, native


def _assert_near(found, expected, grip, velocity, obj):
    np.testing.assert_allclose(found.grip_position.numpy(), expected.grip_position, atol=grip)
    np.testing.assert_allclose(found.grip_velocity.numpy(), expected.grip_velocity, atol=velocity)
    np.testing.assert_allclose(found.finger_position.numpy(), expected.finger_position, atol=grip)
    np.testing.assert_allclose(found.finger_velocity.numpy(), expected.finger_velocity, atol=10 * velocity)
    np.testing.assert_allclose(found.object.position.numpy(), expected.object.position, atol=obj)
    np.testing.assert_allclose(found.object.rotation.numpy(), expected.object.rotation, atol=20 * obj)


@pytest.mark.parametrize("name", ["fetch_push", "fetch_pick_and_place"])
def test_without_contact_trajectories_agree(name):
    task = fetch_task(name)
    model = copy.copy(task.model)
    model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_CONTACT
    warp, native = _pair(dataclasses.replace(task, model=model))
    _assert_near(warp.state(), native.state(), grip=5e-7, velocity=1e-6, obj=5e-7)
    rng = np.random.default_rng(1)
    for _ in range(4):
        actions = rng.uniform(-1, 1, (WORLDS, 4)).astype(np.float32)
        _assert_near(warp.step(torch.as_tensor(actions)), native.step(actions), grip=1e-4, velocity=2e-3, obj=1e-6)


@pytest.mark.parametrize("name", ["fetch_push", "fetch_pick_and_place"])
def test_the_gripper_meets_the_object_as_in_mujoco(name):
    """It goes there, and pushes; the object has then moved alike to a millimetre."""
    warp, native = _pair(fetch_task(name))
    start = expected = native.state()
    for _ in range(6):
        actions = np.ones((WORLDS, 4), np.float32)
        actions[:, :3] = np.clip(8 * (expected.object.position - expected.grip_position), -1, 1)
        found, expected = warp.step(torch.as_tensor(actions)), native.step(actions)
        np.testing.assert_allclose(found.grip_position.numpy(), expected.grip_position, atol=1e-3)
        np.testing.assert_allclose(found.object.position.numpy(), expected.object.position, atol=2e-3)
    moved = np.linalg.norm(expected.object.position - start.object.position, axis=1)
    assert moved.max() > 2e-3, "nothing was touched"


def test_a_reset_leaves_the_other_worlds_alone():
    task = fetch_task("fetch_push")
    warp, _ = _pair(task)
    start = warp.state()
    warp.step(torch.full((WORLDS, 4), 0.5))
    before = warp.state()
    warp.reset(torch.tensor([1]), torch.as_tensor(task.home_grip_position[None, :2] + 0.12))
    after = warp.state()
    assert torch.equal(after.grip_position[0], before.grip_position[0])
    assert torch.equal(after.object.position[0], before.object.position[0])
    assert not torch.allclose(before.grip_position[1], start.grip_position[1], atol=1e-3)
    torch.testing.assert_close(after.grip_position[1], start.grip_position[1], atol=1e-6, rtol=0)
    torch.testing.assert_close(after.grip_velocity[1], start.grip_velocity[1], atol=1e-6, rtol=0)


def test_fingers_are_apart_where_they_shall_be():
    warp = WarpFetchSimulation(fetch_task("fetch_pick_and_place"), WORLDS, "cpu")
    zeros, gaps = torch.zeros(WORLDS), torch.linspace(0.0, 0.09, WORLDS)
    warp.begin(torch.arange(WORLDS), [np.random.default_rng(row) for row in range(WORLDS)], Starts(zeros, zeros, gaps))
    np.testing.assert_allclose(warp.state().finger_position.sum(-1).numpy(), gaps.numpy(), atol=1e-5)


def test_what_is_wrong_is_said():
    with pytest.raises(BackendError, match="puck tumbles; use --sim cpu"):
        WarpFetchSimulation(fetch_task("fetch_slide"), 2, "cpu")
    with pytest.raises(ValueError, match="at least 1"):
        WarpFetchSimulation(fetch_task("fetch_push"), 0, "cpu")
    simulation = WarpFetchSimulation(fetch_task("fetch_push"), 2, "cpu")
    with pytest.raises(ValueError, match=r"expected \(2, 4\)"):
        simulation.step(torch.zeros(3, 4))


def test_a_world_takes_what_docs_say():
    """docs/gpu.md: 0.13 MB were allocated for each world, and a little more is asked for."""
    assert 0.13e6 < world_bytes(fetch_task("fetch_push").model) < 0.16e6


def test_worlds_that_do_not_fit_are_refused(monkeypatch):
    model = fetch_task("fetch_push").model
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (2 * 10**9, 8 * 10**9))
    check_memory(model, 1000, torch.device("cuda"))
    with pytest.raises(BackendError, match=r"100000 worlds need 1\d\.\d GB .* 2\.0 GB is free, enough for 1\d{4}\."):
        check_memory(model, 100_000, torch.device("cuda"))
