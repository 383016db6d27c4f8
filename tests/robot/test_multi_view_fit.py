"""Poses from corners that are computed, not rendered: what is true is known to the last digit."""

import numpy as np
import pytest

from her_robot.robot.hand_calibration import load_hand_calibration
from her_robot.robot.marker_bodies import cube
from her_robot.robot.multi_view_fit import Sighting, _Problem, fit_body
from her_robot.rotations import from_axis_angle, to_matrix, turn_between

CALIBRATION = load_hand_calibration("shadow_hand_sim")
BODY = cube(CALIBRATION.markers)
CAMERAS = tuple(CALIBRATION.cameras)
ON_PALM = np.array([0.0, -0.026, 0.37])
"""Where blocks lie, in the hand's base frame [m]."""


def turned(seed):
    random = np.random.default_rng(seed)
    return to_matrix(from_axis_angle(random.normal(size=3), random.uniform(-np.pi, np.pi)))


def project(view, points):
    homogeneous = points @ view.projection[:, :3].T + view.projection[:, 3]
    return homogeneous[:, :2] / homogeneous[:, 2:]


def look(position, rotation, cameras=CAMERAS, noise=0.0, seed=0):
    """All markers that face a camera."""
    random = np.random.default_rng(seed)
    sightings = []
    for name in cameras:
        view = CALIBRATION.cameras[name]
        for marker_id, points in BODY.items():
            corners = points @ rotation.T + position
            normal = np.cross(corners[1] - corners[0], corners[0] - corners[3])
            away = view.hand_eye.position - corners.mean(axis=0)
            if normal @ away > 0.3 * np.linalg.norm(normal) * np.linalg.norm(away):
                pixels = project(view, corners) + random.normal(0.0, noise, (4, 2))
                sightings.append(Sighting(name, view, marker_id, points, pixels))
    return sightings


@pytest.mark.parametrize("cameras", [CAMERAS, *((name,) for name in CAMERAS)])
def test_a_pose_is_found_from_any_cameras(cameras):
    for seed in range(5):
        rotation = turned(seed)
        best = fit_body(look(ON_PALM, rotation, cameras), max_error=2.0)[0]
        np.testing.assert_allclose(best.position, ON_PALM, atol=1e-6)
        assert turn_between(best.rotation, rotation) < 1e-5
        assert best.used.all()
        assert best.error < 1e-3


def test_pixels_change_with_the_pose_as_the_derivative_says():
    problem, rotation = _Problem(look(ON_PALM, turned(3))), turned(3)
    residual, jacobian = problem._linearised(ON_PALM[None], rotation[None])
    step = 1e-6
    for index, unit in enumerate(np.eye(6)):
        position = ON_PALM + step * unit[:3]
        turn = to_matrix(from_axis_angle(unit[3:], step)) if index >= 3 else np.eye(3)
        moved, _ = problem._linearised(position[None], (turn @ rotation)[None])
        np.testing.assert_allclose((residual - moved) / step, jacobian[..., index], rtol=1e-3, atol=0.02)


def test_errors_are_as_large_as_their_covariance_says():
    """The sum of squared errors over their covariance has a mean of 6, the number of unknowns."""
    noise, squares = 0.3, []
    for seed in range(40):
        rotation = turned(seed)
        fit = fit_body(look(ON_PALM, rotation, noise=noise, seed=seed), max_error=2.0)[0]
        skew = fit.rotation @ rotation.T
        turn = 0.5 * np.array([skew[2, 1] - skew[1, 2], skew[0, 2] - skew[2, 0], skew[1, 0] - skew[0, 1]])
        error = np.concatenate([fit.position - ON_PALM, turn])
        squares.append(error @ np.linalg.solve(noise**2 * fit.unit_covariance, error))
    assert np.mean(squares) == pytest.approx(6.0, rel=0.3)


def test_what_cameras_know_adds_up():
    rotation = turned(1)
    of_all = fit_body(look(ON_PALM, rotation), 2.0)[0].unit_covariance
    of_each = [fit_body(look(ON_PALM, rotation, (name,)), 2.0)[0].unit_covariance for name in CAMERAS]
    together = np.linalg.inv(sum(np.linalg.inv(covariance) for covariance in of_each))
    np.testing.assert_allclose(of_all, together, rtol=1e-3, atol=1e-10)
    assert np.trace(of_all[:3, :3]) < 0.5 * min(np.trace(covariance[:3, :3]) for covariance in of_each)


@pytest.mark.parametrize("wrong", [0, 3])
def test_a_marker_with_a_covered_corner_has_no_part_in_the_pose(wrong):
    rotation = turned(2)
    sightings = look(ON_PALM, rotation, noise=0.1)
    sightings[wrong].pixels[2] += [14.0, -9.0]
    fit = fit_body(sightings, max_error=2.0)[0]
    assert np.flatnonzero(~fit.used).tolist() == [wrong]
    np.testing.assert_allclose(fit.position, ON_PALM, atol=2e-4)


def test_one_small_marker_has_two_poses_until_another_camera_sees_it():
    """Its normal and its mirror image about the line of sight: by noise alone, either may win."""
    view = CALIBRATION.cameras["wrist_camera"]
    backward = -view.hand_eye.rotation[:, 2]
    x = np.cross([0.0, 1.0, 0.0], backward)
    facing = np.column_stack([x / np.linalg.norm(x), np.cross(backward, x / np.linalg.norm(x)), backward])
    rotation = facing @ to_matrix(from_axis_angle(np.array([1.0, 0.3, 0.0]), 0.15))
    top = next(iter(BODY))
    alone = [s for s in look(ON_PALM, rotation, ("wrist_camera",), noise=0.1, seed=1) if s.marker_id == top]
    first, second, *_ = fit_body(alone, 2.0)
    assert turn_between(first.rotation, second.rotation) > 0.2
    assert max(first.cost, 0.1) > 0.5 * max(second.cost, 0.1)
    both = fit_body(alone + look(ON_PALM, rotation, ("thumb_camera",), noise=0.1), 2.0)
    assert turn_between(both[0].rotation, rotation) < 0.02
    assert len(both) == 1 or both[1].cost > 5 * both[0].cost


def test_nothing_seen_is_nothing_found():
    assert fit_body([], 2.0) == []
