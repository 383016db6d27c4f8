"""Policy, camera, simulated robot and scorer together: real processes, real messages, rendered images."""

import os
import signal
from collections import Counter
from dataclasses import replace

import pytest

pytest.importorskip("rclpy")

from constant_policy import constant_bundle
from mcap.reader import make_reader
from rosbags.highlevel import AnyReader

from her_robot.errors import LoopError
from her_robot.evaluation.episodes import FIRST_SEED
from her_robot.evaluation.fault_runs import play_faults
from her_robot.evaluation.faults import FaultEvent, FaultSchedule, load_faults
from her_robot.evaluation.loop import LoopOptions, evaluate_in_loop
from her_robot.evaluation.processes import NodeProcesses
from her_robot.policy.bundle import PolicyBundle, shipped_bundle

pytestmark = pytest.mark.ros


@pytest.fixture(scope="module")
def reach():
    return PolicyBundle.load(shipped_bundle("fetch_reach"), "fetch_reach")


@pytest.fixture
def started(monkeypatch):
    """Process ids of the nodes that an evaluation starts, by name."""
    ids = {}
    start = NodeProcesses.start

    def remembering(self, node, parameters):
        start(self, node, parameters)
        ids[node] = self._processes[node].pid

    monkeypatch.setattr(NodeProcesses, "start", remembering)
    return ids


def _read_all(recording):
    """Messages of each topic: every one read by both readers."""
    with AnyReader([recording]) as reader:
        topics = Counter(c.topic for c, _, raw in reader.messages() if reader.deserialize(raw, c.msgtype) is not None)
    with next(recording.glob("*.mcap")).open("rb") as file:
        reader = make_reader(file, validate_crcs=True)
        assert reader.get_header().profile == "ros2"
        assert Counter(channel.topic for _, channel, _ in reader.iter_messages()) == topics
    return topics


def _alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_reaches_goals_that_only_the_camera_has_seen(reach, tmp_path, started):
    result = evaluate_in_loop(reach, tmp_path, episodes=2)
    summary = result.evaluation.summary()
    assert result.failure is None
    assert summary["successes"] == 2
    assert summary["detections"]["seen"] > 10
    assert summary["safety"]["estops"] == 0
    assert 0 < summary["latency_ms"]["p50"] <= summary["latency_ms"]["max"]
    assert all(len(episode.distances) == 100 for episode in result.evaluation.episodes)
    assert result.evaluation.episodes[0].distances[0] > result.evaluation.episodes[0].final_distance
    assert list(result.images) == summary["seeds"]
    assert not any(_alive(pid) for pid in started.values())
    topics = _read_all(tmp_path / "recording")
    assert topics["/joint_states"] > 400
    assert topics["/policy_node/command_sent"] >= 200
    assert topics["/head_camera/rgb/image_raw/compressed"] >= 5
    assert topics["/sim_robot_node/ground_truth/goal_pose"] > 100


@pytest.mark.parametrize(("task", "gap"), [("fetch_pick_and_place", 0.1), ("fetch_slide", 0.0)])
def test_fingers_open_where_they_may_and_only_there(tmp_path, task, gap):
    bundle = constant_bundle(task, (0.0, 0.0, 0.1, 0.9), tmp_path / "policy")
    result = evaluate_in_loop(bundle, tmp_path / "report", 1, options=LoopOptions(episode_steps=40))
    assert result.failure is None
    assert result.evaluation.episodes[0].note == ""
    assert result.evaluation.summary()["safety"]["holds"] == 0
    with AnyReader([tmp_path / "report" / "recording"]) as reader:
        connections = [c for c in reader.connections if c.topic == "/joint_states"]
        *_, (connection, _, raw) = reader.messages(connections)
        last = reader.deserialize(raw, connection.msgtype)
    fingers = [last.position[last.name.index(f"{side}_gripper_finger_joint")] for side in "rl"]
    assert sum(fingers) == pytest.approx(gap, abs=2e-3)


