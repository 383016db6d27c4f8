from dataclasses import replace

import cv2
import numpy as np
import pytest

from her_robot.robot.calibration import Matrix, load_calibration
from her_robot.robot.fiducials import (
    MarkerDetector,
    face_image,
    goal_tile_image,
    planar_poses,
    refine_corners,
    square_corners,
    undistort,
)
from her_robot.robot.marker_bodies import rotation_about_z
from her_robot.robot.markers import face_rotation


@pytest.fixture(scope="module")
def calibration():
    return load_calibration("fetch_sim")


def grey(image: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)


def detector(calibration, ids) -> MarkerDetector:
    return MarkerDetector(calibration.markers.dictionary, ids, calibration.camera)


def test_prints_carry_their_markers_upright_and_to_scale(calibration):
    markers = calibration.markers
    face, tile = face_image(markers, "left", 300), goal_tile_image(markers, 540)
    everything = detector(calibration, range(50))
    (found,) = everything.detect(face)
    assert found.id == markers.object.faces["left"]
    np.testing.assert_allclose(found.corners, [[29.5, 29.5], [269.5, 29.5], [269.5, 269.5], [29.5, 269.5]], atol=0.1)

    found = {marker.id: marker.corners.mean(axis=0) for marker in everything.detect(tile)}
    for marker in markers.goal.markers:
        x, y = marker.center
        np.testing.assert_allclose(found[marker.id], [269.5 + 3000 * x, 269.5 - 3000 * y], atol=0.1)


def test_face_without_marker_is_white(calibration):
    markers = replace(calibration.markers, object=replace(calibration.markers.object, faces={"top": 0}))
    assert face_image(markers, "left", 100).min() == 255


@pytest.mark.parametrize("yaw", np.linspace(-3.0, 3.0, 7))
def test_corners_are_found_to_a_tenth_of_a_pixel(calibration, synthetic_scene, yaw):
    scene = synthetic_scene(calibration)
    position, rotation = np.array([0.68, 0.07, 0.425]), rotation_about_z(yaw)
    image = grey(scene.render(object_pose=(position, rotation)))
    found = {marker.id: marker.corners for marker in detector(calibration, [0, 1, 2, 3, 4]).detect(image)}
    on_top = square_corners(0.04) + np.array([0, 0, 0.025])
    np.testing.assert_allclose(found[0], scene.project(position + on_top @ rotation.T), atol=0.15)
    assert len(found) >= 2


def test_other_markers_and_noise_are_ignored(calibration, synthetic_scene):
    image = grey(synthetic_scene(calibration).render(object_pose=(np.array([0.68, 0.07, 0.425]), np.eye(3))))
    assert detector(calibration, [10]).detect(image) == []
    noise = np.random.default_rng(0).integers(0, 256, image.shape, dtype=np.uint8)
    assert detector(calibration, range(50)).detect(noise) == []


def test_refinement_is_several_times_better_than_the_first_guess(calibration, synthetic_scene):
    scene = synthetic_scene(calibration, noise=3.0)
    position = np.array([0.6, -0.1, 0.425])
    image = grey(scene.render(object_pose=(position, np.eye(3))))
    truth = scene.project(position + square_corners(0.04) + [0, 0, 0.025])[None]
    guess = truth + np.random.default_rng(0).uniform(-0.8, 0.8, truth.shape)
    assert np.abs(refine_corners(image, guess, cells=6) - truth).max() < 0.15


def test_refinement_leaves_corners_alone_where_there_is_no_edge():
    guess = np.array([[[20.0, 20.0], [50.0, 20.0], [50.0, 50.0], [20.0, 50.0]]])
    refined = refine_corners(np.full((80, 80), 128, np.uint8), guess, cells=6)
    assert np.isfinite(refined).all()
    assert np.abs(refined - guess).max() <= 6.0


def test_undistortion_is_the_inverse_of_the_lens(calibration):
    bent = replace(calibration.camera, distortion_coefficients=Matrix(1, 5, (-0.2, 0.05, 0.001, -0.002, 0.0)))
    points = np.random.default_rng(0).uniform([-0.3, -0.2, 1.0], [0.3, 0.2, 1.0], (20, 3))
    seen = cv2.projectPoints(points, np.zeros(3), np.zeros(3), bent.matrix, bent.distortion)[0][:, 0]
    ideal = (points / points[:, 2:]) @ bent.matrix.T
    assert np.abs(seen - ideal[:, :2]).max() > 2.0
    np.testing.assert_allclose(undistort(seen, bent), ideal[:, :2], atol=1e-3)


def test_two_poses_explain_a_small_marker_and_the_true_one_comes_first(calibration):
    hand_eye, matrix = calibration.hand_eye, calibration.camera.matrix
    rotation = hand_eye.rotation.T @ face_rotation("top")
    position = hand_eye.rotation.T @ (np.array([0.65, 0.05, 0.45]) - hand_eye.position)
    seen = (square_corners(0.04) @ rotation.T + position) @ matrix.T
    best, second = planar_poses(square_corners(0.04), seen[:, :2] / seen[:, 2:], matrix)
    np.testing.assert_allclose(best.position, position, atol=1e-6)
    np.testing.assert_allclose(best.rotation, rotation, atol=1e-4)
    assert best.error < 1e-4 < second.error < 1.0
    towards_camera = -position / np.linalg.norm(position)
    np.testing.assert_allclose(best.rotation[:, 2] @ towards_camera, second.rotation[:, 2] @ towards_camera, atol=0.05)
    assert best.rotation[:, 2] @ second.rotation[:, 2] < 0.8
