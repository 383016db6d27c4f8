"""Reports can be read by people and by programs, and need nothing but themselves."""

import base64
import json
import re
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest

from her_robot.errors import HerRobotError
from her_robot.evaluation.episodes import Evaluation
from her_robot.evaluation.film import Film, WorstEpisodeFilm, thumbnail
from her_robot.evaluation.page import Section, page
from her_robot.evaluation.report import prepare_directory, write_report

VOID = {"meta", "img", "rect", "line", "br"}


class _Elements(HTMLParser):
    """Every element of a page; refuses tags that are not closed in order."""

    def __init__(self, text):
        super().__init__()
        self.found, self._open = [], []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self._open.pop() == tag


def _filmed(evaluation, **more):
    shades = np.linspace(0, 250, len(evaluation.episodes)).astype(np.uint8)
    images = {
        episode.seed: np.full((48, 64, 3), shade, np.uint8)
        for episode, shade in zip(evaluation.episodes, shades, strict=True)
    }
    frames = tuple(np.full((48, 64, 3), 20 * i, np.uint8) for i in range(10))
    return Section(evaluation, images=images, film=Film(evaluation.episodes[-1].seed, frames, 15.0), **more)


def test_the_report_folder(tmp_path, make_evaluation):
    evaluation = make_evaluation([True, True, False])
    path = write_report(tmp_path, [_filmed(evaluation)])
    text = path.read_text()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["index.html", "summary.json"]
    assert "<b>2 of 3</b> goals reached" in text
    assert "goal &lt;lost&gt;" in text
    assert json.loads((tmp_path / "summary.json").read_text()) == evaluation.to_json()


def test_a_page_is_well_formed_and_needs_nothing_else(make_evaluation):
    for sections in (
        [_filmed(make_evaluation([True, True, False], at_least=0.9))],
        [_filmed(make_evaluation([True, False]), name=name, condition=c) for name in "ab" for c in ("", "fault")],
        [Section(make_evaluation([], failure="policy_node ended <early>"))],
    ):
        text = page(sections)
        assert "http" not in text
        assert "url(" not in text
        assert "@import" not in text
        elements = _Elements(text).found
        assert not {tag for tag, _ in elements} & {"script", "link", "iframe", "object"}
        for _, attributes in elements:
            for name in ("src", "href"):
                assert attributes.get(name, "data:").startswith(("data:", "#"))


def test_a_picture_of_each_failure_and_a_film_of_the_worst(tmp_path, make_evaluation):
    text = page([_filmed(make_evaluation([True, False, False]))])
    elements = _Elements(text).found
    pictures = [attributes for tag, attributes in elements if tag == "img"]
    assert [picture["alt"] for picture in pictures] == [f"last image of seed {seed}" for seed in (1_000_001, 1_000_002)]
    encoded = base64.b64decode(pictures[1]["src"].partition("base64,")[2])
    assert cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR).mean() == pytest.approx(250, abs=2)
    (video,) = (attributes for tag, attributes in elements if tag == "video")
    (tmp_path / "film.mp4").write_bytes(base64.b64decode(video["src"].partition("base64,")[2]))
    film = cv2.VideoCapture(str(tmp_path / "film.mp4"))
    assert film.get(cv2.CAP_PROP_FRAME_COUNT) == 10
    assert film.get(cv2.CAP_PROP_FPS) == pytest.approx(15)


def test_curves_and_outcomes_are_drawn(make_evaluation):
    elements = _Elements(page([Section(make_evaluation([True, True, False]))])).found
    curves = [attributes["class"] for tag, attributes in elements if tag == "polyline"]
    assert curves == ["missed", "reached", "reached", "median"] or curves == ["reached", "reached", "missed", "median"]
    assert [attributes["class"] for tag, attributes in elements if tag == "i"] == ["reached", "reached", "missed"]
    first = next(
        attributes["points"]
        for tag, attributes in elements
        if attributes.get("class") == "reached" and tag == "polyline"
    )
    points = np.array([point.split(",") for point in first.split()], dtype=float)
    assert len(points) == 50
    assert np.all(np.diff(points[:, 0]) > 0)
    assert np.all(np.diff(points[:, 1]) >= 0)  # Downwards: the distance falls.


def test_several_robots_make_a_matrix(tmp_path, make_evaluation):
    sections = [
        Section(make_evaluation(outcomes), name=robot, condition=condition)
        for robot, condition, outcomes in (
            ("fetch", "", [True, True]),
            ("fetch", "camera lost", [True, False]),
            ("heavy", "", [False, False]),
        )
    ]
    path = write_report(tmp_path, sections)
    text = path.read_text()
    (matrix,) = re.findall(r"<table class='matrix'>.*?</table>", text)
    assert re.findall(r"<b>(\d+) %</b>", matrix) == ["100", "50", "0"]
    assert matrix.count("class='none'") == 1
    assert [values["successes"] for values in json.loads((tmp_path / "summary.json").read_text())] == [2, 1, 0]


def test_an_empty_evaluation_has_a_page():
    text = page([Section(Evaluation("fetch_push", "ros", "x", (), {"failure": "it broke"}))])
    assert "it broke" in text
    assert "No episode was played to its end." in text


def test_the_film_of_the_worst_episode_is_kept(make_evaluation):
    frame = np.zeros((4, 4, 3), np.uint8)
    worst = WorstEpisodeFilm()
    for episode in make_evaluation([True, False, True]).episodes:
        worst.offer(episode, [frame] * 30, 2.0)
    assert worst.film.seed == 1_000_001
    assert worst.film.frames_per_second == 15.0


@pytest.mark.parametrize("shape", [(480, 640), (481, 639), (30, 20)])
def test_thumbnails_have_even_heights(shape):
    height, width, _ = thumbnail(np.zeros((*shape, 3), np.uint8), 320).shape
    assert width == min(320, shape[1])
    assert height % 2 == 0


def test_a_folder_that_holds_something_is_refused(tmp_path):
    assert prepare_directory(tmp_path / "new").is_dir()
    (tmp_path / "mine.txt").write_text("keep me")
    with pytest.raises(HerRobotError, match="is not empty; choose another --report"):
        prepare_directory(tmp_path)
    assert (tmp_path / "mine.txt").read_text() == "keep me"
