"""The hand's controller: phases, joint targets, limits, and what it refuses."""

import dataclasses

import numpy as np
import pytest
from perfect_arm import ConstantPolicy

from her_robot import rotations
from her_robot.contract import HAND_CONTRACTS, joint_targets
from her_robot.contract.hand import ACTUATED, ACTUATOR_RANGES, JOINTS
from her_robot.errors import BundleError, ConfigurationError, UnknownNameError
from her_robot.robot.calibration import JointOffsets
from her_robot.robot.controller import load_controller
from her_robot.robot.hand_controller import HandController
from her_robot.robot.hand_joints import ACTUATORS, HandJoints, SlowSprings, TendonPlay
from her_robot.robot.hand_kinematics import HandKinematics
from her_robot.robot.hand_profile import load_hand_profile
from her_robot.robot.nudge import NudgeConfig

PROFILE = load_hand_profile("shadow_hand")
FRAME = PROFILE.base_frame
PERIOD = 0.04
ACTION = np.linspace(-0.6, 0.6, 20)


class PerfectHand:
    """Joints that are where they were told to be one period ago, and inputs that are all well."""

    def __init__(self, action=ACTION, profile=PROFILE, task="hand_reach"):
        self.controller = HandController(ConstantPolicy(task, action), profile, JointOffsets({}))
        self.joints = dict.fromkeys(profile.joint_names, 0.1)
        self.goals = HandKinematics(profile).fingertips(np.full(24, 0.1))
        self.time = 0.0
        self.sees_goal = True

    def tick(self, **changes):
        self.time += PERIOD
        reported = self.joints | changes
        measured = self.controller.measured
        measured.observe_joints(self.time, list(reported), list(reported.values()))
        if self.sees_goal:
            measured.observe_fingertip_goals(self.time, FRAME, self.goals)
        command = self.controller.tick(self.time)
        if command.joints is not None:
            self.joints |= zip(self.controller.joint_names, command.joints.positions[0].tolist(), strict=True)
        return command

    def run_until(self, phase, limit=100):
        for _ in range(limit):
            command = self.tick()
            if command.phase == phase:
                return command
        raise AssertionError(f"still {command.phase}: {command.reason}")


def _plain(**motion):
    """A profile that aims where the policy says."""
    motion = dataclasses.replace(PROFILE.motion, sags_as_trained=False, **motion)
    return dataclasses.replace(PROFILE, motion=motion, coupling_play=0.0)


def test_phases_lead_home_and_to_a_goal():
    hand = PerfectHand()
    hand.sees_goal = False
    assert hand.tick().phase == "homing"
    assert hand.run_until("looking").reason == "no goal for the fingertips yet"
    home = hand.controller._joints.actuated(hand.controller.measured.positions)
    assert home == pytest.approx([PROFILE.home[name] for name in ACTUATORS], abs=0.1)
    hand.sees_goal = True
    assert hand.tick().phase == "running"
    assert hand.controller.steps == 1


def test_an_action_ends_where_the_actuators_of_the_simulation_are_told():
    hand = PerfectHand(profile=_plain())
    hand.run_until("running")
    for _ in range(60):
        hand.tick()
    expected = joint_targets(HAND_CONTRACTS["hand_reach"], ACTION, np.zeros(24))
    reached = hand.controller._joints.actuated(hand.controller.measured.positions)
    np.testing.assert_allclose(reached, expected, rtol=0, atol=0.02)  # real ranges are a little narrower in the wrist
    assert hand.controller.holds == 0


def test_joints_keep_their_limits_each_by_itself():
    hand = PerfectHand(action=np.ones(20), profile=_plain())
    hand.run_until("running")
    before, speeds = None, []
    for _ in range(60):
        hand.tick()
        now = np.array([hand.joints[name] for name in PROFILE.joint_names])
        if before is not None:
            speeds.append(np.abs(now - before) / PERIOD)
        before = now
    limits = np.array([PROFILE.joints[name].velocity for name in JOINTS])
    assert (np.max(speeds, axis=0) <= limits * 1.001).all()
    # The farthest joints go at full speed, while those with less far to go have arrived.
    assert np.max(speeds[0]) > 0.5
    assert np.min(speeds[-1]) < 1e-6


