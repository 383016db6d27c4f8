"""`her-robot train`: from a task's name to a policy bundle in a folder."""

import logging
import shlex
import sys
from pathlib import Path

from rich.console import Console

from her_robot import configuration
from her_robot.errors import CheckpointError
from her_robot.policy.bundle import PolicyBundle
from her_robot.policy.checkpoint import check_disk_space, has_checkpoint
from her_robot.policy.config import TrainConfig, load_config
from her_robot.policy.export import export_bundle
from her_robot.policy.trackers import ConsoleTracker, CsvTracker, CurveTracker, TensorBoardTracker
from her_robot.policy.training import Progress, Trainer

_FINAL_EPISODES = 200


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
        until_success: stop as soon as an evaluation in the nominal environment reaches this rate.
        resume: go on from the newest checkpoint in `out`.

    Returns:
        The exit status.

    Raises:
        HerRobotError: anything that is wrong with the arguments, the configuration, or the disk.
    """
    extra = {"seed": seed, "total_steps": steps}
    overrides = [*(overrides or []), *(f"{key}={value}" for key, value in extra.items() if value is not None)]
    directory = out or Path("runs") / f"{task}-seed{seed or 0}"
    run_config = _resumed_config(task, directory, config, overrides) if resume else load_config(task, config, overrides)
    if not resume:
        _refuse_existing_run(directory)
    console = Console()
    check_disk_space(directory, _largest_checkpoint(run_config))
    trainer = Trainer(run_config, directory)
    try:
        if resume:
            trainer.resume()
        else:
            _write_config(directory, run_config)
        _announce(console, run_config, directory, trainer.progress)
        _run(trainer, directory, console, until_success)
    finally:
        trainer.close()
    _measure(directory / "policy", trainer.progress, console)
    return 0


def _run(trainer: Trainer, directory: Path, console: Console, until_success: float | None) -> None:
    config, at = trainer.config, trainer.progress.env_steps
    table = directory / "progress.csv"
    trackers = [
        CsvTracker(table, at),
        TensorBoardTracker(directory / "tensorboard", at),
        CurveTracker(table, directory / "success.png", f"{config.task}, seed {config.seed}"),
        ConsoleTracker(console, config.total_steps, at),
    ]
    try:
        best = _best_score(directory)
        for progress in trainer.run():
            for tracker in trackers:
                tracker.update(progress)
            if progress.success_rate is None:
                continue
            if best is None or _score(progress) >= best:
                best = _score(progress)
                _export(trainer, progress, directory / "policy")
            if until_success is not None and progress.success_rate >= until_success:
                trainer.save()
                break
    finally:
        for tracker in trackers:
            tracker.close()


def _score(progress: Progress) -> float:
    """What the exported policy is chosen by: success where it is nominal and where it is randomised, equally."""
    rates = [progress.success_rate, progress.success_rate_randomized]
    known = [rate for rate in rates if rate is not None]
    return sum(known) / len(known)


def _best_score(directory: Path) -> float | None:
    """Score of the bundle that an earlier session of this run has exported."""
    policy = directory / "policy"
    return PolicyBundle.load(policy).card["selection"]["score"] if (policy / "policy.json").is_file() else None


def _export(trainer: Trainer, progress: Progress, directory: Path) -> None:
    selection = {
        "env_steps": progress.env_steps,
        "updates": progress.updates,
        "wall_s": round(progress.wall_s, 1),
        "score": _score(progress),
        "success_rate": progress.success_rate,
        "success_rate_randomized": progress.success_rate_randomized,
        "episodes": trainer.config.evaluation.episodes,
    }
    bundle = export_bundle(trainer.learner, trainer.config, trainer.preset)
    bundle.with_card(command=shlex.join(["her-robot", *sys.argv[1:]]), selection=selection).save(directory)


def _measure(directory: Path, progress: Progress, console: Console) -> None:
    """Put on the bundle's card how well it does in the unmodified environment, over seeds that nothing has seen."""
    from her_robot.evaluation.simulation import evaluate_in_simulation

    bundle = PolicyBundle.load(directory)
    result = evaluate_in_simulation(bundle, _FINAL_EPISODES).summary()
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
    allowed = [override for override in overrides if override.startswith("total_steps=")]
    if allowed != overrides:
        changed = ", ".join(override for override in overrides if override not in allowed)
        raise CheckpointError(f"--resume goes on with {path}; only --steps can be changed, not {changed}")
    return load_config(task, str(path), overrides)


def _refuse_existing_run(directory: Path) -> None:
    if has_checkpoint(directory / "checkpoints") or (directory / "progress.csv").exists():
        raise CheckpointError(f"{directory} already holds a run; go on with --resume, or choose another --out")


def _write_config(directory: Path, config: TrainConfig) -> None:
    text = configuration.dump_yaml(configuration.to_mapping(config))
    configuration.write_atomically(directory / "config.yaml", text)


def _largest_checkpoint(config: TrainConfig) -> int:
    """Bytes of a checkpoint at the end of the run, but for the networks, which are small."""
    from her_robot.contract import contract_of

    contract = contract_of(config.task)
    floats_per_step = contract.observation_size + contract.goal_size + contract.action_size
    return 4 * floats_per_step * min(config.buffer_steps, config.total_steps)


def _announce(console: Console, config: TrainConfig, directory: Path, progress: Progress) -> None:
    # Gymnasium warns of infinite observation bounds and the like; here they are Gymnasium-Robotics' own.
    logging.getLogger("gymnasium").setLevel(logging.ERROR)
    verb = f"resuming at {progress.env_steps:,} steps" if progress.env_steps else "training"
    console.print(
        f"[bold]{config.task}[/]: {verb}, seed {config.seed}, randomization {config.randomization}, "
        f"{config.num_envs} environments → {directory}"
    )
