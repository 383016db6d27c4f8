"""What each command of `her-robot` is asked with: its options and its help."""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

from her_robot import __version__

_EXAMPLES = """examples:
  her-robot demo                                  the shipped policy with a simulated robot in the loop
  her-robot train fetch_reach                     train a policy from nothing, in a minute or two
  her-robot train fetch_push --resume             go on after an interruption
  her-robot demonstrate hand_egg_rotate           a planner shows how an egg is turned, for train --demonstrations
  her-robot evaluate fetch_push --episodes 200    success in the unmodified Gymnasium-Robotics environment
  her-robot randomization fetch_push --preset robot_loop   what a policy meets in training
  her-robot evaluate fetch_push --loop ros        success of the deployed nodes, from camera images alone
  her-robot compare old.json new.json             which of two evaluated policies is better
  her-robot evaluate fetch_push --loop ros --robots all    the same on robots that no training has seen
  her-robot evaluate fetch_push --loop ros --faults all    what the nodes do when something breaks
  her-robot identify --bag motion                 a simulated robot that moves as a recorded one
"""

_IDENTIFY = """\
Fit the simulated robot to a recording of a robot: for each joint of the arm stiffness and damping of the controller,
armature, dry and viscous friction; and the delay of commands. The recorded commands are replayed in simulation, and the
parameters changed until it moves as the robot did. Every fourth second of the recording takes no part in that, and
tells how good the result is. What the recording does not tell is named, and stays near its start.
"""
_IDENTIFY_EXAMPLES = """the recording, an MCAP file or rosbag2 folder, holds
  /joint_states                    positions and velocities, 50 Hz or more, stamped, without gaps
  /arm_controller/joint_trajectory all commands; or /policy_node/command_sent, as `her-robot evaluate` records it
of 20 to 60 s in which the arm moves in free air, every joint by 0.1 rad or more, slowly and fast.

examples:
  her-robot identify --excite motion.yaml                    write such a motion, and say how to record it
  her-robot identify --bag motion --plot fit.png             see what can be identified, and how well it fits
  her-robot identify --bag motion --simulated-robot my.yaml  then: her-robot evaluate ... --simulated-robot my.yaml
  her-robot identify --bag motion --out preset.yaml          then: her-robot train ... --set randomization=preset.yaml
  her-robot identify --bag motion --fix armature             the armature is known from a data sheet

More in docs/identification.md.
"""


