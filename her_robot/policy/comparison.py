"""`her-robot bench train`: what ours and Stable-Baselines3 have learned after the same time on the same machine.

The sides train one after the other, each with all cores. The clock stands still while a policy is measured, which is
done in the unmodified environment of Gymnasium-Robotics by the same code for all. What counts is the policy at the end.
"""

import io
import json
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from her_robot.configuration import write_atomically
from her_robot.contract import contract_of
from her_robot.errors import ConfigurationError, UnknownNameError
from her_robot.evaluation.episodes import FIRST_SEED
from her_robot.evaluation.statistics import wilson_interval
from her_robot.policy import stable_baselines
from her_robot.policy.budget import Act, Budget, unmodified_environment
from her_robot.policy.config import TrainConfig, load_config
from her_robot.policy.threads import torch_threads
from her_robot.policy.training import Trainer

PRESET = "fast"
"""Preset of ours, for every task; where there is none of that name, the task's own."""
_FINAL_EPISODES = 100
_CURVE_EPISODES = 25
_CURVE_POINTS = 12
_CURVE_SEED = 700_000_000
"""Measurements on the way take seeds from here on; those at the end are of `her-robot evaluate`."""
_NEVER = 10**12
_LABELS = {
    "her_robot": "her_robot",
    "stable_baselines3": "Stable-Baselines3, DDPG + HER",
    "stable_baselines3_sac": "Stable-Baselines3, SAC + HER",
}

Side = Callable[[Budget], Act]
"""Trains until the budget is spent, and returns the policy at the end."""


def bench_train(
    tasks: Sequence[str],
    budget_s: float,
    preset: str | None = None,
    seed: int = 0,
    json_file: Path | None = None,
    plot: Path | None = None,
) -> list[dict[str, Any]]:
    """Train all sides on some tasks, print a table, write it as JSON and draw success against time.

    Args:
        tasks: such as fetch_push.
        budget_s: time for each side on each task [s].
        preset: of ours; default: `PRESET`, or the task's own.
        seed: of the training of all sides.
        json_file: where to write the results.
        plot: PNG to draw.

    Raises:
        UnknownNameError: no such task or preset.
        ConfigurationError: a budget that is not above 0, a negative seed, or a preset whose policies remember.
    """
    if not budget_s > 0:
        raise ConfigurationError(f"--budget is {budget_s:g} s; it must be above 0")
    if seed < 0:
        raise ConfigurationError(f"--seed is {seed}; it must not be negative")
    named = {task: _config(task, preset, seed) for task in tasks}
    threads, console = os.cpu_count() or 1, Console()
    results = []
    for name, config in named.values():
        results.append({"task": config.task, "budget_s": budget_s, "threads": threads, "preset": name, "seed": seed})
        for side, train in _sides(config, threads).items():
            console.print(f"{config.task}: {_LABELS[side]} trains for {budget_s:g} s")
            results[-1][side] = _outcome(config.task, train, budget_s)
            # What is there is kept if a later side fails.
            if json_file is not None:
                write_atomically(json_file, json.dumps(results, indent=2) + "\n")
    console.print(_table(results))
    if not stable_baselines.is_installed():
        console.print("Stable-Baselines3 is left out: it is not installed (pip install stable-baselines3)")
    if plot is not None:
        write_atomically(plot, draw(results))
        console.print(f"success against time: {plot}")
    return results


def train_ours(config: TrainConfig, budget: Budget) -> Act:
    """Train as `her-robot train` does, without its own evaluations and checkpoints."""
    with tempfile.TemporaryDirectory() as directory:
        trainer = Trainer(config, Path(directory))

        def act(observation: np.ndarray, desired_goal: np.ndarray) -> np.ndarray:
            return policy.act(observation[None], desired_goal[None], policy.memory())[0]

        try:
            budget.begin()
            for progress in trainer.run():
                policy = trainer.learner.policy(averaged=True)
                if not budget.goes_on(progress.env_steps, act):
                    break
            return act
        finally:
            trainer.close()


