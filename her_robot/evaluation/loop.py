"""A policy in the loop: nodes, messages and rendered images, a simulated robot, and a scorer that knows the truth."""

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from her_robot import resources
from her_robot.contract import Contract, HandContract
from her_robot.errors import ConfigurationError, LoopError
from her_robot.evaluation.episodes import FIRST_SEED, Episode, Evaluation, seeds_from, worst_first
from her_robot.evaluation.film import Film, WorstEpisodeFilm
from her_robot.evaluation.processes import NodeProcesses
from her_robot.evaluation.recording import Recording
from her_robot.evaluation.side_by_side import LARGEST_COUNT, Job, run_side_by_side
from her_robot.evaluation.telemetry import TelemetryLog
from her_robot.policy.bundle import PolicyBundle
from her_robot.robot.hand_profile import load_hand_profile
from her_robot.robot.profile import load_profile
from her_robot.robot.setup import default_setup
from her_robot.sim.differences import check_severity

STARTUP_STEPS = 400
"""Control periods in which homing must be done, and object and goal seen."""


@dataclass(frozen=True)
class LoopOptions:
    """How the loop is run."""

    simulated_robot: str = ""
    """Simulated robot in config/simulated_robots/, of a hand in config/simulated_hands/; default: one that fits."""
    severity: float = 1.0
    """How much a simulated robot that is described by its differences differs, 0 (not at all) ... 2."""
    robot: str = ""
    """Robot profile in config/robots/; default: one that fits the task."""
    calibration: str = ""
    """Calibration in calibration/; default: one that fits the task."""
    episode_steps: int = 100
    """Control periods of an episode. An arm that keeps its joints' limits takes about twice as long as the gripper in
    Gymnasium-Robotics, which is dragged at 10 m/s^2: 4 s here, 2 s there."""
    real_time: bool = False
    """Let time pass by itself; otherwise in lockstep, as fast as the machine can."""
    record: bool = True
    """Write an MCAP recording."""
    jobs: int = 1
    """Simulated robots that are evaluated side by side."""

    def __post_init__(self) -> None:
        check_severity(self.severity)
        if not 1 <= self.jobs <= LARGEST_COUNT:
            raise ConfigurationError(f"--jobs is {self.jobs}; it must lie in 1 ... {LARGEST_COUNT}")
        if self.episode_steps < 1:
            raise ConfigurationError(f"--episode-steps is {self.episode_steps}; at least 1 is needed")

    def for_task(self, contract: Contract) -> "LoopOptions":
        """The same with names in place of the defaults."""
        default = default_setup(contract)
        return replace(
            self,
            simulated_robot=self.simulated_robot or default.simulated_robot,
            robot=self.robot or default.robot,
            calibration=self.calibration or default.calibration,
        )


@dataclass(frozen=True)
class LoopResult:
    """An evaluation in the loop, and what its report shows."""

    evaluation: Evaluation
    images: Mapping[int, np.ndarray]
    """The camera's last image of each episode, by seed, RGB uint8."""
    film: Film | None
    """What the camera saw of the worst episode."""
    failure: LoopError | None
    """What ended the evaluation early."""


def evaluate_in_loop(
    bundle: PolicyBundle,
    directory: Path,
    episodes: int = 50,
    first_seed: int = FIRST_SEED,
    options: LoopOptions | None = None,
    on_episode: Callable[[Episode], bool | None] = lambda episode: None,
) -> LoopResult:
    """Play episodes through the nodes, and judge them by the truth at the last step.

    Args:
        bundle: the policy.
        directory: logs and the recording go here.
        episodes: how many, each with a seed of its own.
        first_seed: seed of the first.
        options: how the loop is run.
        on_episode: called after each episode; True ends the evaluation.

    Returns:
        What was measured. A node that died or fell silent is in `failure`; the episodes before it count.

    Raises:
        LoopError: the nodes did not come up at all.
    """
    options = (options or LoopOptions()).for_task(bundle.contract)
    seeds = seeds_from(first_seed, episodes)
    shares = [seeds[index :: options.jobs] for index in range(min(options.jobs, len(seeds)))]
    begun = time.monotonic()
    lock, ended = threading.Lock(), threading.Event()

    def notify(episode: Episode) -> bool:
        """Whether the evaluation is to end, in all loops."""
        with lock:
            if on_episode(episode):
                ended.set()
        return ended.is_set()

    def play(job: Job) -> _Played:
        return _play_share(bundle, job, shares[job.index], options, notify)

    played = _merged(run_side_by_side(play, len(shares), directory))
    extra = _measurements(played, bundle.contract, time.monotonic() - begun, options)
    evaluation = Evaluation(bundle.contract.task, "ros", str(bundle.path), tuple(played.episodes), extra)
    return LoopResult(evaluation, played.images, played.film, played.failure)


@dataclass
class Loop:
    """Deployed nodes, a simulated robot, and a scorer, which have found each other."""

    node: Any
    """The scorer, an `Evaluator`."""
    processes: NodeProcesses
    """All other nodes."""
    contract: Contract
    """Of the task."""


