"""The benchmark of updates: which products it counts, and what it makes of their time."""

import json

import pytest
import torch

from her_robot.errors import ConfigurationError, UnknownNameError
from her_robot.policy import benchmark
from her_robot.policy.config import load_config
from her_robot.policy.learner import ALGORITHMS
from her_robot.policy.perceptron import Perceptron

SMALL = [
    "network.hidden_sizes=[16, 16]",
    "network.precision=float32",
    "network.positions=absolute",
    "network.goal_difference=true",
    "batch_size=8",
    "agent.algorithm=ddpg",
    "agent.actor_interval=2",
    "agent.target_interval=1",
]


def test_the_products_of_a_forward_pass_are_recorded_as_they_are_made():
    network = Perceptron(5, (16, 8), 2, generator=torch.Generator().manual_seed(0))
    with benchmark.ProductRecorder() as recorder:
        network(torch.zeros(3, 5))
    shapes = [(tuple(product.left.shape), tuple(product.right.shape)) for product in recorder.products]
    assert shapes == [((3, 5), (5, 16)), ((3, 16), (16, 8)), ((3, 8), (8, 2))]
    assert [product.flops for product in recorder.products] == [2 * 3 * 5 * 16, 2 * 3 * 16 * 8, 2 * 3 * 8 * 2]


def test_the_products_of_an_update_are_those_of_its_passes():
    """DDPG, actor every other time: per two updates, and for each layer but the first, the critic makes 2 forward, 2 of
    its target's, 4 backward, 1 and 1 for the actor; the actor 2 of its target's, 1 forward, 2 backward. A backward pass
    of parameters leaves out the first layer's input, one of inputs has it."""
    config = load_config("fetch_push", "published", SMALL)
    _, flops = benchmark.contenders(config)
    inputs, actions, hidden = 31, 4, 16
    critic = [(inputs + actions) * hidden, hidden * hidden, hidden]
    actor = [inputs * hidden, hidden * hidden, hidden * actions]
    weighted = 2 * sum(critic) * 3 + 2 * sum(critic[1:]) + 2 * sum(critic)
    weighted += 2 * sum(actor) + sum(actor) * 2 + sum(actor[1:])
    assert flops == 2 * 8 * weighted // 2


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_each_contender_says_how_many_updates_it_did(algorithm):
    runs, _ = benchmark.contenders(load_config("fetch_push", "published", [*SMALL, f"agent.algorithm={algorithm}"]))
    assert {name: run() for name, run in runs.items()} == {"learn": 2, "update": 2, "products": 2}


def test_the_ratio_and_the_speed_of_the_products():
    summary = benchmark._summary({"learn": 6.0, "update": 5.0, "products": 2.0}, flops=400_000_000)
    assert summary["ratio"] == 2.5
    assert summary["products_gflop"] == 0.4
    assert summary["products_gflop_per_s"] == pytest.approx(200.0)


def test_the_report(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(benchmark, "_ROUNDS", 1)
    monkeypatch.setattr(benchmark, "_ROUND_S", 0.0)
    monkeypatch.setattr(benchmark, "BATCH_SIZES", (8, 16))
    monkeypatch.setattr(benchmark, "_precisions", lambda task: ("float32",))
    benchmark.bench_update(tmp_path / "update.json", threads=1)
    written = json.loads((tmp_path / "update.json").read_text())
    assert [(entry["algorithm"], entry["batch_size"]) for entry in written] == [
        (algorithm, size) for algorithm in ALGORITHMS for size in (8, 16)
    ]
    assert written[0].keys() >= {"threads", "precision", "learn_ms", "update_ms", "products_ms", "ratio"}
    assert "bfloat16 is left out" in capsys.readouterr().out


def test_wrong_input():
    with pytest.raises(ConfigurationError, match="0 threads; at least 1"):
        benchmark.bench_update(None, threads=0)
    with pytest.raises(UnknownNameError, match="fetch_pushh"):
        benchmark.bench_update(None, "fetch_pushh")
