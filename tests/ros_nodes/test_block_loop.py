"""A block in the hand in the loop: three cameras, the node that sees, policy node, simulated hand and scorer."""

import numpy as np
import pytest

pytest.importorskip("rclpy")

from constant_policy import constant_bundle
from rosbags.highlevel import AnyReader

from her_robot.evaluation.loop import LoopOptions, started_loop
from her_robot.evaluation.side_by_side import run_side_by_side
from her_robot.robot.hand_profile import load_hand_profile
from her_robot.ros_nodes.conversions import pose_to_numpy, to_seconds
from her_robot.rotations import to_matrix, turn_between

pytestmark = pytest.mark.ros
SCHEDULE = (("", 8), ("markers_hidden", 17), ("", 5))
"""Faults, and for how many control periods they last."""
PROFILE = load_hand_profile("shadow_hand")


@pytest.fixture(scope="module")
def episode(tmp_path_factory):
    """The policy runs, cameras see no marker for a while, and see them again: the policy node's status and the scorer's
    distance after each control period, what became of looks, and the folder of the recording."""
    folder = tmp_path_factory.mktemp("block")
    bundle = constant_bundle("hand_block_rotate_z", np.zeros(20), folder / "policy")
    statuses, distances = [], []

    def play(job):
        with started_loop(bundle, job, LoopOptions()) as loop:
            loop.node.begin_episode(5)
            while not statuses or statuses[-1]["phase"] != "running":
                statuses.append(loop.node.tick())
                assert len(statuses) < 200, statuses[-1]
            for faults, periods in SCHEDULE:
                loop.node.set_faults(faults)
                for _ in range(periods):
                    statuses.append(loop.node.tick())
                    distances.append(loop.node.heard.distance())
            loop.node.end_episode()
            return loop.node.heard.detections()

    (detections,) = run_side_by_side(play, 1, folder)
    return statuses[-sum(periods for _, periods in SCHEDULE) :], distances, detections, folder / "recording"


def test_the_hand_holds_while_no_camera_sees_the_block_and_goes_on_when_one_does(episode):
    statuses, _, detections, _ = episode
    phases = [status["phase"] for status in statuses]
    assert set(phases[:8]) == {"running"}
    assert phases[24] == "holding"
    assert "no camera has seen the object" in statuses[24]["reason"]
    assert phases[-1] == "running"
    assert int(statuses[-1]["holds"]) == 1
    assert detections["seen"] > 5 < detections["missed"]


def test_the_scorer_measures_the_angle_that_is_missing(episode):
    _, distances, _, _ = episode
    assert 0.1 < distances[0] < 2 * np.pi
    np.testing.assert_allclose(distances, distances[0], atol=0.1)  # this policy does nothing


def test_the_pose_in_the_loop_is_the_true_one(episode):
    base = to_matrix(np.array(PROFILE.base_rotation_wxyz))
    poses = {"/object_pose": {}, "/sim_robot_node/ground_truth/object_pose": {}}
    with AnyReader([episode[-1]]) as reader:
        for connection, _, data in reader.messages():
            if connection.topic in poses:
                message = reader.deserialize(data, connection.msgtype)
                pose = message.pose.pose if connection.topic == "/object_pose" else message.pose
                poses[connection.topic][round(to_seconds(message.header.stamp), 4)] = pose_to_numpy(pose)
    seen, truths = poses.values()
    together = sorted(seen.keys() & truths.keys())
    assert len(together) >= 3
    for stamp in together:
        (position, rotation), (true_position, true_rotation) = seen[stamp], truths[stamp]
        assert np.linalg.norm(base @ position + PROFILE.base_position - true_position) < 0.0005
        assert turn_between(base @ rotation, true_rotation) < 0.01
