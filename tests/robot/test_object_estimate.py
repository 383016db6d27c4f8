"""The block in the simulated hand, by rendered images of three cameras, against the truth."""

import dataclasses

import cv2
import numpy as np
import pytest

from her_robot.robot.hand_calibration import HandCalibration, load_hand_calibration
from her_robot.robot.object_estimate import ObjectEstimator, ObjectEstimatorConfig
from her_robot.rotations import to_matrix, turn_between
from her_robot.sim.block_hand import BlockHand
from her_robot.sim.hand_robot import HANDS

CALIBRATION = load_hand_calibration("shadow_hand_sim")
CAMERAS = tuple(CALIBRATION.cameras)
PERIOD = 1 / 15


@pytest.fixture(scope="module")
def hand():
    hand = BlockHand(HANDS.load("shadow_hand"), "hand_block_rotate_xyz")
    yield hand
    hand.close()


@pytest.fixture(scope="module")
def looks(hand):
    """Images by camera, and the block's true position and rotation in the hand's base frame, of three episodes."""
    base = to_matrix(np.array(hand.profile.base_rotation_wxyz))
    scenes = []
    for seed in range(3):
        hand.reset(seed)
        pose = hand.ground_truth().achieved
        images = {name: hand.render(name) for name in CAMERAS}
        scenes.append((images, (pose[:3] - hand.profile.base_position) @ base, base.T @ to_matrix(pose[3:])))
    return scenes


def _look(estimator, images, time):
    """All images of one time; what the look told that was over by that."""
    return [estimate for name, image in images.items() for estimate in estimator.process(name, image, time)[1]]


def _error(estimate, position, rotation):
    """[mm], [degrees]."""
    distance = np.linalg.norm(estimate.pose.position - position)
    return 1e3 * distance, np.degrees(turn_between(estimate.pose.rotation, rotation))


def test_three_cameras_see_the_block_to_a_tenth_of_a_millimetre(looks):
    for images, position, rotation in looks:
        (estimate,) = _look(ObjectEstimator(CALIBRATION), images, 0.0)
        assert estimate.outcome == "seen"
        assert set(estimate.views) == set(CAMERAS)
        distance, angle = _error(estimate, position, rotation)
        assert distance < 0.2
        assert angle < 0.3
        assert np.sqrt(np.diag(estimate.pose.covariance)[:3]).max() < 0.001


@pytest.mark.parametrize("blind", CAMERAS)
def test_one_camera_may_be_blind(looks, blind):
    images, position, rotation = looks[1]
    estimator = ObjectEstimator(CALIBRATION)
    (estimate,) = _look(estimator, images | {blind: np.zeros_like(images[blind])}, 0.0)
    assert (estimate.outcome, estimate.views[blind].problem) == ("seen", "image too dark")
    assert f"{blind}: image too dark" in estimate.summary
    distance, angle = _error(estimate, position, rotation)
    assert distance < 0.7
    assert angle < 0.5
    assert estimator.tally()[f"{blind}.rejected.image too dark"] == 1


def test_fingers_that_cover_most_of_the_block_leave_enough(looks):
    """White bars cover parts of all images; where a marker is cut, its corners are not believed."""
    for images, position, rotation in looks:
        covered = {name: image.copy() for name, image in images.items()}
        for image in covered.values():
            for left in (285, 350):
                cv2.rectangle(image, (left, 0), (left + 18, 480), (225, 225, 225), thickness=-1)
        estimator = ObjectEstimator(CALIBRATION)
        full, part = (_look(ObjectEstimator(CALIBRATION), them, 0.0)[0] for them in (images, covered))
        markers = [sum(view.markers for view in look.views.values()) for look in (full, part)]
        assert 2 <= markers[1] < 0.8 * markers[0]
        (estimate,) = _look(estimator, covered, 0.0)
        assert estimate.outcome == "seen"
        distance, angle = _error(estimate, position, rotation)
        assert distance < 1.5
        assert angle < 1.5


