"""`her-robot evaluate` and `her-robot demo`."""

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from her_robot.contract import contract_of
from her_robot.errors import ConfigurationError
from her_robot.evaluation.console import EpisodeProgress, print_summary
from her_robot.evaluation.episodes import FIRST_SEED, seeds_from
from her_robot.evaluation.report import prepare_directory, write_json, write_report
from her_robot.policy.bundle import PolicyBundle, shipped_bundle

if TYPE_CHECKING:
    from her_robot.evaluation.loop import LoopOptions


def evaluate_sim(options: argparse.Namespace) -> int:
    """A policy in simulation."""
    from her_robot.domain_rand.preset import load_preset
    from her_robot.evaluation.simulation import evaluate_in_simulation

    bundle = load_bundle(options.task, options.policy)
    episodes = 100 if options.episodes is None else options.episodes
    first_seed = FIRST_SEED if options.seed is None else options.seed
    seeds_from(first_seed, episodes)
    preset = load_preset(options.randomize) if options.randomize else None
    directory = prepare_directory(options.report) if options.report else None
    console = Console()
    with EpisodeProgress(console, episodes) as progress:
        evaluation = evaluate_in_simulation(bundle, episodes, first_seed, preset, options.video, progress.add)
    print_summary(console, evaluation)
    if directory:
        console.print(f"report: {write_report(directory, evaluation)}")
    if options.json:
        write_json(options.json, evaluation.summary())
    return 0


def evaluate_ros(options: argparse.Namespace) -> int:
    """A policy in the loop; 1 if the loop broke on the way."""
    from her_robot.evaluation.loop import evaluate_in_loop

    loop = loop_options(options)
    bundle = load_bundle(options.task, options.policy)
    episodes = 50 if options.episodes is None else options.episodes
    first_seed = FIRST_SEED if options.seed is None else options.seed
    seeds_from(first_seed, episodes)
    stamp = time.strftime("%Y%m%d-%H%M%S")
    directory = prepare_directory(options.report or Path("reports") / f"{options.task}-ros-{stamp}")
    console = Console()
    with EpisodeProgress(console, episodes) as progress:
        result = evaluate_in_loop(bundle, directory, episodes, first_seed, loop, progress.add)
    page = write_report(directory, result.evaluation, result.images, result.latency_ms)
    print_summary(console, result.evaluation)
    console.print(f"report: {page}")
    if options.json:
        write_json(options.json, result.evaluation.summary())
    if result.failure is not None:
        raise result.failure
    return 0


def loop_options(options: argparse.Namespace, simulated_robot: str | None = None) -> "LoopOptions":
    """How the loop is to be run, of the command line's options; `simulated_robot` in place of the one there.

    Raises:
        ConfigurationError: an option that cannot be.
    """
    from her_robot.evaluation.loop import LoopOptions

    if options.randomize or options.video:
        raise ConfigurationError("--randomize and --video belong to --loop sim; --loop ros writes a recording instead")
    return LoopOptions(
        simulated_robot=simulated_robot or options.simulated_robot,
        severity=options.severity,
        robot=options.robot,
        calibration=options.calibration,
        episode_steps=options.episode_steps,
        real_time=options.real_time,
        record=not options.no_record,
        jobs=options.jobs,
    )


def demo(task: str, episodes: int, directory: Path) -> int:
    """The shipped policy in the loop, with a few words on what is to be seen."""
    from her_robot.evaluation.loop import evaluate_in_loop

    bundle = load_bundle(task, None)
    seeds_from(FIRST_SEED, episodes)
    console = Console()
    console.print(
        f"[bold]{task}[/], in the loop: a simulated Fetch on ROS 2 topics. A camera node finds the markers in\n"
        "rendered images, a policy node moves the arm, and a scorer that knows the truth looks on."
    )
    prepare_directory(directory)
    with EpisodeProgress(console, episodes) as progress:
        result = evaluate_in_loop(bundle, directory, episodes, on_episode=progress.add)
    page = write_report(directory, result.evaluation, result.images, result.latency_ms)
    if result.failure is not None:
        raise result.failure
    print_summary(console, result.evaluation)
    console.print(
        f"\nLook at      [bold]{page}[/]  (table, curves, pictures from the robot's camera)\n"
        f"Replay       [bold]{directory / 'recording'}[/]  (Foxglove, or ros2 bag play)\n"
        f"Measure      her-robot evaluate {task} --loop ros --episodes 50\n"
        f"Train        her-robot train {task}\n"
        f"On a robot   ros2 launch her_robot {task}.launch.py   (simulated until robot:=real)"
    )
    return 0


def load_bundle(task: str, policy: Path | None) -> PolicyBundle:
    """A policy for a task; without a folder, the one that ships.

    Raises:
        HerRobotError: an unknown task, or a bundle that does not fit.
    """
    contract_of(task)
    return PolicyBundle.load(policy or shipped_bundle(task), task)
