"""The simulated robot as one would test a robot: commands in, encoders out, and what the scorer may know beside it."""

from dataclasses import replace

import mujoco
import numpy as np
import pytest
from driven_robot import CONTROL_PERIOD, NO_DELAY, arm, go

from her_robot import configuration
from her_robot.errors import ConfigurationError, UnknownNameError
from her_robot.robot.kinematics import Kinematics
from her_robot.sim.robot import ARMS, SimulatedRobot, SimulatedRobotConfig
from her_robot.sim.scene import table_top


def test_the_arm_stays_where_it_is_told_to_without_sagging(robot):
    start = arm(robot)
    robot.step(2.0)
    np.testing.assert_allclose(arm(robot), start, atol=5e-4)


@pytest.mark.parametrize("joint", range(7))
def test_a_step_is_followed_like_a_low_pass_without_overshoot(robot, joint):
    start = arm(robot)
    target = start.copy()
    target[joint] += 0.1
    go(robot, target, 0.0001)
    response = []
    for _ in range(200):
        robot.step(0.002)
        response.append((arm(robot) - start)[joint] / 0.1)
    time_constant = 0.002 * (np.searchsorted(response, 1 - np.exp(-1)) + 1)
    assert 0.04 < time_constant < 0.065
    assert max(response) < 1.02
    assert response[-1] == pytest.approx(1.0, abs=0.01)
    np.testing.assert_allclose(np.delete(arm(robot) - start, joint), 0.0, atol=2e-3)


def test_a_streamed_motion_is_tracked_closely(robot):
    """Points at 25 Hz, each 60 ms ahead, as the policy node sends them: a sine of 0.5 rad/s."""
    start, frequency = arm(robot), 2 * np.pi * 0.5
    begin = robot.time

    def motion(time: float) -> tuple[np.ndarray, np.ndarray]:
        phase = frequency * (time - begin)
        return start + 0.16 * (1 - np.cos(phase)), np.full(7, 0.16 * frequency * np.sin(phase))

    errors = []
    for _ in range(50):
        position, velocity = motion(robot.time + 0.06)
        go(robot, position, 0.06, velocity)
        for _ in range(20):
            robot.step(0.002)
            errors.append(arm(robot) - motion(robot.time)[0])
    assert np.abs(errors).max() < 0.006
    assert np.abs(errors[-1]).max() < 0.004


def test_the_last_point_is_held_when_nothing_more_comes(robot):
    target = arm(robot) + 0.05
    go(robot, target, 0.1, velocity=np.full(7, 0.5))
    robot.step(1.5)
    np.testing.assert_allclose(arm(robot), target, atol=5e-4)


def test_joints_are_matched_by_name_and_the_set_point_is_returned(robot):
    target = arm(robot) + np.linspace(-0.05, 0.05, 7)
    names = robot.profile.joint_names[::-1]
    accepted = robot.command_arm(names, np.array([robot.time + 0.2]), target[None, ::-1], np.zeros((1, 7)))
    np.testing.assert_array_equal(accepted, target)
    robot.step(1.0)
    np.testing.assert_allclose(arm(robot), target, atol=5e-4)


def test_commands_take_effect_after_the_delay():
    robot = SimulatedRobot(replace(NO_DELAY, command_delay=0.03), "fetch_reach", 0)
    start = arm(robot)
    go(robot, start + 0.1, 0.01)
    robot.step(0.03)
    np.testing.assert_allclose(arm(robot), start, atol=1e-6)
    robot.step(0.03)
    assert (arm(robot) - start > 0.005).all()
    robot.close()


def trajectory(robot: SimulatedRobot) -> dict:
    now = robot.time
    return {
        "joint_names": list(robot.profile.joint_names),
        "times": np.array([now + 0.1, now + 0.2]),
        "positions": np.tile(arm(robot), (2, 1)) + 0.05,
        "velocities": np.zeros((2, 7)),
    }


def nan_position(command):
    command["positions"][1, 3] = np.nan


def infinite_velocity(command):
    command["velocities"][0, 0] = np.inf


