"""What each ingredient of `fast` is worth: take it away, train again with three seeds, and look at what is left.

    python examples/ablation.py --out runs/ablation

Two trainings run side by side, each on one core. What has ended is not done again, so it can be interrupted at any
time. The table is written in Markdown, to table.md.
"""

import argparse
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from her_robot.configuration import write_atomically
from her_robot.policy.trackers import read_progress

TASK, STEPS, SEEDS = "fetch_push", 19_200, (1, 2, 3)
_MEASURED = 2
"""The last so many evaluations of a run count, of 100 episodes each."""

ROWS: dict[str, list[str]] = {
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
}
"""What is changed, as `--set` of `her-robot train --config fast`."""


def main() -> None:
    """Train what has not been trained yet, then write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/ablation"), help="folder of all runs")
    parser.add_argument("--rows", type=int, default=len(ROWS), help="the first so many rows; default: all")
    parser.add_argument("--jobs", type=int, default=2, help="trainings side by side; default: 2")
    options = parser.parse_args()
    # One seed of every row first: a table that is cut short is thin, not lopsided.
    jobs = [(row, seed) for seed in SEEDS for row in range(len(ROWS))[: options.rows]]
    with ThreadPoolExecutor(options.jobs) as pool:
        for _ in pool.map(lambda job: _train(options.out, *job), jobs):
            write_atomically(options.out / "table.md", _table(options.out))
    print(_table(options.out))


def _train(directory: Path, row: int, seed: int) -> None:
    run = directory / f"row-{row}" / f"seed-{seed}"
    if len(_rates(run)) == _MEASURED:
        return
    changes = ["num_threads=1", "evaluation.final_episodes=1", *list(ROWS.values())[row]]
    command = [sys.executable, "-m", "her_robot.cli", "train", TASK, "--config", "fast", "--out", str(run)]
    command += ["--steps", str(STEPS), "--seed", str(seed), *(f"--set={change}" for change in changes)]
    run.parent.mkdir(parents=True, exist_ok=True)
    with (run.parent / f"seed-{seed}.log").open("w") as log:
        status = subprocess.run(command, stdout=log, stderr=log, check=False).returncode
    name = list(ROWS)[row]
    print(f"{name}, seed {seed}: {_rates(run)}" if status == 0 else f"{name}, seed {seed}: failed, see {log.name}")


def _rates(run: Path) -> list[float]:
    """Success in the last evaluations of a run that has ended; empty otherwise."""
    rows = [row for row in read_progress(run / "progress.csv") if row["success_rate"]]
    ended = bool(rows) and int(rows[-1]["env_steps"]) >= STEPS
    return [float(row["success_rate"]) for row in rows[-_MEASURED:]] if ended else []


def _table(directory: Path) -> str:
    lines = ["| | seeds | median | each seed |", "|---|---|---|---|"]
    for index, name in enumerate(ROWS):
        rates = [_rates(directory / f"row-{index}" / f"seed-{seed}") for seed in SEEDS]
        each = sorted(float(np.mean(values)) for values in rates if values)
        if each:
            spread = ", ".join(f"{rate:.2f}" for rate in each)
            lines.append(f"| {name} | {len(each)} | **{np.median(each):.2f}** | {spread} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
