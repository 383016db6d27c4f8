"""Episodes and what is made of them: the summary, and the JSON that `--json` writes (docs/evaluation.md)."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from her_robot.contract import contract_of
from her_robot.errors import ConfigurationError
from her_robot.evaluation.distance import distance_key
from her_robot.evaluation.metrics import spectral_arc_length, speeds, time_to_goal
from her_robot.evaluation.sequential import Verdict, anytime_interval, verdict
from her_robot.evaluation.statistics import quantiles, wilson_interval
from her_robot.evaluation.telemetry import Telemetry

FIRST_SEED = 1_000_000
"""Evaluation seeds start here; those of training and of its own evaluations are others."""
SCHEMA_VERSION = 2
"""Of the JSON. It grows when a key changes its meaning or goes, not when one is added."""
_LATENCY_QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}
_SAFETY_COUNTS = ("clamped", "holds", "estops")


@dataclass(frozen=True)
class Episode:
    """One episode, judged by the truth."""

    seed: int
    success: bool
    """Whether the goal was reached at the last step."""
    distances: tuple[float, ...]
    """Distance of the achieved from the desired goal after each step [distance_unit of the contract]."""
    note: str = ""
    """What was out of the ordinary, such as why the policy never began to run."""
    grip_positions: tuple[tuple[float, float, float], ...] = ()
    """Where the point between the fingers truly was after each step [m]; empty where that is not known."""
    telemetry: Telemetry | None = None
    """What the nodes reported; None in simulation, where there are none."""

    @property
    def final_distance(self) -> float:
        """At the last step [distance_unit of the contract]."""
        return self.distances[-1]


def worst_first(episodes: Sequence[Episode]) -> list[Episode]:
    """Failures before successes, the larger final distance before the smaller."""
    return sorted(episodes, key=lambda episode: (episode.success, -episode.final_distance))


@dataclass(frozen=True)
class Evaluation:
    """A number of episodes of one task."""

    task: str
    loop: str
    """`sim`: the unmodified Gymnasium-Robotics environment; `ros`: the robot in the loop."""
    policy: str
    episodes: tuple[Episode, ...]
    extra: dict[str, Any] = field(default_factory=dict)
    """Further entries of the summary."""
    at_least: float | None = None
    """The success rate that was asked about, whose answer may have ended the evaluation early."""

    def asked(self, at_least: float | None) -> "Evaluation":
        """The same evaluation as the answer to whether the success rate is above `at_least`."""
        return replace(self, at_least=at_least)

    def summary(self) -> dict[str, Any]:
        """The evaluation as JSON values, without its single episodes."""
        successes = sum(episode.success for episode in self.episodes)
        count = len(self.episodes)
        final = [episode.final_distance for episode in self.episodes]
        times = [seconds for episode in self.episodes if (seconds := self.time_to_goal(episode)) is not None]
        smoothness = [value for episode in self.episodes if (value := self.smoothness(episode)) is not None]
        return {
            "schema_version": SCHEMA_VERSION,
            "task": self.task,
            "loop": self.loop,
            "policy": self.policy,
            "episodes": count,
            "successes": successes,
            "success_rate": successes / count if count else None,
            "success_ci95": list(wilson_interval(successes, count)) if count else [0.0, 1.0],
            **self._answer(successes, count),
            "final_distance": {
                "unit": contract_of(self.task).distance_unit,
                "mean": float(np.mean(final)) if final else None,
                **quantiles(final, {"p50": 0.5, "p95": 0.95}),
            },
            "time_to_goal_s": {"reached": len(times), **quantiles(times, {"p50": 0.5, "p95": 0.95, "max": 1.0})},
            "smoothness": quantiles(smoothness, {"p05": 0.05, "p50": 0.5}),
            "seeds": [episode.seed for episode in self.episodes],
            **self._telemetry(),
            **self.extra,
        }

    def to_json(self) -> dict[str, Any]:
        """The summary, and every episode."""
        return {**self.summary(), "per_episode": [self._episode(episode) for episode in self.episodes]}

    def verdict(self) -> Verdict | None:
        """The answer to `at_least`; None where nothing was asked."""
        if self.at_least is None:
            return None
        return verdict(sum(episode.success for episode in self.episodes), len(self.episodes), self.at_least)

    def time_to_goal(self, episode: Episode) -> float | None:
        """Of one of its episodes [s]; None where it ends away from the goal."""
        contract = contract_of(self.task)
        return time_to_goal(episode.distances, contract.success_threshold, contract.control_period)

    def smoothness(self, episode: Episode) -> float | None:
        """Spectral arc length of the gripper's speed in one of its episodes; None where that is not known."""
        period = contract_of(self.task).control_period
        if len(episode.grip_positions) < 2:
            return None
        return spectral_arc_length(speeds(np.array(episode.grip_positions), period), period)

    def latency_ms(self) -> dict[str, list[float]]:
        """Of all episodes, by stage."""
        return self._gathered("latency_ms")

    def age_s(self) -> dict[str, list[float]]:
        """How old the measurements were that the policy acted on, of all episodes, by kind."""
        return self._gathered("age_s")

    def _gathered(self, name: str) -> dict[str, list[float]]:
        values: dict[str, list[float]] = {}
        for episode in self.episodes:
            if episode.telemetry is not None:
                for key, measured in getattr(episode.telemetry, name).items():
                    values.setdefault(key, []).extend(measured)
        return values

    def _answer(self, successes: int, count: int) -> dict[str, Any]:
        answer = self.verdict()
        if answer is None:
            return {}
        interval = anytime_interval(successes, count)
        return {"at_least": self.at_least, "verdict": answer.value, "success_interval_anytime": list(interval)}

    def _telemetry(self) -> dict[str, Any]:
        reported = [episode.telemetry for episode in self.episodes if episode.telemetry is not None]
        if self.loop != "ros":
            return {}
        stages = {stage: quantiles(values, _LATENCY_QUANTILES) for stage, values in self.latency_ms().items()}
        return {
            "latency_ms": stages.get("sensor_to_command", dict.fromkeys(_LATENCY_QUANTILES)),
            "latency_stages_ms": stages,
            "age_s": {name: quantiles(values, _LATENCY_QUANTILES) for name, values in self.age_s().items()},
            "deadline_misses": sum(telemetry.deadline_misses for telemetry in reported),
            "safety": {name: sum(getattr(telemetry, name) for telemetry in reported) for name in _SAFETY_COUNTS},
        }

    def _episode(self, episode: Episode) -> dict[str, Any]:
        values = {
            "seed": episode.seed,
            "success": episode.success,
            distance_key(contract_of(self.task)): episode.final_distance,
            "time_to_goal_s": self.time_to_goal(episode),
            "smoothness": self.smoothness(episode),
            "note": episode.note,
        }
        if episode.telemetry is not None:
            values |= {name: getattr(episode.telemetry, name) for name in (*_SAFETY_COUNTS, "deadline_misses")}
            values["goal_age_max_s"] = max(episode.telemetry.age_s.get("goal", ()), default=None)
            values["sensor_to_command_max_ms"] = max(
                episode.telemetry.latency_ms.get("sensor_to_command", ()), default=None
            )
        return values


def seeds_from(first: int, episodes: int) -> Sequence[int]:
    """Seeds of an evaluation.

    Raises:
        ConfigurationError: fewer than one episode, or a negative seed.
    """
    if episodes < 1:
        raise ConfigurationError(f"--episodes is {episodes}; at least 1 is needed")
    if first < 0:
        raise ConfigurationError(f"--seed is {first}; it must not be negative")
    return range(first, first + episodes)
