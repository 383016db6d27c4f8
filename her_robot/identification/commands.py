"""`her-robot identify`."""

import argparse
import json

import numpy as np
from rich.console import Console

from her_robot import configuration
from her_robot.errors import ConfigurationError
from her_robot.identification.bag import read_recording
from her_robot.identification.excitation import LEAD_IN_S, excitation, trajectory_message
from her_robot.identification.fit import identify
from her_robot.identification.presets import write_preset, write_simulated_robot
from her_robot.identification.recording import describe
from her_robot.identification.report import plot, print_identification, summary
from her_robot.robot.profile import load_profile
from her_robot.sim.robot import ARMS

_POSE_TASK = "fetch_reach"


def identify_command(options: argparse.Namespace) -> int:
    """Fit a simulated robot to a recording, or write the motion to record."""
    console = Console()
    if options.excite:
        return _write_excitation(options, console)
    if not options.bag:
        raise ConfigurationError(
            "--bag FILE is needed: an MCAP file or a rosbag2 folder; --excite FILE writes a motion"
        )
    profile = load_profile(options.robot)
    config = ARMS.load(options.start)
    parts = read_recording(options.bag, profile, options.command_topic)
    console.print(f"{options.bag.name}: {describe(parts)}")
    with console.status("") as status:
        found = identify(parts, config, profile, options.shared, options.fix, status.update)
    print_identification(console, found, profile)
    if options.json:
        configuration.write_atomically(options.json, json.dumps(summary(found, profile), indent=2) + "\n")
    if options.plot:
        configuration.write_atomically(options.plot, plot(found, profile))
    if options.simulated_robot:
        write_simulated_robot(options.simulated_robot, found, config, profile, options.bag.name)
        console.print(f"simulated robot: {options.simulated_robot}")
    if options.out:
        write_preset(options.out, found, options.base, options.bag.name)
        console.print(f"randomisation preset: {options.out}")
    return 0


def _write_excitation(options: argparse.Namespace, console: Console) -> int:
    profile = load_profile(options.robot)
    if not 10.0 <= options.duration <= 45.0:
        raise ConfigurationError(f"--duration is {options.duration:g} s; it must be from 10 to 45 s")
    center = np.array(profile.look.get(_POSE_TASK) or next(iter(profile.look.values())))
    message = trajectory_message(profile, excitation(profile, center, options.duration))
    configuration.write_atomically(options.excite, json.dumps(message) + "\n")
    where = ", ".join(f"{x:.3f}" for x in profile.to_robot(center))
    topic = profile.topics.joint_trajectory
    console.print(
        f"{options.excite}: in {LEAD_IN_S:g} s to the joint positions [{where}] rad, then {options.duration:g} s about "
        "them, every joint by up to 0.25 rad either way.\n"
        "Move the arm near there first, see that nothing is within its reach, and keep a hand on the stop. Then\n"
        f"  ros2 bag record -s mcap -o motion /{profile.topics.joint_states} /{topic}\n"
        f'  ros2 topic pub --once /{topic} trajectory_msgs/msg/JointTrajectory "$(cat {options.excite})"\n'
        f"  her-robot identify --bag motion --simulated-robot identified.yaml",
        markup=False,
        soft_wrap=True,
    )
    return 0
