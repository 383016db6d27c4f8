"""A replay with a robot's own parameters is the robot."""

from dataclasses import replace

import numpy as np
import pytest
from recorded_robot import DELAY_S, altered_robot

from her_robot.identification.bag import read_recording
from her_robot.identification.parameters import Dynamics
from her_robot.identification.recording import ArmRecording, TrajectoryCommand
from her_robot.identification.replay import SEGMENT_S, SETTLING_S, Replay, cut, reference_of
from her_robot.sim.robot import ARMS, SimulatedRobot


@pytest.fixture(scope="module")
def recording(recorded, profile):
    (part,) = read_recording(recorded(False), profile)
    return part


def test_segments_compare_every_joint_state_once(recording):
    segments = cut(recording, longest_delay=0.1)
    compared = np.concatenate([segment.compared for segment in segments])
    np.testing.assert_array_equal(np.diff(compared), 1)
    for segment in segments:
        elapsed = recording.times[segment.compared] - segment.begin
        assert elapsed.min() > SETTLING_S
        assert elapsed.max() <= SEGMENT_S + 1e-5


def test_the_reference_is_that_of_the_robots_controller(profile):
    """Streamed points that replace each other, as a policy sends them."""
    config = replace(ARMS.load("fetch"), command_delay=0.0, encoder_noise=0.0)
    robot = SimulatedRobot(config, "fetch_reach")
    start, rng = robot.arm_reference(), np.random.default_rng(0)
    times, references, commands = [], [], []
    for _ in range(20):
        now, target = robot.time, start + rng.normal(0.0, 0.05, 7)
        command = TrajectoryCommand(
            now, now + np.array([0.06, 0.1]), np.array([target, target]), rng.normal(0, 0.2, (2, 7)) * [[1], [0]]
        )
        robot.command_arm(profile.joint_names, command.times, command.positions, command.velocities)
        commands.append(command)
        for _ in range(20):
            robot.step(0.002)
            times.append(robot.time)
            references.append(robot.arm_reference())
    robot.close()
    recorded = ArmRecording(np.array([0.0, times[-1]]), np.stack([start, start]), np.zeros((2, 7)), tuple(commands))
    reference = reference_of(recorded)
    assert reference.known_from == pytest.approx(0.06)
    # The robot looks at its commands every 2 ms, and takes those that came just before.
    ends = np.array(times) % 0.04 < 1e-9
    np.testing.assert_allclose(reference.at(np.array(times))[0][~ends], np.array(references)[~ends], atol=1e-6)


def test_the_robots_own_parameters_give_its_own_motion(recording, profile):
    config = altered_robot(noisy=False)
    replay = Replay(ARMS.load("fetch"), profile, cut(recording, 0.1))
    own = Dynamics.of(config, profile)
    assert own.command_delay == DELAY_S
    positions, velocities = replay.simulate(own)
    np.testing.assert_allclose(positions, replay.measured_positions, atol=2e-6)
    np.testing.assert_allclose(velocities, replay.measured_velocities, atol=2e-5)
    shipped, _ = replay.simulate(Dynamics.of(ARMS.load("fetch"), profile))
    assert np.abs(shipped - replay.measured_positions).max() > 2e-3
    # Parameters of one replay leave no trace in the next.
    np.testing.assert_array_equal(replay.simulate(own)[0], positions)
    replay.close()


def test_servos_that_would_swing_up_give_infinities(recording, profile):
    replay = Replay(ARMS.load("fetch"), profile, cut(recording, 0.1)[:1])
    own = Dynamics.of(ARMS.load("fetch"), profile)
    positions, _ = replay.simulate(replace(own, damping=own.damping * 10))
    assert np.isinf(positions).all()
    replay.close()


def test_without_commands_there_is_nothing_to_replay(recording):
    assert cut(replace(recording, commands=()), 0.1) == []
