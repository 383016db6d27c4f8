"""The map between a hand's own joints and the contract's, against the simulation that policies are trained in."""

from functools import cache

import numpy as np
import pytest

from her_robot.contract import HAND_CONTRACTS, joint_targets
from her_robot.contract.hand import ACTUATOR_RANGES, JOINTS
from her_robot.robot.hand_joints import HandJoints
from her_robot.robot.hand_kinematics import HandKinematics
from her_robot.robot.hand_profile import load_hand_profile
from her_robot.rotations import to_matrix
from her_robot.sim.tasks import make_gymnasium_env

PROFILE = load_hand_profile("shadow_hand")
MAP = HandJoints(PROFILE)
NAMES = PROFILE.joint_names
PAIRS = [("rh_FFJ2", "rh_FFJ1"), ("rh_MFJ2", "rh_MFJ1"), ("rh_RFJ2", "rh_RFJ1"), ("rh_LFJ2", "rh_LFJ1")]


@cache
def _environment():
    return make_gymnasium_env("HandReach-v3").unwrapped


def _as_a_hand_reports(values):
    """Values (24,) of the contract's joints by the hand's names, which count from 1 where the model counts from 0."""
    turned = ("FFJ3", "MFJ3", "THJ1", "THJ0")
    return {
        f"rh_{name[:3]}{int(name[3]) + 1}": -value if name in turned else value
        for name, value in zip(JOINTS, values, strict=True)
    }


def _shuffled(reported):
    names = list(reported)
    np.random.default_rng(0).shuffle(names)
    return names, [reported[name] for name in names]


def test_one_simulated_state_read_both_ways():
    """Off the simulation, and off the joint states that a hand in that state would send."""
    env = _environment()
    observation, _ = env.reset(seed=3)
    random = np.random.default_rng(0)
    for _ in range(10):
        observation, *_ = env.step(random.uniform(-1, 1, 20))
        positions, velocities = observation["observation"][:24], observation["observation"][24:48]
        names, reported = _shuffled(_as_a_hand_reports(positions))
        rates = _as_a_hand_reports(velocities)
        read = MAP.read(names, reported, [rates[name] for name in names])
        np.testing.assert_allclose(read, [positions, velocities], rtol=0, atol=1e-15)


def test_fingertips_are_where_the_simulation_has_them():
    env = _environment()
    kinematics = HandKinematics(PROFILE)
    rotation = to_matrix(np.array(PROFILE.base_rotation_wxyz))
    random = np.random.default_rng(1)
    low, high = env.model.jnt_range.T
    for _ in range(50):
        positions = random.uniform(low, high)
        env.data.qpos[:] = positions
        env._mujoco.mj_forward(env.model, env.data)
        found = kinematics.fingertips(positions) @ rotation.T + PROFILE.base_position
        np.testing.assert_allclose(found.ravel(), env._get_achieved_goal(), rtol=0, atol=1e-6)


def test_the_reach_of_a_fingertip_holds_what_it_reaches():
    kinematics = HandKinematics(PROFILE)
    low, high = kinematics.reach()
    random = np.random.default_rng(2)
    ranges = np.array([PROFILE.joints[name].position for name in JOINTS])
    for _ in range(300):
        tips = kinematics.fingertips(random.uniform(*ranges.T))
        assert (tips > low - 0.005).all()
        assert (tips < high + 0.005).all()


def test_what_is_commanded_comes_back_as_what_was_meant():
    """A hand that is where it was told to be: read, it is where the actuators' targets are."""
    random = np.random.default_rng(3)
    limits = MAP.limits()
    targets = random.uniform(limits.position_low, limits.position_high, (50, 20))
    rates = random.uniform(-1, 1, targets.shape)
    positions, velocities = MAP.to_hand(targets, rates)
    for target, rate, *sent in zip(targets, rates, positions, velocities, strict=True):
        read, read_rates = MAP.read(PROFILE.command_names, *sent)
        np.testing.assert_allclose(MAP.actuated(read), target, rtol=0, atol=1e-12)
        moved = MAP.actuated(read + 1e-6 * read_rates) - MAP.actuated(read)
        np.testing.assert_allclose(moved, 1e-6 * rate, rtol=0, atol=1e-11)


def test_actions_end_up_where_the_simulated_actuators_take_them():
    """All joints are told the actuator's control itself, and distal ones what the tendon makes of it."""
    env = _environment()
    env.reset(seed=0)
    random = np.random.default_rng(4)
    for _ in range(20):
        action = random.uniform(-1, 1, 20)
        env._set_action(action)
        targets = joint_targets(HAND_CONTRACTS["hand_reach"], action, np.zeros(24))
        sent, _ = MAP.to_hand(targets, np.zeros(20))
        sent = dict(zip(PROFILE.command_names, sent, strict=True))
        control = np.zeros(24)
        control[[JOINTS.index(name) for name in ACTUATOR_RANGES]] = env.data.ctrl
        expected = _as_a_hand_reports(control)
        for name in set(NAMES) - {joint for pair in PAIRS for joint in pair}:
            assert sent[name] == pytest.approx(expected[name], abs=1e-12), name
        for middle, distal in PAIRS:
            assert sent[middle] == pytest.approx(expected[middle], abs=1e-12)
            assert sent[distal] == pytest.approx(min(1.142 * expected[middle], 1.5708), abs=1e-9)


