"""What is printed on an object, and on the tile that marks its goal: `markers.yaml` of a calibration.

Lengths are in metres.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from her_robot.configuration import require_positive
from her_robot.errors import UnknownNameError

FACES: dict[str, tuple[tuple[float, float, float], tuple[float, float, float]]] = {
    "top": ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0)),
    "front": ((1.0, 0.0, 0.0), (0.0, 0.0, 1.0)),
    "back": ((-1.0, 0.0, 0.0), (0.0, 0.0, 1.0)),
    "left": ((0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    "right": ((0.0, -1.0, 0.0), (0.0, 0.0, 1.0)),
    "bottom": ((0.0, 0.0, -1.0), (0.0, 1.0, 0.0)),
}
"""Faces of the object: outward normal, and the direction in which its marker's image is upright, in the object frame.

The object frame has its origin at the cube's centre, x forward (front), y left, z up, as REP-103 has it.
"""

_DICTIONARIES = Literal[
    "DICT_4X4_50",
    "DICT_4X4_100",
    "DICT_5X5_50",
    "DICT_5X5_100",
    "DICT_6X6_50",
    "DICT_6X6_100",
    "DICT_APRILTAG_16h5",
    "DICT_APRILTAG_25h9",
    "DICT_APRILTAG_36h11",
]


@dataclass(frozen=True)
class ObjectMarkers:
    """The cube or the puck to be manipulated, with markers on some faces."""

    size: float
    """Edge of the cube, or of the square print on the top of a puck [m]."""
    marker_size: float
    """Edge of a marker's black square [m]; the rest of the face is white."""
    faces: dict[str, int]
    """Id of the first marker by face: top, front, back, left, right, bottom (`FACES`)."""
    markers_per_edge: int = 1
    """1: one marker in the middle of a face. 2: four, of which fingers leave some to be seen; their ids follow each
    other, row by row of the print from its top left."""
    height: float | None = None
    """Height of a puck, which has a marker on its top alone [m]; none for a cube."""

    @property
    def half_height(self) -> float:
        """How far the object's centre is above what it stands on [m]."""
        return (self.size if self.height is None else self.height) / 2

    def center_of(self, face: str) -> np.ndarray:
        """Middle of a face in the object frame, (3,) [m]."""
        return np.array(FACES[face][0]) * (self.half_height if face == "top" else self.size / 2)

    def layout(self, face: str) -> dict[int, tuple[float, float]]:
        """Centres of a face's markers from the middle of its print, x right and y up [m], by id."""
        count, cell = self.markers_per_edge, self.size / self.markers_per_edge
        places = [(cell * (column - (count - 1) / 2), cell * ((count - 1) / 2 - row)) for row, column in _grid(count)]
        return dict(enumerate(places, self.faces[face]))

    def __post_init__(self) -> None:
        if self.height is not None:
            require_positive(self, "height")
            if set(self.faces) != {"top"}:
                raise ValueError(f"faces: a puck has a marker on its top alone, found {', '.join(self.faces)}")
        if self.markers_per_edge < 1:
            raise ValueError(f"markers_per_edge must be at least 1, found {self.markers_per_edge}")
        if self.markers_per_edge == 1:
            _check_sizes(self.marker_size, self.size, "size")
        else:
            _check_sizes(self.marker_size, self.size / self.markers_per_edge, "size / markers_per_edge")
        if not self.faces:
            raise ValueError("faces: at least one face needs a marker")
        for name in self.faces:
            if name not in FACES:
                raise ValueError(f"faces: {UnknownNameError('face', name, FACES)}")


@dataclass(frozen=True)
class TileMarker:
    """One marker on the goal tile, upright as the tile is."""

    id: int
    """Marker id."""
    center: tuple[float, float]
    """Centre of the marker from the centre of the tile: x right, y up on the tile as printed [m]."""


@dataclass(frozen=True)
class GoalTile:
    """The tile that marks the goal. It has several markers, so that an object standing on it leaves some to be seen."""

    tile_size: float
    """Edge of the white tile [m]."""
    marker_size: float
    """Edge of each marker's black square [m]."""
    markers: tuple[TileMarker, ...]
    """The markers on it."""

    def __post_init__(self) -> None:
        _check_sizes(self.marker_size, self.tile_size, "tile_size")
        if not self.markers:
            raise ValueError("markers: at least one is needed")
        reach = (self.tile_size - self.marker_size) / 2
        for marker in self.markers:
            if not np.all(np.abs(marker.center) <= reach):
                raise ValueError(f"markers: marker {marker.id} at {marker.center} does not fit on the tile")


@dataclass(frozen=True)
class ObjectPrints:
    """What is printed on an object.

    A marker's own frame has its origin at the marker's centre, x to the right and y up in the marker's image as
    printed, z out of the paper. On a face of the object, z is the outward normal and y the upright direction of
    `FACES`; so on the top x, y and z are the object's own, and on each side y is the object's z:

        face    marker x   marker y   marker z   (in the object frame)
        top        +x         +y         +z
        front      +y         +z         +x
        back       -y         +z         -x
        left       -x         +z         +y
        right      +x         +z         -y
        bottom     -x         +y         -z
    """

    dictionary: _DICTIONARIES
    """OpenCV's name of the predefined dictionary."""
    object: ObjectMarkers
    """The cube or the puck."""

    def __post_init__(self) -> None:
        ids = self.ids()
        if len(set(ids)) != len(ids):
            raise ValueError(f"marker ids must differ from each other, found {ids}")

    def ids(self) -> list[int]:
        """Of all markers."""
        return [marker_id for face in self.object.faces for marker_id in self.object.layout(face)]


@dataclass(frozen=True)
class Markers(ObjectPrints):
    """What is printed on the object, and on the tile that marks its goal.

    The goal tile's frame is that of its print: origin at its centre, x right, y up, z out; it has no thickness. Where
    the task has an object, the tile lies on the table face up, turned about its normal as it likes, and the goal is
    the centre of the object when it rests on the tile's centre: half an object's height above the table. Where the task
    has none, the tile may float in any orientation, and its centre is the goal; so it is where the object is to be
    lifted, unless the tile lies on the table.
    """

    goal: GoalTile
    """The tile."""

    def ids(self) -> list[int]:
        return [*super().ids(), *(marker.id for marker in self.goal.markers)]


def face_rotation(face: str) -> np.ndarray:
    """Marker frame to object frame of the marker on `face`, shape (3, 3)."""
    normal, up = np.array(FACES[face])
    return np.column_stack([np.cross(up, normal), up, normal])


def _grid(count: int) -> list[tuple[int, int]]:
    """Row and column of the cells of a square of `count` rows."""
    return [(row, column) for row in range(count) for column in range(count)]


def _check_sizes(marker_size: float, outer_size: float, outer_name: str) -> None:
    if not 0.0 < marker_size < outer_size:
        raise ValueError(f"marker_size must be between 0 and {outer_name} ({outer_size} m), found {marker_size} m")
