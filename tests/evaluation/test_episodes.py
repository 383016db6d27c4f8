"""The numbers of an evaluation, which other programs read."""

import json
from pathlib import Path

import pytest

from her_robot.evaluation.episodes import Evaluation, worst_first

DOCUMENTATION = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text()


def test_summary_has_what_other_programs_read(make_evaluation):
    summary = make_evaluation([True, False]).summary()
    assert (summary["task"], summary["loop"]) == ("fetch_push", "ros")
    assert (summary["episodes"], summary["successes"], summary["success_rate"]) == (2, 1, 0.5)
    assert summary["success_ci95"] == pytest.approx([0.0945, 0.9055], abs=1e-4)
    assert summary["final_distance"]["unit"] == "m"
    assert summary["final_distance"]["mean"] == pytest.approx(0.0665, abs=1e-3)
    # 0.01 + 0.2 exp(-k / 10) falls below 0.05 with k = 17, the 18th step.
    assert summary["time_to_goal_s"] == {"reached": 1, "p50": pytest.approx(0.72), "p95": 0.72, "max": 0.72}
    assert -1.7 < summary["smoothness"]["p50"] < -1.3
    assert summary["latency_ms"]["p50"] == 3.0
    assert summary["latency_stages_ms"]["camera"]["max"] == 12.0
    assert summary["age_s"]["goal"]["max"] == 0.1
    assert summary["deadline_misses"] == 4
    assert summary["safety"] == {"clamped": 14, "holds": 2, "estops": 0}
    assert summary["seeds"] == [1_000_000, 1_000_001]
    json.dumps(summary, allow_nan=False)


def test_every_episode_is_in_the_json(make_evaluation):
    evaluation = make_evaluation([True, False])
    first, second = evaluation.to_json()["per_episode"]
    assert (first["seed"], first["success"], first["time_to_goal_s"]) == (1_000_000, True, pytest.approx(0.72))
    assert (second["success"], second["time_to_goal_s"]) == (False, None)
    assert (second["clamped"], second["goal_age_max_s"], second["sensor_to_command_max_ms"]) == (7, 0.1, 50.0)
    assert second["note"].startswith("goal <lost>")


def test_every_key_is_documented(make_evaluation):
    values = make_evaluation([True, False], at_least=0.9).to_json()
    keys = {*values, *values["per_episode"][0], *values["safety"]}
    assert {key for key in keys if f"`{key}`" not in DOCUMENTATION} == set()


def test_an_answer_is_in_the_summary(make_evaluation):
    assert "verdict" not in make_evaluation([True] * 40).summary()
    summary = make_evaluation([True] * 40, at_least=0.9).summary()
    assert (summary["at_least"], summary["verdict"]) == (0.9, "above")
    low, high = summary["success_interval_anytime"]
    assert low > 0.9
    assert high == 1.0
    assert make_evaluation([True] * 10, at_least=0.9).summary()["verdict"] == "undecided"


def test_an_evaluation_without_episodes_still_has_a_summary():
    for loop in ("ros", "sim"):
        values = Evaluation("fetch_push", loop, "x", ()).to_json()
        assert values["episodes"] == 0
        assert values["success_rate"] is None
        assert values["per_episode"] == []
        json.dumps(values, allow_nan=False)


def test_the_worst_comes_first(make_evaluation):
    episodes = make_evaluation([True, False, True]).episodes
    assert [episode.seed for episode in worst_first(episodes)] == [1_000_001, 1_000_000, 1_000_002]
