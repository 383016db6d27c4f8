"""The simulated hand: its servos, what it reports, and that a policy does on it what it does in the simulation."""

import dataclasses

import numpy as np
import pytest
from scripted_reach import scripted_bundle

from her_robot.contract import goal_distance
from her_robot.contract.hand import JOINTS
from her_robot.errors import ConfigurationError, UnknownNameError
from her_robot.robot.calibration import JointOffsets, load_prints
from her_robot.robot.hand_controller import HandController
from her_robot.robot.hand_joints import HandJoints
from her_robot.robot.hand_profile import load_hand_profile
from her_robot.sim.hand_robot import HANDS, FingertipTruth, ReachingHand
from her_robot.sim.hand_scene import compile_hand_scene
from her_robot.sim.machine import JointMeasurement
from her_robot.sim.sensors import CameraImage, SensorStream
from her_robot.sim.tasks import make_gymnasium_env

CONFIG = HANDS.load("shadow_hand")


@pytest.fixture(scope="module")
def hand():
    hand = ReachingHand(CONFIG, "hand_reach")
    yield hand
    hand.close()


def _send(hand, targets, duration):
    positions, velocities = HandJoints(hand.profile).to_hand(targets, np.zeros(20))
    told = dict(zip(hand.profile.command_names, zip(positions, velocities, strict=True), strict=True))
    for topic, names in hand.trajectory_topics.items():
        values = np.array([told[name] for name in names]).T
        hand.command(topic, names, np.array([hand.time + duration]), values[:1], values[1:])


def test_a_reset_is_the_start_of_an_episode_with_a_goal_of_its_seed(hand):
    goals = []
    for seed in (1, 2, 1):
        hand.reset(seed)
        goals.append(hand.ground_truth().goal)
        observation, _ = make_gymnasium_env("HandReach-v3").reset(seed=0)
        np.testing.assert_allclose(
            hand.ground_truth().achieved.ravel(), observation["achieved_goal"], rtol=0, atol=0.002
        )
    np.testing.assert_array_equal(goals[0], goals[2])
    assert np.abs(goals[0] - goals[1]).max() > 0.001


def test_joints_go_where_they_are_told(hand):
    hand.reset(0)
    targets = np.full(20, 0.1)
    targets[-1] = -0.3  # the thumb's tip bends the other way
    _send(hand, targets, 0.4)
    hand.step(1.5)
    measured = hand.joint_state()
    assert measured.names == hand.profile.joint_names
    joints = HandJoints(hand.profile)
    positions, _ = joints.read(measured.names, measured.positions, measured.velocities)
    np.testing.assert_allclose(joints.actuated(positions), targets, rtol=0, atol=0.03)
    # Of a coupled pair the sum is held; how it is shared, the tendon decides, within its play.
    middle, distal = (positions[JOINTS.index(name)] for name in ("FFJ1", "FFJ0"))
    assert abs(distal - 1.142 * middle) < 0.16


def test_encoders_are_noisy_and_directions_are_the_hands_own(hand):
    hand.reset(0)
    readings = np.stack([hand.joint_state().positions for _ in range(300)])
    assert readings.std(axis=0) == pytest.approx(np.full(24, CONFIG.encoder_noise), rel=0.25)
    true = dict(zip(hand.profile.joint_names, hand.data.qpos[:24], strict=True))
    mean = dict(zip(hand.profile.joint_names, readings.mean(axis=0), strict=True))
    assert mean["rh_THJ1"] == pytest.approx(-true["rh_THJ1"], abs=0.001)
    assert mean["rh_FFJ3"] == pytest.approx(true["rh_FFJ3"], abs=0.001)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda names, p: (names[1:], p[:, 1:]), "expected all of"),
        (lambda names, p: (("rh_FFJ0", *names[1:]), p), "expected all of"),
        (lambda names, p: (names, p * np.nan), "not all finite"),
        (lambda names, p: (names, p[:, 1:]), "shape"),
    ],
)
def test_commands_that_make_no_sense_are_refused(hand, change, message):
    topic, names = next(iter(hand.trajectory_topics.items()))
    names, positions = change(names, np.zeros((1, len(names))))
    with pytest.raises(ValueError, match=message):
        hand.command(topic, names, np.array([hand.time + 0.1]), positions, np.zeros_like(positions))


