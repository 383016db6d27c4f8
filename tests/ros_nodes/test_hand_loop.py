"""The hand in the loop: policy node, simulated hand and scorer; goals come on a topic, and no camera node is there."""

from collections import Counter

import pytest

pytest.importorskip("rclpy")

from rosbags.highlevel import AnyReader
from scripted_reach import scripted_bundle

from her_robot.evaluation.episodes import FIRST_SEED
from her_robot.evaluation.fault_runs import play_faults
from her_robot.evaluation.faults import load_faults
from her_robot.evaluation.loop import LoopOptions, evaluate_in_loop

pytestmark = pytest.mark.ros


def test_fingertips_come_to_goals_that_came_on_a_topic(tmp_path):
    bundle = scripted_bundle(tmp_path / "policy")
    result = evaluate_in_loop(bundle, tmp_path / "report", 1, options=LoopOptions(episode_steps=50))
    assert result.failure is None
    (episode,) = result.evaluation.episodes
    summary = result.evaluation.summary()
    assert episode.note == ""
    assert len(episode.distances) == 50
    assert episode.distances[0] > 0.05 > 0.025 > episode.final_distance
    assert (summary["safety"]["holds"], summary["safety"]["estops"]) == (0, 0)
    assert summary["simulated_robot"] == "shadow_hand"
    assert list(result.images) == summary["seeds"]
    with AnyReader([tmp_path / "report" / "recording"]) as reader:
        topics = Counter(connection.topic for connection, _, _ in reader.messages())
    assert topics["/fingertip_goals"] >= 50
    assert topics["/joint_states"] >= 5 * 50
    assert topics["/rh_trajectory_controller/reference"] >= 50
    assert topics["/rh_wr_trajectory_controller/reference"] >= 50
    assert topics["/hand_camera/rgb/image_raw/compressed"] >= 5


def test_fingertips_stand_still_while_something_is_broken(tmp_path):
    bundle = scripted_bundle(tmp_path / "policy")
    schedules = {
        name: load_faults(name) for name in ("joint_states_nan", "goal_out_of_reach", "joint_states_reordered")
    }
    rows = play_faults(bundle, tmp_path / "report", schedules, [FIRST_SEED], LoopOptions(record=False))
    assert {row.name: row.verdict.ok for row in rows} == dict.fromkeys(schedules, True)
    assert "holding" in rows[1].verdict.happened
    assert "ran on" in rows[2].verdict.happened
