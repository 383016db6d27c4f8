"""Images, and that they agree with the calibration: ids and orientations of all markers, intrinsics and pose."""

from dataclasses import replace

import cv2
import mujoco
import numpy as np
import pytest

from her_robot import configuration
from her_robot.contract import FETCH_CONTRACTS
from her_robot.domain_rand.preset import load_preset
from her_robot.errors import ConfigurationError, HerRobotError
from her_robot.robot.calibration import load_calibration, load_markers
from her_robot.robot.markers import face_rotation
from her_robot.sim.camera import Camera, CameraConfig, MountError
from her_robot.sim.robot import ARMS, SimulatedRobot
from her_robot.sim.scene import CAMERA, OBJECT

MARKERS = load_markers("fetch_sim")


@pytest.fixture(scope="module")
def robot():
    config = ARMS.load("fetch")
    robot = SimulatedRobot(replace(config, camera=replace(config.camera, noise=0.0)), "fetch_push", 0)
    yield robot
    robot.close()


def detect(image: np.ndarray) -> dict[int, np.ndarray]:
    """Corners (4, 2) [px] of the markers in an image, by id; the first is the top left one of the print."""
    dictionary = cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, MARKERS.dictionary))
    corners, ids, _ = cv2.aruco.ArucoDetector(dictionary).detectMarkers(image)
    return {} if ids is None else {int(i): c[0] for i, c in zip(ids.ravel(), corners, strict=True)}


def place(robot: SimulatedRobot, position, yaw: float = 0.0) -> None:
    turn = [np.cos(yaw / 2), 0.0, 0.0, np.sin(yaw / 2)]
    robot.data.joint(f"{OBJECT}:joint").qpos[:] = [*position, *turn]
    mujoco.mj_forward(robot.model, robot.data)


def project(robot: SimulatedRobot, points_world: np.ndarray) -> np.ndarray:
    """Pixels (n, 2) of points (n, 3)."""
    rotation, position = robot.camera_pose_base()
    in_camera = (points_world - np.array(robot.contract.base_position) - position) @ rotation
    pixels = in_camera @ robot.camera_intrinsics().T
    return pixels[:, :2] / pixels[:, 2:]


def square(size: float) -> np.ndarray:
    """Corners of a marker in its own frame, in OpenCV's order (4, 3) [m]."""
    return np.array([[-1, 1, 0], [1, 1, 0], [1, -1, 0], [-1, -1, 0]]) * size / 2


def assert_corners(found: np.ndarray, expected: np.ndarray) -> None:
    """That corners, found to whole pixels, are where they should be."""
    np.testing.assert_allclose(found, expected, atol=1.5)
    np.testing.assert_allclose(found.mean(axis=0), expected.mean(axis=0), atol=0.6)


@pytest.mark.parametrize(
    ("face", "yaw"), [("top", 0.3), ("front", np.pi), ("back", 0.2), ("left", np.pi / 2), ("right", -np.pi / 2)]
)
def test_each_face_shows_its_marker_where_the_calibration_expects_it(robot, face, yaw):
    place(robot, [1.2, 0.70, 0.425], yaw)
    found = detect(robot.render())
    body = robot.data.body(OBJECT)
    in_object = square(MARKERS.object.marker_size) @ face_rotation(face).T
    in_object += face_rotation(face)[:, 2] * MARKERS.object.size / 2
    corners = project(robot, in_object @ body.xmat.reshape(3, 3).T + body.xpos)
    assert_corners(found[MARKERS.object.faces[face]], corners)


@pytest.mark.parametrize("task", ["fetch_push", "fetch_reach"])
def test_the_goal_tile_shows_its_markers_around_the_goal(task):
    robot = SimulatedRobot(ARMS.load("fetch"), task, 4)
    found, goal = detect(robot.render()), robot.ground_truth().goal
    robot.close()
    middle = goal - [0.0, 0.0, MARKERS.object.size / 2] if robot.contract.has_object else goal
    seen = [marker for marker in MARKERS.goal.markers if marker.id in found]
    assert len(seen) >= 3
    for marker in seen:
        corners = square(MARKERS.goal.marker_size) + np.array([*marker.center, 0.0]) + middle
        assert_corners(found[marker.id], project(robot, corners))


def test_object_and_goal_are_seen_wherever_they_start(robot):
    goal_ids = {marker.id for marker in MARKERS.goal.markers}
    for seed in range(20):
        robot.reset(seed)
        found = set(detect(robot.render()))
        assert found & set(MARKERS.object.faces.values()), f"object not seen with seed {seed}"
        assert found & goal_ids, f"goal not seen with seed {seed}"


@pytest.mark.parametrize("task", FETCH_CONTRACTS)
def test_the_whole_workspace_is_in_view(task):
    robot = SimulatedRobot(ARMS.load("fetch"), task, 0)
    low, high = np.array(robot.contract.goal_low), np.array(robot.contract.goal_high)
    low[2] = max(low[2], 0.40)
    box = np.array(np.meshgrid(*np.stack([low, high], axis=1))).reshape(3, -1).T
    pixels = project(robot, box)
    robot.close()
    assert (pixels > 20).all()
    assert (pixels < np.array([640, 480]) - 20).all()


