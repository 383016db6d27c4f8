"""An evaluation in the loop, as the loop makes them."""

import numpy as np
import pytest

from her_robot.evaluation.episodes import Episode, Evaluation
from her_robot.evaluation.telemetry import Telemetry


def _episode(seed, success, note=""):
    steps = np.arange(50)
    distances = (0.01 if success else 0.12) + 0.2 * np.exp(-steps / 10)
    positions = np.stack([0.3 * (1 - np.cos(np.pi * steps / 49)), 0 * steps, 0 * steps], axis=1)
    latency = {"policy": (0.1, 0.2, 0.3), "camera": (10.0, 12.0), "sensor_to_command": (2.0, 3.0, 50.0)}
    telemetry = Telemetry(7, 1, 0, 2, latency, {"goal": (0.05, 0.1), "joint_states": (0.0, 0.0)})
    return Episode(seed, success, tuple(distances.tolist()), note, tuple(map(tuple, positions.tolist())), telemetry)


@pytest.fixture
def make_evaluation():
    """Makes an evaluation of episodes with these outcomes."""

    def make(outcomes, at_least=None, **extra):
        notes = {False: "goal <lost>\x1b[0m & found"}
        episodes = [_episode(1_000_000 + i, success, notes.get(success, "")) for i, success in enumerate(outcomes)]
        extra = {"mode": "lockstep", "simulated_robot": "fetch", "control_hz": 25.0} | extra
        return Evaluation("fetch_push", "ros", "policies/fetch_push", tuple(episodes), extra, at_least)

    return make
