"""`her-robot evaluate`, `her-robot compare` and `her-robot demo`."""

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from her_robot.contract import contract_of
from her_robot.errors import ConfigurationError
from her_robot.evaluation.comparison import compare, read_evaluation
from her_robot.evaluation.console import EpisodeProgress, print_comparison, print_plan, print_summary
from her_robot.evaluation.episodes import FIRST_SEED, Episode, Evaluation, seeds_from, worst_first
from her_robot.evaluation.junit import write_junit
from her_robot.evaluation.page import MOST_PICTURES, Section
from her_robot.evaluation.report import prepare_directory, to_json, write_json, write_report
from her_robot.evaluation.sequential import SequentialTest, Verdict
from her_robot.policy.bundle import PolicyBundle, shipped_bundle

if TYPE_CHECKING:
    from her_robot.evaluation.loop import LoopOptions

_EPISODES = {"sim": 100, "ros": 50}
_EPISODES_AT_MOST = {"sim": 1000, "ros": 300}
"""Where a rate is asked about: most evaluations end long before."""
_EXIT_STATUS = {None: 0, Verdict.ABOVE: 0, Verdict.BELOW: 1, Verdict.UNDECIDED: 3}


def evaluate_sim(options: argparse.Namespace) -> int:
    """A policy in simulation; 1 if it is below the rate asked for, 3 if that is not decided."""
    from her_robot.domain_rand.preset import load_preset
    from her_robot.evaluation.simulation import evaluate_in_simulation

    bundle = load_bundle(options.task, options.policy)
    test, episodes, first_seed = _plan(options)
    preset = load_preset(options.randomize) if options.randomize else None
    directory = prepare_directory(options.report) if options.report else None
    console = Console()
    print_plan(console, test, episodes)
    with EpisodeProgress(console, episodes) as progress:
        observe = _observer(progress, test)
        evaluation = evaluate_in_simulation(bundle, episodes, first_seed, preset, options.video, observe)
    evaluation = evaluation.asked(options.at_least)
    print_summary(console, evaluation)
    if directory:
        console.print(f"report: {write_report(directory, [_filmed(bundle, evaluation, preset is None)])}")
    _write(options, [evaluation])
    return _EXIT_STATUS[evaluation.verdict()]


def evaluate_ros(options: argparse.Namespace) -> int:
    """A policy in the loop; 1 if it is below the rate asked for, 3 if that is not decided.

    Raises:
        LoopError: the loop broke on the way. What came before is written.
    """
    from her_robot.evaluation.loop import evaluate_in_loop

    loop = loop_options(options)
    bundle = load_bundle(options.task, options.policy)
    test, episodes, first_seed = _plan(options)
    stamp = time.strftime("%Y%m%d-%H%M%S")
    directory = prepare_directory(options.report or Path("reports") / f"{options.task}-ros-{stamp}")
    console = Console()
    print_plan(console, test, episodes)
    with EpisodeProgress(console, episodes) as progress:
        result = evaluate_in_loop(bundle, directory, episodes, first_seed, loop, _observer(progress, test))
    evaluation = result.evaluation.asked(options.at_least)
    page = write_report(directory, [Section(evaluation, images=result.images, film=result.film)])
    print_summary(console, evaluation)
    console.print(f"report: {page}")
    _write(options, [evaluation])
    if result.failure is not None:
        raise result.failure
    return _EXIT_STATUS[evaluation.verdict()]


def compare_reports(first: Path, second: Path, json_file: Path | None) -> int:
    """Two evaluations of the same episodes; 1 if the second policy is worse than the first."""
    comparison = compare(read_evaluation(first), read_evaluation(second))
    print_comparison(Console(), comparison)
    if json_file is not None:
        write_json(json_file, comparison)
    return 1 if comparison["better"] == "first" else 0


def loop_options(options: argparse.Namespace, simulated_robot: str | None = None) -> "LoopOptions":
    """How the loop is to be run, of the command line's options; `simulated_robot` in place of the one there.

    Raises:
        ConfigurationError: an option that cannot be.
    """
    from her_robot.evaluation.loop import LoopOptions
    from her_robot.sim.simulated_robot import ROBOT_TASKS, has_robot

    if not has_robot(contract_of(options.task).task):
        raise ConfigurationError(
            f"{options.task}: no simulated robot has this object yet; --loop sim measures it. In the loop: "
            f"{', '.join(ROBOT_TASKS)}"
        )
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
    page = write_report(directory, [Section(result.evaluation, images=result.images, film=result.film)])
    if result.failure is not None:
        raise result.failure
    print_summary(console, result.evaluation)
    console.print(
        f"\nLook at      [bold]{page}[/]  (figures, curves, latencies, a film from the robot's camera)\n"
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


def _plan(options: argparse.Namespace) -> tuple[SequentialTest | None, int, int]:
    """What is asked, how many episodes at most, and the first seed.

    Raises:
        ConfigurationError: an impossible number.
    """
    if options.at_least is not None and not 0.0 < options.at_least < 1.0:
        raise ConfigurationError(f"--at-least is {options.at_least:g}; it must lie between 0 and 1, such as 0.9")
    test = SequentialTest(options.at_least) if options.at_least is not None else None
    default = _EPISODES_AT_MOST if test else _EPISODES
    episodes = default[options.loop] if options.episodes is None else options.episodes
    first_seed = FIRST_SEED if options.seed is None else options.seed
    seeds_from(first_seed, episodes)
    return test, episodes, first_seed


def _observer(progress: EpisodeProgress, test: SequentialTest | None) -> Callable[[Episode], bool]:
    """Counts episodes, and says when to end."""

    def observe(episode: Episode) -> bool:
        progress.add(episode)
        return test is not None and test.add(episode.success) is not Verdict.UNDECIDED

    return observe


def _filmed(bundle: PolicyBundle, evaluation: Evaluation, repeatable: bool) -> Section:
    """A report's section with pictures of an evaluation in simulation, whose worst episodes are played again."""
    from her_robot.evaluation.simulation import film_episode, last_image

    if not repeatable:
        return Section(evaluation)
    worst = worst_first(evaluation.episodes)
    failures = [episode.seed for episode in worst if not episode.success][:MOST_PICTURES]
    images = {seed: last_image(bundle, seed) for seed in failures}
    return Section(evaluation, images=images, film=film_episode(bundle, worst[0].seed))


def _write(options: argparse.Namespace, evaluations: Sequence[Evaluation]) -> None:
    if options.json:
        write_json(options.json, to_json(evaluations))
    if options.junit:
        write_junit(options.junit, evaluations)