def _sides(config: TrainConfig, threads: int) -> dict[str, Side]:
    """By their names in the report; peers that are not installed are left out."""
    sides: dict[str, Side] = {"her_robot": lambda budget: train_ours(config, budget)}
    if stable_baselines.is_installed():
        sides["stable_baselines3"] = lambda budget: stable_baselines.train("ddpg", config, threads, budget)
        sides["stable_baselines3_sac"] = lambda budget: stable_baselines.train("sac", config, threads, budget)
    return sides


def _outcome(task: str, train: Side, budget_s: float) -> dict[str, Any]:
    """What a side has come to."""
    with unmodified_environment(contract_of(task)) as environment:

        def successes_of(act: Act, first_seed: int, episodes: int) -> int:
            # One observation at a time is no work for several threads.
            with torch_threads(1):
                return environment.successes(act, range(first_seed, first_seed + episodes))

        def measure(act: Act) -> float:
            first_seed = _CURVE_SEED + len(budget.curve) * _CURVE_EPISODES
            return successes_of(act, first_seed, _CURVE_EPISODES) / _CURVE_EPISODES

        budget = Budget(budget_s, budget_s / _CURVE_POINTS, measure)
        successes = successes_of(train(budget), FIRST_SEED, _FINAL_EPISODES)
    return {
        "success_rate": successes / _FINAL_EPISODES,
        "success_ci95": list(wilson_interval(successes, _FINAL_EPISODES)),
        "successes": successes,
        "episodes": _FINAL_EPISODES,
        "env_steps": budget.env_steps,
        "wall_s": round(budget.spent, 1),
        "curve": [asdict(point) for point in budget.curve],
    }


def _config(task: str, preset: str | None, seed: int) -> tuple[str, TrainConfig]:
    """The preset's name, and ours by it: without an end, and without what only costs time here."""
    contract_of(task)
    quiet = [f"seed={seed}", f"total_steps={_NEVER}", f"checkpoint_interval={_NEVER}"]
    quiet += [f"evaluation.interval_steps={_NEVER}", "evaluation.episodes=1"]
    if preset is not None:
        return preset, _without_memory(load_config(task, preset, quiet), preset)
    try:
        return PRESET, load_config(task, PRESET, quiet)
    except UnknownNameError:
        return task, _without_memory(load_config(task, None, quiet), task)


def _without_memory(config: TrainConfig, preset: str) -> TrainConfig:
    if config.network.remembers:
        raise ConfigurationError(
            f"preset {preset}: its policies remember their episode; those that are compared see the present alone"
        )
    return config


def draw(results: list[dict[str, Any]]) -> bytes:
    """A PNG of success against time spent on training, a panel for each task."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1.0 + 4.5 * len(results), 3.6), dpi=120, layout="constrained")
    panels = figure.subplots(1, len(results), sharey=True, squeeze=False)[0]
    for axes, result in zip(panels, results, strict=True):
        for side, label in _LABELS.items():
            curve = result.get(side, {}).get("curve", [])
            if curve:
                points = [(point["wall_s"], point["success_rate"]) for point in curve]
                axes.plot(*zip(*points, strict=True), marker=".", label=label)
        axes.set(xlabel=f"training time on {result['threads']} cores [s]", title=result["task"])
        axes.set(xlim=(0, None), ylim=(-0.02, 1.02))
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("success in the unmodified environment")
    panels[0].legend(loc="upper left", fontsize="small")
    image = io.BytesIO()
    figure.savefig(image, format="png")
    return image.getvalue()


def _table(results: list[dict[str, Any]]) -> Table:
    table = Table(title=f"success after the same time, {results[0]['threads']} threads")
    for column in ("task", "", "budget [s]", "steps", "success", "95 % interval"):
        table.add_column(column, justify="left" if column in ("task", "") else "right")
    for result in results:
        for side, label in _LABELS.items():
            if side in result:
                outcome = result[side]
                low, high = outcome["success_ci95"]
                figures = (f"{result['budget_s']:g}", f"{outcome['env_steps']:,}", f"{outcome['success_rate']:.2f}")
                table.add_row(result["task"], label, *figures, f"{low:.2f} to {high:.2f}")
    return table
