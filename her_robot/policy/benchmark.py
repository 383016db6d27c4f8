"""Milliseconds of one update of the networks, beside its matrix products alone, in one run.

The products are recorded from the update itself, as they are made: operands, layouts and types. Played again with
nothing between them, they are the limit that this machine sets to an update of these networks.
"""

import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from her_robot.configuration import write_atomically
from her_robot.contract import Contract, contract_of
from her_robot.errors import ConfigurationError
from her_robot.policy.agent import Agent, Batch
from her_robot.policy.config import TrainConfig, load_config
from her_robot.policy.learner import ALGORITHMS, Learner
from her_robot.policy.precision import product_dtype
from her_robot.policy.replay import Episodes
from her_robot.policy.threads import torch_threads

BATCH_SIZES = (256, 1024)
"""Transitions in an update."""
_ROUNDS = 9
_ROUND_S = 0.15
_EPISODES = 200
"""In the replay buffer while it is measured."""

Run = Callable[[], int]
"""Does some updates, or the products of them, and returns how many updates that was."""


def bench_update(json_file: Path | None, task: str = "fetch_push", threads: int | None = None) -> list[dict[str, Any]]:
    """Measure every algorithm with the networks and the intervals of a task's preset, print a table, and write JSON.

    Args:
        json_file: where to write; None for nowhere.
        task: whose sizes of observation, goal and action, and whose preset, are taken.
        threads: of PyTorch; default: one for each core.

    Raises:
        UnknownNameError: no such task.
        ConfigurationError: fewer than one thread.
    """
    if threads is not None and threads < 1:
        raise ConfigurationError(f"{threads} threads; at least 1 is needed")
    contract_of(task)
    threads = threads or os.cpu_count() or 1
    precisions = _precisions(task)
    with torch_threads(threads):
        results = [
            _measure(_config(task, algorithm, size, precision), threads)
            for algorithm in ALGORITHMS
            for size in BATCH_SIZES
            for precision in precisions
        ]
    console = Console()
    console.print(_table(results))
    if "bfloat16" not in precisions:
        console.print("bfloat16 is left out: this machine gains nothing by it (network.precision: auto is float32)")
    if json_file is not None:
        write_atomically(json_file, json.dumps(results, indent=2) + "\n")
    return results


@dataclass(frozen=True)
class Product:
    """A matrix product as an update made it."""

    left: Tensor
    """(n, k), perhaps a transposed view."""
    right: Tensor
    """(k, m), perhaps a transposed view."""

    @property
    def flops(self) -> int:
        """Multiplications and additions."""
        return 2 * self.left.shape[0] * self.left.shape[1] * self.right.shape[1]


class ProductRecorder(TorchDispatchMode):
    """Keeps the operands of all matrix products that are made while it is entered."""

    def __init__(self) -> None:
        super().__init__()
        self.products: list[Product] = []

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in (torch.ops.aten.mm.default, torch.ops.aten.mm.out):
            self.products.append(Product(*args[:2]))
        elif func is torch.ops.aten.addmm.default:
            self.products.append(Product(*args[1:3]))
        return func(*args, **(kwargs or {}))


def contenders(config: TrainConfig) -> tuple[dict[str, Run], int]:
    """What is measured, by its name in the report: all that learning does, its updates alone, their products alone.

    Returns:
        Those, and the number of multiplications and additions in the products of one update, on average.
    """
    contract = contract_of(config.task)
    learner = Learner(contract, config)
    learner.take_in(_random_episodes(contract))
    updates = np.lcm(config.agent.actor_interval, config.agent.target_interval).item()
    batch, agent = _random_batch(learner, config.batch_size), learner.agent
    if not isinstance(agent, Agent):
        raise ConfigurationError(
            f"network.recurrent is {config.network.recurrent}: only feed-forward ones are measured"
        )

    def learn() -> int:
        learner.learn(updates)
        return updates

    def update() -> int:
        for _ in range(updates):
            agent.update(batch)
        return updates

    with ProductRecorder() as recorder:
        update()

    def products() -> int:
        for product in recorder.products:
            torch.mm(product.left, product.right)
        return updates

    flops = sum(product.flops for product in recorder.products) // updates
    return {"learn": learn, "update": update, "products": products}, flops


