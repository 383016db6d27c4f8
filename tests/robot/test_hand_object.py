"""The object as a hand's observation has it: quaternion, velocities, and what holds the hand."""

import numpy as np
import pytest
from perfect_arm import ConstantPolicy

from her_robot import rotations
from her_robot.contract import HAND_CONTRACTS, term_slice
from her_robot.robot.calibration import JointOffsets
from her_robot.robot.hand_controller import HandController
from her_robot.robot.hand_joints import ACTUATORS
from her_robot.robot.hand_object import HandObjectTracker
from her_robot.robot.hand_profile import load_hand_profile

PROFILE = load_hand_profile("shadow_hand")
FRAME = PROFILE.base_frame
PERIOD = 0.04
BASE = rotations.to_matrix(np.array(PROFILE.base_rotation_wxyz))
ON_PALM = np.array([1.0, 0.87, 0.17])
"""World frame [m]."""


def about(axis, angle):
    return rotations.from_axis_angle(np.array(axis, float), angle)


def test_velocities_are_of_the_world_and_of_the_object():
    """A steady motion: v in the world's axes, w in the object's own, as in MuJoCo's qvel."""
    tracker, velocity, turning = HandObjectTracker(), np.array([0.05, -0.02, 0.01]), 1.5
    start = about([0.0, 1.0, 0.0], np.pi / 2)
    for step in range(60):
        time = step / 30
        quaternion = rotations.multiply(about([0.0, 0.0, 1.0], turning * time), start)
        tracker.update(time, ON_PALM + velocity * time, rotations.to_matrix(quaternion))
    state = tracker.state(time)
    np.testing.assert_allclose(state.position, ON_PALM + velocity * time)
    np.testing.assert_allclose(state.velocity, velocity, atol=1e-6)
    # The world's z is the object's -x.
    np.testing.assert_allclose(state.angular_velocity, [-turning, 0.0, 0.0], atol=1e-6)


def test_a_quaternion_begins_with_positive_w_and_does_not_flip():
    tracker, found = HandObjectTracker(), []
    for step in range(80):
        tracker.update(step / 30, ON_PALM, rotations.to_matrix(about([0.0, 0.0, 1.0], 0.1 * step)))
        found.append(tracker.state(step / 30).quaternion)
    np.testing.assert_allclose(found, [about([0.0, 0.0, 1.0], 0.1 * step) for step in range(80)], atol=1e-9)
    assert found[-1][0] < 0
    tracker.reset()
    tracker.update(9.0, ON_PALM, rotations.to_matrix(about([0.0, 0.0, 1.0], 0.1 * 79)))
    np.testing.assert_allclose(tracker.state(9.0).quaternion, -found[-1], atol=1e-9)


class HandWithObject:
    """Joints that are where they were told to be, a goal, and an object that is seen where it is."""

    def __init__(self, task="hand_block_rotate_z"):
        self.controller = HandController(ConstantPolicy(task, np.zeros(20)), PROFILE, JointOffsets({}))
        self.joints = dict.fromkeys(PROFILE.joint_names, 0.1)
        self.position, self.quaternion = ON_PALM, about([0.0, 0.0, 1.0], 0.4)
        self.goal = about([0.0, 0.0, 1.0], -2.0)
        self.time, self.sees, self.frame = 0.0, True, FRAME

    def send_goal(self, frame=FRAME, lift=0.0):
        to_base = rotations.conjugate(np.array(PROFILE.base_rotation_wxyz))
        position = (ON_PALM + [0.0, 0.0, lift] - PROFILE.base_position) @ BASE
        pose = np.concatenate([position, rotations.multiply(to_base, self.goal)])
        self.controller.measured.observe_object_goal(self.time, frame, pose)

    def tick(self):
        self.time += PERIOD
        measured = self.controller.measured
        measured.observe_joints(self.time, list(self.joints), list(self.joints.values()))
        if self.sees:
            rotation = BASE.T @ rotations.to_matrix(self.quaternion)
            measured.observe_object(self.time, self.frame, (self.position - PROFILE.base_position) @ BASE, rotation)
        command = self.controller.tick(self.time)
        if command.joints is not None:
            self.joints |= zip(self.controller.joint_names, command.joints.positions[0].tolist(), strict=True)
        return command

    def run_until(self, phase, limit=150):
        for _ in range(limit):
            command = self.tick()
            if command.phase == phase:
                return command
        raise AssertionError(f"still {command.phase}: {command.reason}")


