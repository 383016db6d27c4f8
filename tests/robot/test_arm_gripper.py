"""The arm's fingers: how they move, what they hold on to, and how a policy sees them."""

import numpy as np
import pytest
from perfect_arm import PERIOD, PROFILE, PerfectArm

from her_robot import contract as contracts
from her_robot.robot.kinematics import Kinematics


def _gaps(arm, periods):
    return np.array([arm.tick().gripper_gap for _ in range(periods)])


def test_a_blocked_gripper_stays_closed():
    arm = PerfectArm(action=(0.0, 0.0, 0.0, 1.0))
    arm.run_until("running")
    np.testing.assert_array_equal(_gaps(arm, 10), PROFILE.gripper.closed_gap)


def test_the_gripper_opens_and_closes_no_faster_than_its_fingers_and_within_its_range():
    arm = PerfectArm("fetch_pick_and_place", action=(0.0, 0.0, 0.0, 1.0))
    gaps = [arm.run_until("running").gripper_gap, *_gaps(arm, 40)]
    step = 2 * PROFILE.gripper.finger_speed * PERIOD
    assert np.abs(np.diff(gaps)).max() <= step + 1e-9
    assert gaps[-1] == pytest.approx(PROFILE.gripper.open_gap)
    object.__setattr__(arm.controller.bundle, "action", np.array([0.0, 0.0, 0.0, -0.2], np.float32))
    gaps = _gaps(arm, 40)
    assert np.abs(np.diff(gaps)).max() <= step + 1e-9
    assert gaps[-1] == PROFILE.gripper.closed_gap


def _holding_arm():
    """A running arm with closed fingers on a block, and the gap that it commands."""
    arm = PerfectArm("fetch_pick_and_place", action=(0.0, 0.0, 0.3, -1.0))
    arm.obstacle = 0.05
    arm.fingers = np.full(2, 0.025)
    arm.run_until("running")
    gap = _gaps(arm, 30)[-1]
    assert gap == pytest.approx(0.05 - PROFILE.gripper.lead)
    return arm, gap


@pytest.mark.parametrize("fault", ["stop", "stale joints", "goal outside", "not finite", "deactivated"])
def test_what_is_held_is_held_on_when_the_arm_stops(fault):
    arm, gap = _holding_arm()
    if fault == "stop":
        arm.controller.stop("button pressed")
    elif fault == "goal outside":
        arm.goal = arm.goal + [0.0, 0.0, 1.0]
    elif fault == "not finite":
        object.__setattr__(arm.controller.bundle, "action", np.array([0, 0, 0, np.nan], np.float32))
    if fault == "deactivated":
        assert arm.controller.hold().gripper_gap == gap
        return
    commands = [arm.tick(measure=fault != "stale joints") for _ in range(20)]
    assert commands[-1].phase == ("stopped" if fault in ("stop", "not finite") else "holding")
    assert {command.gripper_gap for command in commands[6:]} <= {commands[6].gripper_gap}
    assert commands[-1].gripper_gap == pytest.approx(gap, abs=1e-9)


def test_what_is_held_is_held_on_through_another_activation():
    arm, gap = _holding_arm()
    arm.controller.hold()
    arm.controller.forget()
    phases = {}
    while "running" not in phases:
        command = arm.tick()
        phases[command.phase] = command.gripper_gap
    assert {phase: value for phase, value in phases.items() if phase != "running"} == {
        phase: pytest.approx(gap) for phase in phases if phase != "running"
    }


BEGAN_OPEN = {"randomization": {"finger_gap": {"low": 0.08, "high": 0.1}}}


@pytest.mark.parametrize(("card", "opens"), [(BEGAN_OPEN, True), ({}, False)])
def test_empty_fingers_open_before_a_policy_runs_that_began_so_in_training(card, opens):
    arm = PerfectArm("fetch_pick_and_place", action=(0.0, 0.0, 0.0, 0.0))
    object.__setattr__(arm.controller.bundle, "card", card)
    assert arm.tick().gripper_gap == PROFILE.gripper.closed_gap
    gap = arm.run_until("running").gripper_gap
    assert gap == pytest.approx(PROFILE.gripper.open_gap if opens else PROFILE.gripper.closed_gap)


