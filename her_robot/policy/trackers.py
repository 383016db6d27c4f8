"""What watches a training run: a table on disk, TensorBoard, a curve, a progress bar. All consume `Progress`."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as ProgressDisplay

from her_robot.configuration import write_atomically
from her_robot.policy.training import Progress

_COLUMNS: tuple[str, ...] = (
    "env_steps",
    "updates",
    "episodes",
    "wall_s",
    "simulation_s",
    "learning_s",
    "success_rate",
    "success_rate_randomized",
    "score",
    "exploring_success_rate",
    "critic_loss",
    "mean_value",
)


def row_of(progress: Progress) -> dict[str, Any]:
    """One line of progress.csv; empty where nothing was measured."""
    losses = progress.losses
    values = {
        **{name: getattr(progress, name, None) for name in _COLUMNS},
        "critic_loss": losses.critic if losses else None,
        "mean_value": losses.value if losses else None,
        **progress.curriculum,
    }
    return {name: "" if value is None else value for name, value in values.items()}


class CsvTracker:
    """Appends to progress.csv. After a resume, rows beyond the checkpoint are dropped: they will be measured again."""

    def __init__(self, path: Path, resumed_at: int, more: Sequence[str] = ()) -> None:
        """
        Args:
            path: the table.
            resumed_at: environment steps that a run goes on from.
            more: names of further columns.
        """
        columns = (*_COLUMNS, *more)
        rows = [row for row in read_progress(path) if int(row["env_steps"]) <= resumed_at]
        text = io.StringIO()
        writer = csv.DictWriter(text, columns)
        writer.writeheader()
        writer.writerows(rows)
        write_atomically(path, text.getvalue())
        self._file = path.open("a", newline="", encoding="utf-8")
        self._writer = csv.DictWriter(self._file, columns)

    def update(self, progress: Progress) -> None:
        self._writer.writerow(row_of(progress))
        self._file.flush()

    def close(self) -> None:
        self._file.close()


class TensorBoardTracker:
    """Writes scalars as TensorBoard events."""

    def __init__(self, directory: Path, resumed_at: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(directory), purge_step=resumed_at + 1)

    def update(self, progress: Progress) -> None:
        for name, value in row_of(progress).items():
            if name != "env_steps" and value != "":
                self._writer.add_scalar(name, value, progress.env_steps)

    def close(self) -> None:
        self._writer.close()


class CurveTracker:
    """Draws success against environment steps, after every evaluation."""

    def __init__(self, table: Path, path: Path, title: str) -> None:
        self._table, self._path, self._title = table, path, title

    def update(self, progress: Progress) -> None:
        if progress.success_rate is not None:
            self.close()

    def close(self) -> None:
        rows = [row for row in read_progress(self._table) if row["success_rate"]]
        if rows:
            write_atomically(self._path, draw_curve(rows, self._title))


class ConsoleTracker:
    """A progress bar with what one wants to know while waiting."""

    def __init__(self, console: Console, total_steps: int, resumed_at: int) -> None:
        self._display = ProgressDisplay(
            TextColumn("[bold]{task.completed:,.0f}[/] / {task.total:,.0f} steps"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[status]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=console,
        )
        self._task = self._display.add_task("", total=total_steps, completed=resumed_at, status="starting")
        self._begun: tuple[int, float] | None = None
        self._success = "not measured yet"
        self._display.start()

    def update(self, progress: Progress) -> None:
        if progress.success_rate is not None:
            self._success = f"{progress.success_rate:.2f}"
            if progress.success_rate_randomized is not None:
                self._success += f" ({progress.success_rate_randomized:.2f} randomised)"
            if not self._display.console.is_terminal:
                self._display.console.print(
                    f"{progress.env_steps:>9,} steps  {progress.updates:>8,} updates  {progress.wall_s:>7.0f} s  "
                    f"success {self._success}"
                )
        if self._begun is None:
            self._begun = (progress.env_steps, progress.wall_s)
            rate = progress.env_steps / progress.wall_s
        else:
            steps, wall_s = self._begun
            rate = (progress.env_steps - steps) / max(progress.wall_s - wall_s, 1e-9)
        status = f"{progress.updates:,} updates · {rate:,.0f} steps/s · success {self._success}"
        self._display.update(self._task, completed=progress.env_steps, status=status)

    def close(self) -> None:
        self._display.stop()


def read_progress(path: Path) -> list[dict[str, str]]:
    """Rows of a progress.csv; none where there is no file. A last line that a crash cut short is left out."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [row for row in rows if None not in row.values() and row["env_steps"].isdigit()]


def draw_curve(rows: list[dict[str, str]], title: str) -> bytes:
    """A PNG of success rates against environment steps."""
    figure, axes = _success_axes(title)
    steps = [int(row["env_steps"]) for row in rows]
    for column, label in (("success_rate", "nominal"), ("success_rate_randomized", "randomised")):
        points = [(step, float(row[column])) for step, row in zip(steps, rows, strict=True) if row[column]]
        if points:
            axes.plot(*zip(*points, strict=True), marker=".", label=label)
    return _png(figure, axes)


def draw_median_curve(curves: list[tuple[np.ndarray, np.ndarray]], title: str) -> bytes:
    """A PNG of the median and the quartiles of several runs' success.

    Args:
        curves: environment steps (k,) and success (k,) of each run; one that ended early stays where it ended.
        title: of the picture.
    """
    steps = np.unique(np.concatenate([at for at, _ in curves]))
    success = np.array([np.interp(steps, at, rate) for at, rate in curves])
    low, median, high = np.quantile(success, [0.25, 0.5, 0.75], axis=0)
    figure, axes = _success_axes(title)
    axes.fill_between(steps, low, high, alpha=0.25, label="quartiles")
    axes.plot(steps, median, marker=".", label="median")
    return _png(figure, axes)


def _success_axes(title: str):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), dpi=120, layout="constrained")
    axes = figure.subplots()
    axes.set(xlabel="environment steps", ylabel="success at the last step", ylim=(-0.02, 1.02), title=title)
    axes.grid(alpha=0.3)
    return figure, axes


def _png(figure, axes) -> bytes:
    axes.legend(loc="lower right")
    image = io.BytesIO()
    figure.savefig(image, format="png")
    return image.getvalue()
