"""Films of episodes, small enough to be part of a page."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from her_robot.evaluation.episodes import Episode, worst_first

FRAME_WIDTH = 320
"""Of frames that are kept [px]."""
_CODEC = "vp09"
"""VP9 in MP4: every browser plays it, and OpenCV's own wheels can write it. They cannot write H.264."""


@dataclass(frozen=True)
class Film:
    """An episode as a camera saw it."""

    seed: int
    frames: tuple[np.ndarray, ...]
    """RGB (height, width, 3) uint8."""
    frames_per_second: float


def thumbnail(image: np.ndarray, width: int = FRAME_WIDTH) -> np.ndarray:
    """An image (height, width, 3) made no wider than `width`, with an even height, as codecs want it."""
    width = min(width, image.shape[1])
    height = 2 * round(image.shape[0] * width / image.shape[1] / 2)
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


class WorstEpisodeFilm:
    """Keeps the film of the worst episode so far: all of them would not fit into memory."""

    def __init__(self) -> None:
        self._episode: Episode | None = None
        self.film: Film | None = None

    def offer(self, episode: Episode, frames: Sequence[np.ndarray], duration: float) -> None:
        """Keep these frames of `duration` [s], if there are any and no episode before was as bad."""
        known = [self._episode] if self._episode is not None else []
        if frames and worst_first([*known, episode])[0] is episode:
            self._episode = episode
            self.film = Film(episode.seed, tuple(frames), len(frames) / duration)


def encode(film: Film) -> bytes | None:
    """The film as an MP4; None where this OpenCV cannot write VP9."""
    height, width, _ = film.frames[0].shape
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "film.mp4"
        code = cv2.VideoWriter.fourcc(*_CODEC)
        writer = cv2.VideoWriter(str(path), code, film.frames_per_second, (width, height))
        if not writer.isOpened():
            return None
        for frame in film.frames:
            writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
        writer.release()
        return path.read_bytes()
