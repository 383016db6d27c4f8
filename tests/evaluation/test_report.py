"""Reports can be read by people and by programs."""

import json

import cv2
import numpy as np
import pytest

from her_robot.errors import HerRobotError
from her_robot.evaluation.episodes import Episode, Evaluation
from her_robot.evaluation.report import prepare_directory, write_report

EVALUATION = Evaluation(
    "fetch_push",
    "ros",
    "policies/fetch_push",
    (
        Episode(1_000_000, True, (0.2, 0.1, 0.01)),
        Episode(1_000_001, False, (0.3, 0.3, 0.25), "only 3 of 50 steps: looking, not seen yet: <goal>"),
    ),
    {"latency_ms": {"p50": 1.0, "p95": 2.0, "p99": 3.0, "max": 4.0}},
)


def test_summary_has_what_other_programs_read():
    summary = EVALUATION.summary()
    assert summary["task"] == "fetch_push"
    assert summary["loop"] == "ros"
    assert (summary["episodes"], summary["successes"], summary["success_rate"]) == (2, 1, 0.5)
    assert summary["success_ci95"] == pytest.approx([0.0945, 0.9055], abs=1e-4)
    assert summary["final_distance"] == {"unit": "m", "mean": 0.13, "p50": 0.13, "p95": pytest.approx(0.238)}
    assert summary["seeds"] == [1_000_000, 1_000_001]
    json.dumps(summary)


def test_an_evaluation_without_episodes_still_has_a_summary():
    summary = Evaluation("fetch_push", "ros", "x", ()).summary()
    assert summary["episodes"] == 0
    assert summary["success_rate"] is None
    json.dumps(summary)


def test_the_report_folder(tmp_path):
    images = [np.full((480, 640, 3), shade, np.uint8) for shade in (40, 200)]
    latency = {"policy": [0.1, 0.2, 0.3], "camera": [10.0, 12.0, 11.0]}
    page = write_report(tmp_path, EVALUATION, images, latency).read_text()
    assert "1 of 2 goals reached" in page
    assert "&lt;goal&gt;" in page
    assert page.count("base64,") == 3
    assert json.loads((tmp_path / "summary.json").read_text()) == EVALUATION.summary()
    sheet = cv2.imread(str(tmp_path / "contact_sheet.jpg"))
    assert sheet.shape == (240, 640, 3)
    assert sheet[100, 100].mean() < 60 < 180 < sheet[100, 420].mean()
    for name in ("distance.png", "latency.png"):
        assert cv2.imread(str(tmp_path / name)) is not None


def test_a_folder_that_holds_something_is_refused(tmp_path):
    assert prepare_directory(tmp_path / "new").is_dir()
    (tmp_path / "mine.txt").write_text("keep me")
    with pytest.raises(HerRobotError, match="is not empty; choose another --report"):
        prepare_directory(tmp_path)
    assert (tmp_path / "mine.txt").read_text() == "keep me"
