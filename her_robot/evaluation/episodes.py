"""Episodes and their summary, which `--json` writes."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from her_robot.errors import ConfigurationError
from her_robot.evaluation.statistics import quantiles, wilson_interval

FIRST_SEED = 1_000_000
"""Evaluation seeds start here; those of training and of its own evaluations are others."""


@dataclass(frozen=True)
class Episode:
    """One episode, judged by the truth."""

    seed: int
    success: bool
    """Whether the goal was reached at the last step."""
    distances: tuple[float, ...]
    """Distance of the achieved from the desired goal after each step [m]."""
    note: str = ""
    """What was out of the ordinary, such as why the policy never began to run."""

    @property
    def final_distance(self) -> float:
        """At the last step [m]."""
        return self.distances[-1]


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

    def summary(self) -> dict[str, Any]:
        """The evaluation as JSON values."""
        successes = sum(episode.success for episode in self.episodes)
        count = len(self.episodes)
        final = [episode.final_distance for episode in self.episodes]
        low, high = wilson_interval(successes, count) if count else (0.0, 1.0)
        return {
            "task": self.task,
            "loop": self.loop,
            "policy": self.policy,
            "episodes": count,
            "successes": successes,
            "success_rate": successes / count if count else None,
            "success_ci95": [low, high],
            "final_distance": {
                "unit": "m",
                "mean": float(np.mean(final)) if final else None,
                **quantiles(final, {"p50": 0.5, "p95": 0.95}),
            },
            "seeds": [episode.seed for episode in self.episodes],
            **self.extra,
        }


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
