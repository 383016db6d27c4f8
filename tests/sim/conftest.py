"""A robot to drive."""

import pytest
from driven_robot import NO_DELAY

from her_robot.sim.robot import SimulatedRobot


@pytest.fixture(scope="module")
def shared_robot():
    robot = SimulatedRobot(NO_DELAY, "fetch_push", 0)
    yield robot
    robot.close()


@pytest.fixture
def robot(shared_robot):
    """A robot without delay and noise, just reset."""
    shared_robot.reset(0)
    return shared_robot
