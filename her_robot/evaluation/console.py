"""What evaluations print."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from her_robot.contract import CONTRACTS, HAND_OPTIONS, Contract, HandObjectContract, contract_of
from her_robot.evaluation.distance import distance_key, written
from her_robot.evaluation.episodes import Episode, Evaluation
from her_robot.evaluation.report import write_json
from her_robot.evaluation.sequential import ERROR, SequentialTest, Verdict, episodes_to_decide

_LINES = 10
"""How often progress is told where no bar can be drawn, as in a log."""


class EpisodeProgress:
    """A progress bar that counts episodes and successes; lines in a log."""

    def __init__(self, console: Console, episodes: int, played: int = 0) -> None:
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
        self._task = self._display.add_task("", total=episodes, completed=played, successes=0)
        self._console, self._episodes = console, episodes
        self._before = self._played = played
        self.successes = 0
        """Of the episodes that were counted here."""

    def add(self, episode: Episode) -> None:
        """Count one episode."""
        self.count(episode.success)

    def count(self, success: bool) -> None:
        """Count one episode by how it ended."""
        self._played, self.successes = self._played + 1, self.successes + success
        self._display.update(self._task, advance=1, successes=self.successes)
        another_part = self._played * _LINES // self._episodes > (self._played - 1) * _LINES // self._episodes
        if another_part and _LINES <= self._played < self._episodes and not self._console.is_terminal:
            own = self._played - self._before
            self._console.print(f"{self._played} of {self._episodes} episodes; reached {self.successes} of {own}")

    def __enter__(self) -> "EpisodeProgress":
        self._display.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._display.stop()


def print_plan(console: Console, test: SequentialTest | None, episodes: int) -> None:
    """How long an answer may take, where one is asked for."""
    if test is None:
        return
    without_a_miss = episodes_to_decide(1.0, test.rate)
    console.print(
        f"Is the success rate above {test.rate:g}? {without_a_miss} successes without a miss would show it; "
        f"at most {episodes} episodes."
    )


def print_summary(console: Console, evaluation: Evaluation) -> None:
    """The main figures of an evaluation."""
    if not evaluation.episodes:
        console.print("no episode was played to its end")
        return
    summary = evaluation.summary()
    table = Table(show_header=False, box=None, padding=(0, 2))
    _add_success(table, summary)
    final, times, contract = summary["final_distance"], summary["time_to_goal_s"], contract_of(evaluation.task)
    table.add_row(
        "final distance",
        f"median {written(final['p50'], contract, 1)}, 95 % below {written(final['p95'], contract, 1)}",
    )
    if times["reached"]:
        table.add_row("time to goal", f"median {times['p50']:.2f} s, 95 % below {times['p95']:.2f} s")
    if summary["smoothness"]["p50"] is not None:
        table.add_row("smoothness", f"median {summary['smoothness']['p50']:.2f} (spectral arc length; one reach: -1.4)")
    if "latency_ms" in summary and summary["latency_ms"]["p50"] is not None:
        _add_loop(table, summary)
    console.print(table)
    for episode in evaluation.episodes:
        if episode.note:
            console.print(f"  seed {episode.seed}: {episode.note}")
    _print_verdict(console, evaluation, summary)


def _add_success(table: Table, summary: Mapping[str, Any]) -> None:
    kind = "interval at any time" if "success_interval_anytime" in summary else "95 % interval"
    low, high = summary.get("success_interval_anytime", summary["success_ci95"])
    table.add_row(
        "success",
        f"[bold]{summary['successes']} of {summary['episodes']}[/]  {summary['success_rate']:.3f}  "
        f"{kind} [{low:.3f}, {high:.3f}]",
    )


def _add_loop(table: Table, summary: Mapping[str, Any]) -> None:
    latency, age = summary["latency_ms"], summary["age_s"].get("goal")
    table.add_row(
        "sensor to command",
        f"p50 {latency['p50']:.1f} ms, p99 {latency['p99']:.1f} ms; {summary['deadline_misses']} deadlines missed "
        f"at {summary['control_hz']:.0f} Hz ({summary['mode'].replace('_', ' ')})",
    )
    if age is not None:
        table.add_row("age of the goal", f"median {age['p50']:.2f} s, at most {age['max']:.2f} s")
    seen = summary["detections"]
    table.add_row("markers", f"{seen['seen']} poses seen, {seen['missed']} missed, {seen['rejected']} rejected")
    safety = summary["safety"]
    table.add_row("safety", f"{safety['clamped']} limited, {safety['holds']} holds, {safety['estops']} stops")
    table.add_row("wall time", f"{summary['wall_s']:.0f} s")


def _print_verdict(console: Console, evaluation: Evaluation, summary: Mapping[str, Any]) -> None:
    answer, asked = evaluation.verdict(), evaluation.at_least
    if answer is None or asked is None:
        return
    if answer is not Verdict.UNDECIDED:
        color = "green" if answer is Verdict.ABOVE else "red"
        console.print(f"[bold {color}]{answer.value} {asked:g}[/]  (wrong in at most {100 * ERROR:g} % of evaluations)")
        return
    needed = episodes_to_decide(summary["success_rate"], asked)
    going_on = f"if it goes on like this, about {needed} episodes would" if needed else "the rates are too near to tell"
    console.print(f"[bold yellow]not decided[/] whether above or below {asked:g}: {going_on}")


def print_comparison(console: Console, comparison: Mapping[str, Any]) -> None:
    """What `her-robot compare` has found."""
    console.print(f"[bold]{comparison['task']}[/], {comparison['loop']}, {comparison['pairs']} episodes that both have")
    table = Table(box=None, padding=(0, 2))
    for title in ("", "first", "second"):
        table.add_column(title, justify="left" if not title else "right")
    table.add_row("policy", *map(str, comparison["policies"]))
    table.add_row("success", *(f"{rate:.3f}" for rate in comparison["success_rates"]))
    table.add_row("alone successful", str(comparison["only_first"]), str(comparison["only_second"]))
    contract = contract_of(comparison["task"])
    final = comparison[distance_key(contract)]
    if final is not None:
        table.add_row("final distance *", *(written(value, contract, 1) for value in final))
        table.add_row("time to goal *", *(f"{value:.2f} s" for value in comparison["time_to_goal_s"]))
    console.print(table)
    console.print(f"* medians over the {comparison['both']} episodes in which both succeed", style="dim")
    low, high = comparison["difference_ci95"]
    console.print(
        f"difference {100 * comparison['difference']:+.1f} points, 95 % interval {100 * low:+.1f} to "
        f"{100 * high:+.1f}; p = {comparison['p_value']:.3g}"
    )
    console.print(f"[bold]{_conclusion(comparison)}[/]")
    if comparison["differs_in"]:
        console.print(f"They also differ in {', '.join(comparison['differs_in'])}.", style="yellow")
    if any(comparison["ended_early"]):
        console.print("One ended as soon as its rate was clear: the difference may look too large.", style="yellow")


def _conclusion(comparison: Mapping[str, Any]) -> str:
    if comparison["better"] is not None:
        return f"The {comparison['better']} is better."
    needed = comparison["pairs_needed"]
    if needed is None:
        return "No difference."
    if needed <= comparison["pairs"]:
        return "No difference is shown."
    return f"No difference is shown; to show one of this size, about {needed} episodes each would be needed."


def _tolerance(contract: Contract) -> str:
    """How near a success is, in words."""
    if not isinstance(contract, HandObjectContract):
        return f"{contract.success_distance} m"
    angle = f"{contract.success_angle} rad" + " but about z" * contract.ignores_z_rotation
    return f"{contract.success_distance} m and {angle}" if contract.position_counts else angle


def print_tasks(json_file: Path | None) -> None:
    """The contracts of all tasks; in JSON also those with options."""
    if json_file is not None:
        contracts = {**CONTRACTS, **HAND_OPTIONS}
        write_json(json_file, {name: dataclasses.asdict(contract) for name, contract in contracts.items()})
    console = Console()
    for contract in CONTRACTS.values():
        console.print(
            f"[bold]{contract.task}[/]  ({contract.environment}; {contract.episode_steps} steps of "
            f"{contract.control_period} s; success within {_tolerance(contract)})"
        )
        table = Table(box=None, padding=(0, 2), show_header=False)
        terms = [("sees", term) for term in contract.observation]
        terms += [("goal", contract.goal), *(("does", term) for term in contract.action)]
        for kind, term in terms:
            table.add_row(kind, f"{term.name} [{term.size}]".replace("[", "\\["), term.unit, term.description)
        console.print(table)
    console.print(
        "A hand's task may end in _touch (92 touch sensors are observed), in _relative (actions are relative to the "
        "measured posture), or in both: hand_block_rotate_z_touch_relative."
    )