@contextmanager
def started_loop(bundle: PolicyBundle, job: Job, options: LoopOptions) -> Iterator[Loop]:
    """Start the nodes on the job's domain; stop them at the end.

    Raises:
        LoopError: the nodes did not come up.
    """
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    profiles = resources.share_directory() / "config/dds/shared_memory.xml"
    os.environ.setdefault("FASTDDS_DEFAULT_PROFILES_FILE", str(profiles))
    from her_robot.ros_nodes.evaluator_node import evaluator, shut_down

    options = options.for_task(bundle.contract)
    processes = NodeProcesses(job.directory / "logs", {"ROS_DOMAIN_ID": str(job.domain_id)})

    def check() -> None:
        job.check()
        processes.check()

    recording = Recording(job.directory / "recording") if options.record else None
    topics = _trajectory_topics(bundle.contract, options.robot)
    node = evaluator(job.domain_id, bundle.contract, topics, not options.real_time, check, recording)
    try:
        _start_nodes(processes, bundle, options)
        node.wait_for_nodes()
        yield Loop(node, processes, bundle.contract)
    finally:
        processes.stop()
        shut_down(node)
        if recording is not None:
            recording.close()


@dataclass
class _Played:
    """What one loop, or several, have played."""

    episodes: list[Episode] = field(default_factory=list)
    images: dict[int, np.ndarray] = field(default_factory=dict)
    film: Film | None = None
    detections: dict[str, int] = field(default_factory=dict)
    lost_images: int = 0
    failure: LoopError | None = None


def _play_share(
    bundle: PolicyBundle,
    job: Job,
    seeds: Sequence[int],
    options: LoopOptions,
    on_episode: Callable[[Episode], bool],
) -> _Played:
    """Episodes of some seeds, in one loop."""
    played, worst = _Played(), WorstEpisodeFilm()
    with started_loop(bundle, job, options) as loop:
        node = loop.node
        try:
            for seed in seeds:
                episode = _play(node, seed, bundle.contract, options.episode_steps)
                played.episodes.append(episode)
                played.images[seed] = node.heard.newest_image()
                worst.offer(episode, node.heard.frames, bundle.contract.control_period * len(episode.distances))
                if on_episode(episode):
                    break
        except LoopError as error:
            played.failure = error
        played.film, played.detections, played.lost_images = worst.film, node.heard.detections(), node.lost_images
    return played


def _merged(shares: Sequence[_Played]) -> _Played:
    """What all loops have played, in the order of the seeds."""
    merged = _Played()
    merged.episodes = sorted((episode for share in shares for episode in share.episodes), key=lambda e: e.seed)
    films = {share.film.seed: share.film for share in shares if share.film is not None}
    filmed = worst_first([episode for episode in merged.episodes if episode.seed in films])
    merged.film = films[filmed[0].seed] if filmed else None
    for share in shares:
        merged.images |= share.images
        for name, count in share.detections.items():
            merged.detections[name] = merged.detections.get(name, 0) + count
        merged.lost_images += share.lost_images
        merged.failure = merged.failure or share.failure
    return merged


def _trajectory_topics(contract: Contract, robot: str) -> list[str]:
    """Topics of the controllers that a robot profile has."""
    if isinstance(contract, HandContract):
        return [controller.topic for controller in load_hand_profile(robot).controllers]
    return [load_profile(robot).topics.joint_trajectory]


def _start_nodes(processes: NodeProcesses, bundle: PolicyBundle, options: LoopOptions) -> None:
    task, sim_time = bundle.contract.task, {"use_sim_time": True}
    mode = {"mode": "real_time", "publish_clock": True} if options.real_time else {"mode": "lockstep"}
    robot = {"simulated_robot": options.simulated_robot, "severity": float(options.severity)}
    processes.start("sim_robot_node", {"task": task, **robot, **mode})
    if not isinstance(bundle.contract, HandContract):
        processes.start("camera_goal_node", {"task": task, "calibration": options.calibration, **sim_time})
    elif bundle.contract.has_object:
        processes.start("object_pose_node", {"calibration": options.calibration, **sim_time})
    policy = {"policy": bundle.path, "robot": options.robot, "calibration": options.calibration}
    # In lockstep, what is lost is not made up for by what comes after it.
    policy["input_reliability"] = "reliable"
    processes.start("policy_node", {"task": task, **policy, **sim_time})


def _play(node: Any, seed: int, contract: Contract, episode_steps: int) -> Episode:
    """One episode: looking and homing, then `episode_steps` control periods with the policy."""
    log = TelemetryLog(node.heard.status("policy_node"))
    node.begin_episode(seed)
    distances: list[float] = []
    positions: list[tuple[float, float, float] | None] = []
    status: dict[str, str] = {}
    note = ""
    for _ in range(STARTUP_STEPS + episode_steps):
        status = node.tick()
        log.add(status, node.heard.seeing_status())
        steps = int(status.get("steps", 0))
        if steps > 1:
            # What the actions before this one have led to.
            distances.append(node.heard.distance())
            positions.append(node.heard.tool_position())
        if steps >= episode_steps:
            break
    else:
        note = f"only {status.get('steps', 0)} of {episode_steps} steps: {status.get('phase')}"
        note += f", {status['reason']}" if status.get("reason") else ""
    node.advance()
    distances.append(node.heard.distance())
    positions.append(node.heard.tool_position())
    node.end_episode()
    success = not note and distances[-1] < contract.success_threshold
    tool = tuple(position for position in positions if position is not None)
    return Episode(seed, success, tuple(distances), note, tool, log.result())


def _measurements(played: _Played, contract: Contract, wall_s: float, options: LoopOptions) -> dict[str, Any]:
    return {
        "mode": "real_time" if options.real_time else "lockstep",
        "simulated_robot": options.simulated_robot,
        "severity": options.severity,
        "episode_steps": options.episode_steps,
        "control_hz": 1.0 / contract.control_period,
        "detections": played.detections,
        "lost_images": played.lost_images,
        "jobs": options.jobs,
        "wall_s": round(wall_s, 1),
        "failure": str(played.failure) if played.failure else None,
    }
