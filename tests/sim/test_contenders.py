"""The benchmark's contenders do the same work, and say how much."""

import mujoco
import numpy as np
import pytest

from her_robot.contract import FETCH_CONTRACTS, contract_of
from her_robot.domain_rand.preset import RandomizationPreset
from her_robot.sim import benchmark, contenders


@pytest.fixture(autouse=True)
def few_environments(monkeypatch):
    monkeypatch.setattr(contenders, "_num_envs", lambda contract: 3)


@pytest.mark.parametrize("task", [*FETCH_CONTRACTS, "hand_reach", "hand_egg"])
def test_the_limit_repeats_the_motion_that_was_recorded(task):
    contract = contract_of(task)
    episodes = contenders._record(contract, RandomizationPreset())
    ended = [episode.data.qpos.copy() for episode in episodes]
    for episode in episodes:
        mujoco.mj_resetData(episode.model, episode.data)
    contenders._replay_of(contract)(episodes)
    for episode, qpos in zip(episodes, ended, strict=True):
        np.testing.assert_array_equal(episode.data.qpos, qpos)


def test_steps_are_counted():
    contract = contract_of("fetch_reach")
    assert contenders.ours(contract, 1, None)() == 3 * contract.episode_steps
    assert contenders.raw_mj_step(contract, 2, RandomizationPreset())() == 3 * contract.episode_steps


def test_every_environment_is_randomised(monkeypatch):
    presets = []
    monkeypatch.setattr(contenders, "ours", lambda contract, threads, preset: presets.append(preset))
    monkeypatch.setattr(contenders, "gymnasium_robotics", lambda contract, threads: None)
    monkeypatch.setattr(contenders.importlib.util, "find_spec", lambda name: None)
    found = contenders.contenders(contract_of("fetch_push"), 1)
    assert presets[0] is None
    assert presets[1].nominal_fraction == 0.0
    assert presets[1].physics
    assert list(found) == ["her_robot", "her_robot_randomized", "raw_mj_step", "gymnasium_robotics"]


def test_peers_that_are_not_installed_have_no_ratio():
    speeds = {"her_robot": 9.0, "her_robot_randomized": 8.0, "raw_mj_step": 10.0, "gymnasium_robotics": 2.0}
    assert benchmark._ratios(speeds) == {"ratio_to_raw": 0.8, "ratio_to_gymnasium_robotics": 4.0}
    assert benchmark._ratios(speeds | {"envpool": 4.0})["ratio_to_envpool"] == 2.0
