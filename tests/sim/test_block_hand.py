"""The simulated hand with a block: how episodes begin, what it looks like, and that it moves as in the simulation."""

import dataclasses

import numpy as np
import pytest

from her_robot.contract import goal_distance
from her_robot.errors import ConfigurationError
from her_robot.robot.hand_calibration import load_hand_calibration
from her_robot.rotations import multiply
from her_robot.sim.block_hand import BlockHand
from her_robot.sim.hand_robot import HANDS, ObjectTruth
from her_robot.sim.sensors import CameraImage, SensorStream

CONFIG = HANDS.load("shadow_hand")


@pytest.fixture(scope="module")
def hand():
    hand = BlockHand(CONFIG, "hand_block_rotate_z")
    yield hand
    hand.close()


def test_an_episode_begins_with_a_block_at_rest_on_the_palm(hand):
    starts = []
    for seed in (3, 4, 3):
        hand.reset(seed)
        begun = hand.ground_truth()
        hand.step(0.5)
        truth = hand.ground_truth()
        assert truth.achieved[2] > 0.14
        np.testing.assert_allclose(truth.achieved[:3], begun.achieved[:3], atol=0.003)
        assert goal_distance(hand.contract, truth.achieved, begun.achieved) < 0.1
        starts.append((begun.achieved, begun.goal))
    np.testing.assert_array_equal(starts[0][1], starts[2][1])
    np.testing.assert_allclose(starts[0][0], starts[2][0], atol=1e-9)
    assert goal_distance(hand.contract, starts[0][1], starts[1][1]) > 0.1


def test_a_block_begins_as_a_robot_first_sees_it(hand):
    """This one settles past half a turn: the sign of its quaternion, which tells which way round its goal is, was the
    other one than a camera can tell."""
    hand.reset(1_000_010)
    begun = hand.ground_truth().achieved
    assert 0.0 < begun[3] < 0.1
    hand.step(0.5)
    assert hand.ground_truth().achieved[3:] @ begun[3:] > 0.99


def test_the_calibration_is_that_of_the_cameras(hand):
    calibration = load_hand_calibration(CONFIG.calibration)
    assert calibration.frame == hand.profile.base_frame
    assert set(calibration.cameras) == set(hand.cameras)
    for name, camera in calibration.cameras.items():
        rotation, position = hand.camera_pose_base(name)
        np.testing.assert_allclose(camera.intrinsics.matrix, hand.camera_intrinsics(name), atol=1e-6)
        np.testing.assert_allclose(camera.hand_eye.rotation, rotation, atol=1e-6)
        np.testing.assert_allclose(camera.hand_eye.position, position, atol=1e-6)


def test_goals_are_sent_in_the_frame_of_the_forearm(hand):
    hand.reset(5)
    position, quaternion = hand.object_goal()
    goal = hand.ground_truth().goal
    np.testing.assert_allclose(multiply(np.array(hand.profile.base_rotation_wxyz), quaternion), goal[3:], atol=1e-6)
    np.testing.assert_allclose(hand._base_rotation @ position + hand.profile.base_position, goal[:3], atol=1e-6)


def test_all_cameras_see_the_same_moment(hand):
    stream = SensorStream(hand, real_time=False)
    stream.reset(0)
    reports = list(stream.advance(0.08))
    images = [report for report in reports if isinstance(report, CameraImage)]
    assert [image.camera for image in images] == list(hand.cameras)
    assert len({image.time for image in images}) == 1
    assert sum(isinstance(report, ObjectTruth) for report in reports) == 2


def test_markers_weigh_nothing_and_hide_on_demand(hand):
    assert hand.model.body("object").mass == pytest.approx(567 * 0.05**3)
    prints = [i for i in range(hand.model.ngeom) if hand.model.geom_bodyid[i] == hand.model.body("object").id]
    assert sum(hand.model.geom_contype[i] > 0 for i in prints) == 1
    hand.hide_markers(True)
    hidden = hand.render("thumb_camera")
    hand.hide_markers(False)
    shown = hand.render("thumb_camera")
    assert (shown < 60).all(axis=-1).sum() > (hidden < 60).all(axis=-1).sum() + 1000


def test_what_has_no_block_is_refused():
    with pytest.raises(ConfigurationError, match=r"hand_egg: the simulated hand .* holds a block in hand_block\*"):
        BlockHand(CONFIG, "hand_egg")
    with pytest.raises(ValueError, match="hand_camera is needed, found none"):
        dataclasses.replace(CONFIG, views={})
