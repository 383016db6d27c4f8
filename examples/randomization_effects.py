"""What each entry of a randomisation preset does by itself: to where the gripper and the object go, and to success.

    python examples/randomization_effects.py fetch_push --preset peng2017

First the shipped policy plays episodes of the unmodified environment. Then, for each entry of the preset alone and for
all together, its very actions are played again, and the motion is compared; and it plays anew, seeing what it does.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from her_robot.domain_rand.preset import RandomizationPreset, load_preset
from her_robot.policy.bundle import PolicyBundle, shipped_bundle
from her_robot.sim.goal_env import BatchedGoalEnv


@dataclass(frozen=True)
class Motion:
    """Of a batch of episodes."""

    actions: np.ndarray
    """(steps, episodes, 4)."""
    grip: np.ndarray
    """Position, world frame (steps, episodes, 3) [m]."""
    achieved: np.ndarray
    """Achieved goal at the end (episodes, 3) [m]."""
    success: float
    """Share of the episodes that ended at their goal."""


def main() -> None:
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", help="such as fetch_push")
    parser.add_argument("--preset", default="peng2017", help="default: peng2017")
    parser.add_argument("--episodes", type=int, default=40, help="default: 40")
    options = parser.parse_args()
    policy = PolicyBundle.load(shipped_bundle(options.task), options.task)
    preset = load_preset(options.preset)
    nominal = play(policy, None, options.episodes)
    print("| | gripper, mm | object, mm | success |\n|---|---|---|---|")
    print(f"| nothing | 0 | 0 | {nominal.success:.2f} |")
    for name, part in parts(preset):
        again = play(policy, part, options.episodes, nominal.actions)
        grip = 1000 * np.linalg.norm(again.grip - nominal.grip, axis=2).max(axis=0)
        moved = 1000 * np.linalg.norm((again.achieved - nominal.achieved)[:, :2], axis=1)
        success = play(policy, part, options.episodes).success
        print(f"| {name} | {np.median(grip):.1f} | {np.median(moved):.1f} | {success:.2f} |", flush=True)


def parts(preset: RandomizationPreset) -> Iterator[tuple[str, RandomizationPreset]]:
    """Each entry of a preset's physics and each other section alone, then all, without nominal episodes."""
    for name, variation in preset.physics.items():
        yield f"`physics.{name}`", RandomizationPreset(0.0, physics={name: variation})
    nothing = RandomizationPreset()
    for section in ("object_yaw", "actuation", "sensing", "timing", "pushes"):
        value = getattr(preset, section)
        if value != getattr(nothing, section):
            yield f"`{section}`", replace(nothing, nominal_fraction=0.0, **{section: value})
    yield "all", replace(preset, nominal_fraction=0.0)


def play(
    policy: PolicyBundle, preset: RandomizationPreset | None, episodes: int, actions: np.ndarray | None = None
) -> Motion:
    """Episodes with the seeds 0, 1, ...; with `actions` (steps, episodes, 4), whatever the policy would do."""
    env = BatchedGoalEnv(policy.contract.task, episodes, randomization=preset)
    observation, info = env.reset(seed=0)
    memory, taken, grip = policy.memory(), [], []
    for step in range(policy.contract.episode_steps):
        own = policy.act(observation["observation"], observation["desired_goal"], memory)
        taken.append(own if actions is None else actions[step])
        observation, _, _, truncated, info = env.step(taken[-1])
        # An environment that has ended an episode begins another; the gripper would be back at its start.
        if not truncated.any():
            grip.append(env.simulation.state().grip_position)
    env.close()
    achieved = info["final_obs"]["achieved_goal"]
    return Motion(np.array(taken), np.array(grip), achieved, float(info["is_success"].mean()))


if __name__ == "__main__":
    main()
