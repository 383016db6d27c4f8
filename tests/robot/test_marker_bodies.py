import numpy as np
import pytest

from her_robot.robot.calibration import load_calibration
from her_robot.robot.fiducials import planar_poses
from her_robot.robot.marker_bodies import (
    cube,
    fit_upright,
    guess_upright,
    image_area,
    intersect_level,
    pose_in_base,
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
        pose = planar_poses(points, pixels, calibration.camera.matrix)[0]
        position, rotation, covariance = pose_in_base(points, pose, noise, calibration)
        turn = np.array([rotation[2, 1], rotation[0, 2], rotation[1, 0]])
        floating.append(np.concatenate([position, turn]))
    expected = fit_upright(points, exact, 0.5, np.array([0.62, -0.08, 0.0]), calibration).unit_covariance * noise**2
    np.testing.assert_allclose(np.std(upright, axis=0), np.sqrt(np.diag(expected)), rtol=0.15)
    # IPPE is not quite the least squares solution that the covariance is of.
    ratio = np.std(floating, axis=0) / np.sqrt(np.diag(covariance))
    assert np.all((ratio > 0.7) & (ratio < 1.8)), ratio


def test_image_area():
    assert image_area(np.array([[0.0, 0.0], [4.0, 0.0], [4.0, 3.0], [0.0, 3.0]])) == pytest.approx(12.0)
