"""What evaluations print."""

import dataclasses
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from her_robot.contract import CONTRACTS
from her_robot.evaluation.episodes import Episode, Evaluation
from her_robot.evaluation.report import write_json


class EpisodeProgress:
    """A progress bar that counts episodes and successes."""

    def __init__(self, console: Console, episodes: int) -> None:
        self._display = Progress(
            TextColumn("episodes"),
            MofNCompleteColumn(),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[successes]} reached"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )
        self._task = self._display.add_task("", total=episodes, successes=0)
        self._successes = 0

    def add(self, episode: Episode) -> None:
        """Count one episode."""
        self._successes += episode.success
        self._display.update(self._task, advance=1, successes=self._successes)

    def __enter__(self) -> "EpisodeProgress":
        self._display.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._display.stop()


def print_summary(console: Console, evaluation: Evaluation) -> None:
    """The main figures of an evaluation."""
    summary = evaluation.summary()
    if not evaluation.episodes:
        console.print("no episode was played to its end")
        return
    low, high = summary["success_ci95"]
    final = summary["final_distance"]
    table = Table(show_header=False, box=None, padding=(0, 2))
    table.add_row(
        "success",
        f"[bold]{summary['successes']} of {summary['episodes']}[/]  {summary['success_rate']:.3f}  "
        f"95 % interval [{low:.3f}, {high:.3f}]",
    )
    table.add_row("final distance", f"median {1000 * final['p50']:.1f} mm, 95 % below {1000 * final['p95']:.1f} mm")
    if "latency_ms" in summary and summary["latency_ms"]["p50"] is not None:
        latency = summary["latency_ms"]
        table.add_row(
            "sensor to command",
            f"p50 {latency['p50']:.1f} ms, p99 {latency['p99']:.1f} ms; {summary['deadline_misses']} deadlines missed "
            f"at {summary['control_hz']:.0f} Hz ({summary['mode'].replace('_', ' ')})",
        )
        seen = summary["detections"]
        table.add_row("markers", f"{seen['seen']} poses seen, {seen['missed']} missed, {seen['rejected']} rejected")
        safety = summary["safety"]
        table.add_row("safety", f"{safety['clamped']} clamped, {safety['holds']} holds, {safety['estops']} stops")
        table.add_row("wall time", f"{summary['wall_s']:.0f} s")
    console.print(table)
    for episode in evaluation.episodes:
        if episode.note:
            console.print(f"  seed {episode.seed}: {episode.note}")


def print_tasks(json_file: Path | None) -> None:
    """The contracts of all tasks."""
    if json_file is not None:
        write_json(json_file, {name: dataclasses.asdict(contract) for name, contract in CONTRACTS.items()})
    console = Console()
    for contract in CONTRACTS.values():
        console.print(
            f"[bold]{contract.task}[/]  ({contract.environment}; {contract.episode_steps} steps of "
            f"{contract.control_period} s; success within {contract.success_distance} m)"
        )
        table = Table(box=None, padding=(0, 2), show_header=False)
        terms = [("sees", term) for term in contract.observation]
        terms += [("goal", contract.goal), *(("does", term) for term in contract.action)]
        for kind, term in terms:
            table.add_row(kind, f"{term.name} [{term.size}]".replace("[", "\\["), term.unit, term.description)
        console.print(table)