def test_an_object_that_no_camera_sees_is_lost_after_a_while_and_found_again(looks):
    images, position, rotation = looks[0]
    empty = {name: cv2.GaussianBlur(image, (0, 0), 15) for name, image in images.items()}
    estimator = ObjectEstimator(CALIBRATION)
    lost = []
    for step in range(13):
        noise = np.random.default_rng(step).integers(0, 3, (480, 640, 1), np.uint8)
        seen = step in (0, 12)
        (estimate,) = _look(estimator, {n: (images if seen else empty)[n] + noise for n in CAMERAS}, step * PERIOD)
        assert estimate.outcome == ("seen" if seen else "missed")
        assert estimate.unseen_for == pytest.approx(0.0 if seen else step * PERIOD)
        lost.append(estimate.lost)
    assert lost == [False] * 8 + [True] * 4 + [False]
    assert _error(estimate, position, rotation)[0] < 0.3
    assert (estimator.counts.seen, estimator.counts.missed) == (2, 11)


def test_a_camera_that_falls_silent_is_waited_for_only_a_while(looks):
    images, *_ = looks[0]
    estimator = ObjectEstimator(CALIBRATION)
    over_at = {}
    for step in range(10):
        noise = np.random.default_rng(step).integers(0, 3, (480, 640, 1), np.uint8)
        # When it comes back, it is the last to send.
        sending = CAMERAS[1:] + CAMERAS[:1] * (step < 2 or step > 6)
        estimates = _look(estimator, {name: images[name] + noise for name in sending}, step * PERIOD)
        over_at |= {round(estimate.time / PERIOD): step for estimate in estimates}
    assert set(estimates[-1].views) == set(CAMERAS)
    assert estimator.camera_counts[CAMERAS[0]].rejected == {"image too late for its look": 1}
    # Silent since the third look: a look goes on until the next begins, and later until the others have contributed.
    assert [over_at[look] - look for look in range(7)] == [0, 0, 1, 1, 1, 0, 0]


def test_a_camera_that_was_knocked_is_outvoted(looks):
    images, *_ = looks[2]
    knocked = CALIBRATION.cameras["thumb_camera"]
    moved = tuple(np.array(knocked.hand_eye.translation) + [0.0, 0.03, 0.0])
    hand_eye = dataclasses.replace(knocked.hand_eye, translation=moved)
    cameras = {**CALIBRATION.cameras, "thumb_camera": dataclasses.replace(knocked, hand_eye=hand_eye)}
    estimator = ObjectEstimator(HandCalibration(cameras, CALIBRATION.markers))
    (estimate,) = _look(estimator, images, 0.0)
    views = estimate.views
    assert estimate.outcome == "seen"
    outvoted = [name for name, view in views.items() if view.markers and not view.used]
    assert outvoted in (["thumb_camera"], ["hand_camera", "wrist_camera"])
    assert estimator.tally()[f"{outvoted[0]}.rejected.disagrees"] == 1


def test_a_jump_must_repeat(looks):
    (first, *_), (second, *_) = looks[0], looks[2]
    estimator = ObjectEstimator(CALIBRATION, ObjectEstimatorConfig(turning_speed=1.0))
    outcomes = []
    for step in range(5):
        noise = np.random.default_rng(step).integers(0, 3, (480, 640, 1), np.uint8)
        images = {name: image + noise for name, image in (first if step < 1 else second).items()}
        outcomes += [estimate.outcome for estimate in _look(estimator, images, step * PERIOD)]
    assert outcomes == ["seen", "jumped", "jumped", "seen", "seen"]


def test_images_that_come_too_late_are_counted_and_not_used(looks):
    images, *_ = looks[0]
    estimator = ObjectEstimator(CALIBRATION)
    _look(estimator, images, 1.0)
    assert estimator.process("hand_camera", images["hand_camera"], 0.9)[1] == []
    assert estimator.refuse("thumb_camera", 0.95, "image not readable") == []
    tally = estimator.tally()
    assert tally["hand_camera.rejected"] == tally["thumb_camera.rejected.image not readable"] == 1


def test_impossible_configurations_are_refused():
    with pytest.raises(ValueError, match="speed must be above 0, found -1"):
        ObjectEstimatorConfig(speed=-1)
