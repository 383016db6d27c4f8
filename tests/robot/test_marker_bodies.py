import numpy as np
import pytest

from her_robot.robot.calibration import load_calibration
from her_robot.robot.fiducials import DetectedMarker
from her_robot.robot.marker_bodies import (
    cube,
    fit_consistent,
    fit_lifted,
    fit_tile,
    fit_upright,
    guess_lifted,
    guess_upright,
    image_area,
    intersect_level,
    rotation_about_z,
    tile,
)


@pytest.fixture(scope="module")
def calibration():
    return load_calibration("fetch_sim")


@pytest.fixture
def project(calibration, synthetic_scene):
    return synthetic_scene(calibration).project


def test_ray_meets_the_plane_where_the_pixel_came_from(calibration, project):
    point = np.array([0.7, -0.2, 0.45])
    np.testing.assert_allclose(intersect_level(project(point[None])[0], 0.45, calibration), point, atol=1e-12)


def test_cube_has_its_markers_on_its_faces(calibration):
    for face, axis, sign in [("top", 2, 1), ("front", 0, 1), ("back", 0, -1), ("left", 1, 1), ("right", 1, -1)]:
        corners = cube(calibration.markers)[calibration.markers.object.faces[face]]
        np.testing.assert_allclose(corners[:, axis], sign * 0.025)
        assert corners[0, 2] > corners[3, 2] or face == "top"


@pytest.mark.parametrize("yaw", [-3.1, -1.0, 0.4, 2.0])
def test_upright_fit_recovers_an_exact_pose_from_any_visible_marker(calibration, project, yaw):
    position, rotation = np.array([0.62, -0.08, 0.425]), rotation_about_z(yaw)
    visible = 0
    for corners in cube(calibration.markers).values():
        outward = np.cross(corners[1] - corners[0], corners[0] - corners[3])
        if (rotation @ outward) @ (calibration.hand_eye.position - position - rotation @ corners.mean(axis=0)) < 2e-4:
            continue
        visible += 1
        pixels = project(position + corners @ rotation.T)
        guess = guess_upright(corners, pixels, 0.425, 0.6, calibration)
        assert guess is not None
        fit = fit_upright(corners, pixels, 0.425, guess, calibration)
        np.testing.assert_allclose(fit.x_y_yaw, [0.62, -0.08, yaw], atol=1e-6)
        assert fit.error < 1e-6
    assert visible >= 2


def test_a_leaning_body_is_not_guessed_upright(calibration, project):
    lean = np.array([[np.cos(1.0), 0, np.sin(1.0)], [0, 1, 0], [-np.sin(1.0), 0, np.cos(1.0)]]).T
    corners = cube(calibration.markers)[0]
    pixels = project(np.array([0.62, -0.08, 0.425]) + corners @ lean.T)
    assert guess_upright(corners, pixels, 0.425, 0.3, calibration) is None


def test_covariances_are_those_that_pixel_noise_gives(calibration, project):
    random = np.random.default_rng(0)
    points = np.concatenate(list(tile(calibration.markers).values()))
    truth = np.array([0.62, -0.08, 0.5])
    exact, noise, upright, floating = project(truth + points), 0.2, [], []
    for _ in range(400):
        pixels = exact + random.normal(0.0, noise, exact.shape)
        upright.append(fit_upright(points, pixels, 0.5, np.array([0.62, -0.08, 0.0]), calibration).x_y_yaw)
        fit = fit_tile(points, pixels, calibration)
        turn = np.array([fit.rotation[2, 1], fit.rotation[0, 2], fit.rotation[1, 0]])
        floating.append(np.concatenate([fit.position, turn]))
    expected = fit_upright(points, exact, 0.5, np.array([0.62, -0.08, 0.0]), calibration).unit_covariance * noise**2
    np.testing.assert_allclose(np.std(upright, axis=0), np.sqrt(np.diag(expected)), rtol=0.15)
    unit_covariance = fit_tile(points, exact, calibration).unit_covariance
    # IPPE is not quite the least squares solution that the covariance is of.
    ratio = np.std(floating, axis=0) / (noise * np.sqrt(np.diag(unit_covariance)))
    assert np.all((ratio > 0.7) & (ratio < 1.8)), ratio


