"""Recordings of a simulated robot, in the messages and files of a real one."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.typesys import Stores, get_typestore

from her_robot.evaluation.recording import Recording
from her_robot.identification.excitation import excitation
from her_robot.robot.profile import RobotProfile
from her_robot.sim.robot import ARMS, SimulatedRobot, SimulatedRobotConfig
from her_robot.sim.scene import JointControlConfig

TYPES = get_typestore(Stores.ROS2_JAZZY)
JOINT_STATES, COMMANDS = "/joint_states", "/arm_controller/joint_trajectory"
EPOCH_S = 1_700_000_000
"""ROS time when a simulated robot's clock is 0."""

SERVO = JointControlConfig(stiffness=3200.0, damping=190.0, armature=0.8, friction_loss=1.2, viscous_friction=6.0)
DELAY_S = 0.03


def altered_robot(noisy: bool) -> SimulatedRobotConfig:
    """A robot whose servos and delay differ from the shipped one's."""
    shipped = ARMS.load("fetch")
    altered = replace(shipped, scene=replace(shipped.scene, joint_control=SERVO), command_delay=DELAY_S)
    return altered if noisy else replace(altered, encoder_noise=0.0, velocity_noise=0.0)


@dataclass
class Messages:
    """What is put into a bag: receive time [s], topic and message; times are of the robot's clock."""

    profile: RobotProfile
    entries: list[tuple[float, str, Any]] = field(default_factory=list)

    def add_joint_state(self, time: float, names, positions, velocities) -> None:
        message = _type("sensor_msgs/msg/JointState")(
            header=_header(time),
            name=list(names),
            position=np.array(positions, float),
            velocity=np.array(velocities, float),
            effort=np.zeros(0),
        )
        self.entries.append((time, JOINT_STATES, message))

    def add_command(self, time: float, times, positions, velocities, topic: str = COMMANDS) -> None:
        """Points at `times` from the start, which is `time`."""
        point, duration = (
            _type("trajectory_msgs/msg/JointTrajectoryPoint"),
            _type("builtin_interfaces/msg/Duration"),
        )
        points = [
            point(
                positions=np.array(p),
                velocities=np.array(v),
                accelerations=np.zeros(0),
                effort=np.zeros(0),
                time_from_start=duration(*divmod(round(t * 1e9), 10**9)),
            )
            for t, p, v in zip(times, positions, velocities, strict=True)
        ]
        names = list(self.profile.joint_names)
        message = _type("trajectory_msgs/msg/JointTrajectory")(header=_header(time), joint_names=names, points=points)
        self.entries.append((time, topic, message))

    def write(self, directory: Path, recorder_ahead: float = 0.0) -> Path:
        """A rosbag2 folder, whose recorder's clock is so far ahead of the stamps [s]."""
        recording = Recording(directory)
        for time, topic, message in sorted(self.entries, key=lambda entry: entry[0]):
            kind = message.__msgtype__
            nanoseconds = round((EPOCH_S + time + recorder_ahead) * 1e9)
            recording.write(topic, kind, nanoseconds, bytes(TYPES.serialize_cdr(message, kind)))
        recording.close()
        return directory


def play(
    config: SimulatedRobotConfig, duration: float, joints: tuple[str, ...] | None = None, task: str = "fetch_reach"
) -> Messages:
    """Joint states and commands of a robot that excites `joints` (default: all) for `duration` [s]."""
    robot = SimulatedRobot(config, task)
    profile = robot.profile
    messages = Messages(profile)

    def advance(seconds: float) -> None:
        for _ in range(round(seconds * config.joint_state_rate)):
            robot.step(1.0 / config.joint_state_rate)
            measured = robot.joint_state()
            messages.add_joint_state(measured.time, measured.names, measured.positions, measured.velocities)

    advance(0.1)
    center = np.array(profile.look[task])
    motion = excitation(profile, center, duration)
    held = [name not in joints for name in profile.joint_names] if joints else [False] * len(center)
    motion.positions[:, held], motion.velocities[:, held] = center[held], 0.0
    arguments = motion.times[1:], profile_positions(profile, motion.positions[1:]), motion.velocities[1:]
    robot.command_arm(profile.joint_names, robot.time + arguments[0], *arguments[1:])
    messages.add_command(robot.time, *arguments)
    advance(duration + 0.1)
    robot.close()
    return messages


def profile_positions(profile: RobotProfile, positions: np.ndarray) -> np.ndarray:
    return np.array([profile.to_robot(row) for row in positions])


def _type(name: str) -> Any:
    return TYPES.types[name]


def _header(time: float) -> Any:
    seconds, nanoseconds = divmod(round(time * 1e9), 10**9)
    stamp = _type("builtin_interfaces/msg/Time")(sec=EPOCH_S + seconds, nanosec=nanoseconds)
    return _type("std_msgs/msg/Header")(stamp=stamp, frame_id="")