def test_a_policy_waits_for_object_and_goal_at_the_home_of_tasks_with_an_object():
    hand = HandWithObject()
    hand.sees = False
    assert hand.run_until("looking").reason == "the object has not been seen yet"
    home = hand.controller._joints.actuated(hand.controller.measured.positions)
    assert home == pytest.approx([PROFILE.object_home[name] for name in ACTUATORS], abs=0.1)
    hand.sees = True
    assert hand.tick().reason == "no goal for the object yet"
    hand.send_goal()
    assert hand.tick().phase == "running"


def test_the_policy_sees_object_and_goal_in_its_world():
    hand = HandWithObject()
    seen = {}

    def act(observation, goal, memory):
        seen.update(observation=observation, goal=goal)
        return np.zeros(20)

    object.__setattr__(hand.controller.bundle, "act", act)
    hand.send_goal()
    hand.run_until("running")
    contract = HAND_CONTRACTS["hand_block_rotate_z"]
    pose = seen["observation"][term_slice(contract, "object_pose")]
    np.testing.assert_allclose(pose, [*hand.position, *hand.quaternion], atol=1e-6)
    np.testing.assert_allclose(seen["goal"], [*ON_PALM, *hand.goal], atol=1e-6)


def test_an_object_out_of_every_view_is_held_for_a_while_and_then_holds_the_hand():
    hand = HandWithObject()
    hand.send_goal()
    hand.run_until("running")
    hand.sees = False
    held = int(PROFILE.timing.object_timeout / PERIOD)
    assert {hand.tick().phase for _ in range(held)} == {"running"}
    hand.tick()
    command = hand.tick()
    assert (command.phase, command.brakes) == ("holding", True)
    assert "no camera has seen the object for 0.5" in command.reason
    hand.sees = True
    assert hand.tick().phase == "running"
    assert hand.controller.holds == 1


def test_an_object_that_fell_holds_the_hand_until_it_is_back():
    hand = HandWithObject()
    hand.send_goal()
    hand.run_until("running")
    hand.position = ON_PALM * [1.0, 1.0, 0.0] + [0.1, 0.0, 0.025]
    assert "fallen off the palm: its height is 0.025 m" in hand.tick().reason
    hand.position = ON_PALM
    assert hand.tick().phase == "running"


def test_what_comes_in_another_frame_or_of_another_clock_holds_the_hand():
    hand = HandWithObject()
    hand.send_goal()
    hand.run_until("running")
    hand.frame = "world"
    assert "the object is in frame 'world'; expected 'rh_forearm'" in hand.tick().reason
    hand.frame = FRAME
    hand.send_goal("map")
    assert "the object's goal is in frame 'map'" in hand.tick().reason
    hand.send_goal()
    assert hand.tick().phase == "running"
    hand.controller.measured.observe_object(hand.time + 9.0, FRAME, np.zeros(3), np.eye(3))
    hand.sees = False
    assert "the object is stamped" in hand.tick().reason


def test_goals_where_fingers_do_not_reach_are_refused_where_positions_count():
    full, turning = HandWithObject("hand_block"), HandWithObject()
    for hand in (full, turning):
        hand.send_goal(lift=0.4)
    assert "lies outside of where fingertips reach" in full.tick().reason
    assert turning.run_until("running").reason == ""
