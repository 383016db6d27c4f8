"""Recordings are read as they were made, and refused with a word on what is missing."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from recorded_robot import COMMANDS, JOINT_STATES, Messages

from her_robot.errors import RecordingError
from her_robot.identification.bag import COMMAND_SENT, read_recording

RATE = 100.0


def swing(profile, seconds: float = 2.0, amplitude: float = 0.1) -> Messages:
    """All joints in a sine of 0.5 Hz, and two commands."""
    messages = Messages(profile)
    for time in np.arange(0.0, seconds, 1 / RATE):
        phase = np.pi * time
        positions = np.full(7, amplitude * np.sin(phase)) + np.arange(7) / 10
        messages.add_joint_state(time, profile.joint_names, positions, np.full(7, amplitude * np.pi * np.cos(phase)))
    for time in (0.5, 1.0):
        messages.add_command(time, [0.04, 0.08], np.full((2, 7), time), np.zeros((2, 7)))
    return messages


def spoiled(profile, change) -> Messages:
    """Every joint state changed in place."""
    messages = swing(profile)
    for _, topic, message in messages.entries:
        if topic == JOINT_STATES:
            change(message)
    return messages


def test_a_folder_and_its_file_say_what_was_written(profile, tmp_path):
    folder = swing(profile).write(tmp_path / "bag")
    for path in (folder, next(folder.glob("*.mcap"))):
        (part,) = read_recording(path, profile)
        assert part.times.shape == (200,)
        assert part.times[0] == 0.0
        np.testing.assert_allclose(np.diff(part.times), 0.01, atol=1e-6)
        np.testing.assert_allclose(part.positions[50], 0.1 + np.arange(7) / 10)
        np.testing.assert_allclose(part.velocities[100], -0.1 * np.pi)
        assert [command.received for command in part.commands] == pytest.approx([0.5, 1.0], abs=1e-6)
        np.testing.assert_allclose(part.commands[1].times, [1.04, 1.08], atol=1e-6)
        np.testing.assert_array_equal(part.commands[1].positions, 1.0)


def test_positions_become_those_of_the_model(profile, tmp_path):
    turned = replace(profile.joints[1], sign=-1.0, offset=0.5)
    other = replace(profile, joints=(profile.joints[0], turned, *profile.joints[2:]))
    bag = swing(profile).write(tmp_path / "bag")
    (plain,), (part,) = read_recording(bag, profile), read_recording(bag, other)
    np.testing.assert_allclose(part.positions[:, 1], 0.5 - plain.positions[:, 1])
    np.testing.assert_allclose(part.velocities[:, 1], -plain.velocities[:, 1])
    np.testing.assert_allclose(part.commands[0].positions[:, 1], 0.5 - plain.commands[0].positions[:, 1])
    np.testing.assert_array_equal(part.positions[:, 0], plain.positions[:, 0])


def test_joints_come_in_any_order_and_grippers_on_their_own(profile, tmp_path):
    messages = swing(profile)
    for _, topic, message in messages.entries:
        if topic == JOINT_STATES:
            message.name, message.position = message.name[::-1], message.position[::-1].copy()
    for time in np.arange(0.005, 2.0, 0.01):
        messages.add_joint_state(time, ["r_gripper_finger_joint"], [0.05], [0.0])
    (part,) = read_recording(messages.write(tmp_path / "bag"), profile)
    np.testing.assert_allclose(part.positions[0], np.arange(7) / 10)
    assert part.times.size == 200


def test_continuous_joints_count_on_beyond_a_turn(profile, tmp_path):
    continuous = [joint.position is None for joint in profile.joints]

    def wrap(message):
        message.position = np.where(continuous, (message.position + 2 * np.pi) % (2 * np.pi) - np.pi, message.position)

    plain, wrapped = swing(profile), spoiled(profile, wrap)
    (expected,) = read_recording(plain.write(tmp_path / "plain"), profile)
    (part,) = read_recording(wrapped.write(tmp_path / "wrapped"), profile)
    np.testing.assert_allclose(np.diff(part.positions, axis=0), np.diff(expected.positions, axis=0), atol=1e-9)
    # The command turned the joints to 0.5 rad; that is now somewhere in the turn that the joints are in.
    away = part.commands[0].positions[0] - part.positions[50]
    assert (np.abs(away[continuous]) <= np.pi).all()
    np.testing.assert_allclose(np.cos(part.commands[0].positions[0][continuous]), np.cos(0.5))


def test_where_the_arm_is_put_elsewhere_another_part_begins(profile, tmp_path):
    messages = swing(profile)
    for time, topic, message in messages.entries:
        if topic == JOINT_STATES and time >= 0.75:
            message.position = message.position + 0.3
    first, second = read_recording(messages.write(tmp_path / "bag"), profile)
    assert (first.times.size, second.times.size) == (75, 125)
    assert second.times[0] == pytest.approx(0.75, abs=1e-6)
    assert [len(first.commands), len(second.commands)] == [1, 1]


def test_commands_that_the_policy_node_tells_of_serve_too(profile, tmp_path):
    messages = swing(profile)
    messages.entries = [(time, topic.replace(COMMANDS, COMMAND_SENT), m) for time, topic, m in messages.entries]
    bag = messages.write(tmp_path / "bag")
    assert len(read_recording(bag, profile)[0].commands) == 2
    with pytest.raises(RecordingError, match=f"no topic '{COMMANDS}'; valid: {JOINT_STATES}, {COMMAND_SENT}"):
        read_recording(bag, profile, COMMANDS)


def test_a_recorder_with_another_clock(profile, tmp_path):
    """As in lockstep, where recorders know the wall's time. Only stamps tell when a command came."""
    (part,) = read_recording(swing(profile).write(tmp_path / "stamped", recorder_ahead=9e3), profile)
    assert part.commands[0].received == pytest.approx(0.5, abs=1e-6)
    messages = swing(profile)
    messages.entries[-1][2].header.stamp.sec = messages.entries[-1][2].header.stamp.nanosec = 0
    (part,) = read_recording(messages.write(tmp_path / "same"), profile)
    assert part.commands[1].received == pytest.approx(1.0, abs=1e-6)
    np.testing.assert_allclose(part.commands[1].times, [1.04, 1.08], atol=1e-6)
    with pytest.raises(RecordingError, match="nothing tells when a command came"):
        read_recording(messages.write(tmp_path / "other", recorder_ahead=9e3), profile)


