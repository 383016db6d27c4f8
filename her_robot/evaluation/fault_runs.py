"""Faults played in the loop: each schedule an episode, each fault a row with what had to happen and what did."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from her_robot.errors import ConfigurationError
from her_robot.evaluation.faults import CAMERA_NODE, FaultEvent, FaultSchedule, Tick, Verdict, judge, recovered_at
from her_robot.evaluation.loop import STARTUP_STEPS, Loop, LoopOptions, started_loop
from her_robot.evaluation.side_by_side import Job, run_side_by_side
from her_robot.policy.bundle import PolicyBundle
from her_robot.sim.faults import FAULTS, RobotFault

_AFTERWARDS_S = 0.4
"""An episode goes on for so long after its last fault is over, whatever is expected [s]."""


@dataclass(frozen=True)
class FaultRow:
    """One fault of one episode."""

    name: str
    """Of the schedule."""
    seed: int
    """Of the episode."""
    event: FaultEvent
    verdict: Verdict

    def summary(self) -> dict[str, Any]:
        """As JSON values."""
        event = {"kind": self.event.kind, "at_s": self.event.at, "lasts_s": self.event.lasts}
        return {"faults": self.name, "seed": self.seed, **event, **asdict(self.verdict)}


def play_faults(
    bundle: PolicyBundle,
    directory: Path,
    schedules: Mapping[str, FaultSchedule],
    seeds: Sequence[int],
    options: LoopOptions,
    on_rows: Callable[[Sequence[FaultRow]], None] = lambda rows: None,
) -> list[FaultRow]:
    """Play each schedule once for each seed.

    Args:
        bundle: the policy.
        directory: logs and recordings go here.
        schedules: by name.
        seeds: of the scenes.
        options: how the loop is run.
        on_rows: called after each episode.

    Raises:
        ConfigurationError: a clock is to jump, but time passes by itself.
        LoopError: the loop broke, in a way that no fault explains.
    """
    if options.real_time and any(e.kind == "clock_jump" for schedule in schedules.values() for e in schedule.events):
        raise ConfigurationError("clock_jump: in real time /clock is nobody's to set; leave out --real-time")
    episodes = [(name, seed) for name in schedules for seed in seeds]
    shares = [episodes[index :: options.jobs] for index in range(min(options.jobs, len(episodes)))]

    def play(job: Job) -> dict[tuple[str, int], list[FaultRow]]:
        played = {}
        with started_loop(bundle, job, options) as loop:
            for name, seed in shares[job.index]:
                played[name, seed] = _play(loop, name, schedules[name], seed)
                on_rows(played[name, seed])
        return played

    rows = {key: value for played in run_side_by_side(play, len(shares), directory) for key, value in played.items()}
    return [row for episode in episodes for row in rows[episode]]


def _play(loop: Loop, name: str, schedule: FaultSchedule, seed: int) -> list[FaultRow]:
    """One episode: looking, homing, then the policy with the faults, until the last one is over and recovered from."""
    node, period = loop.node, loop.contract.control_period
    node.begin_episode(seed)
    ticks: list[Tick] = []
    active: FaultEvent | None = None
    if _runs(node):
        ticks.append(_observe(node, 0.0, {"phase": "running"}))
        while not _is_over(schedule, ticks):
            time = ticks[-1].time + period
            due = schedule.active(time)
            if due is not active:
                if active is not None:
                    _end(loop, active)
                if due is not None:
                    _begin(loop, due)
                active = due
            ticks.append(_observe(node, time, node.tick()))
    node.end_episode()
    return [FaultRow(name, seed, event, judge(event, ticks, loop.contract)) for event in schedule.events]


def _runs(node: Any) -> bool:
    """Let time pass until the policy runs."""
    return any(int(node.tick().get("steps", 0)) > 0 for _ in range(STARTUP_STEPS))


def _is_over(schedule: FaultSchedule, ticks: Sequence[Tick]) -> bool:
    last, now = schedule.events[-1], ticks[-1].time
    if now < last.end + _AFTERWARDS_S:
        return False
    waits = last.recover_within is not None and recovered_at(last, ticks) is None
    return not waits or now > last.end + (last.recover_within or 0.0)


def _observe(node: Any, time: float, status: Mapping[str, str]) -> Tick:
    return Tick(
        time=time,
        phase=status.get("phase", ""),
        reason=status.get("reason", ""),
        steps=int(status.get("steps", 0)),
        tips=node.heard.tip_positions().copy(),
        reference=tuple(node.heard.reference()),
    )


def _begin(loop: Loop, event: FaultEvent) -> None:
    if event.kind in FAULTS:
        loop.node.set_faults(str(RobotFault(event.kind, event.by)))
    elif event.kind == "clock_jump":
        loop.node.set_clock_offset(event.by)
    elif event.kind == "stop_requested":
        loop.node.request("stop")
    elif event.node is not None:
        node = _process(loop, event.node)
        loop.node.lose(node)
        loop.processes.kill(node)


def _end(loop: Loop, event: FaultEvent) -> None:
    if event.kind in FAULTS:
        loop.node.set_faults("")
    elif event.kind == "clock_jump":
        loop.node.set_clock_offset(0.0)
    elif event.kind == "stop_requested":
        loop.node.request("rearm")
    elif event.node is not None:
        node = _process(loop, event.node)
        loop.processes.restart(node)
        loop.node.rejoin(node)


def _process(loop: Loop, node: str) -> str:
    """What a node that can be killed is called in this loop."""
    return loop.node.seeing_node if node == CAMERA_NODE else node