def test_sensors_report_at_their_rates(hand):
    stream = SensorStream(hand, real_time=False)
    stream.reset(0)
    reports = list(stream.advance(0.4))
    counts = [sum(isinstance(r, kind) for r in reports) for kind in (JointMeasurement, CameraImage, FingertipTruth)]
    assert counts[0] == 50
    assert counts[1] == 11
    assert counts[2] == 10
    pixels = next(r.pixels for r in reports if isinstance(r, CameraImage))
    assert pixels.shape == (480, 640, 3)
    assert pixels.std() > 20  # a hand, and not an empty room


def test_goals_are_sent_in_the_frame_of_the_forearm(hand, tmp_path):
    hand.reset(3)
    bundle = scripted_bundle(tmp_path)
    controller = HandController(bundle, hand.profile, JointOffsets({}))
    controller.measured.observe_fingertip_goals(0.0, hand.profile.base_frame, hand.fingertip_goals())
    assert controller.measured.goal is not None
    np.testing.assert_allclose(controller.measured.goal, hand.ground_truth().goal.ravel(), atol=1e-6)


def _distance_in_simulation(bundle, seed):
    env = make_gymnasium_env("HandReach-v3")
    observation, _ = env.reset(seed=seed)
    for _ in range(50):
        observation, *_ = env.step(bundle.act(observation["observation"], observation["desired_goal"]))
    return observation["desired_goal"], np.linalg.norm(observation["achieved_goal"] - observation["desired_goal"])


def _distance_on_the_hand(hand, controller, goal, steps=60):
    """Without ROS: the way of the data is that of the nodes."""
    hand.reset(0)
    controller.forget()
    goals = hand.fingertip_goals() + (goal.reshape(5, 3) - hand.ground_truth().goal) @ hand._base_rotation
    while controller.steps < steps:
        for _ in range(5):
            hand.step(0.008)
            measured = hand.joint_state()
            controller.measured.observe_joints(*dataclasses.astuple(measured))
        controller.measured.observe_fingertip_goals(hand.time, hand.profile.base_frame, goals)
        joints = controller.tick(hand.time).joints
        for topic, columns in controller.trajectory_topics.items():
            names, times = controller.joint_names[columns], hand.time + joints.times
            hand.command(topic, names, times, joints.positions[:, columns], joints.velocities[:, columns])
    return float(goal_distance(controller.contract, hand.ground_truth().achieved.ravel(), goal))


def test_a_policy_comes_as_near_to_its_goals_as_in_simulation(hand, tmp_path):
    bundle = scripted_bundle(tmp_path)
    controller = HandController(bundle, hand.profile, JointOffsets({}))
    for seed in (0, 2, 3):
        goal, simulated = _distance_in_simulation(bundle, seed)
        assert simulated < 0.01
        assert _distance_on_the_hand(hand, controller, goal) == pytest.approx(simulated, abs=0.0035)
    assert controller.holds == 0


def test_a_hand_that_aims_where_it_is_told_misses_what_a_policy_has_learnt(hand, tmp_path):
    """Stiff servos do not hang below their targets, as those of the simulation do."""
    bundle = scripted_bundle(tmp_path)
    profile = dataclasses.replace(
        hand.profile, motion=dataclasses.replace(hand.profile.motion, sags_as_trained=False), coupling_play=0.0
    )
    controller = HandController(bundle, profile, JointOffsets({}))
    goal, simulated = _distance_in_simulation(bundle, 3)
    assert _distance_on_the_hand(hand, controller, goal) > simulated + 0.005


def test_what_cannot_be_simulated_is_refused():
    with pytest.raises(ConfigurationError, match="hand_block has an object"):
        ReachingHand(CONFIG, "hand_block")
    with pytest.raises(UnknownNameError, match="did you mean 'shadow_hand'"):
        HANDS.load("shadow_hnd")


def test_a_hand_that_grips_less_and_holds_more():
    profile, prints = load_hand_profile("shadow_hand"), load_prints("shadow_hand_sim")
    base, other = (
        compile_hand_scene(scene, profile, {}, prints, 64, 64)
        for scene in (CONFIG.scene, dataclasses.replace(CONFIG.scene, object_mass=2.0, friction=0.5))
    )
    block = base.body("object").id
    assert other.body_mass[block] == pytest.approx(2.0 * base.body_mass[block])
    np.testing.assert_allclose(other.body_inertia[block], 2.0 * base.body_inertia[block])
    touches = base.geom_contype > 0
    np.testing.assert_allclose(other.geom_friction[touches, 0], 0.5 * base.geom_friction[touches, 0])
    assert touches.sum() > 20
    with pytest.raises(ValueError, match="friction must be above 0"):
        dataclasses.replace(CONFIG.scene, friction=0.0)