def decreasing_times(command):
    command["times"] = command["times"][::-1]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda c: c["joint_names"].pop(), "expected all of"),
        (lambda c: c["joint_names"].__setitem__(0, "left_arm"), "'left_arm'"),
        (lambda c: c["joint_names"].__setitem__(0, c["joint_names"][1]), "each once"),
        (lambda c: c.update(times=np.zeros(0), positions=np.zeros((0, 7)), velocities=np.zeros((0, 7))), "0 points"),
        (lambda c: c.update(positions=c["positions"][:, :6]), r"shape \(2, 6\)"),
        (lambda c: c.update(velocities=c["velocities"][:1]), r"shape \(1, 7\)"),
        (nan_position, "not all finite"),
        (infinite_velocity, "not all finite"),
        (decreasing_times, "must increase"),
        (lambda c: c.update(times=c["times"] - 1.0), "late, or timed by another clock"),
        (lambda c: c.update(times=c["times"] + 1.7e9), "late, or timed by another clock"),
    ],
)
def test_bad_trajectories_are_refused_and_the_robot_goes_on_as_before(robot, spoil, message):
    start, command = arm(robot), trajectory(robot)
    spoil(command)
    with pytest.raises(ValueError, match=message):
        robot.command_arm(**command)
    robot.step(0.3)
    np.testing.assert_allclose(arm(robot), start, atol=5e-4)


def test_the_gripper_opens_to_the_gap(robot):
    robot.command_gripper(0.06)
    robot.step(1.0)
    measured = robot.joint_state()
    fingers = dict(zip(measured.names, measured.positions, strict=True))
    gap = fingers["r_gripper_finger_joint"] + fingers["l_gripper_finger_joint"]
    assert gap == pytest.approx(0.06, abs=1e-3)
    for bad in (-0.01, 0.11, np.nan):
        with pytest.raises(ValueError, match=r"0 \.\.\. 0\.10 m"):
            robot.command_gripper(bad)


def test_joint_states_have_the_names_of_a_fetch(robot):
    names = robot.joint_state().names
    assert len(set(names)) == len(names) == len(robot.joint_state().positions)
    assert {"torso_lift_joint", "head_pan_joint", "head_tilt_joint", "bellows_joint", "l_wheel_joint"} < set(names)
    assert set(robot.profile.joint_names) < set(names)
    assert not any(name.startswith("robot0:") for name in names)


def test_encoders_are_as_noisy_as_configured():
    config = replace(NO_DELAY, encoder_noise=0.002, velocity_noise=0.05)
    robot = SimulatedRobot(config, "fetch_reach", 0)
    readings = [robot.joint_state() for _ in range(500)]
    robot.close()
    index = readings[0].names.index("elbow_flex_joint")
    assert np.std([r.positions[index] for r in readings]) == pytest.approx(0.002, rel=0.1)
    assert np.std([r.velocities[index] for r in readings]) == pytest.approx(0.05, rel=0.1)
    torso = readings[0].names.index("torso_lift_joint")
    assert {r.positions[torso] for r in readings} == {robot.profile.model.locked_joints["robot0:torso_lift_joint"]}


def test_the_clock_goes_on_over_resets_and_does_not_drift(robot):
    begin = robot.time
    for _ in range(500):
        robot.step(CONTROL_PERIOD)
    robot.reset(1)
    robot.step(CONTROL_PERIOD)
    assert robot.time == pytest.approx(begin + 501 * CONTROL_PERIOD, abs=1e-9)


def test_starts_have_the_distribution_of_the_task(robot):
    contract = robot.contract
    home = np.array(contract.home_grip_position)
    truths = []
    for seed in range(300):
        robot.reset(seed)
        truths.append(robot.ground_truth())
    objects = np.array([truth.object_position for truth in truths])
    goals = np.array([truth.goal for truth in truths])
    offsets = objects[:, :2] - home[:2]
    assert (np.abs(offsets) <= 0.15).all()
    assert (np.linalg.norm(offsets, axis=1) >= 0.1).all()
    assert (goals >= np.array(contract.goal_low) - 1e-6).all()
    assert (goals <= np.array(contract.goal_high) + 1e-6).all()
    np.testing.assert_allclose(objects[:, 2], contract.goal_low[2], atol=1e-3)
    # Both fill their range, in both directions.
    for spread in (offsets, goals[:, :2] - home[:2]):
        assert (spread.min(axis=0) < -0.14).all()
        assert (spread.max(axis=0) > 0.14).all()


