"""The markers of a calibration as SVG files to be printed at 100 %, in true millimetres.

python -m her_robot.robot.marker_prints fetch_sim prints/
python -m her_robot.robot.marker_prints shadow_hand_sim prints/
"""

import argparse
import base64
import sys
from pathlib import Path

import cv2
import numpy as np

from her_robot.configuration import write_atomically
from her_robot.errors import HerRobotError
from her_robot.robot.calibration import load_prints
from her_robot.robot.fiducials import face_image, goal_tile_image
from her_robot.robot.markers import Markers, ObjectPrints

_PIXELS_PER_MILLIMETER = 12


def write_prints(markers: ObjectPrints, folder: Path) -> list[Path]:
    """Write one SVG for each face of the object that has markers, and one for the goal tile if there is one; returns
    the files."""
    object_pixels = _pixels(markers.object.size)
    prints = {
        f"object_{face}": (face_image(markers, face, object_pixels), markers.object.size)
        for face in markers.object.faces
    }
    if isinstance(markers, Markers):
        tile_size = markers.goal.tile_size
        prints["goal_tile"] = goal_tile_image(markers, _pixels(tile_size)), tile_size
    paths = []
    for name, (image, size) in prints.items():
        paths.append(folder / f"{name}.svg")
        write_atomically(paths[-1], _svg(image, size))
    return paths


def _pixels(size: float) -> int:
    return round(1000 * size * _PIXELS_PER_MILLIMETER)


def _svg(image: np.ndarray, size: float) -> str:
    """A square image of edge `size` [m], with a thin line to cut along."""
    encoded = base64.b64encode(cv2.imencode(".png", image)[1].tobytes()).decode()
    millimeters = f"{1000 * size:g}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{millimeters}mm" height="{millimeters}mm" '
        f'viewBox="0 0 {millimeters} {millimeters}">\n'
        f'<image width="{millimeters}" height="{millimeters}" href="data:image/png;base64,{encoded}"/>\n'
        f'<rect width="{millimeters}" height="{millimeters}" fill="none" stroke="#999" stroke-width="0.1"/>\n'
        "</svg>\n"
    )


def main() -> int:
    """Command line; 1 if the calibration cannot be read or the files cannot be written."""
    parser = argparse.ArgumentParser(description="Write the markers of a calibration as SVG files, to print at 100 %.")
    parser.add_argument("calibration", help="name of a shipped calibration, or a folder with markers.yaml")
    parser.add_argument("folder", type=Path, help="where to write")
    arguments = parser.parse_args()
    try:
        for path in write_prints(load_prints(arguments.calibration), arguments.folder):
            print(path)
    except (HerRobotError, OSError) as error:
        print(f"marker_prints: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
