"""What each ingredient of a recipe is worth: change it, train again with three seeds, and look at what is left.

    python examples/ablation.py fast --out runs/ablation
    python examples/ablation.py hand --jobs 1 --seeds 1

Two trainings run side by side, each on one core. What has ended is not done again, so it can be interrupted at any
time. The table is written in Markdown, to OUT/NAME/table.md.
"""

import argparse
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from her_robot.configuration import write_atomically
from her_robot.policy.trackers import read_progress

SEEDS = (1, 2, 3)
_MEASURED = 2
"""The last so many evaluations of a run count, of 100 episodes each."""


@dataclass(frozen=True)
class Table:
    """A recipe, and what is changed about it."""

    task: str
    config: str
    steps: int
    rows: dict[str, list[str]]
    """Changes as `--set` of `her-robot train`, by what they are called; `task=` trains in a variant of the task."""


TABLES = {
    "fast": Table(
        "fetch_push",
        "fast",
        19_200,
        {
            "all of `fast`": [],
            "what has not begun drawn like all else": ["replay.idle_weight=1"],
            "DDPG instead of SAC": ["agent.algorithm=ddpg"],
            "no mirror images": ["replay.mirrored=false"],
            "no approach to the object": ["exploration.approach_episodes=0"],
            "absolute positions": ["network.positions=absolute"],
            "no hindsight": ["relabel.future=0"],
            "half as many updates": ["updates_per_cycle=400"],
            "TD3 instead of SAC": ["agent.algorithm=td3"],
            "no layer normalisation": ["network.layer_norm=false"],
            "less noise (0.2)": ["exploration.noise=0.2"],
            "one-step returns": ["agent.n_step=1"],
            "last actor, not the average": ["agent.actor_averaging=0"],
        },
    ),
    "hand": Table(
        "hand_block_rotate_z",
        "hand_block",
        64_000,
        {
            "all of `hand_block`": [],
            "the task's own goals, none nearer": ["exploration.nearer_goals=0"],
            "no waypoints": ["network.goal_reach=0"],
            "each side of the block is another": ["network.nearest_side=false"],
            "noise drawn anew in every control period": ["exploration.hold_steps=1"],
            "no hindsight": ["relabel.future=0"],
            "goals of half of a batch in hindsight": ["relabel.future=0.5"],
            "a third of the goals in hindsight from the whole episode": ["relabel.future=0.53", "relabel.episode=0.27"],
            "batches of 1024": ["batch_size=1024"],
            "half as many updates": ["updates_per_cycle=800"],
            "twice as many updates": ["updates_per_cycle=3200"],
            "TD3 instead of DDPG": ["agent.algorithm=td3"],
            "rewarded within half of the angle": ["replay.tolerance=0.5"],
            "half of the episodes go on from the last": ["exploration.continued_episodes=0.5"],
            "with touch sensors": ["task=hand_block_rotate_z_touch"],
            "randomised (`hand_block`)": ["randomization=hand_block"],
            "randomised, critics see the truth": ["randomization=hand_block", "network.asymmetric=true"],
        },
    ),
}


def main() -> None:
    """Train what has not been trained yet, then write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", choices=TABLES, metavar="NAME", help=f"which recipe: {', '.join(TABLES)}")
    parser.add_argument("--out", type=Path, default=Path("runs/ablation"), help="folder of all runs")
    parser.add_argument("--rows", type=int, help="the first so many rows; default: all")
    parser.add_argument("--seeds", type=int, default=len(SEEDS), help="the first so many seeds; default: 3")
    parser.add_argument("--jobs", type=int, default=2, help="trainings side by side; default: 2")
    options = parser.parse_args()
    table, directory = TABLES[options.table], options.out / options.table
    # One seed of every row first: a table that is cut short is thin, not lopsided.
    jobs = [(row, seed) for seed in SEEDS[: options.seeds] for row in range(len(table.rows))[: options.rows]]
    with ThreadPoolExecutor(options.jobs) as pool:
        for _ in pool.map(lambda job: _train(directory, table, *job), jobs):
            write_atomically(directory / "table.md", _in_markdown(directory, table))
    print(_in_markdown(directory, table))


def _train(directory: Path, table: Table, row: int, seed: int) -> None:
    run, (name, changes) = _run(directory, row, seed), list(table.rows.items())[row]
    if len(_rates(run, table)) == _MEASURED:
        return
    task = next((change.removeprefix("task=") for change in changes if change.startswith("task=")), table.task)
    settings = ["num_threads=1", "evaluation.final_episodes=1", *(c for c in changes if not c.startswith("task="))]
    command = [sys.executable, "-m", "her_robot.cli", "train", task, "--config", table.config, "--out", str(run)]
    command += ["--steps", str(table.steps), "--seed", str(seed), *(f"--set={setting}" for setting in settings)]
    run.parent.mkdir(parents=True, exist_ok=True)
    with (run.parent / f"seed-{seed}.log").open("w") as log:
        status = subprocess.run(command, stdout=log, stderr=log, check=False).returncode
    found = _rates(run, table) if status == 0 else f"failed, see {log.name}"
    print(f"{name}, seed {seed}: {found}", flush=True)


def _run(directory: Path, row: int, seed: int) -> Path:
    return directory / f"row-{row}" / f"seed-{seed}"


def _rates(run: Path, table: Table) -> list[float]:
    """Success in the last evaluations of a run that has ended; empty otherwise."""
    rows = [row for row in read_progress(run / "progress.csv") if row["success_rate"]]
    ended = bool(rows) and int(rows[-1]["env_steps"]) >= table.steps
    return [float(row["success_rate"]) for row in rows[-_MEASURED:]] if ended else []


def _in_markdown(directory: Path, table: Table) -> str:
    lines = ["| | seeds | median | each seed |", "|---|---|---|---|"]
    for index, name in enumerate(table.rows):
        rates = [_rates(_run(directory, index, seed), table) for seed in SEEDS]
        each = sorted(float(np.mean(values)) for values in rates if values)
        if each:
            spread = ", ".join(f"{rate:.2f}" for rate in each)
            lines.append(f"| {name} | {len(each)} | **{np.median(each):.2f}** | {spread} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