def test_a_joint_is_pressed_no_harder_than_its_lead():
    hand = PerfectHand(action=np.ones(20), profile=_plain())
    hand.run_until("running")
    for _ in range(40):
        command = hand.tick(rh_FFJ3=0.2)
    index = hand.controller.joint_names.index("rh_FFJ3")
    assert command.joints.positions[1, index] == pytest.approx(0.2 + PROFILE.motion.lead, abs=1e-3)


def test_joints_hang_as_those_of_the_simulation_do():
    """Gravity over stiffness: what the simulation's wrist was seen to stay below its target by."""
    from her_robot.sim.tasks import make_gymnasium_env

    env = make_gymnasium_env("HandReach-v3").unwrapped
    env.reset(seed=0)
    action = np.zeros(20)
    action[[ACTUATORS.index(name) for name in ("FFJ3", "RFJ3", "LFJ3")]] = 0.6, -0.6, -0.6  # apart: nothing touches
    for _ in range(60):
        observation, *_ = env.step(action)
    positions = observation["observation"][:24]
    targets = joint_targets(HAND_CONTRACTS["hand_reach"], action, positions)
    below = targets - positions[[JOINTS.index(name) for name in ACTUATOR_RANGES]]
    sag = HandKinematics(PROFILE).sag(positions)
    free = [ACTUATORS.index(name) for name in ("WRJ1", "WRJ0", "FFJ2", "THJ4", "THJ3", "THJ2", "THJ0")]
    np.testing.assert_allclose(sag[free], below[free], rtol=0, atol=0.006)
    assert sag[ACTUATORS.index("WRJ0")] > 0.05


def test_joints_go_to_their_targets_as_slowly_as_those_of_the_simulation():
    from her_robot.sim.tasks import make_gymnasium_env

    env = make_gymnasium_env("HandReach-v3").unwrapped
    env.reset(seed=0)
    for _ in range(60):
        observation, *_ = env.step(np.zeros(20))
    rest = observation["observation"][ACTUATED]
    # Joints that nothing is in the way of.
    moving = [ACTUATORS.index(name) for name in ("WRJ0", "FFJ2", "MFJ2", "THJ4")]
    action = np.zeros(20)
    action[moving] = 0.4
    still = np.zeros(24)
    turned = joint_targets(HAND_CONTRACTS["hand_reach"], action, still) - joint_targets(
        HAND_CONTRACTS["hand_reach"], np.zeros(20), still
    )
    springs, apart = SlowSprings(PERIOD), []
    springs.start(np.zeros(20))
    for _ in range(12):
        reached = env.step(action)[0]["observation"][ACTUATED] - rest
        apart.append(np.abs(reached - springs.advance(turned))[moving].max())
    assert np.abs(turned[moving]).min() > 0.2
    # Within the first period there is also inertia.
    assert apart[0] < 0.04
    assert max(apart[1:]) < 0.015