def command_parser(runs: Mapping[str, Callable[[argparse.Namespace], int]]) -> argparse.ArgumentParser:
    """The parser of all commands; what runs each of them, by name, will be `run` of what it parses."""
    parser = argparse.ArgumentParser(
        prog="her-robot",
        description="Goal-reaching policies for robots: train in simulation, deploy over ROS 2, prove it in the loop.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"her_robot {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_tasks(commands)
    _add_train(commands)
    _add_demonstrate(commands)
    _add_evaluate(commands)
    _add_randomization(commands)
    _add_compare(commands)
    _add_robots(commands)
    _add_faults(commands)
    _add_demo(commands)
    _add_identify(commands)
    _add_bench(commands)
    for name, command in commands.choices.items():
        command.set_defaults(run=runs[name])
    return parser


def _add_tasks(commands) -> None:
    parser = commands.add_parser("tasks", help="list the tasks, and what a policy sees and does in each")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the contracts as JSON")


def _add_train(commands) -> None:
    parser = commands.add_parser(
        "train",
        help="train a policy",
        description="Train a policy with hindsight experience replay: DDPG, TD3 or SAC. The run's folder holds "
        "config.yaml, progress.csv, TensorBoard events, success.png, checkpoints and, in policy/, the best so far.",
    )
    parser.add_argument("task", metavar="TASK", help="such as fetch_push; `her-robot tasks` lists them")
    parser.add_argument(
        "--config",
        metavar="NAME|FILE",
        help="preset in config/train/ (such as `published`) or YAML file; default: the preset of the task's name",
    )
    parser.add_argument(
        "--set",
        dest="overrides",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="change one value of the configuration, such as agent.gamma=0.99; may be repeated",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder of the run; default: runs/TASK-seedN")
    parser.add_argument("--seed", type=int, metavar="N", help="seed of everything that is random; default: 0")
    parser.add_argument(
        "--seeds",
        type=int,
        metavar="N",
        help="train N times, with seeds from --seed on, and draw the median and the quartiles; one that fails does not "
        "stop the others",
    )
    parser.add_argument("--steps", type=int, metavar="N", help="environment steps in all")
    parser.add_argument("--device", choices=("cpu", "cuda"), help="where the networks live; the same as --set device=")
    parser.add_argument(
        "--sim",
        choices=("cpu", "warp"),
        help="`warp` simulates on the GPU, by MuJoCo Warp, and takes --device cuda unless told otherwise (docs/gpu.md)",
    )
    parser.add_argument(
        "--until-success",
        type=float,
        metavar="RATE",
        help="stop as soon as an evaluation reaches this rate, such as 0.95, and another one confirms it",
    )
    parser.add_argument("--resume", action="store_true", help="go on from the newest checkpoint of the run's folder")
    parser.add_argument(
        "--from",
        dest="initial_policy",
        metavar="DIR",
        help="begin with this trained policy, a bundle's folder or `shipped`, such as to fit it to another "
        "randomisation; its critics are learnt first",
    )
    parser.add_argument(
        "--teacher",
        metavar="DIR",
        help="let this trained policy, or the `shipped` one, show the new one what to do: it acts in "
        "exploration.guided_episodes and is imitated with the weight agent.imitation",
    )
    parser.add_argument(
        "--demonstrations",
        metavar="DIR",
        help="learn from these episodes of `her-robot demonstrate`, too: replay.demonstrated says how much of a batch",
    )


def _add_demonstrate(commands) -> None:
    parser = commands.add_parser(
        "demonstrate",
        help="let a planner that knows the simulation show how an object is turned in the hand",
        description="Plays episodes of a task with an object in the hand, and keeps each in a file, for `her-robot "
        "train --demonstrations`. In every control period the planner tries 40 plans in copies of the simulation, and "
        "takes the best. An episode takes about 15 s on two cores. Run it again to go on, or for more episodes.",
    )
    parser.add_argument("task", metavar="TASK", help="such as hand_egg_rotate; `her-robot tasks` lists them")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder; default: demonstrations/TASK")
    parser.add_argument("--episodes", type=int, default=100, metavar="N", help="default: 100")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the first episode; default: 0")
    parser.add_argument(
        "--nearer-goals",
        type=float,
        default=0.5,
        metavar="SHARE",
        help="of episodes whose goal is anywhere on the way to what the task asks for; default: 0.5",
    )


def _add_evaluate(commands) -> None:
    parser = commands.add_parser(
        "evaluate",
        help="measure how well a policy works",
        description="Deterministic episodes, judged at the last step, with a Wilson interval. `--loop sim` plays in "
        "the unmodified Gymnasium-Robotics environment; `--loop ros` starts the deployed ROS 2 nodes with a simulated "
        "robot and scores them by a truth that they do not see.",
        epilog="exit status: 0 done, and above --at-least if that is given; 1 below it; 3 not decided; 2 refused, or "
        "the loop broke",
    )
    parser.add_argument("task", metavar="TASK", help="such as fetch_push; `her-robot tasks` lists them")
    parser.add_argument("--policy", type=Path, metavar="DIR", help="policy bundle; default: the shipped one")
    parser.add_argument("--episodes", type=int, metavar="N", help="default: 100 for sim, 50 for ros")
    parser.add_argument("--seed", type=int, metavar="N", help="seed of the first episode; default: 1000000")
    parser.add_argument("--loop", choices=("sim", "ros"), default="sim", help="default: sim")
    parser.add_argument("--randomize", metavar="PRESET", help="randomise the simulation (--loop sim)")
    parser.add_argument(
        "--at-least",
        type=float,
        metavar="RATE",
        help="end as soon as success is clearly above or below this rate, such as 0.9; --episodes is then the most, "
        "1000 for sim and 300 for ros if not given",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the summary and every episode as JSON")
    parser.add_argument("--junit", type=Path, metavar="FILE", help="write test results as JUnit XML, for CI")
    parser.add_argument(
        "--report", type=Path, metavar="DIR", help="write a report; default for ros: reports/TASK-ros-TIME"
    )
    parser.add_argument("--video", type=Path, metavar="FILE", help="write an MP4 of all episodes (--loop sim)")
    loop = parser.add_argument_group("robot in the loop (--loop ros)")
    loop.add_argument(
        "--robot", default="", metavar="NAME|FILE", help="profile in config/robots/; default: by the task"
    )
    loop.add_argument(
        "--simulated-robot",
        default="",
        metavar="NAME|FILE",
        help="in config/simulated_robots/, which `her-robot robots` lists, or of a hand in config/simulated_hands/; "
        "default: by the task",
    )
    loop.add_argument(
        "--robots", metavar="all|NAME,...", help="several simulated robots in turn, and a table of their successes"
    )
    loop.add_argument(
        "--severity",
        type=float,
        default=1.0,
        metavar="S",
        help="how much simulated robots differ from `fetch` or `shadow_hand`: 0 (not at all) ... 2; default: 1",
    )
    loop.add_argument(
        "--faults",
        metavar="all|NAME|FILE,...",
        help="break things on a schedule (config/faults/; `her-robot faults` lists them), and check what happens",
    )
    loop.add_argument("--jobs", type=int, default=1, metavar="N", help="simulated robots side by side; default: 1")
    loop.add_argument(
        "--calibration", default="", metavar="NAME|DIR", help="folder in calibration/; default: by the task"
    )
    loop.add_argument(
        "--episode-steps", type=int, default=100, metavar="N", help="control periods of 0.04 s; default: 100"
    )
    loop.add_argument("--real-time", action="store_true", help="let time pass by itself, rather than in lockstep")
    loop.add_argument("--no-record", action="store_true", help="write no MCAP recording")


def _add_randomization(commands) -> None:
    parser = commands.add_parser(
        "randomization",
        help="show what a preset of domain randomisation draws",
        description="Prints what a preset randomises in a task, draws it for many episodes, and writes histograms.png "
        "and scenes.png: what was drawn, and what a camera sees. How to write a preset: docs/randomization.md.",
    )
    parser.add_argument("task", metavar="TASK", help="such as fetch_push; `her-robot tasks` lists them")
    parser.add_argument(
        "--preset", required=True, metavar="NAME|FILE", help="preset in config/randomization/, such as nominal"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="default: reports/randomization-TASK-PRESET")
    parser.add_argument("--episodes", type=int, default=1000, metavar="N", help="to draw; default: 1000")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="default: 0")
    parser.add_argument("--cost", action="store_true", help="measure what it adds to the time that simulation takes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the table and what was drawn as JSON")


def _add_compare(commands) -> None:
    parser = commands.add_parser(
        "compare",
        help="which of two policies is better, on the same episodes",
        description="Two files of `her-robot evaluate --json`, paired by seed: McNemar's exact test, and an interval "
        "of the difference.",
        epilog="exit status: 0 the second is not shown to be worse; 1 it is; 2 refused",
    )
    parser.add_argument("first", type=Path, metavar="FIRST.json", help="such as the policy in use")
    parser.add_argument("second", type=Path, metavar="SECOND.json", help="such as the one to replace it")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the comparison as JSON")


def _add_robots(commands) -> None:
    parser = commands.add_parser("robots", help="list the simulated robots, and how they differ")
    parser.add_argument("--severity", type=float, default=1.0, metavar="S", help="0 (not at all) ... 2; default: 1")


def _add_faults(commands) -> None:
    commands.add_parser("faults", help="list the faults of the loop, and what has to happen")


def _add_demo(commands) -> None:
    parser = commands.add_parser(
        "demo", help="the shipped policy with a simulated robot in the loop, in a minute or two"
    )
    parser.add_argument("task", metavar="TASK", nargs="?", default="fetch_push", help="default: fetch_push")
    parser.add_argument("--episodes", type=int, default=8, metavar="N", help="default: 8")


def _add_identify(commands) -> None:
    parser = commands.add_parser(
        "identify",
        help="fit the simulated robot to a recording of a robot",
        description=_IDENTIFY,
        epilog=_IDENTIFY_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--bag", type=Path, metavar="FILE", help="the recording: an MCAP file or a rosbag2 folder")
    parser.add_argument("--robot", default="fetch", metavar="NAME|FILE", help="profile in config/robots/")
    parser.add_argument(
        "--start",
        default="fetch",
        metavar="NAME|FILE",
        help="simulated robot in config/simulated_robots/ to start from; default: fetch",
    )
    parser.add_argument(
        "--shared", action="store_true", help="one value for all joints, rather than one for each: quicker, and coarser"
    )
    parser.add_argument(
        "--fix",
        action="append",
        default=[],
        metavar="PARAMETER",
        help="keep a parameter as in --start, such as armature; may be repeated",
    )
    parser.add_argument("--command-topic", metavar="TOPIC", help="of the trajectories, where it is another one")
    written = parser.add_argument_group("what is written")
    written.add_argument("--simulated-robot", type=Path, metavar="FILE", help="the simulated robot that was found")
    written.add_argument("--out", type=Path, metavar="FILE", help="a randomisation preset around it")
    written.add_argument(
        "--base", default="robot_loop", metavar="PRESET", help="for all else in that preset; default: robot_loop"
    )
    written.add_argument("--json", type=Path, metavar="FILE", help="parameters, intervals and errors as JSON")
    written.add_argument("--plot", type=Path, metavar="FILE", help="measured and simulated motion as a PNG")
    written.add_argument("--excite", type=Path, metavar="FILE", help="only write a motion that is worth recording")
    written.add_argument("--duration", type=float, default=30.0, metavar="S", help="of that motion; default: 30")


def _add_bench(commands) -> None:
    parser = commands.add_parser(
        "bench",
        help="measure speed beside peers, in one run",
        description="What is measured, beside what, and why that is fair: docs/benchmarks.md.",
    )
    kinds = parser.add_subparsers(dest="what", required=True, metavar="env|update|train|latency")
    env = kinds.add_parser(
        "env", help="environment steps per second, beside EnvPool, Gymnasium-Robotics and mj_step alone"
    )
    env.add_argument(
        "--task", action="append", metavar="TASK", help="such as hand_block; may be repeated; default: several"
    )
    env.add_argument(
        "--sim", choices=("cpu", "warp"), default="cpu", help="`warp`: of MuJoCo Warp alone, over batch sizes"
    )
    env.add_argument("--device", choices=("cpu", "cuda"), default="cuda", help="with --sim warp; default: cuda")
    env.add_argument("--worlds", type=int, nargs="+", metavar="N", help="batch sizes, with --sim warp")
    kinds.add_parser("update", help="milliseconds of an update, beside those of its matrix products alone")
    train = kinds.add_parser("train", help="success after the same time, beside Stable-Baselines3")
    train.add_argument(
        "--task", action="append", metavar="TASK", help="such as fetch_push, the default; may be repeated"
    )
    train.add_argument("--budget", type=float, default=300.0, metavar="S", help="seconds for each side; default: 300")
    train.add_argument("--config", metavar="NAME|FILE", help="preset of ours; default: fast, or the task's own")
    train.add_argument("--seed", type=int, default=0, metavar="N", help="seed of all sides; default: 0")
    train.add_argument("--plot", type=Path, metavar="FILE", help="draw success against time as a PNG")
    kinds.add_parser("latency", help="milliseconds of each stage of the deployed path, without ROS")
    for kind in kinds.choices.values():
        kind.add_argument("--json", type=Path, metavar="FILE", help="write the measurements as JSON")