def test_episodes_are_measured_and_filmed(reach, tmp_path):
    result = evaluate_in_loop(reach, tmp_path, 3, options=LoopOptions(record=False), on_episode=lambda episode: True)
    (episode,) = result.evaluation.episodes  # The first one ended it.
    summary = result.evaluation.summary()
    stages = {"camera", "estimate", "policy", "inverse_kinematics", "safety", "total", "sensor_to_command"}
    assert set(summary["latency_stages_ms"]) == stages
    assert len(episode.telemetry.latency_ms["policy"]) == 100
    # 15 images a second, 25 control periods a second.
    assert len(episode.telemetry.latency_ms["camera"]) == pytest.approx(60, abs=2)
    # An image is 30 ms old when it arrives, and replaced after 67 ms; now and then the arm hides the goal.
    assert 0.03 < summary["age_s"]["goal"]["p50"] < 0.2
    assert 0.0 < summary["time_to_goal_s"]["p50"] < 4.0
    assert -8.0 < summary["smoothness"]["p50"] < -1.3
    assert result.film.seed == episode.seed
    assert result.film.frames_per_second == pytest.approx(15, abs=0.6)
    assert result.film.frames[0].shape == (240, 320, 3)


def test_the_same_seeds_give_the_same_episodes_side_by_side_or_not(reach, tmp_path):
    runs = [
        evaluate_in_loop(reach, tmp_path / str(jobs), 2, options=LoopOptions(episode_steps=40, record=False, jobs=jobs))
        for jobs in (1, 2)
    ]
    first, second = (run.evaluation.episodes for run in runs)
    assert [episode.seed for episode in first] == [episode.seed for episode in second]
    for alone, beside in zip(first, second, strict=True):
        assert alone.distances == pytest.approx(beside.distances, abs=1e-9)
    assert [len(run.images) for run in runs] == [2, 2]


def test_a_node_that_dies_ends_the_evaluation_and_loses_nothing(reach, tmp_path, started):
    def kill_camera(episode):
        os.killpg(started["camera_goal_node"], signal.SIGKILL)

    result = evaluate_in_loop(reach, tmp_path, 3, options=LoopOptions(record=False), on_episode=kill_camera)
    assert len(result.evaluation.episodes) == 1
    assert isinstance(result.failure, LoopError)
    assert "camera_goal_node ended with status -9" in str(result.failure)
    assert result.evaluation.summary()["failure"] == str(result.failure)
    assert not any(_alive(pid) for pid in started.values())


def test_faults_lead_to_what_has_to_happen(reach, tmp_path, started):
    quiet = FaultEvent("joint_states_silent", at=0.2, lasts=0.6, expect="hold", within=0.5, recover_within=0.2)
    schedules = {
        "quiet": FaultSchedule("holds, and so does not carry on", (quiet, replace(quiet, at=1.0, expect="carry_on"))),
        "clock_ahead": load_faults("clock_ahead"),
        "policy_node_killed": load_faults("policy_node_killed"),
    }
    first = play_faults(reach, tmp_path, schedules, [FIRST_SEED], LoopOptions(record=False))
    assert [(row.name, row.verdict.ok) for row in first] == [
        ("quiet", True),
        ("quiet", False),
        ("clock_ahead", True),
        ("policy_node_killed", True),
    ]
    assert "holding after 0.16 s: joint states are" in first[1].verdict.happened
    assert "(dead)" in first[3].verdict.happened
    assert not any(_alive(pid) for pid in started.values())


def test_a_loop_that_cannot_start_says_why(reach, tmp_path, started):
    with pytest.raises(LoopError, match=r"sim_robot_node ended with status 1[\s\S]*unknown simulated robot 'ferch'"):
        evaluate_in_loop(reach, tmp_path, 1, options=LoopOptions(simulated_robot="ferch", record=False))
    assert not any(_alive(pid) for pid in started.values())