@pytest.mark.parametrize("task", FETCH_CONTRACTS)
def test_the_shipped_calibration_is_that_of_the_simulated_camera(task):
    calibration, robot = load_calibration("fetch_sim", task), SimulatedRobot(ARMS.load("fetch"), task, 0)
    rotation, position = robot.camera_pose_base()
    measured = dict(zip(robot.joint_state().names, robot.joint_state().positions, strict=True))
    base, table = np.array(robot.contract.base_position), robot.model.body("table0")
    half = robot.model.geom(table.geomadr[0]).size
    np.testing.assert_allclose(calibration.table.low, (table.pos - base - half)[:2], atol=1e-3)
    np.testing.assert_allclose(calibration.table.high, (table.pos - base + half)[:2], atol=1e-3)
    assert calibration.hand_eye.joint_positions.items() <= measured.items()
    robot.close()
    np.testing.assert_allclose(calibration.camera.matrix, robot.camera_intrinsics(), atol=1e-6)
    np.testing.assert_allclose(calibration.hand_eye.position, position, atol=1e-4)
    np.testing.assert_allclose(calibration.hand_eye.rotation, rotation, atol=1e-4)


def test_noise_is_as_strong_as_configured_new_in_each_image_and_repeats_with_the_seed(robot):
    clean = robot.render().astype(float)
    np.testing.assert_array_equal(robot.render(), clean)
    camera = Camera(robot.model, CAMERA, replace(robot.config.camera, noise=3.0))
    camera.reseed(5)
    first, second = (camera.capture(robot.data).result() for _ in range(2))
    camera.reseed(5)
    again = camera.capture(robot.data).result()
    camera.close()
    grey = (clean > 20) & (clean < 235)
    assert (first - clean)[grey].std() == pytest.approx(3.0, rel=0.05)
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first, again)


def test_an_image_is_of_the_moment_it_was_taken(robot):
    place(robot, [1.2, 0.70, 0.425])
    before = robot.render()
    pending = robot.capture()
    place(robot, [1.4, 0.80, 0.425])
    np.testing.assert_array_equal(pending.result(), before)


def test_another_look_with_every_reset_and_the_same_with_the_same_seed(robot):
    looks = load_preset("tobin2017").rendering
    camera = replace(robot.config.camera, noise=0.0, supersampling=1)
    colorful = SimulatedRobot(replace(robot.config, rendering=looks, camera=camera), "fetch_push", 0)
    images = []
    for seed in (1, 2, 1):
        colorful.reset(seed)
        images.append(colorful.render())
    # Intrinsics are those of the calibration: a robot does not know how its camera has changed.
    np.testing.assert_allclose(colorful.camera_intrinsics(), robot.camera_intrinsics())
    assert not np.allclose(colorful.camera_pose_base()[1], robot.camera_pose_base()[1], atol=1e-4)
    colorful.close()
    np.testing.assert_array_equal(images[0], images[2])
    assert np.abs(images[0].astype(int) - images[1]).mean() > 10
    assert set(detect(images[0])) & {marker.id for marker in MARKERS.goal.markers}


def test_without_opengl_the_message_names_what_to_install(robot, monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "nothing")
    camera = Camera(robot.model, CAMERA, robot.config.camera)
    with pytest.raises(HerRobotError, match="apt-get install libegl1 libgl1"):
        camera.capture(robot.data).result()
    camera.close()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"rate": 0.0}, "rate must be above 0"),
        ({"width": 0}, "width and height must be above 0"),
        ({"latency": -0.1}, "must not be negative"),
        ({"noise": -1.0}, "must not be negative"),
        ({"supersampling": 0}, "supersampling must be 1 ... 4"),
        ({"fps": 30.0}, "unknown key 'fps'"),
    ],
)
def test_impossible_cameras_are_refused(values, message):
    with pytest.raises(ConfigurationError, match=message):
        configuration.build(CameraConfig, values, "robot.yaml")


def test_a_camera_that_is_not_where_it_was_calibrated(robot):
    error = MountError(x=0.01, y=0.02, z=0.03, turn_x=0.04, turn_y=-0.05, turn_z=0.06)
    config = replace(robot.config, camera=replace(robot.config.camera, mount_error=error))
    moved = SimulatedRobot(config, "fetch_push", 0)
    (rotation, position), (turned, shifted) = robot.camera_pose_base(), moved.camera_pose_base()
    np.testing.assert_allclose(rotation.T @ (shifted - position), [0.01, 0.02, 0.03], atol=1e-9)
    turn, _ = cv2.Rodrigues(np.array([0.04, -0.05, 0.06]))
    np.testing.assert_allclose(turned, rotation @ turn, atol=1e-9)
    moved.close()