def without_stamps(message):
    message.header.stamp.sec = message.header.stamp.nanosec = 0


def without_velocities(message):
    message.velocity = np.zeros(0)


def of_another_arm(message):
    message.name = [name.replace("elbow_flex", "elbow") for name in message.name]


def not_finite(message):
    message.position[3] = np.nan


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without_stamps, "have no stamps"),
        (without_velocities, "no velocities. A good recording has"),
        (of_another_arm, "no joint 'elbow_flex_joint'; did you mean 'elbow_joint'"),
        (not_finite, "not all finite"),
    ],
)
def test_bad_joint_states_are_refused(profile, tmp_path, change, message):
    with pytest.raises(RecordingError, match=message):
        read_recording(spoiled(profile, change).write(tmp_path / "bag"), profile)


def of_other_joints(command):
    command.joint_names[0] = "torso_lift_joint"


def without_points(command):
    command.points = []


def backwards(command):
    command.points = command.points[::-1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (of_other_joints, "commands the joints .*torso_lift_joint"),
        (without_points, "without points"),
        (backwards, "do not increase"),
    ],
)
def test_bad_commands_are_refused(profile, tmp_path, change, message):
    messages = swing(profile)
    change(messages.entries[-1][2])
    with pytest.raises(RecordingError, match=message):
        read_recording(messages.write(tmp_path / "bag"), profile)


def test_gaps_rare_states_and_missing_topics_are_refused(profile, tmp_path):
    def write(name, keep) -> Path:
        messages = swing(profile)
        messages.entries = [(time, topic, m) for time, topic, m in messages.entries if keep(time, topic)]
        return messages.write(tmp_path / name)

    with pytest.raises(RecordingError, match=r"1 gaps in the joint states, the first of 0.3\d s at 0.9 s"):
        read_recording(write("gap", lambda time, topic: topic == COMMANDS or not 0.9 < time < 1.25), profile)
    with pytest.raises(RecordingError, match=r"10 a second\. A good recording has"):
        read_recording(write("rare", lambda time, topic: topic == COMMANDS or round(time * RATE) % 10 == 0), profile)
    with pytest.raises(RecordingError, match=rf"no trajectories on {COMMANDS}\. A good recording has"):
        read_recording(write("still", lambda time, topic: topic == JOINT_STATES), profile)
    with pytest.raises(RecordingError, match=f"no topic '{JOINT_STATES}'"):
        read_recording(write("blind", lambda time, topic: topic == COMMANDS), profile)


def test_what_is_no_recording_is_refused(profile, tmp_path):
    (tmp_path / "text.mcap").write_text("no")
    for path in (tmp_path, tmp_path / "nothing", tmp_path / "text.mcap"):
        with pytest.raises(RecordingError, match="not an MCAP file or a rosbag2 folder"):
            read_recording(path, profile)
