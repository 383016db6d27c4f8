"""Worlds on Warp's CPU device: slow, but the same kernels. The first run compiles them, for minutes."""

import dataclasses

import pytest

pytest.importorskip("mujoco_warp", reason="MuJoCo Warp is not installed: pip install her_robot[warp]")

from her_robot.domain_rand.distribution import Range
from her_robot.domain_rand.preset import RandomizationPreset
from her_robot.domain_rand.variation import Variation
from her_robot.sim.tasks import fetch_task
from her_robot.sim.warp.goal_env import WarpGoalEnv

WORLDS = 3
EPISODE_STEPS = 3


@pytest.fixture(scope="session")
def short_task():
    """fetch_push with episodes of three steps."""
    task = fetch_task("fetch_push")
    return dataclasses.replace(task, contract=dataclasses.replace(task.contract, episode_steps=EPISODE_STEPS))


@pytest.fixture(scope="session")
def env(short_task):
    """Without randomisation."""
    return WarpGoalEnv(short_task, WORLDS, "cpu")


@pytest.fixture(scope="session")
def randomized_env(short_task):
    """Masses, friction and tables of all worlds differ; pushes come at once."""
    physics = {
        "object_mass": Variation(0.5, 2.0, "log_uniform"),
        "friction": Variation(0.5, 1.5),
        "table_height": Variation(-0.02, 0.02),
    }
    preset = RandomizationPreset(nominal_fraction=0.0, physics=physics, object_yaw=Range(-0.3, 0.3))
    return WarpGoalEnv(short_task, WORLDS, "cpu", preset)
