"""The latency of the deployed path: which stages are measured, and what is made of them."""

import json

import pytest

from her_robot.contract import FETCH_CONTRACTS
from her_robot.errors import BundleError, ConfigurationError
from her_robot.evaluation import latency


def test_quantiles_and_late_ticks():
    took_ms = {stage: [1.0, 2.0, 3.0] for stage in latency.STAGES} | {"tick": [10.0, 41.0, 50.0, 39.0], "camera": []}
    summary = latency.summary("fetch_push", took_ms)
    assert (summary["ticks"], summary["images"], summary["late_ticks"]) == (4, 0, 2)
    assert summary["control_period_ms"] == pytest.approx(40.0)
    assert summary["latency_ms"]["policy"]["p50"] == 2.0
    assert summary["latency_ms"]["policy"]["max"] == 3.0
    assert summary["latency_ms"]["camera"]["p99"] is None


def test_every_stage_of_a_running_policy_is_measured(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(latency, "_ships", lambda task: task == "fetch_reach")
    latency.bench_latency(tmp_path / "latency.json", episodes=1, steps=3)
    (result,) = json.loads((tmp_path / "latency.json").read_text())
    assert (result["task"], result["ticks"]) == ("fetch_reach", 3)
    assert tuple(result["latency_ms"]) == latency.STAGES
    for stage, found in result["latency_ms"].items():
        assert 0.0 < found["p50"] <= found["p95"] <= found["p99"] <= found["max"], stage
    assert "left out, as no policy ships for them" in capsys.readouterr().out


def test_what_ships_is_measured(capsys):
    results = {result["task"]: result for result in latency.bench_latency(None, episodes=1, steps=1)}
    assert {*FETCH_CONTRACTS, "hand_reach", "hand_block_rotate_z"} <= results.keys()
    assert results["hand_block_rotate_z"]["images"] > 0
    assert results["hand_reach"]["images"] == 0
    assert results["hand_reach"]["latency_ms"]["inverse_kinematics"]["p50"] is None
    assert "left out, as no policy ships for them" in capsys.readouterr().out


def test_wrong_input(monkeypatch):
    with pytest.raises(ConfigurationError, match="0 episodes of 100 steps"):
        latency.bench_latency(None, episodes=0)
    monkeypatch.setattr(latency, "_ships", lambda task: False)
    with pytest.raises(BundleError, match="no policy ships for any task"):
        latency.bench_latency(None)
