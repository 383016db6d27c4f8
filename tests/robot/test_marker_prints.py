import base64
import re

import cv2
import numpy as np

from her_robot.robot.calibration import load_calibration, load_prints
from her_robot.robot.fiducials import MarkerDetector, face_image
from her_robot.robot.hand_calibration import load_hand_calibration
from her_robot.robot.marker_prints import write_prints
from her_robot.robot.markers import FACES


def test_a_block_has_four_markers_on_each_face_and_no_tile(tmp_path):
    calibration = load_hand_calibration("shadow_hand_sim")
    paths = {path.stem: path for path in write_prints(load_prints("shadow_hand_sim"), tmp_path)}
    assert set(paths) == {f"object_{face}" for face in FACES}
    camera = calibration.cameras["hand_camera"].intrinsics
    image = face_image(calibration.markers, "bottom", 600)
    found = MarkerDetector(calibration.markers.dictionary, range(50), camera).detect(image)
    assert [marker.id for marker in found] == [20, 21, 22, 23]
    centers = [marker.corners.mean(axis=0) - 299.5 for marker in found]
    # Row by row from the top left; pixels have y down.
    np.testing.assert_allclose(centers, 150.0 * np.array([[-1, -1], [1, -1], [-1, 1], [1, 1]]), atol=1.5)


def test_prints_have_true_size_and_the_right_marker(tmp_path):
    calibration = load_calibration("fetch_sim")
    paths = {path.stem: path for path in write_prints(calibration.markers, tmp_path / "prints")}
    assert set(paths) == {"goal_tile", *(f"object_{face}" for face in calibration.markers.object.faces)}
    svg = paths["object_back"].read_text()
    assert 'width="50mm"' in svg
    _, encoded, _ = re.split('base64,|"/>', svg, maxsplit=2)
    image = cv2.imdecode(np.frombuffer(base64.b64decode(encoded), np.uint8), cv2.IMREAD_GRAYSCALE)
    assert image is not None
    (marker,) = MarkerDetector(calibration.markers.dictionary, range(50), calibration.camera).detect(image)
    assert marker.id == calibration.markers.object.faces["back"]
    width_mm = 50 * np.ptp(marker.corners[:, 0]) / image.shape[1]
    assert abs(width_mm - 40) < 0.1
