"""Calibrations of the cameras around a hand: what is read, and what is refused."""

import shutil

import numpy as np
import pytest

from her_robot.configuration import dump_yaml, read_yaml
from her_robot.errors import ConfigurationError, UnknownNameError
from her_robot.resources import share_directory
from her_robot.robot.hand_calibration import load_hand_calibration

SHIPPED = share_directory() / "calibration" / "shadow_hand_sim"


@pytest.fixture
def folder(tmp_path):
    return shutil.copytree(SHIPPED, tmp_path / "mine")


def test_a_projection_puts_what_is_straight_ahead_in_the_middle():
    for camera in load_hand_calibration("shadow_hand_sim").cameras.values():
        ahead = camera.hand_eye.position + 0.4 * camera.hand_eye.rotation[:, 2]
        x, y, depth = camera.projection @ [*ahead, 1.0]
        np.testing.assert_allclose([x / depth, y / depth, depth], [319.5, 239.5, 0.4], atol=1e-6)


def test_any_number_of_cameras_will_do(folder):
    shutil.rmtree(folder / "cameras" / "thumb_camera")
    assert set(load_hand_calibration(folder).cameras) == {"hand_camera", "wrist_camera"}
    shutil.rmtree(folder / "cameras")
    with pytest.raises(ConfigurationError, match="cameras: at least one camera is needed"):
        load_hand_calibration(folder)


def test_cameras_of_different_frames_are_refused(folder):
    path = folder / "cameras" / "wrist_camera" / "hand_eye.yaml"
    path.write_text(dump_yaml(read_yaml(path) | {"parent_frame": "world"}))
    with pytest.raises(ConfigurationError, match="one parent_frame, found rh_forearm, world"):
        load_hand_calibration(folder)


def test_a_missing_file_and_an_unknown_name_are_named(folder):
    (folder / "cameras" / "wrist_camera" / "camera.yaml").unlink()
    with pytest.raises(ConfigurationError, match=r"wrist_camera/camera.yaml: cannot be read"):
        load_hand_calibration(folder)
    with pytest.raises(UnknownNameError, match="shadow_hand_sim"):
        load_hand_calibration("shadow_hand_sin")
