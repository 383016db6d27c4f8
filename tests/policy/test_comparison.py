"""The comparison with Stable-Baselines3: equal terms, and what is reported of them."""

import importlib.util
import json

import numpy as np
import pytest

from her_robot.errors import ConfigurationError, UnknownNameError
from her_robot.policy import comparison, stable_baselines
from her_robot.policy.budget import Budget
from her_robot.policy.config import load_config

TOY = [
    "num_envs=2",
    "num_threads=1",
    "batch_size=16",
    "updates_per_cycle=2",
    "warmup_steps=0",
    "buffer_steps=2000",
    "network.hidden_sizes=[8, 8]",
    "randomization=none",
]


def _no_measuring(act):
    assert act(np.zeros(10), np.zeros(3)).shape == (4,)
    return 0.0


def test_what_both_sides_have_is_set_alike():
    overrides = ["num_envs=16", "updates_per_cycle=400", "warmup_steps=900", "agent.polyak=0.9", "seed=3"]
    overrides += ["agent.target_interval=2", "network.hidden_sizes=[64, 32]", "batch_size=128", "agent.gamma=0.9"]
    settings = stable_baselines.settings("sac", load_config("fetch_push", "published", overrides), num_envs=4)
    assert settings["policy_kwargs"] == {"net_arch": [64, 32]}
    assert (settings["batch_size"], settings["gamma"], settings["seed"]) == (128, 0.9, 3)
    # 400 updates for 800 steps: 2 for the 4 of a step of the vector environment.
    assert settings["gradient_steps"] == 2
    assert (1.0 - settings["tau"]) ** 2 == pytest.approx(0.9)
    assert settings["learning_starts"] == 900
    assert settings["replay_buffer_kwargs"] == {"n_sampled_goal": 4, "goal_selection_strategy": "future"}


def test_ours_trains_within_its_budget():
    _, config = comparison._config("fetch_reach", None, seed=1)
    assert config.seed == 1
    budget = Budget(1e-6, 1e-6, _no_measuring)
    act = comparison.train_ours(load_config("fetch_reach", None, TOY), budget)
    assert act(np.zeros(10), np.zeros(3)).shape == (4,)
    assert budget.env_steps == 100


@pytest.mark.skipif(not stable_baselines.is_installed(), reason="Stable-Baselines3 is not installed")
@pytest.mark.parametrize("algorithm", stable_baselines.ALGORITHMS)
def test_stable_baselines_trains_within_its_budget(algorithm):
    steps = []

    class Short(Budget):
        def goes_on(self, env_steps, act):
            steps.append(env_steps)
            return super().goes_on(env_steps, act) and env_steps < 60

    act = stable_baselines.train(algorithm, load_config("fetch_reach", None, TOY), 1, Short(60.0, 60.0, _no_measuring))
    assert steps == list(range(1, 61))
    assert act(np.zeros(10), np.zeros(3)).shape == (4,)


def test_the_report(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(comparison, "_FINAL_EPISODES", 2)
    monkeypatch.setattr(comparison, "_CURVE_EPISODES", 1)

    def side(budget):
        def act(observation, goal):
            return np.array([*np.clip(10 * (goal - observation[:3]), -1, 1), 0.0])

        budget.begin()
        budget.goes_on(800, act)
        return act

    monkeypatch.setattr(comparison, "_sides", lambda config, threads: {"her_robot": side})
    monkeypatch.setattr(stable_baselines, "is_installed", lambda: False)
    files = tmp_path / "train.json", tmp_path / "train.png"
    comparison.bench_train(["fetch_reach"], 1e-6, None, 0, *files)
    (written,) = json.loads(files[0].read_text())
    assert (written["task"], written["budget_s"]) == ("fetch_reach", 1e-6)
    ours = written["her_robot"]
    assert (ours["success_rate"], ours["successes"], ours["episodes"], ours["env_steps"]) == (1.0, 2, 2, 800)
    assert 0.0 < ours["success_ci95"][0] < ours["success_ci95"][1] == 1.0
    assert [point["env_steps"] for point in ours["curve"]] == [800]
    assert files[1].read_bytes().startswith(b"\x89PNG")
    assert "Stable-Baselines3 is left out" in capsys.readouterr().out


def test_peers_that_are_not_installed_have_no_side(monkeypatch):
    config = load_config("fetch_reach", None, TOY)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert list(comparison._sides(config, 1)) == ["her_robot"]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    assert list(comparison._sides(config, 1)) == ["her_robot", "stable_baselines3", "stable_baselines3_sac"]


def test_a_task_without_the_preset_takes_its_own(monkeypatch):
    monkeypatch.setattr(comparison, "PRESET", "of_no_such_name")
    assert comparison._config("fetch_slide", None, 0)[0] == "fetch_slide"
    with pytest.raises(UnknownNameError, match="unknown training preset 'fst'"):
        comparison._config("fetch_push", "fst", 0)


def test_policies_that_remember_are_not_compared(tmp_path):
    preset = tmp_path / "remembers.yaml"
    preset.write_text("network: {history: 2}")
    with pytest.raises(ConfigurationError, match="those that are compared see the present alone"):
        comparison.bench_train(["fetch_push"], 3.0, str(preset))


def test_wrong_input():
    with pytest.raises(ConfigurationError, match="--budget is -3 s; it must be above 0"):
        comparison.bench_train(["fetch_reach"], -3.0)
    with pytest.raises(ConfigurationError, match="--seed is -1"):
        comparison.bench_train(["fetch_reach"], 3.0, seed=-1)
    with pytest.raises(UnknownNameError, match="unknown task 'fetch_fly'"):
        comparison.bench_train(["fetch_reach", "fetch_fly"], 3.0)
