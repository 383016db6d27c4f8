"""What is made of the nodes' status messages."""

import pytest

from her_robot.evaluation.telemetry import TelemetryLog


def _policy(phase, clamped, **more):
    values = {"phase": phase, "clamped": clamped, "holds": 2, "estops": 1, "deadline_misses": 0}
    values |= {"goal_age_s": "0.100", "object_age_s": "inf", "latency_ms.policy": "0.5", "sensor_to_command_ms": "3.0"}
    return {key: str(value) for key, value in (values | more).items()}


def test_counts_are_those_of_one_episode():
    log = TelemetryLog(_policy("running", 10))
    camera = {"processing_ms": "8.0"}
    for status in (
        _policy("homing", 17),
        _policy("running", 18),
        _policy("holding", 18, holds=3),
        _policy("running", 20, holds=3, estops=2, deadline_misses=4),
    ):
        log.add(status, camera)
    telemetry = log.result()
    assert telemetry.clamped == 3  # What homing had clamped does not count.
    assert (telemetry.holds, telemetry.estops, telemetry.deadline_misses) == (1, 1, 4)


def test_samples_are_of_the_running_policy_and_of_each_image_once():
    log = TelemetryLog({})
    first, second = {"processing_ms": "8.0"}, {"processing_ms": "9.0"}
    log.add(_policy("homing", 0), first)
    log.add(_policy("running", 0), first)
    log.add(_policy("running", 0, goal_age_s="0.140"), first)
    log.add(_policy("running", 0, goal_age_s="0.060"), second)
    telemetry = log.result()
    assert telemetry.latency_ms == {"camera": (8.0, 9.0), "policy": (0.5,) * 3, "sensor_to_command": (3.0,) * 3}
    assert telemetry.age_s == {"goal": (0.1, 0.14, 0.06)}


def test_an_episode_that_never_ran():
    log = TelemetryLog({})
    log.add(_policy("looking", 5, holds=0, estops=0), {})
    telemetry = log.result()
    assert (telemetry.clamped, telemetry.holds) == (0, 0)
    assert not telemetry.latency_ms
    assert pytest.approx(0) == telemetry.deadline_misses
