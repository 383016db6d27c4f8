import base64
import re

import cv2
import numpy as np

from her_robot.robot.calibration import load_calibration
from her_robot.robot.fiducials import MarkerDetector
from her_robot.robot.marker_prints import write_prints


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