def test_distal_joints_lag_by_the_play_of_their_tendons():
    tendons, index = TendonPlay(PROFILE, HandJoints(PROFILE)), ACTUATORS.index("FFJ1")
    tendons.start(np.zeros(24))
    gain, play = PROFILE.coupling_gain, PROFILE.coupling_play

    def distal(target):
        targets = np.full(20, 0.3)
        targets[index] = target
        adjusted = tendons.advance(targets)
        assert (np.delete(adjusted, index)[:3] == 0.3).all()
        return gain * adjusted[index] - target

    assert distal(0.1) == pytest.approx(0.0)
    assert distal(0.8) == pytest.approx((gain - 1) * 0.8 - play)
    assert distal(0.7) == pytest.approx((gain - 1) * 0.8 - play)
    assert distal(0.2) == pytest.approx((gain - 1) * 0.2 + play)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({name.replace("rh_", "lh_"): 0.0 for name in PROFILE.joint_names}, "of the other hand"),
        ({name: 0.0 for name in PROFILE.joint_names if name != "rh_THJ5"}, "lack rh_THJ5"),
        ({name: 0.0 for name in (*PROFILE.joint_names, "rh_LFJ6")}, "have rh_LFJ6"),
    ],
)
def test_another_hand_does_not_move(names, message):
    hand = PerfectHand()
    hand.controller.measured.observe_joints(1.0, list(names), list(names.values()))
    command = hand.controller.tick(1.0)
    assert (command.phase, command.joints) == ("waiting", None)
    assert message in command.reason


def test_a_hand_that_becomes_another_holds():
    hand = PerfectHand()
    hand.run_until("running")
    command = hand.tick(rh_LFJ6=0.0)
    assert (command.phase, command.brakes) == ("holding", True)
    assert hand.tick().phase == "running"


@pytest.mark.parametrize("joints", [("rh_FFJ1", "rh_FFJ2"), ("rh_FFJ1", "rh_FFJ2", "rh_LFJ1", "rh_LFJ2")])
def test_sums_will_do_for_two_joints(joints):
    hand = PerfectHand()
    sums = {f"{name[:-1]}0": 0.3 for name in joints}
    reported = {name: value for name, value in hand.joints.items() if name not in joints} | sums
    for tick in range(1, 60):
        hand.controller.measured.observe_joints(tick * PERIOD, list(reported), list(reported.values()))
        command = hand.controller.tick(tick * PERIOD)
    assert command.phase == "homing"
    assert command.joints is not None
    assert hand.controller.measured.joint_problem == ""


def test_old_joint_states_and_stops_hold_the_hand():
    hand = PerfectHand()
    hand.run_until("running")
    late = hand.controller.tick(hand.time + 0.5)
    assert late.phase == "holding"
    assert "joint states are 0.50 s old" in late.reason
    hand.controller.stop("button pressed")
    hand.time += 0.5
    assert hand.tick().phase == "stopped"
    hand.controller.rearm()
    assert hand.run_until("running").reason == ""
    assert hand.controller.safety.stops == 1


def test_joint_states_of_another_clock_are_refused():
    hand = PerfectHand()
    hand.run_until("running")
    hand.controller.measured.observe_joints(hand.time + 5.0, list(hand.joints), list(hand.joints.values()))
    assert "ahead of this node's clock" in hand.controller.tick(hand.time + PERIOD).reason


def _out_of_reach(goals):
    far = goals.copy()
    far[4, 2] += 0.4
    return far


@pytest.mark.parametrize(
    ("frame", "change", "message"),
    [
        ("world", np.copy, "in frame 'world'; expected 'rh_forearm'"),
        (FRAME, lambda goals: goals[:4], "4 fingertip goals; expected 5: fftip, mftip"),
        (FRAME, lambda goals: goals * np.nan, "not finite"),
        (FRAME, _out_of_reach, "of thtip lies outside of what it reaches"),
    ],
)
def test_goals_that_cannot_be_hold_the_hand_until_a_good_one_comes(frame, change, message):
    hand = PerfectHand()
    hand.run_until("running")
    hand.sees_goal = False
    hand.controller.measured.observe_fingertip_goals(hand.time, frame, change(hand.goals))
    command = hand.tick()
    assert command.phase == "holding"
    assert message in command.reason
    hand.sees_goal = True
    assert hand.tick().phase == "running"


def test_an_action_that_is_not_finite_stops():
    hand = PerfectHand()
    hand.run_until("running")
    object.__setattr__(hand.controller.bundle, "action", np.full(20, np.nan, np.float32))
    assert hand.tick().joints is not None
    assert hand.tick().phase == "stopped"


