"""`her-robot train --seeds N`: the same training with several seeds, one after the other, and what they have in common.

Each is a process of its own: one that fails is reported, and the others go on. With `--resume`, those that have ended
are left alone, and the rest go on or begin.
"""

import subprocess
import sys
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from her_robot.configuration import write_atomically
from her_robot.errors import BundleError
from her_robot.policy.bundle import PolicyBundle
from her_robot.policy.checkpoint import has_checkpoint
from her_robot.policy.trackers import draw_median_curve, read_progress


def train_seeds(task: str, seeds: range, directory: Path, settings: list[str], limits: list[str], resume: bool) -> int:
    """Train once with each seed, below `directory`; then draw the median and the quartiles of their success.

    Args:
        task: such as fetch_push.
        seeds: one for each run.
        directory: folder of all; each run is in `seed-N` below it.
        settings: --config and --set of the command line; a run that is resumed has its own already.
        limits: --steps and --until-success of the command line.
        resume: go on with what is there.

    Returns:
        0 if every run has ended well, 1 if some have failed.
    """
    console, failed = Console(), []
    for seed in seeds:
        run = directory / f"seed-{seed}"
        if resume and _has_ended(run):
            console.print(f"seed {seed}: has ended, see {run}")
            continue
        goes_on = resume and has_checkpoint(run / "checkpoints")
        command = [sys.executable, "-m", "her_robot.cli", "train", task, "--out", str(run), *limits]
        command += ["--resume"] if goes_on else ["--seed", str(seed), *settings]
        status = subprocess.run(command, check=False).returncode
        if status == 130:
            raise KeyboardInterrupt
        if status:
            failed.append(seed)
            console.print(f"seed {seed}: failed with status {status}; the others go on")
        _draw(task, seeds, directory)
    console.print(_table(seeds, directory))
    console.print(f"median and quartiles: {directory / 'success.png'}")
    if failed:
        console.print(f"failed: seeds {', '.join(map(str, failed))}; --resume tries them again")
    return 1 if failed else 0


def _has_ended(run: Path) -> bool:
    """Whether a run has come to its end: its policy has then been measured."""
    try:
        return "success" in PolicyBundle.load(run / "policy").card
    except BundleError:
        return False


def _draw(task: str, seeds: range, directory: Path) -> None:
    curves = [_curve(directory / f"seed-{seed}") for seed in seeds]
    curves = [curve for curve in curves if len(curve[0])]
    if curves:
        write_atomically(directory / "success.png", draw_median_curve(curves, f"{task}, {len(curves)} seeds"))


def _curve(run: Path) -> tuple[np.ndarray, np.ndarray]:
    """Environment steps and success of a run's evaluations."""
    rows = [row for row in read_progress(run / "progress.csv") if row["success_rate"]]
    return np.array([int(row["env_steps"]) for row in rows]), np.array([float(row["success_rate"]) for row in rows])


def _table(seeds: range, directory: Path) -> Table:
    table = Table()
    for column in ("seed", "steps", "wall time [s]", "success", "95 % interval", "episodes"):
        table.add_column(column, justify="right")
    for seed in seeds:
        run = directory / f"seed-{seed}"
        if not _has_ended(run):
            table.add_row(str(seed), "-", "-", "failed", "", "")
            continue
        card = PolicyBundle.load(run / "policy").card
        success, (low, high) = card["success"], card["success"]["success_ci95"]
        cells = (f"{card['run']['env_steps']:,}", f"{card['run']['wall_s']:.0f}", f"{success['success_rate']:.3f}")
        table.add_row(str(seed), *cells, f"[{low:.3f}, {high:.3f}]", str(success["episodes"]))
    return table
