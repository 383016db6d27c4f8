"""`her-robot train`: from a task's name to a policy bundle in a folder.

Under torchrun the same command trains data-parallel:

    torchrun --nproc-per-node 2 -m her_robot.policy.train fetch_push --out runs/push

The process of rank 0 writes what all share; the others write their own checkpoints, and nothing else. See
docs/scaling.md.
"""

import logging
import shlex
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console

from her_robot import configuration
from her_robot.errors import CheckpointError
from her_robot.policy.allocator import keep_freed_memory
from her_robot.policy.bundle import PolicyBundle
from her_robot.policy.checkpoint import check_disk_space, has_checkpoint
from her_robot.policy.config import TrainConfig, load_config
from her_robot.policy.demonstrations import keep_demonstrations
from her_robot.policy.export import export_bundle
from her_robot.policy.memory import check_memory, replay_bytes
from her_robot.policy.processes import Processes
from her_robot.policy.trackers import ConsoleTracker, CsvTracker, CurveTracker, TensorBoardTracker
from her_robot.policy.training import Progress, Trainer

_CHANGEABLE = ("total_steps", "agent.learning_rate", "agent.action_l2", "replay.tolerance")
"""What of a configuration may change when a run is resumed; the rest is what its checkpoint depends on."""


def train_command(
    task: str,
    config: str | None = None,
    overrides: list[str] | None = None,
    out: Path | None = None,
    seed: int | None = None,
    steps: int | None = None,
    until_success: float | None = None,
    resume: bool = False,
) -> int:
    """Train, write everything to a folder, and measure the best policy over fresh seeds.

    Args:
        task: such as fetch_push.
        config: preset in config/train/ or path of a YAML file; default: the task's own preset.
        overrides: `key=value`, dotted keys.
        out: folder of the run; default: runs/<task>-seed<seed>.
        seed: overrides the configuration's.
        steps: overrides the configuration's total_steps.
        until_success: stop as soon as an evaluation in the nominal environment reaches this rate, and a second one,
            over other seeds, does so too.
        resume: go on from the newest checkpoint in `out`.

    Returns:
        The exit status.

    Raises:
        HerRobotError: anything that is wrong with the arguments, the configuration, the memory or the disk.
    """
    extra = {"seed": seed, "total_steps": steps}
    overrides = [*(overrides or []), *(f"{key}={value}" for key, value in extra.items() if value is not None)]
    directory = out or Path("runs") / f"{task}-seed{seed or 0}"
    run_config = _resumed_config(task, directory, config, overrides) if resume else load_config(task, config, overrides)
    if not resume:
        _refuse_existing_run(directory)
    console = Console()
    if run_config.sim == "warp":
        _check_warp(run_config, console)
    keep_freed_memory()
    with ExitStack() as stack:
        processes = Processes(run_config.device)
        stack.callback(processes.close)
        processes.check_equal("configuration", configuration.dump_yaml(configuration.to_mapping(run_config)))
        check_memory(run_config, processes.device, processes.count_here)
        check_disk_space(directory, processes.count_here * replay_bytes(run_config))
        trainer = Trainer(run_config, directory, processes)
        stack.callback(trainer.close)
        if resume:
            trainer.resume()
        if processes.is_writer:
            _keep_for_resuming(directory, run_config, {} if resume else trainer.policies)
        if not processes.is_writer:
            _follow(trainer, until_success)
            return 0
        _announce(console, run_config, directory, trainer)
        _run(trainer, directory, console, until_success)
    _measure(directory / "policy", run_config.evaluation.final_episodes, trainer.progress, console)
    return 0


def _run(trainer: Trainer, directory: Path, console: Console, until_success: float | None) -> None:
    config, at = trainer.config, trainer.progress.env_steps
    table = directory / "progress.csv"
    trackers = [
        CsvTracker(table, at, tuple(trainer.progress.curriculum)),
        TensorBoardTracker(directory / "tensorboard", at),
        CurveTracker(table, directory / "success.png", f"{config.task}, seed {config.seed}"),
        ConsoleTracker(console, config.total_steps, at),
    ]
    try:
        best = _best_score(directory, config)
        for progress in trainer.run(until_success):
            for tracker in trackers:
                tracker.update(progress)
            if progress.score is not None and (best is None or progress.score >= best):
                best = progress.score
                _export(trainer, progress, directory / "policy")
    finally:
        for tracker in trackers:
            tracker.close()


def _check_warp(config: TrainConfig, console: Console) -> None:
    from her_robot.sim.warp.installation import FIRST_USE, check_installation

    check_installation(config.device)
    console.print(FIRST_USE)