def test_a_coupled_pair_settles_about_where_its_sum_is_commanded():
    """The gain of the profile is that of the tendon in the simulation, which leaves the distal joint 0.14 rad of play
    either way."""
    env = _environment()
    env.reset(seed=0)
    for action in (-0.5, 0.0, 0.5):
        for _ in range(40):
            observation, *_ = env.step(np.full(20, action))
        target = joint_targets(HAND_CONTRACTS["hand_reach"], np.full(20, action), np.zeros(24))
        settled = MAP.actuated(observation["observation"][:24])
        coupled = [list(ACTUATOR_RANGES).index(name) for name in ("FFJ1", "MFJ1", "RFJ1", "LFJ1")]
        np.testing.assert_allclose(settled[coupled], target[coupled], rtol=0, atol=0.14)


@pytest.mark.parametrize("position", [0.0, 0.7, 2.5, 2.99, 3.1415])
def test_a_sum_that_is_reported_alone_is_shared_out_within_the_joints_ranges(position):
    reported = {name: 0.1 for name in NAMES if name not in PAIRS[0]} | {"rh_FFJ0": position}
    positions, rates = MAP.read(list(reported), list(reported.values()), [1.0] * len(reported))
    middle, distal = (JOINTS.index(name) for name in ("FFJ1", "FFJ0"))
    assert positions[[middle, distal]].sum() == pytest.approx(position)
    assert rates[[middle, distal]].sum() == pytest.approx(1.0)
    assert 0.0 <= positions[middle] <= positions[distal] <= 1.5708 + 1e-9
    if position < 2.9:
        assert positions[distal] == pytest.approx(1.142 * positions[middle])


def test_two_joints_tell_more_than_their_sum():
    reported = _as_a_hand_reports(np.full(24, 0.2)) | {"rh_FFJ0": 1.0}
    positions, _ = MAP.read(list(reported), list(reported.values()))
    assert positions[JOINTS.index("FFJ1")] == pytest.approx(0.2)


def test_offsets_are_added_to_what_is_read_and_taken_off_what_is_sent():
    shifted = HandJoints(PROFILE, {"rh_FFJ4": 0.05, "rh_FFJ1": 0.02})
    reported = _as_a_hand_reports(np.full(24, 0.2))
    positions, _ = shifted.read(list(reported), list(reported.values()))
    assert positions[JOINTS.index("FFJ3")] == pytest.approx(0.2 - 0.05)  # counted the other way round
    assert positions[JOINTS.index("FFJ0")] == pytest.approx(0.2 + 0.02)
    targets = np.full(20, 0.2)
    sent, _ = shifted.to_hand(targets, np.zeros(20))
    read, _ = shifted.read(PROFILE.command_names, sent)
    np.testing.assert_allclose(shifted.actuated(read), targets, atol=1e-12)


def test_joints_of_the_arm_below_are_ignored():
    reported = _as_a_hand_reports(np.full(24, 0.2)) | {"ra_elbow_joint": np.nan}
    positions, rates = MAP.read(list(reported), list(reported.values()))
    assert positions == pytest.approx(np.full(24, 0.2))
    assert np.isnan(rates).all()


def _changed(drop=(), **more):
    reported = {name: value for name, value in _as_a_hand_reports(np.full(24, 0.2)).items() if name not in drop}
    return reported | more


@pytest.mark.parametrize(
    ("reported", "message"),
    [
        ({name.replace("rh_", "lh_"): 0.0 for name in NAMES}, r"of the other hand: lh_\* where the profile has rh_\*"),
        (_changed(drop=["rh_LFJ5", "rh_WRJ1"]), "lack rh_WRJ1, rh_LFJ5"),
        (_changed(drop=["rh_FFJ1"]), "lack rh_FFJ1"),
        (_changed(rh_FFJ5=0.0), "have rh_FFJ5, which the profile 'shadow_hand' has not"),
        (_changed(rh_THJ2=np.nan), "not finite: rh_THJ2"),
        (_changed(drop=["rh_FFJ1", "rh_FFJ2"], rh_FFJ0=np.inf), "not finite: rh_FFJ0"),
        ({}, "lack rh_WRJ2"),
    ],
)
def test_joint_states_that_are_not_of_this_hand_are_refused(reported, message):
    with pytest.raises(ValueError, match=message):
        MAP.read(list(reported), list(reported.values()))


def test_positions_without_names_are_refused():
    with pytest.raises(ValueError, match="3 positions for 24 names"):
        MAP.read(NAMES, [0.0] * 3)
