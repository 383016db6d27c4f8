"""The command line. Each command imports what it needs when it runs: `her-robot --help` imports nothing heavy."""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path

from her_robot.arguments import command_parser
from her_robot.errors import HerRobotError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status: 0 done, 2 refused with a message, 130 interrupted. Commands that answer a
    question have others besides; their help says which."""
    if not os.environ.get("DISPLAY"):
        os.environ.setdefault("MUJOCO_GL", "egl")
    options = command_parser(_COMMANDS).parse_args(arguments)
    try:
        return options.run(options)
    except HerRobotError as error:
        print(f"her-robot: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("her-robot: interrupted", file=sys.stderr)
        return 130


def _tasks(options: argparse.Namespace) -> int:
    from her_robot.evaluation.console import print_tasks

    print_tasks(options.json)
    return 0


def _train(options: argparse.Namespace) -> int:
    from her_robot.errors import ConfigurationError

    if options.until_success is not None and not 0.0 < options.until_success <= 1.0:
        raise ConfigurationError(f"--until-success is {options.until_success}; it must lie between 0 and 1")
    with _training_is_installed():
        from her_robot.policy.train import train_command
    if options.sim is not None:
        options.overrides.append(f"sim={options.sim}")
        given = options.device is not None or any(text.startswith("device=") for text in options.overrides)
        if options.sim == "warp" and not given:
            options.device = "cuda"
    for key in ("device", "initial_policy", "teacher", "demonstrations"):
        if getattr(options, key) is not None:
            options.overrides.append(f"{key}={getattr(options, key)}")
    if options.seeds is not None:
        return _train_seeds(options)
    return train_command(
        options.task,
        options.config,
        options.overrides,
        options.out,
        options.seed,
        options.steps,
        options.until_success,
        options.resume,
    )


def _train_seeds(options: argparse.Namespace) -> int:
    from her_robot.errors import ConfigurationError
    from her_robot.policy.config import load_config
    from her_robot.policy.seeds import train_seeds

    if options.seeds < 1:
        raise ConfigurationError(f"--seeds is {options.seeds}; at least 1 run is needed")
    load_config(options.task, options.config, options.overrides)
    settings = ["--config", options.config] if options.config is not None else []
    settings += [text for override in options.overrides for text in ("--set", override)]
    named = {"--steps": options.steps, "--until-success": options.until_success}
    limits = [text for name, value in named.items() if value is not None for text in (name, str(value))]
    first = options.seed or 0
    directory = options.out or Path("runs") / f"{options.task}-seeds"
    return train_seeds(options.task, range(first, first + options.seeds), directory, settings, limits, options.resume)


def _demonstrate(options: argparse.Namespace) -> int:
    with _training_is_installed():
        from her_robot.policy.demonstrate import demonstrate_command
    directory = options.out or Path("demonstrations") / options.task
    return demonstrate_command(options.task, directory, options.episodes, options.seed, options.nearer_goals)


def _evaluate(options: argparse.Namespace) -> int:
    from her_robot.errors import ConfigurationError
    from her_robot.evaluation.commands import evaluate_ros, evaluate_sim

    if options.robots is None and options.faults is None:
        return evaluate_ros(options) if options.loop == "ros" else evaluate_sim(options)
    from her_robot.evaluation.robustness import evaluate_faults, evaluate_robots

    if options.loop != "ros" or (options.robots is not None and options.faults is not None):
        raise ConfigurationError("--robots and --faults belong to --loop ros, one of them at a time")
    if options.at_least is not None:
        raise ConfigurationError("--at-least is asked of one robot at a time: leave out --robots and --faults")
    if options.junit is not None and options.faults is not None:
        raise ConfigurationError("--junit is for success rates; with --faults, use --json and the exit status")
    return evaluate_faults(options) if options.robots is None else evaluate_robots(options)


def _robots(options: argparse.Namespace) -> int:
    from her_robot.evaluation.robustness import print_robots

    print_robots(options.severity)
    return 0


def _faults(_: argparse.Namespace) -> int:
    from her_robot.evaluation.robustness import print_faults

    print_faults()
    return 0


def _compare(options: argparse.Namespace) -> int:
    from her_robot.evaluation.commands import compare_reports

    return compare_reports(options.first, options.second, options.json)


def _randomization(options: argparse.Namespace) -> int:
    from her_robot.evaluation.randomization import randomization_command

    return randomization_command(options)


def _demo(options: argparse.Namespace) -> int:
    from her_robot.evaluation.commands import demo

    return demo(options.task, options.episodes, Path("reports") / f"demo-{time.strftime('%Y%m%d-%H%M%S')}")


def _identify(options: argparse.Namespace) -> int:
    from her_robot.identification.commands import identify_command

    return identify_command(options)


def _bench(options: argparse.Namespace) -> int:
    return _BENCHMARKS[options.what](options)


def _bench_env(options: argparse.Namespace) -> int:
    if options.sim == "warp":
        return _bench_warp(options)
    from her_robot.sim.benchmark import TASKS, bench_env

    bench_env(options.json, tasks=options.task or TASKS)
    return 0


def _bench_warp(options: argparse.Namespace) -> int:
    with _training_is_installed():
        from her_robot.sim.warp.installation import check_installation
    check_installation(options.device)
    from her_robot.sim.warp.benchmark import bench_warp

    bench_warp(options.json, options.device, options.worlds, options.task)
    return 0


def _bench_update(options: argparse.Namespace) -> int:
    with _training_is_installed():
        from her_robot.policy.benchmark import bench_update
    bench_update(options.json)
    return 0


def _bench_train(options: argparse.Namespace) -> int:
    with _training_is_installed():
        from her_robot.policy.comparison import bench_train
    tasks = options.task or ["fetch_push"]
    bench_train(tasks, options.budget, options.config, options.seed, options.json, options.plot)
    return 0


def _bench_latency(options: argparse.Namespace) -> int:
    from her_robot.evaluation.latency import bench_latency

    bench_latency(options.json)
    return 0


_BENCHMARKS = {"env": _bench_env, "update": _bench_update, "train": _bench_train, "latency": _bench_latency}
_COMMANDS = {
    "tasks": _tasks,
    "train": _train,
    "demonstrate": _demonstrate,
    "evaluate": _evaluate,
    "randomization": _randomization,
    "compare": _compare,
    "robots": _robots,
    "faults": _faults,
    "demo": _demo,
    "identify": _identify,
    "bench": _bench,
}


@contextmanager
def _training_is_installed():
    """What only training imports may be missing, as on a robot."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise HerRobotError(f"training needs {error.name}; install her_robot[train]") from None


if __name__ == "__main__":
    sys.exit(main())
