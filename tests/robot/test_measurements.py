"""What is measured reaches the controller whatever its order; what is wrong holds the arm and says why."""

import dataclasses

import numpy as np
import pytest
from perfect_arm import NAMES, PERIOD, PROFILE, PerfectArm

from her_robot.contract import contract_of
from her_robot.robot.measurements import Measurements


def _measurements(task="fetch_push", profile=PROFILE, offsets=0.0):
    return Measurements(contract_of(task), profile, np.full(7, offsets), np.array([0.1, 0.2, 0.3]))


def test_joints_are_kept_in_the_models_convention():
    joints = tuple(dataclasses.replace(joint, sign=-1.0, offset=0.2) for joint in PROFILE.joints)
    profile = dataclasses.replace(PROFILE, joints=joints)
    measured = _measurements(profile=profile, offsets=0.05)
    reported = np.linspace(-0.3, 0.3, 7)
    measured.observe_joints(1.0, NAMES, [*reported, 0.01, 0.02], [*np.ones(7), 0.1, 0.2])
    np.testing.assert_allclose(measured.positions, profile.from_robot(reported + 0.05))
    np.testing.assert_allclose(measured.velocities, -np.ones(7))
    np.testing.assert_allclose(measured.fingers, [0.01, 0.02])
    np.testing.assert_allclose(measured.finger_velocities, [0.1, 0.2])


@pytest.mark.parametrize("velocities", [(), [np.nan] * 9])
def test_velocities_that_are_not_given_are_estimated(velocities):
    measured = _measurements()
    for step in range(100):
        measured.observe_joints(0.01 * step, NAMES, [0.5 * 0.01 * step] * 9, velocities)
    np.testing.assert_allclose(measured.velocities, 0.5, atol=1e-3)


def test_poses_are_kept_in_the_policys_world():
    measured = _measurements()
    assert measured.unseen() == ["goal", "object"]
    position = np.array([1.2, 0.7, 0.12])
    measured.observe_goal(1.0, position)
    measured.observe_object(2.0, position, np.eye(3))
    assert measured.goal is not None
    np.testing.assert_allclose(measured.goal, position + [0.1, 0.2, 0.3])
    np.testing.assert_allclose(measured.object.state(2.0).position[0], position + [0.1, 0.2, 0.3])
    assert measured.unseen() == []
    assert measured.ages(3.0) == {"joint_states": np.inf, "object": 1.0, "goal": 2.0}


def test_joint_order_and_further_joints_do_not_matter():
    plain, shuffled = PerfectArm(action=(0.3, 0, 0, 0)), PerfectArm(action=(0.3, 0, 0, 0))
    order = np.random.default_rng(0).permutation(len(NAMES))
    for _ in range(60):
        positions, velocities = [*shuffled.joints, 0.0, 0.0], [*shuffled.velocities, 0.0, 0.0]
        expected = plain.tick()
        found = shuffled.tick(
            names=["l_wheel_joint", *(NAMES[i] for i in order)],
            positions=[9.0, *(positions[i] for i in order)],
            velocities=[9.0, *(velocities[i] for i in order)],
        )
        np.testing.assert_array_equal(found.joints.positions, expected.joints.positions)


def _hold_of(arm, **changes):
    arm.run_until("running")
    for _ in range(12):
        command = arm.tick(**changes)
    assert command.phase == "holding"
    np.testing.assert_allclose(command.joints.velocities, 0.0, atol=1e-9)
    assert arm.controller.holds == 1
    return command.reason


def test_missing_joints_hold():
    arm = PerfectArm(action=(0.3, 0, 0, 0))
    names = [name for name in NAMES if name != "elbow_flex_joint"]
    assert _hold_of(arm, names=names) == "joint states lack elbow_flex_joint"
    assert arm.run_until("running").reason == ""


def test_values_that_are_not_finite_hold():
    arm = PerfectArm(action=(0.3, 0, 0, 0))
    reason = _hold_of(arm, positions=[np.nan, *[0.0] * 8])
    assert reason == "joint states are not finite: shoulder_pan_joint"


def test_too_few_positions_hold():
    assert "3 positions for 9 names" in _hold_of(PerfectArm(), positions=[0.0] * 3)


def test_stale_joint_states_hold():
    arm = PerfectArm(action=(0.3, 0, 0, 0))
    reason = _hold_of(arm, measure=False)
    assert "joint states are" in reason
    assert "s old (at most 0.15 s)" in reason


def test_a_camera_that_stops_holds_after_the_objects_time_and_goes_on_when_it_returns():
    arm = PerfectArm(action=(0.01, 0, 0, 0))
    arm.run_until("running")
    arm.sees = False
    ticks = 0
    while arm.tick().phase == "running":
        ticks += 1
        assert ticks < 300
    assert ticks * PERIOD == pytest.approx(PROFILE.timing.object_timeout, abs=0.1)
    assert "the object was seen" in arm.tick().reason
    arm.sees = True
    assert arm.tick().phase == "running"


def test_goals_outside_of_the_workspace_hold():
    arm = PerfectArm(action=(0.1, 0, 0, 0))
    arm.run_until("running")
    arm.goal = arm.goal + [0.5, 0.0, 0.0]
    command = arm.tick()
    assert command.phase == "holding"
    assert "lies outside of the workspace" in command.reason
    arm.goal = arm.goal - [0.5, 0.0, 0.0]
    assert arm.tick().phase == "running"


def test_poses_that_are_not_finite_are_ignored():
    arm = PerfectArm()
    arm.run_until("running")
    arm.controller.measured.observe_goal(arm.time + 1, np.array([np.nan, 0, 0]))
    arm.controller.measured.observe_object(arm.time + 1, np.array([np.nan, 0, 0]), np.eye(3))
    assert arm.tick().phase == "running"


@pytest.mark.parametrize("name", ["joint states", "object", "goal"])
def test_inputs_of_another_clock_hold_until_good_ones_come(name):
    arm = PerfectArm(action=(0.3, 0, 0, 0))
    arm.run_until("running")
    arm.sees = False
    ahead = arm.time + 1000.0
    for _ in range(12):
        arm.time += PERIOD
        if name == "object":
            arm.controller.measured.observe_object(ahead, arm.object, np.eye(3))
        if name == "goal":
            arm.controller.measured.observe_goal(ahead, arm.goal)
        now, arm.time = arm.time, ahead if name == "joint states" else arm.time
        arm.measure()
        arm.time = now
        command = arm.controller.tick(now)
        arm.joints = command.joints.positions[0]
    assert command.phase == "holding"
    assert name in command.reason
    assert "ahead of this node's clock" in command.reason
    np.testing.assert_allclose(command.joints.velocities, 0.0, atol=1e-9)
    arm.sees = True
    arm.run_until("running")
