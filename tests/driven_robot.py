"""A simulated arm without delay and noise, and how to drive it."""

from dataclasses import replace

import numpy as np

from her_robot.sim.robot import ARMS, SimulatedRobot

CONTROL_PERIOD = 0.04
NO_DELAY = replace(ARMS.load("fetch"), command_delay=0.0, encoder_noise=0.0, velocity_noise=0.0)


def arm(robot: SimulatedRobot) -> np.ndarray:
    """Measured arm joints, in the profile's order (7,) [rad]."""
    measured = robot.joint_state()
    positions = dict(zip(measured.names, measured.positions, strict=True))
    return np.array([positions[name] for name in robot.profile.joint_names])


def go(robot: SimulatedRobot, target: np.ndarray, duration: float, velocity: np.ndarray | None = None) -> None:
    """Command one point, `duration` [s] from now."""
    rates = np.zeros_like(target) if velocity is None else velocity
    robot.command_arm(robot.profile.joint_names, np.array([robot.time + duration]), target[None], rates[None])
