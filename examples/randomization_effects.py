"""Which randomised parameter matters to a policy: its success with each alone, and with all but it.

    python examples/randomization_effects.py fetch_push --preset peng2017
    python examples/randomization_effects.py hand_reach --preset dactyl --policy DIR
    python examples/randomization_effects.py fetch_push --preset robot_late --episode-steps 100 --split actuation

Of the Fetch it is also shown what each does by itself: the policy's actions of nominal episodes are played again, and
motions are compared. What has been measured is kept in `effects.json` and not measured again, so it can be interrupted
at any time. Written are `table.md` and `success.png`, with 95 % Wilson intervals.
"""

import argparse
import io
import json
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode
from matplotlib.figure import Figure

from her_robot.configuration import to_mapping, write_atomically
from her_robot.contract import RobotState
from her_robot.domain_rand.preset import RandomizationPreset, load_preset
from her_robot.errors import HerRobotError
from her_robot.evaluation.statistics import wilson_interval
from her_robot.policy.bundle import PolicyBundle, shipped_bundle
from her_robot.sim.goal_env import BatchedGoalEnv

NOTHING, ALL = "nothing", "all"
SECTIONS = ("actuation", "sensing", "timing", "pushes")
_COLORS = {"alone": "#2a6f97", "all_but": "#c1666b"}


@dataclass(frozen=True)
class Motion:
    """Of a batch of episodes."""

    actions: np.ndarray
    """(steps, episodes, action_size)."""
    grip: np.ndarray
    """Of the Fetch: position, world frame (steps, episodes, 3) [m]. Empty of others."""
    achieved: np.ndarray
    """Achieved goal at the end (episodes, goal_size)."""
    successes: int
    """Episodes that ended at their goal."""