class StillBlock(PerfectHand):
    """The same with a block that lies still on the palm, and a goal a quarter of a turn away."""

    BLOCK = rotations.to_matrix(np.array(PROFILE.base_rotation_wxyz)).T @ [0.0, -0.37, 0.05]
    """Above the palm, in the hand's frame [m]."""

    def __init__(self, goal=(0.5**0.5, 0.0, 0.0, 0.5**0.5), **motion):
        super().__init__(action=np.zeros(20), profile=_plain(**motion), task="hand_block_rotate_z")
        self.goal = np.r_[self.BLOCK, goal]
        self.rotation = np.eye(3)
        self.targets = []

    def tick(self, **changes):
        measured = self.controller.measured
        measured.observe_object(self.time + PERIOD, FRAME, self.BLOCK, self.rotation)
        measured.observe_object_goal(self.time + PERIOD, FRAME, self.goal)
        self.sees_goal = False
        command = super().tick(**changes)
        if command.phase == "running":
            self.targets.append(self.controller._joints.actuated(measured.positions))
        return command

    def spread(self):
        """How far joints move while the policy always says the same [rad]."""
        return np.ptp(np.array(self.targets)[10:], axis=0).max()


def test_a_block_at_a_standstill_is_nudged():
    hand = StillBlock()
    for _ in range(100):
        hand.tick()
    assert hand.controller.holds == 0
    assert len(hand.targets) > 50
    assert hand.spread() > 0.1


@pytest.mark.parametrize(
    "changes", [{"goal": (1.0, 0.0, 0.0, 0.0)}, {"nudge": NudgeConfig(size=0.0)}], ids=["at its goal", "switched off"]
)
def test_a_block_is_left_alone(changes):
    hand = StillBlock(**changes)
    for _ in range(100):
        hand.tick()
    assert len(hand.targets) > 50
    assert hand.spread() < 0.05


def test_a_block_on_its_way_to_another_goal_is_left_alone():
    """How near it was to the goal before does not count."""
    hand = StillBlock(goal=(1.0, 0.0, 0.0, 0.0))
    hand.run_until("running")
    hand.tick()
    hand.goal[3:] = 0.0, 0.0, 0.0, 1.0
    for angle in np.linspace(0.0, 3.0, 60):
        hand.rotation = rotations.to_matrix(rotations.from_axis_angle(np.array([0.0, 0.0, 1.0]), angle))
        hand.tick()
    assert hand.controller.holds == 0
    assert len(hand.targets) > 50
    assert hand.spread() < 0.05


def test_policies_of_another_robot_are_refused(tmp_path):
    with pytest.raises(BundleError, match="is a hand, and fetch_reach is no task of a hand"):
        HandController(ConstantPolicy("fetch_reach", np.zeros(4)), PROFILE, JointOffsets({}))
    with pytest.raises(BundleError, match="hand_block_touch observes touch, which no node measures"):
        HandController(ConstantPolicy("hand_block_touch", np.zeros(20)), PROFILE, JointOffsets({}))


def test_a_controller_is_made_of_names(tmp_path):
    from constant_policy import constant_bundle

    constant_bundle("hand_reach", np.full(20, 0.1), tmp_path)
    controller = load_controller("hand_reach", tmp_path, "shadow_hand", "shadow_hand_sim")
    assert isinstance(controller, HandController)
    assert sum(columns.stop - columns.start for columns in controller.trajectory_topics.values()) == 24
    with pytest.raises(ConfigurationError, match="not a hand"):
        load_controller("hand_reach", tmp_path, "fetch", "shadow_hand_sim")
    with pytest.raises(UnknownNameError, match="shadow_hand"):
        load_controller("hand_reach", tmp_path, "shadow_hnd", "shadow_hand_sim")