def test_floating_goals_are_above_the_table_where_they_can_be_seen():
    robot = SimulatedRobot(NO_DELAY, "fetch_reach", 0)
    goals = []
    for seed in range(200):
        robot.reset(seed)
        goals.append(robot.ground_truth().goal)
    robot.close()
    goals = np.array(goals)
    assert (goals[:, 2] >= table_top(robot.model) + 0.02).all()
    assert (goals >= robot.contract.goal_low).all()
    assert (goals <= robot.contract.goal_high).all()
    assert goals[:, 2].max() > 0.66


def test_a_higher_table_lifts_object_and_goal():
    scene = replace(NO_DELAY.scene, table_height_offset=0.03)
    robot = SimulatedRobot(replace(NO_DELAY, scene=scene), "fetch_push", 0)
    robot.step(0.2)
    truth = robot.ground_truth()
    robot.close()
    assert truth.object_position is not None
    assert truth.object_position[2] == pytest.approx(0.455, abs=1e-3)
    assert truth.goal[2] == pytest.approx(robot.contract.goal_low[2] + 0.03)


def shaken(robot: SimulatedRobot, seed: int) -> np.ndarray:
    """States after each of some control periods with random commands, (20, nq + nv)."""
    robot.reset(seed)
    random, states = np.random.default_rng(7), []
    start = arm(robot)
    for _ in range(20):
        go(robot, start + random.normal(0.0, 0.05, 7), 0.06)
        robot.step(CONTROL_PERIOD)
        robot.joint_state()
        states.append(np.concatenate([robot.data.qpos, robot.data.qvel]))
    return np.array(states)


def test_the_same_seed_and_commands_give_the_same_states():
    first, second = (SimulatedRobot(NO_DELAY, "fetch_push", 0) for _ in range(2))
    np.testing.assert_array_equal(shaken(first, 3), shaken(second, 3))
    # Later on the same clock: the same but for the rounding of larger times.
    shaken(first, 5)
    np.testing.assert_allclose(shaken(first, 3), shaken(second, 4) * 0 + shaken(second, 3), atol=1e-6)
    assert not np.allclose(shaken(first, 3), shaken(first, 4))
    first.close()
    second.close()


def test_ground_truth_is_of_the_grip_and_the_present(robot):
    robot.step(0.1)
    truth = robot.ground_truth()
    position, rotation = Kinematics(robot.profile).forward(arm(robot))
    np.testing.assert_allclose(truth.grip_position, position + robot.contract.base_position, atol=1e-6)
    found = np.zeros(9)
    mujoco.mju_quat2Mat(found, truth.grip_quaternion)
    np.testing.assert_allclose(found.reshape(3, 3), rotation, atol=1e-6)
    assert truth.time == robot.time
    np.testing.assert_array_equal(truth.achieved_goal, truth.object_position)


def test_the_shipped_robot_differs_from_the_training_model():
    config = ARMS.load("fetch")
    assert config.scene.object_mass != 2.0
    assert config.scene.friction != 1.0
    assert config.command_delay > 0
    assert config.encoder_noise > 0
    assert config.camera.noise > 0
    assert config.camera.latency > 0


def test_an_unknown_robot_is_refused_with_those_there_are():
    with pytest.raises(UnknownNameError, match="unknown simulated robot 'fetsh'; did you mean 'fetch'"):
        ARMS.load("fetsh")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("encoder_nose: 0.1", "unknown key 'encoder_nose'; did you mean 'encoder_noise'"),
        ("encoder_noise: much", "encoder_noise: expected float"),
        ("command_delay: -0.1", "command_delay must not be negative"),
        ("joint_state_rate: 0", "joint_state_rate must be above 0"),
        ("scene: {friction: 0}", "scene: friction must be above 0"),
        ("scene: [1, 2", "malformed YAML"),
    ],
)
def test_a_bad_file_is_refused_by_file_and_field(tmp_path, text, message):
    path = tmp_path / "robot.yaml"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=message) as caught:
        ARMS.load(str(path))
    assert str(path) in str(caught.value)


def test_every_field_has_a_default():
    assert configuration.build(SimulatedRobotConfig, {}, "") == SimulatedRobotConfig()