def main() -> None:
    """Measure what has not been measured, and write table and plot after every row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", help="such as fetch_push")
    parser.add_argument("--preset", default="peng2017", help="default: peng2017")
    parser.add_argument("--policy", type=Path, help="policy bundle; default: the shipped one")
    parser.add_argument("--episodes", type=int, default=100, help="of each row; default: 100")
    parser.add_argument("--episode-steps", type=int, help="control periods; default: as many as the task has")
    parser.add_argument(
        "--split", choices=SECTIONS, nargs="*", default=[], help="sections of which each field has a row of its own"
    )
    parser.add_argument("--out", type=Path, help="default: reports/effects-TASK-PRESET")
    options = parser.parse_args()
    policy = PolicyBundle.load(options.policy or shipped_bundle(options.task), options.task)
    preset = load_preset(options.preset)
    directory = options.out or Path("reports") / f"effects-{options.task}-{Path(options.preset).stem}"
    setting = {
        "task": options.task,
        "policy": str(policy.path),
        "episodes": options.episodes,
        "episode_steps": options.episode_steps or policy.contract.episode_steps,
        "preset": to_mapping(preset),
    }
    rows = read_rows(directory / "effects.json", setting)
    play_all = partial(play, policy, episodes=options.episodes, steps=setting["episode_steps"])
    nominal = play_all(None)
    rows[NOTHING] = {"alone": nominal.successes}
    for name, part in parts(preset, options.split):
        if name not in rows:
            rows[name] = measure(play_all, part, without(preset, name), nominal)
        write_atomically(directory / "effects.json", json.dumps({"setting": setting, "rows": rows}, indent=2))
        write_atomically(directory / "table.md", table(rows, options.episodes))
        write_atomically(directory / "success.png", plot(rows, options.episodes))
    print(table(rows, options.episodes), end="")


def read_rows(path: Path, setting: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """What has been measured already.

    Raises:
        HerRobotError: the file is of another task, policy, preset or number of episodes.
    """
    if not path.is_file():
        return {}
    kept = json.loads(path.read_text(encoding="utf-8"))
    for name, value in json.loads(json.dumps(setting)).items():
        if kept["setting"].get(name) != value:
            raise HerRobotError(f"{path} was measured with another {name}; choose another --out")
    return kept["rows"]


def measure(
    play_all: Callable[..., Motion], part: RandomizationPreset, rest: RandomizationPreset | None, nominal: Motion
) -> dict[str, float]:
    """One row: successes with a part alone and with the rest; of the Fetch, how far motions differ [mm]."""
    row: dict[str, float] = {"alone": play_all(part).successes}
    if rest is not None:
        row["all_but"] = play_all(rest).successes
    if nominal.grip.size:
        again = play_all(part, actions=nominal.actions)
        grip = np.linalg.norm(again.grip - nominal.grip, axis=2).max(axis=0)
        moved = np.linalg.norm((again.achieved - nominal.achieved)[:, :2], axis=1)
        row |= {"grip_mm": 1000 * float(np.median(grip)), "object_mm": 1000 * float(np.median(moved))}
    return row


def parts(preset: RandomizationPreset, split: Collection[str] = ()) -> Iterator[tuple[str, RandomizationPreset]]:
    """Each entry of a preset's physics and each other section alone, and each field of those to split, then all,
    without nominal episodes."""
    nothing = RandomizationPreset(nominal_fraction=0.0)
    for name, variation in preset.physics.items():
        yield f"physics.{name}", replace(nothing, physics={name: variation})
    for section in ("object_yaw", "finger_gap", *SECTIONS):
        value, default = getattr(preset, section), getattr(nothing, section)
        if value == default:
            continue
        yield section, replace(nothing, **{section: value})
        for field in fields(value) if section in split else ():
            if (entry := getattr(value, field.name)) != getattr(default, field.name):
                yield f"{section}.{field.name}", replace(nothing, **{section: replace(default, **{field.name: entry})})
    yield ALL, replace(preset, nominal_fraction=0.0)


def without(preset: RandomizationPreset, name: str) -> RandomizationPreset | None:
    """All but one part, without nominal episodes; None for all."""
    if name == ALL:
        return None
    section, _, entry = name.partition(".")
    whole, nothing = getattr(preset, section), getattr(RandomizationPreset(), section)
    if section == "physics":
        rest: Any = {key: value for key, value in whole.items() if key != entry}
    else:
        rest = replace(whole, **{entry: getattr(nothing, entry)}) if entry else nothing
    return replace(preset, nominal_fraction=0.0, **{section: rest})


def play(
    policy: PolicyBundle,
    preset: RandomizationPreset | None,
    episodes: int,
    steps: int,
    actions: np.ndarray | None = None,
) -> Motion:
    """Episodes of so many steps with the seeds 0, 1, ...; with `actions` (steps, episodes, action_size), whatever the
    policy would do."""
    task = policy.contract.task
    env = BatchedGoalEnv(task, episodes, randomization=preset, autoreset_mode=AutoresetMode.DISABLED)
    observation, info = env.reset(seed=0)
    memory, taken, grip = policy.memory(), [], []
    for step in range(steps):
        own = policy.act(observation["observation"], observation["desired_goal"], memory)
        taken.append(own if actions is None else actions[step])
        observation, _, _, _, info = env.step(taken[-1])
        if isinstance(state := env.simulation.state(), RobotState):
            grip.append(state.grip_position)
    env.close()
    return Motion(np.array(taken), np.array(grip), observation["achieved_goal"], int(info["is_success"].sum()))


def table(rows: Mapping[str, Mapping[str, float]], episodes: int) -> str:
    """In Markdown: success and its interval, and how far motions differ where that is known."""
    moves = any("grip_mm" in row for row in rows.values())
    head = ["", "alone", "all but it", *(("gripper, mm", "object, mm") if moves else ())]
    lines = [head, ["---"] * len(head)]
    for name, row in rows.items():
        cells = [_written(row.get(column), episodes) for column in ("alone", "all_but")]
        distances = [f"{row.get(column, 0.0):.1f}" for column in ("grip_mm", "object_mm")] if moves else []
        lines.append([f"`{name}`" if name not in (NOTHING, ALL) else name, *cells, *distances])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def plot(rows: Mapping[str, Mapping[str, float]], episodes: int) -> bytes:
    """A PNG with a bar for each success, and its interval."""
    figure = Figure(figsize=(8, 0.5 * len(rows) + 1.2), layout="constrained")
    axes = figure.subplots()
    for offset, (column, color) in zip((-0.2, 0.2), _COLORS.items(), strict=True):
        found = [(place, row[column]) for place, row in enumerate(rows.values()) if column in row]
        if not found:
            continue
        places, successes = np.array(found).T
        low, high = np.array([wilson_interval(int(count), episodes) for count in successes]).T
        rate = successes / episodes
        errors = [rate - low, high - rate]
        label = column.replace("all_but", "all but it")
        axes.barh(places + offset, rate, 0.4, xerr=errors, color=color, label=label, capsize=2)
    axes.set_yticks(range(len(rows)), list(rows))
    axes.invert_yaxis()
    axes.set_xlim(0.0, 1.0)
    axes.set_xlabel(f"success in {episodes} episodes, with 95 % Wilson intervals")
    figure.legend(loc="outside lower right", ncols=2)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()


def _written(successes: float | None, episodes: int) -> str:
    if successes is None:
        return ""
    low, high = wilson_interval(int(successes), episodes)
    return f"{successes / episodes:.2f} [{low:.2f}, {high:.2f}]"


if __name__ == "__main__":
    main()