def _follow(trainer: Trainer, until_success: float | None) -> None:
    """Work as a process that writes nothing but its checkpoints."""
    for _ in trainer.run(until_success):
        pass


def _best_score(directory: Path, config: TrainConfig) -> float | None:
    """Score of the bundle that an earlier session of this run has exported; None where it was for another tolerance."""
    policy = directory / "policy"
    if not (policy / "policy.json").is_file():
        return None
    card = PolicyBundle.load(policy).card
    # Before there was a tolerance, all of a success was rewarded.
    comparable = card["training"]["replay"].get("tolerance", 1.0) == config.replay.tolerance
    return card["selection"]["score"] if comparable else None


def _export(trainer: Trainer, progress: Progress, directory: Path) -> None:
    selection = {
        "env_steps": progress.env_steps,
        "updates": progress.updates,
        "wall_s": round(progress.wall_s, 1),
        "score": progress.score,
        "success_rate": progress.success_rate,
        "success_rate_randomized": progress.success_rate_randomized,
        "episodes": trainer.config.evaluation.episodes,
    }
    bundle = export_bundle(trainer.learner, trainer.config, trainer.preset)
    bundle.with_card(command=shlex.join(["her-robot", *sys.argv[1:]]), selection=selection).save(directory)


def _measure(directory: Path, episodes: int, progress: Progress, console: Console) -> None:
    """Put on the bundle's card how well it does in the unmodified environment, over seeds that nothing has seen."""
    from her_robot.evaluation.simulation import evaluate_in_simulation

    bundle = PolicyBundle.load(directory)
    result = evaluate_in_simulation(bundle, episodes).summary()
    # Where the bundle lay then says nothing about it.
    del result["policy"]
    run = {"env_steps": progress.env_steps, "updates": progress.updates, "wall_s": round(progress.wall_s, 1)}
    bundle.with_card(run=run, success=result).save(directory)
    low, high = result["success_ci95"]
    console.print(
        f"{bundle.contract.environment}, unmodified: success {result['success_rate']:.3f} [{low:.3f}, {high:.3f}] "
        f"over {result['episodes']} fresh seeds"
    )
    console.print(f"policy bundle: {directory}")


def _resumed_config(task: str, directory: Path, config: str | None, overrides: list[str]) -> TrainConfig:
    path = directory / "config.yaml"
    if not has_checkpoint(directory / "checkpoints") or not path.is_file():
        raise CheckpointError(f"{directory}: no checkpoint to resume from; start the run without --resume")
    if config is not None:
        raise CheckpointError(f"--resume goes on with {path}; leave --config out")
    if refused := [override for override in overrides if override.partition("=")[0] not in _CHANGEABLE]:
        raise CheckpointError(
            f"--resume goes on with {path}; only --steps and {', '.join(_CHANGEABLE[1:])} can be changed, not "
            + ", ".join(refused)
        )
    return load_config(task, str(path), overrides)


def _refuse_existing_run(directory: Path) -> None:
    if has_checkpoint(directory / "checkpoints") or (directory / "progress.csv").exists():
        raise CheckpointError(f"{directory} already holds a run; go on with --resume, or choose another --out")


def _keep_for_resuming(directory: Path, config: TrainConfig, policies: Mapping[str, PolicyBundle]) -> None:
    """What a run goes on with when it is resumed: its configuration, and what policies and demonstrations it names."""
    for field, policy in policies.items():
        policy.save(directory / field)
    if config.demonstrations:
        keep_demonstrations(Path(config.demonstrations), directory)
    text = configuration.dump_yaml(configuration.to_mapping(config))
    configuration.write_atomically(directory / "config.yaml", text)


def _announce(console: Console, config: TrainConfig, directory: Path, trainer: Trainer) -> None:
    # Gymnasium warns of infinite observation bounds and the like; here they are Gymnasium-Robotics' own.
    logging.getLogger("gymnasium").setLevel(logging.ERROR)
    steps, processes = trainer.progress.env_steps, trainer.processes
    verb = f"resuming at {steps:,} steps" if steps else "training"
    several = f" in each of {processes.count} processes" if processes.count > 1 else ""
    console.print(
        f"[bold]{config.task}[/]: {verb} with {config.agent.algorithm} on {processes.device.type}, seed {config.seed}, "
        f"randomization {config.randomization}, {config.num_envs} environments{several} → {directory}"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """`her-robot train`, as a module for torchrun."""
    from her_robot.cli import main as command_line

    return command_line(["train", *(sys.argv[1:] if arguments is None else arguments)])


if __name__ == "__main__":
    sys.exit(main())
