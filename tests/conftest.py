"""What all tests share: off-screen rendering, and a ROS graph that meets no other."""

import os
from contextlib import ExitStack

import pytest

from her_robot.evaluation.side_by_side import reserved_domains

os.environ.setdefault("MUJOCO_GL", "egl")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
_HELD = ExitStack()
"""Ends with the process: until then, no other process on this machine has its domain."""
os.environ["ROS_DOMAIN_ID"] = str(_HELD.enter_context(reserved_domains(1))[0])


@pytest.fixture
def other_domain():
    """A ROS domain beside that of the process, for as long as a test lasts."""
    with reserved_domains(1) as [domain]:
        yield domain
