"""The node as a process of its own, over DDS."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np
import pytest

from her_robot.contract import contract_of

rclpy = pytest.importorskip("rclpy")
from geometry_msgs.msg import PoseStamped  # noqa: E402
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue  # noqa: E402
from rcl_interfaces.srv import SetParameters  # noqa: E402
from rosgraph_msgs.msg import Clock  # noqa: E402
from sensor_msgs.msg import CameraInfo, Image, JointState  # noqa: E402
from std_msgs.msg import Float64  # noqa: E402
from std_srvs.srv import Trigger  # noqa: E402
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint  # noqa: E402

from her_robot.ros_nodes import conversions  # noqa: E402
from her_robot.ros_nodes.patience import Patience  # noqa: E402

pytestmark = pytest.mark.ros
DOMAIN = int(os.environ["ROS_DOMAIN_ID"])
TRUTH = "sim_robot_node/ground_truth/"
TOPICS = {
    "joint_states": JointState,
    "arm_controller/reference": JointState,
    "head_camera/rgb/image_raw": Image,
    "head_camera/rgb/camera_info": CameraInfo,
    **{f"{TRUTH}{name}_pose": PoseStamped for name in ("object", "goal", "grip")},
}
LINKS = ("shoulder_pan", "shoulder_lift", "upperarm_roll", "elbow_flex", "forearm_roll", "wrist_flex", "wrist_roll")
ARM = tuple(f"{link}_joint" for link in LINKS)


def command(*parameters: str) -> list[str]:
    arguments = [word for parameter in parameters for word in ("-p", parameter)]
    return [sys.executable, "-m", "her_robot.ros_nodes.sim_robot_node", "--ros-args", *arguments]


def environment() -> dict[str, str]:
    # Without MUJOCO_GL: the node finds its way on a machine without a screen.
    kept = {name: value for name, value in os.environ.items() if name not in ("MUJOCO_GL", "DISPLAY")}
    return kept | {"ROS_DOMAIN_ID": str(DOMAIN), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}


class Peer:
    """Everything that a robot is connected with: the arm's and the camera's user, and the scorer."""

    def __init__(self) -> None:
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=DOMAIN)
        self.node = rclpy.create_node("peer", context=self.context)
        self.executor = rclpy.executors.SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.trajectories = self.node.create_publisher(JointTrajectory, "arm_controller/joint_trajectory", 10)
        self.gripper = self.node.create_publisher(Float64, "gripper_controller/command", 10)
        self.services = {name: self.node.create_client(Trigger, f"sim_robot_node/{name}") for name in ("reset", "step")}
        self.parameters = self.node.create_client(SetParameters, "sim_robot_node/set_parameters")
        self.received: dict[str, list] = {topic: [] for topic in (*TOPICS, "clock")}
        for topic, kind in TOPICS.items():
            self.node.create_subscription(kind, topic, self.received[topic].append, 50)
        self.node.create_subscription(Clock, "/clock", self.received["clock"].append, 50)

    def wait(self, condition, seconds: float = 20.0):
        """What `condition` returns once it is true, while messages are received."""
        deadline = time.monotonic() + seconds
        while not (result := condition()):
            assert time.monotonic() < deadline, "the node did not answer in time"
            self.executor.spin_once(timeout_sec=0.02)
        return result

    def call(self, client, request):
        future = client.call_async(request)
        self.wait(future.done)
        return future.result()

    def trigger(self, service: str) -> dict:
        response = self.call(self.services[service], Trigger.Request())
        assert response.success, response.message
        return json.loads(response.message)

    def set_seed(self, seed: int) -> bool:
        value = ParameterValue(type=ParameterType.PARAMETER_INTEGER, integer_value=seed)
        request = SetParameters.Request(parameters=[Parameter(name="episode_seed", value=value)])
        return self.call(self.parameters, request).results[0].successful

    def step(self, count: int = 1) -> dict:
        """Advance, and wait until all that was published in the last period has come."""
        reply = {}
        for _ in range(count):
            reply = self.trigger("step")
            self.wait(lambda end=reply["time_s"]: self.newest(f"{TRUTH}grip_pose") >= end - 1e-6)
        return reply

    def newest(self, topic: str) -> float:
        messages = self.received[topic]
        return conversions.to_seconds(messages[-1].header.stamp) if messages else -1.0

    def positions(self) -> dict[str, float]:
        message = self.received["joint_states"][-1]
        return dict(zip(message.name, message.position, strict=True))

    def move(self, names, target, seconds: float, start: float) -> JointTrajectory:
        """Publish a trajectory of one point, stamped `start`."""
        message = conversions.joint_trajectory(
            names, np.array([seconds]), np.array([target]), np.zeros((1, len(target))), conversions.to_stamp(start)
        )
        self.trajectories.publish(message)
        return message

    def forget(self) -> None:
        for messages in self.received.values():
            messages.clear()

    def close(self) -> None:
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)


@pytest.fixture(scope="module")
def peer() -> Iterator[Peer]:
    peer = Peer()
    yield peer
    peer.close()


def run_node(peer: Peer, *parameters: str) -> Iterator[subprocess.Popen]:
    process = subprocess.Popen(
        command(*parameters), env=environment(), stderr=subprocess.STDOUT, stdout=subprocess.PIPE, text=True
    )
    try:
        # Made after the services' clients: a node that has found this one has found them.
        Patience(peer.executor, lambda: None).until_it_answers(peer.parameters, SetParameters.Request())
        peer.wait(lambda: peer.trajectories.get_subscription_count() and peer.gripper.get_subscription_count())
        topics = [*TOPICS, *(["clock"] if "publish_clock:=true" in parameters else [])]
        peer.wait(lambda: all(peer.node.count_publishers(topic) for topic in topics))
        peer.forget()
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(10)
        peer.wait(lambda: not peer.node.count_publishers("joint_states"))


class TestLockstep:
    @pytest.fixture(scope="class")
    def process(self, peer) -> Iterator[subprocess.Popen]:
        yield from run_node(peer, "mode:=lockstep")

    @pytest.fixture(autouse=True)
    def begin(self, peer, process) -> None:
        peer.forget()
        assert peer.set_seed(3)
        self.start = peer.trigger("reset")["time_s"]

    def test_a_step_is_one_control_period_of_joint_states(self, peer):
        reply = peer.step()
        assert reply["time_s"] == pytest.approx(self.start + 0.04)
        peer.wait(lambda: len(peer.received["joint_states"]) == 4)
        stamps = [conversions.to_seconds(message.header.stamp) for message in peer.received["joint_states"]]
        np.testing.assert_allclose(stamps, self.start + np.arange(1, 5) * 0.01, atol=1e-6)
        assert set(ARM) < set(peer.positions())

    def test_time_passes_only_in_steps(self, peer):
        peer.step()
        peer.wait(lambda: len(peer.received["joint_states"]) == 4 and peer.received[f"{TRUTH}grip_pose"])
        peer.wait(lambda: peer.received[f"{TRUTH}goal_pose"] and peer.received[f"{TRUTH}object_pose"])
        peer.forget()
        deadline = time.monotonic() + 0.3
        while time.monotonic() < deadline:
            peer.executor.spin_once(timeout_sec=0.05)
        assert not any(peer.received.values())

    def test_images_come_with_their_camera_info_fifteen_times_a_second(self, peer):
        announced = sum(peer.step()["images"] for _ in range(25))
        images, infos = peer.received["head_camera/rgb/image_raw"], peer.received["head_camera/rgb/camera_info"]
        peer.wait(lambda: len(images) == len(infos) == announced)
        assert announced in (14, 15)
        for image, info in zip(images, infos, strict=True):
            assert image.header == info.header
            assert image.header.frame_id == "head_camera_rgb_optical_frame"
            assert conversions.image_to_numpy(image).shape == (480, 640, 3)
            assert info.k[0] == pytest.approx(514.68, abs=0.01)

    def test_ground_truth_is_in_the_world(self, peer):
        peer.step()
        contract = contract_of("fetch_push")
        for name in ("object", "goal"):
            message = peer.wait(lambda name=name: peer.received[f"{TRUTH}{name}_pose"])[-1]
            position, _ = conversions.pose_to_numpy(message.pose)
            assert message.header.frame_id == "world"
            assert (position > np.array(contract.goal_low) - 2e-3).all()
            assert (position < np.array(contract.goal_high) + 2e-3).all()

    def test_the_seed_decides_the_episode(self, peer):
        def goal(seed: int) -> np.ndarray:
            assert peer.set_seed(seed)
            assert peer.trigger("reset")["seed"] == seed
            peer.step()
            message = peer.wait(lambda: peer.received[f"{TRUTH}goal_pose"])[-1]
            return conversions.pose_to_numpy(message.pose)[0]

        first, other, again = goal(8), goal(9), goal(8)
        np.testing.assert_array_equal(first, again)
        assert np.linalg.norm(first - other) > 1e-3
        assert not peer.set_seed(-1)

    def test_a_trajectory_is_followed_and_acknowledged_with_its_stamp(self, peer):
        end = peer.step()["time_s"]
        target = np.array([peer.positions()[name] for name in ARM]) + 0.05
        sent = peer.move(ARM[::-1], target[::-1], 0.3, start=end)
        reference = peer.wait(lambda: peer.received["arm_controller/reference"])[-1]
        assert reference.header.stamp == sent.header.stamp
        assert list(reference.name) == list(ARM)
        np.testing.assert_allclose(reference.position, target)
        peer.step(20)
        np.testing.assert_allclose([peer.positions()[name] for name in ARM], target, atol=3e-3)

    def test_the_gripper_opens(self, peer):
        peer.gripper.publish(Float64(data=0.05))
        peer.wait(lambda: peer.step() and peer.positions()["r_gripper_finger_joint"] > 0.023)
        peer.gripper.publish(Float64(data=0.0))
        peer.wait(lambda: peer.step() and peer.positions()["r_gripper_finger_joint"] < 0.002)

    @pytest.mark.parametrize(
        "names", [ARM[:-1], (*ARM[:-1], "left_arm"), (*ARM, "torso_lift_joint"), ()], ids=lambda names: f"{len(names)}"
    )
    def test_trajectories_for_other_joints_are_refused_and_counted(self, peer, names):
        self.check_refused(peer, lambda end: peer.move(names, [0.0] * len(names), 0.1, start=end))

    @pytest.mark.parametrize(("value", "ahead"), [(np.nan, 0.1), (np.inf, 0.1), (0.0, -1.0), (0.0, 1.7e9)])
    def test_impossible_values_and_times_are_refused_and_counted(self, peer, value, ahead):
        self.check_refused(peer, lambda end: peer.move(ARM, [value] * 7, ahead, start=end))

    def test_points_of_wrong_length_and_empty_trajectories_are_refused_and_counted(self, peer):
        message = JointTrajectory(joint_names=list(ARM), points=[JointTrajectoryPoint(positions=[0.0, 0.0])])
        self.check_refused(peer, lambda _: peer.trajectories.publish(message))
        message.points = []
        self.check_refused(peer, lambda _: peer.trajectories.publish(message))

    @pytest.mark.parametrize("gap", [np.nan, -0.1, 0.2])
    def test_impossible_gaps_are_refused_and_counted(self, peer, gap):
        self.check_refused(peer, lambda _: peer.gripper.publish(Float64(data=gap)))

    def check_refused(self, peer, send) -> None:
        reply = peer.step()
        refused, before = reply["commands_refused"], peer.positions()
        send(reply["time_s"])
        peer.wait(lambda: peer.step()["commands_refused"] == refused + 1)
        peer.step(5)
        after = peer.positions()
        assert max(abs(after[name] - before[name]) for name in ARM) < 5e-3
        assert not peer.received["arm_controller/reference"]


class TestRealTime:
    @pytest.fixture(scope="class")
    def process(self, peer) -> Iterator[subprocess.Popen]:
        yield from run_node(peer, "publish_clock:=true", "task:=fetch_push", "episode_seed:=5")

    def test_time_passes_as_on_the_wall(self, peer, process):
        peer.wait(lambda: len(peer.received["joint_states"]) > 10)
        peer.forget()
        begun = time.monotonic()
        peer.wait(lambda: len(peer.received["joint_states"]) >= 150 and peer.received["head_camera/rgb/image_raw"])
        elapsed = time.monotonic() - begun
        stamps = [conversions.to_seconds(message.header.stamp) for message in peer.received["joint_states"]]
        # A busy machine may lose some on the way: those that arrive are of the robot's own rhythm.
        periods = np.diff(stamps) / 0.01
        np.testing.assert_allclose(periods, np.round(periods), atol=1e-4)
        assert np.all(np.round(periods) >= 1)
        assert np.mean(np.round(periods) == 1) > 0.5
        # A busy machine may be slower than time, never faster.
        assert stamps[-1] - stamps[0] - 0.3 < elapsed < stamps[-1] - stamps[0] + 5.0
        # The clock is the robot's own, and runs ahead of no stamp.
        clocks = [conversions.to_seconds(message.clock) for message in peer.received["clock"]]
        assert np.all(np.diff(clocks) >= 0)
        assert clocks[-1] < 100.0

    def test_a_trajectory_without_a_stamp_starts_on_arrival(self, peer, process):
        peer.wait(lambda: peer.received["joint_states"])
        target = np.array([peer.positions()[name] for name in ARM]) + 0.05
        peer.move(ARM, target, 0.3, start=0.0)
        peer.wait(lambda: np.allclose([peer.positions()[name] for name in ARM], target, atol=3e-3), 10.0)

    def test_it_stops_cleanly_when_interrupted(self, peer, process):
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=10)
        assert process.returncode == 0
        assert "Traceback" not in output


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (["task:=fetch_pull"], "unknown task 'fetch_pull'; did you mean"),
        (["simulated_robot:=fetsh"], "unknown simulated robot 'fetsh'; did you mean 'fetch'"),
        (["mode:=turbo"], "parameter mode is 'turbo'; valid: real_time, lockstep"),
        (["mode:=lockstep", "publish_clock:=true"], "parameter publish_clock: in lockstep"),
        (["episode_seed:=-4"], "episode_seed"),
        (["task:=3"], "task"),
    ],
)
def test_what_cannot_be_configured_is_said_and_ends_the_node(parameters, message):
    result = subprocess.run(command(*parameters), env=environment(), capture_output=True, text=True, timeout=60)
    assert result.returncode == 1
    assert message in result.stderr
    assert "Traceback" not in result.stderr