def test_fingers_that_squeeze_something_do_not_open_before_the_policy_runs():
    arm = PerfectArm("fetch_pick_and_place", action=(0.0, 0.0, 0.0, -1.0))
    object.__setattr__(arm.controller.bundle, "card", BEGAN_OPEN)
    arm.obstacle, arm.fingers = 0.05, np.full(2, 0.025)
    assert arm.run_until("running").gripper_gap == pytest.approx(0.03)


def test_a_controller_that_finds_its_fingers_apart_does_not_let_go():
    arm = PerfectArm("fetch_pick_and_place", action=(0.0, 0.0, 0.0, -1.0))
    arm.obstacle, arm.fingers = 0.05, np.full(2, 0.025)
    assert arm.tick().gripper_gap == pytest.approx(0.03)


def test_fingers_are_observed_in_the_contracts_order_and_scale():
    arm = PerfectArm("fetch_pick_and_place")
    arm.run_until("running")
    arm.measure(positions=[*arm.joints, 0.011, 0.022], velocities=[*arm.velocities, 0.5, -0.25])
    observation = contracts.observation(arm.contract, arm.controller._state(arm.time))[0]
    np.testing.assert_allclose(observation[contracts.term_slice(arm.contract, "gripper_state")], [0.011, 0.022])
    np.testing.assert_allclose(observation[contracts.term_slice(arm.contract, "gripper_vel")], [0.02, -0.01])


def test_a_held_object_need_not_be_seen():
    arm, _ = _holding_arm()
    grip = Kinematics(arm.profile).forward(arm.profile.from_robot(arm.joints))[0]
    arm.object = grip - [0.0, 0.0, 0.01]
    object.__setattr__(arm.controller.bundle, "action", np.array([0, 0, 0, -1], np.float32))
    for _ in range(5):
        arm.tick()
    arm.sees = False
    for _ in range(int(1.5 * PROFILE.timing.object_timeout / PERIOD)):
        assert arm.tick().phase == "running"
    assert arm.controller.measured.lost_for(arm.time) < 0.1
    arm.obstacle = 0.0
    assert "holding" in {arm.tick().phase for _ in range(int(1.5 * PROFILE.timing.object_timeout / PERIOD))}


def _arm_around_an_object():
    """A running arm with open fingers, an object between them, and its kinematics."""
    arm = PerfectArm("fetch_pick_and_place", action=(0.0, 0.0, 0.0, 1.0))
    kinematics = Kinematics(arm.profile)
    arm.run_until("running")
    _gaps(arm, 40)
    arm.object, _ = kinematics.forward(arm.joints)
    return arm, kinematics


def test_an_arm_does_not_leave_an_object_that_its_fingers_close_on():
    arm, kinematics = _arm_around_an_object()
    arm.tick()
    arm.obstacle = 0.05
    object.__setattr__(arm.controller.bundle, "action", np.array([0.5, 0.0, 0.5, -1.0], np.float32))
    gaps, risen = [], []
    for _ in range(25):
        gaps.append(arm.fingers.sum())
        arm.tick()
        risen.append(kinematics.forward(arm.joints)[0][2] - arm.object[2])
    gaps, risen = np.array(gaps), np.array(risen)
    open_yet = gaps >= arm.controller.measured.object.holding_gap
    assert 8 < open_yet.sum() < 20
    assert risen[open_yet].max() < 0.004
    assert risen[-1] > 0.05


def test_an_arm_is_free_to_leave_an_object_with_open_fingers():
    arm, kinematics = _arm_around_an_object()
    object.__setattr__(arm.controller.bundle, "action", np.array([0.0, 0.0, 0.5, 1.0], np.float32))
    _gaps(arm, 8)
    assert kinematics.forward(arm.joints)[0][2] - arm.object[2] > 0.03
