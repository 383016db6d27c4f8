from pathlib import Path

import numpy as np
import pytest

from her_robot import configuration
from her_robot.errors import ConfigurationError, UnknownNameError
from her_robot.resources import share_directory
from her_robot.robot.calibration import HandEye, load_calibration, load_markers
from her_robot.robot.gating import head_problem
from her_robot.robot.markers import FACES, ObjectMarkers, face_rotation
from her_robot.sim.robot import ARMS, SimulatedRobot


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the shipped calibration, to be spoilt."""
    for file in (share_directory() / "calibration" / "fetch_sim").glob("*.yaml"):
        (tmp_path / file.name).write_text(file.read_text())
    return tmp_path


def spoil(file: Path, **changes) -> None:
    """Set values, or remove those set to None."""
    data = configuration.read_yaml(file) | changes
    file.write_text(configuration.dump_yaml({key: value for key, value in data.items() if value is not None}))


def test_shipped_calibration_loads_by_name_and_by_folder(folder):
    assert load_calibration("fetch_sim") == load_calibration(folder)


def test_a_file_of_one_task_goes_before_the_general_one(folder):
    table = folder / "table.fetch_push.yaml"
    table.write_text("table_height: 0.5\nlow: [0.3, -0.4]\nhigh: [0.9, 0.4]\n")
    assert load_calibration(folder, "fetch_push").table.table_height == 0.5
    assert load_calibration(folder, "fetch_reach").table.table_height == 0.4
    assert load_calibration(folder).table.table_height == 0.4
    table.write_text("table_hight: 0.5\n")
    with pytest.raises(ConfigurationError, match=r"table\.fetch_push\.yaml: unknown key 'table_hight'"):
        load_calibration(folder, "fetch_push")


@pytest.mark.parametrize(("height", "message"), [(0.0, "height must be above 0"), (0.04, "a puck has a marker on")])
def test_impossible_pucks(height, message):
    with pytest.raises(ValueError, match=message):
        ObjectMarkers(size=0.05, marker_size=0.04, faces={"top": 0, "front": 1}, height=height)


def test_unknown_calibration_lists_those_there_are():
    with pytest.raises(UnknownNameError, match="unknown calibration 'fetch_smi'; did you mean 'fetch_sim'"):
        load_calibration("fetch_smi")


@pytest.mark.parametrize("face", FACES)
def test_face_frames_are_right_handed_with_z_outwards_and_y_upright(face):
    rotation = face_rotation(face)
    normal, up = FACES[face]
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3))
    assert np.linalg.det(rotation) == pytest.approx(1.0)
    np.testing.assert_array_equal(rotation[:, 2], normal)
    np.testing.assert_array_equal(rotation[:, 1], up)


def test_hand_eye_quaternion_turns_camera_vectors_into_the_base():
    half = np.sqrt(0.5)
    quarter_turn_about_z = HandEye("base_link", "camera", (0.0, 0.0, 1.0), (half, 0.0, 0.0, half), {})
    np.testing.assert_allclose(quarter_turn_about_z.rotation @ [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], atol=1e-15)


def test_shipped_camera_looks_down_at_the_table_the_right_way_up():
    calibration = load_calibration("fetch_sim")
    right, down, forward = calibration.hand_eye.rotation.T
    np.testing.assert_allclose(right, [0.0, -1.0, 0.0], atol=1e-3)
    assert down[2] < 0
    assert forward[0] > 0
    assert forward[2] < 0


@pytest.mark.parametrize(
    ("file", "key"),
    [
        ("camera.yaml", "camera_matrix"),
        ("camera.yaml", "distortion_coefficients"),
        ("camera.yaml", "image_width"),
        ("hand_eye.yaml", "rotation_wxyz"),
        ("hand_eye.yaml", "joint_positions"),
        ("table.yaml", "table_height"),
        ("markers.yaml", "goal"),
        ("markers.yaml", "dictionary"),
    ],
)
def test_missing_field_is_named_with_its_file(folder, file, key):
    spoil(folder / file, **{key: None})
    with pytest.raises(ConfigurationError, match=rf"{file}: missing '{key}'"):
        load_calibration(folder)


@pytest.mark.parametrize("file", ["camera.yaml", "hand_eye.yaml", "table.yaml", "joint_offsets.yaml", "markers.yaml"])
def test_missing_and_malformed_files_are_named(folder, file):
    (folder / file).write_text("table_height: [0.4")
    with pytest.raises(ConfigurationError, match=rf"{file}: malformed YAML"):
        load_calibration(folder)
    (folder / file).unlink()
    with pytest.raises(ConfigurationError, match=rf"{file}: cannot be read"):
        load_calibration(folder)


def test_uncalibrated_camera_is_refused(folder):
    spoil(folder / "camera.yaml", camera_matrix={"rows": 3, "cols": 3, "data": [0.0] * 9})
    with pytest.raises(ConfigurationError, match=r"camera.yaml: camera_matrix: the camera is not calibrated \(K\[0\]"):
        load_calibration(folder)


MARKERS = {"dictionary": "DICT_4X4_50", "object": {"size": 0.05, "marker_size": 0.04, "faces": {"top": 0}}}


@pytest.mark.parametrize(
    ("file", "changes", "message"),
    [
        ("camera.yaml", {"camera_matrix": {"rows": 3, "cols": 3, "data": [1.0]}}, "camera_matrix: data has 1 elements"),
        ("camera.yaml", {"distortion_model": "equidistant"}, "distortion_model: 'equidistant' is not one of plumb_bob"),
        ("camera.yaml", {"distortion_model": "rational_polynomial"}, "is 1 x 5, expected 1 x 8"),
        ("camera.yaml", {"image_width": 0}, "image_width and image_height are 0 x 480"),
        ("camera.yaml", {"image_widht": 640}, "unknown key 'image_widht'; did you mean 'image_width'"),
        ("hand_eye.yaml", {"rotation_wxyz": [0.0, 0.0, 0.0, 0.0]}, "not a unit quaternion"),
        ("hand_eye.yaml", {"translation": [0.0, float("nan"), 1.0]}, "must be finite"),
        ("hand_eye.yaml", {"translation": [0.0, 1.0]}, "translation: expected 3 values, found 2"),
        ("hand_eye.yaml", {"joint_tolerance": 0.0}, "joint_tolerance must be positive"),
        ("table.yaml", {"low": [1.0, 1.0]}, "must be below high"),
        ("table.yaml", {"table_height": "high"}, "table_height: expected float, found 'high'"),
        ("joint_offsets.yaml", {"offsets": {"elbow_flex_joint": 90.0}}, "offsets.elbow_flex_joint: 90.0 rad"),
        ("markers.yaml", {"dictionary": "DICT_4X4"}, "dictionary: 'DICT_4X4' is not one of DICT_4X4_50"),
        ("markers.yaml", {"object": MARKERS["object"] | {"faces": {"topp": 0}}}, "did you mean 'top'"),
        ("markers.yaml", {"object": MARKERS["object"] | {"faces": {}}}, "at least one face"),
        ("markers.yaml", {"object": MARKERS["object"] | {"faces": {"top": 10}}}, "ids must differ"),
        (
            "markers.yaml",
            {"object": MARKERS["object"] | {"markers_per_edge": 0}},
            "markers_per_edge must be",
        ),
        ("markers.yaml", {"object": MARKERS["object"] | {"markers_per_edge": 2}}, "size / markers_per_edge"),
        (
            "markers.yaml",
            {"object": MARKERS["object"] | {"marker_size": 0.06}},
            "marker_size must be between 0 and size",
        ),
        ("markers.yaml", {"goal": {"tile_size": 0.1, "marker_size": 0.04, "markers": []}}, "at least one is needed"),
        (
            "markers.yaml",
            {"goal": {"tile_size": 0.1, "marker_size": 0.04, "markers": [{"id": 10, "center": [0.05, 0.0]}]}},
            "marker 10 at .* does not fit",
        ),
    ],
)
def test_impossible_values_are_refused_with_file_and_reason(folder, file, changes, message):
    spoil(folder / file, **changes)
    with pytest.raises(ConfigurationError, match=f"{file}: .*{message}"):
        load_calibration(folder)


def test_shipped_calibration_is_that_of_the_simulated_robot():
    robot = SimulatedRobot(ARMS.load("fetch"), "fetch_push", seed=0)
    calibration = load_calibration("fetch_sim")
    rotation, position = robot.camera_pose_base()
    np.testing.assert_allclose(calibration.camera.matrix, robot.camera_intrinsics(), atol=1e-6)
    np.testing.assert_allclose(calibration.hand_eye.rotation, rotation, atol=1e-6)
    np.testing.assert_allclose(calibration.hand_eye.position, position, atol=1e-6)
    assert calibration.table.table_height == robot.contract.table_height
    assert robot.contract.base_position[2] == 0.0
    measured = robot.joint_state()
    assert head_problem(calibration.hand_eye, dict(zip(measured.names, measured.positions, strict=True))) == ""


def test_markers_load_alone(folder):
    (folder / "camera.yaml").unlink()
    assert load_markers(folder).object.faces["top"] == 0
