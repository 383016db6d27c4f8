"""Bags that several tests read."""

from collections.abc import Callable
from pathlib import Path

import pytest
from recorded_robot import altered_robot, play

from her_robot.robot.profile import RobotProfile, load_profile


@pytest.fixture(scope="session")
def profile() -> RobotProfile:
    return load_profile("fetch")


@pytest.fixture(scope="session")
def recorded(tmp_path_factory) -> Callable[[bool], Path]:
    """Bags of the altered robot, all joints moving for 8.5 s; made once each."""
    made: dict[bool, Path] = {}

    def bag(noisy: bool) -> Path:
        if noisy not in made:
            directory = tmp_path_factory.mktemp("bags") / ("noisy" if noisy else "clean")
            made[noisy] = play(altered_robot(noisy), 8.5).write(directory)
        return made[noisy]

    return bag
