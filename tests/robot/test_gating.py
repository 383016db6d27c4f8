import numpy as np
import pytest

from her_robot.robot.calibration import HandEye
from her_robot.robot.gating import JumpGate, StaticFilter, StreamCheck, head_problem
from her_robot.rotations import from_axis_angle, to_matrix


def image(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (480, 640, 3), dtype=np.uint8)


def test_good_images_pass():
    stream = StreamCheck(640, 480, frozen_after=3)
    assert [stream.problem(image(k), float(k)) for k in range(5)] == [""] * 5


@pytest.mark.parametrize(
    ("bad", "problem"),
    [
        (np.zeros((240, 320, 3), np.uint8), "image not as calibrated"),
        (np.zeros((480, 640, 4), np.uint8), "image not as calibrated"),
        (np.zeros((480, 640, 3), np.float32), "image not as calibrated"),
        (np.full((480, 640, 3), 12, np.uint8), "image too dark"),
        (np.full((480, 640), 255, np.uint8), "image featureless"),
    ],
)
def test_unusable_images_are_named(bad, problem):
    assert StreamCheck(640, 480, frozen_after=3).problem(bad, 0.0) == problem


def test_old_stamps_and_nan_are_refused():
    stream = StreamCheck(640, 480, frozen_after=3)
    assert stream.problem(image(0), 1.0) == ""
    for time in (1.0, 0.5, np.nan):
        assert stream.problem(image(1), time) == "image not newer than the last"


def test_a_frozen_camera_is_noticed_and_recovers():
    stream = StreamCheck(640, 480, frozen_after=3)
    problems = [stream.problem(image(0), float(k)) for k in range(5)]
    assert problems == ["", "", "", "image frozen", "image frozen"]
    assert stream.problem(image(1), 9.0) == ""


def test_head_must_be_where_it_was_calibrated():
    hand_eye = HandEye("base_link", "camera", (0.0, 0.0, 1.0), (1.0, 0.0, 0.0, 0.0), {"head_tilt_joint": 0.8}, 0.01)
    assert head_problem(hand_eye, {"head_tilt_joint": 0.805, "elbow_flex_joint": 1.0}) == ""
    assert head_problem(hand_eye, {"head_tilt_joint": 0.82}) == "head_tilt_joint not as calibrated"
    assert head_problem(hand_eye, {"elbow_flex_joint": 1.0}) == "head_tilt_joint not measured"
    assert head_problem(hand_eye, {"head_tilt_joint": np.nan}) == "head_tilt_joint not measured"


def test_jump_is_held_back_until_it_repeats():
    gate = JumpGate(distance=0.05, speed=0.0, repeats=3)
    here, there = np.zeros(3), np.array([0.2, 0.0, 0.0])
    verdicts = [gate.judge(float(k), position) for k, position in enumerate([here, there, here, there, there, there])]
    assert verdicts == ["accepted", "rejected", "accepted", "rejected", "rejected", "moved"]
    assert gate.judge(6.0, there) == "accepted"


def test_jumps_in_different_directions_do_not_confirm_each_other():
    gate = JumpGate(distance=0.05, speed=0.0, repeats=2)
    gate.judge(0.0, np.zeros(3))
    for k in range(1, 6):
        assert gate.judge(float(k), np.array([0.3 * (-1) ** k, 0.0, 0.0])) == "rejected"


def test_a_moving_thing_may_go_as_far_as_its_speed_allows():
    gate = JumpGate(distance=0.01, speed=1.0, repeats=3)
    gate.judge(0.0, np.zeros(3))
    assert gate.judge(0.1, np.array([0.1, 0.0, 0.0])) == "accepted"
    assert gate.judge(0.2, np.array([0.3, 0.0, 0.0])) == "rejected"
    assert gate.judge(1.1, np.array([0.9, 0.0, 0.0])) == "accepted"


def test_a_turn_is_a_jump_where_turning_is_limited():
    gate = JumpGate(distance=0.05, speed=0.0, repeats=2, angle=0.3, turning_speed=1.0)
    turned = [to_matrix(from_axis_angle(np.array([0.0, 1.0, 0.0]), angle)) for angle in (0.0, 0.35, 1.5)]
    assert not gate.expects(0.0, np.zeros(3), turned[0])
    assert gate.judge(0.0, np.zeros(3), turned[0]) == "accepted"
    assert gate.expects(0.1, np.zeros(3), turned[1])
    assert gate.judge(0.1, np.zeros(3), turned[1]) == "accepted"
    assert not gate.expects(0.2, np.zeros(3), turned[2])
    assert gate.judge(0.2, np.zeros(3), turned[2]) == "rejected"
    assert gate.judge(0.3, np.zeros(3), turned[2]) == "moved"
    assert JumpGate(0.05, 0.0, 2).judge(9.0, np.zeros(3), turned[2]) == "accepted"


def test_static_filter_ignores_an_outlier_and_averages_noise():
    random = np.random.default_rng(0)
    static = StaticFilter(window=5, time_constant=0.2)
    truth = np.array([0.6, 0.1, 0.425])
    first = static.update(0.0, truth)
    np.testing.assert_array_equal(first, truth)
    filtered = [static.update(k / 15, truth + random.normal(0.0, 0.002, 3)) for k in range(1, 300)]
    assert np.std(filtered[50:], axis=0).max() < 0.0008
    before = static.update(20.0, truth)
    after = static.update(20.07, truth + 0.5)
    assert np.linalg.norm(after - before) < 0.001
    static.reset()
    np.testing.assert_array_equal(static.update(21.0, truth + 0.5), truth + 0.5)