def test_a_half_covered_marker_is_left_out(calibration, project):
    body, truth = tile(calibration.markers), np.array([0.66, 0.04, 0.5])
    markers = [DetectedMarker(marker_id, project(truth + corners)) for marker_id, corners in body.items()]
    markers[1].corners[2] += [1.5, -1.0]

    def fit_to(used):
        points = np.concatenate([body[marker.id] for marker in used])
        return fit_tile(points, np.concatenate([marker.corners for marker in used]), calibration)

    assert np.linalg.norm(fit_to(markers).position - truth) > 0.0005
    np.testing.assert_allclose(fit_consistent(markers, fit_to, 0.2).position, truth, atol=1e-5)
    np.testing.assert_allclose(fit_consistent(markers[:2], fit_to, 0.2).position, truth, atol=1e-5)
    assert fit_consistent(markers[1:2], fit_to, 0.2).error > 0.2


def test_one_small_marker_alone_is_ambiguous_and_four_are_not(calibration, project):
    body, truth = tile(calibration.markers), np.array([0.66, 0.04, 0.5])
    noise = np.random.default_rng(1).normal(0.0, 0.25, (4, 2))
    alone = fit_tile(body[10], project(truth + body[10]) + noise, calibration)
    points = np.concatenate(list(body.values()))
    together = fit_tile(points, project(truth + points) + np.tile(noise, (4, 1)), calibration)
    assert alone.ambiguity > 0.2 > together.ambiguity
    assert alone.ambiguous_distance > 0.02


@pytest.mark.parametrize("lean", [0.0, 0.04])
def test_lifted_fit_recovers_a_pose_from_two_faces(calibration, project, lean):
    body, position = cube(calibration.markers), np.array([0.62, -0.08, 0.62])
    c, s = np.cos(lean), np.sin(lean)
    rotation = np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]]) @ rotation_about_z(0.2)
    points = np.concatenate([body[0], body[2]])
    pixels = project(position + points @ rotation.T)
    guess = guess_lifted(body[0], pixels[:4], 0.6, calibration)
    assert guess is not None
    fit = fit_lifted(points, pixels, guess, 1e-3, calibration)
    np.testing.assert_allclose(fit.position, position, atol=1e-6)
    np.testing.assert_allclose(fit.rotation, rotation, atol=1e-5)
    assert fit.error < 1e-5


def test_the_less_a_body_may_lean_the_more_upright_it_is_fitted(calibration, project):
    body, position, lean = cube(calibration.markers), np.array([0.62, -0.08, 0.62]), 0.05
    c, s = np.cos(lean), np.sin(lean)
    rotation = np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]])
    pixels = project(position + body[2] @ rotation.T)
    guess = guess_lifted(body[2], pixels, 0.6, calibration)
    assert guess is not None
    leans = [abs(fit_lifted(body[2], pixels, guess, w, calibration).rotation[0, 2]) for w in (1e-3, 10.0, 1e4)]
    assert leans[0] == pytest.approx(s, abs=1e-3)
    assert leans[0] > leans[1] > leans[2]
    assert leans[2] < 1e-3


def test_a_puck_has_its_marker_on_its_top():
    calibration = load_calibration("fetch_sim", "fetch_slide")
    ((marker_id, corners),) = cube(calibration.markers).items()
    assert marker_id == 0
    np.testing.assert_allclose(corners[:, 2], 0.02)


def test_image_area():
    assert image_area(np.array([[0.0, 0.0], [4.0, 0.0], [4.0, 3.0], [0.0, 3.0]])) == pytest.approx(12.0)