def _measure(config: TrainConfig, threads: int) -> dict[str, Any]:
    """Each contender runs in turn, several times; the median counts. Noise of the machine then falls on all alike."""
    runs, flops = contenders(config)
    rounds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(_ROUNDS):
        for name, run in runs.items():
            rounds[name].append(_milliseconds(run))
    setting = {
        "algorithm": config.agent.algorithm,
        "batch_size": config.batch_size,
        "precision": config.network.precision,
        "hidden_sizes": list(config.network.hidden_sizes),
        "actor_interval": config.agent.actor_interval,
        "threads": threads,
    }
    return setting | _summary({name: float(np.median(values)) for name, values in rounds.items()}, flops)


def _summary(milliseconds: dict[str, float], flops: int) -> dict[str, float]:
    """What is reported of the time of each contender [ms]."""
    return {
        **{f"{name}_ms": value for name, value in milliseconds.items()},
        "ratio": milliseconds["update"] / milliseconds["products"],
        "products_gflop": flops / 1e9,
        "products_gflop_per_s": flops / (1e6 * milliseconds["products"]),
    }


def _milliseconds(run: Run) -> float:
    """Of one update, over runs that take at least a round."""
    updates, begun = 0, time.perf_counter()
    while not updates or time.perf_counter() - begun < _ROUND_S:
        updates += run()
    return 1000 * (time.perf_counter() - begun) / updates


def _precisions(task: str) -> tuple[str, ...]:
    """float32, and bfloat16 where it would be chosen."""
    network = load_config(task, None, ["network.precision=auto"]).network
    gains = product_dtype(network, torch.device("cpu")) == torch.bfloat16
    return ("float32", "bfloat16") if gains else ("float32",)


def _config(task: str, algorithm: str, batch_size: int, precision: str) -> TrainConfig:
    changes = {"agent.algorithm": algorithm, "batch_size": batch_size, "network.precision": precision}
    return load_config(task, None, [f"{key}={value}" for key, value in changes.items()])


def _random_batch(learner: Learner, size: int) -> Batch:
    generator = torch.Generator().manual_seed(0)
    inputs, next_inputs = torch.randn(
        (2, size, learner.inputs.size + learner.inputs.privileged_size), generator=generator
    )
    actions = torch.rand((size, learner.contract.action_size), generator=generator).mul_(2.0).sub_(1.0)
    return Batch(inputs, next_inputs, actions, -torch.ones(size), torch.full((size,), 0.98))


def _random_episodes(contract: Contract) -> Episodes:
    rng, steps = np.random.default_rng(0), contract.episode_steps

    def draw(*shape: int) -> np.ndarray:
        return rng.uniform(-1.0, 1.0, (_EPISODES, *shape)).astype(np.float32)

    return Episodes(
        observation=draw(steps + 1, contract.observation_size),
        achieved_goal=draw(steps + 1, contract.goal_size),
        desired_goal=draw(contract.goal_size),
        action=draw(steps, contract.action_size),
    )


def _table(results: list[dict[str, Any]]) -> Table:
    first = results[0]
    layers = " x ".join(map(str, first["hidden_sizes"]))
    table = Table(title=f"milliseconds of one update, hidden layers {layers}, {first['threads']} threads")
    for column in ("algorithm", "precision"):
        table.add_column(column)
    for column in ("batch", "with replay", "update", "its products", "ratio", "GFLOP/s of the products"):
        table.add_column(column, justify="right")
    for result in results:
        times = (f"{result[f'{name}_ms']:.2f}" for name in ("learn", "update", "products"))
        cells = (str(result["batch_size"]), *times, f"{result['ratio']:.2f}", f"{result['products_gflop_per_s']:.0f}")
        table.add_row(result["algorithm"], result["precision"], *cells)
    return table
