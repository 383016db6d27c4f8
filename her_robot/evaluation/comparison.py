"""Two policies on the same episodes: which is better, and how sure that is."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from her_robot.contract import contract_of
from her_robot.errors import ConfigurationError
from her_robot.evaluation.distance import distance_key
from her_robot.evaluation.statistics import PairedCounts, mcnemar_p_value, newcombe_interval, pairs_needed

SIGNIFICANCE = 0.05
"""A difference is called one where equally good policies would show as much in at most this share of comparisons."""
_SAME = ("task", "loop")
"""Without these alike, the same seed is not the same episode."""
_MAY_DIFFER = ("environment", "simulated_robot", "severity", "mode", "episode_steps")


def read_evaluation(path: Path) -> dict[str, Any]:
    """One evaluation, as `her-robot evaluate --json` and a report's summary.json hold it.

    Raises:
        ConfigurationError: no such file, or something else in it.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: cannot be read: {error}") from None
    except json.JSONDecodeError as error:
        raise ConfigurationError(f"{path}: not JSON: {error}") from None
    if isinstance(values, list):
        raise ConfigurationError(f"{path}: holds {len(values)} evaluations; compare two files with one in each")
    missing = [key for key in (*_SAME, "policy", "per_episode") if not isinstance(values, dict) or key not in values]
    if missing:
        raise ConfigurationError(
            f"{path}: lacks {', '.join(missing)}; expected what `her-robot evaluate --json FILE` writes"
        )
    return values


def compare(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Compare two evaluations on the seeds that both have.

    Returns:
        JSON values; docs/evaluation.md says what they are.

    Raises:
        ConfigurationError: they are of different tasks or loops, or have no seed in common.
    """
    for key in _SAME:
        if first[key] != second[key]:
            raise ConfigurationError(f"the evaluations differ in {key}: {first[key]} and {second[key]}")
    episodes_1, episodes_2 = _by_seed(first), _by_seed(second)
    seeds = sorted(episodes_1.keys() & episodes_2.keys())
    if not seeds:
        raise ConfigurationError("the evaluations have no seed in common; give both the same --seed")
    pairs = [(episodes_1[seed], episodes_2[seed]) for seed in seeds]
    counts = PairedCounts.of([one["success"] for one, _ in pairs], [two["success"] for _, two in pairs])
    p_value = mcnemar_p_value(counts)
    key = distance_key(contract_of(first["task"]))
    return {
        "task": first["task"],
        "loop": first["loop"],
        "policies": [first["policy"], second["policy"]],
        "differs_in": [key for key in _MAY_DIFFER if first.get(key) != second.get(key)],
        "ended_early": [side.get("verdict") in ("above", "below") for side in (first, second)],
        "pairs": counts.pairs,
        "left_out": len(episodes_1) + len(episodes_2) - 2 * counts.pairs,
        "both": counts.both,
        "only_first": counts.only_first,
        "only_second": counts.only_second,
        "neither": counts.neither,
        "success_rates": [(counts.both + only) / counts.pairs for only in (counts.only_first, counts.only_second)],
        "difference": counts.difference,
        "difference_ci95": list(newcombe_interval(counts)),
        "p_value": p_value,
        "better": _better(counts, p_value),
        "pairs_needed": pairs_needed(counts),
        key: _medians(pairs, key),
        "time_to_goal_s": _medians(pairs, "time_to_goal_s"),
    }


def _by_seed(evaluation: Mapping[str, Any]) -> dict[int, Mapping[str, Any]]:
    return {episode["seed"]: episode for episode in evaluation["per_episode"]}


def _better(counts: PairedCounts, p_value: float) -> str | None:
    if p_value >= SIGNIFICANCE:
        return None
    return "second" if counts.difference > 0 else "first"


def _medians(pairs: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]], key: str) -> list[float] | None:
    """Medians of both sides over the episodes in which both succeed; None where there is none."""
    values = [(one[key], two[key]) for one, two in pairs if one["success"] and two["success"]]
    return np.median(values, axis=0).tolist() if values else None
