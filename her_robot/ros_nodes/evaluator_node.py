"""ROS 2 node that plays episodes with a robot in the loop, and alone knows the truth.

In lockstep it owns time: each control period it lets the simulated robot advance, waits until the camera node has
worked off the image, publishes /clock, which fires the policy node's timer, and waits until the robot has its command.
Nothing depends on how fast the machine is. In real time it only listens.
"""

import json
import time
from collections.abc import Callable, Sequence

import cv2
import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseArray, PoseStamped
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.serialization import deserialize_message, serialize_message
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage, Image, JointState
from std_srvs.srv import Trigger

from her_robot.contract import Contract, HandContract, goal_distance
from her_robot.errors import LoopError
from her_robot.evaluation.film import thumbnail
from her_robot.evaluation.recording import Recording
from her_robot.ros_nodes import conversions
from her_robot.ros_nodes.loop_topics import CAMERA_GOAL_NODE, COMMON_TOPICS, LoopTopics, loop_topics
from her_robot.ros_nodes.patience import REPLY_TIMEOUT_S, Patience

_LOST_TIMEOUT_S = 10.0
_CONNECTING_STEPS = 25
"""Control periods in which object and goal are seen, if ever."""
_DISCOVERY_S = 0.1
"""Between them, DDS is given this long."""
_PATIENCE_S = 10.0
"""Then it is asked whether an answer was lost: configuring alone takes seconds on a busy machine."""
_RECORDED_IMAGE_INTERVAL = 5
_JPEG_QUALITY = 85


class Evaluator(Node):
    """The other end of every node's topics, and the master of time in lockstep."""

    def __init__(
        self,
        context: Context,
        contract: Contract,
        topics: LoopTopics,
        lockstep: bool,
        check_processes: Callable[[], None],
        recording: Recording | None,
    ) -> None:
        """
        Args:
            context: of the domain to join.
            contract: of the task.
            topics: of the loop.
            lockstep: own time, rather than let it pass.
            check_processes: raises when a node has died; called while waiting.
            recording: where messages go.
        """
        super().__init__("evaluator_node", context=context, enable_rosout=False)
        self._contract, self._topics = contract, topics
        # What bears the time of /clock, rather than that of the robot.
        self._stamped_by_clock = ("policy_node/status", *topics.references)
        self._lockstep = lockstep
        self._recording = recording
        self._executor = SingleThreadedExecutor(context=context)
        self._executor.add_node(self)
        self._patience = Patience(self._executor, check_processes)
        self._stamps: dict[str, float] = {}
        self._status: dict[str, dict[str, str]] = {}
        self._truth: dict[str, np.ndarray] = {}
        self._image: np.ndarray | None = None
        self.frames: list[np.ndarray] = []
        """What the camera has seen in this episode since the policy began to run, made small."""
        self._images = 0
        self._images_expected = self._images_processed = 0
        self.lost_images = 0
        """Images that the camera node did not get."""
        self._time = 0.0
        self._clock_offset = 0.0
        self._clock_jumped_back = False
        self._lost: set[str] = set()
        self._references: dict[str, np.ndarray] = {}
        self._sent_to_policy: dict[str, float] = {}
        self._connected = False
        for topic, message_type in {
            **COMMON_TOPICS,
            **topics.messages,
            **dict.fromkeys(topics.references, JointState),
        }.items():
            self.create_subscription(message_type, topic, self._receiver(topic, message_type), 50, raw=True)
        self.create_subscription(Image, topics.camera, self._on_image, 5)
        self._clock_publisher = self.create_publisher(Clock, "/clock", 10) if lockstep else None
        self._step = self.create_client(Trigger, "sim_robot_node/step")
        self._reset_robot = self.create_client(Trigger, "sim_robot_node/reset")
        self._robot_parameters = self.create_client(SetParameters, "sim_robot_node/set_parameters")
        self._seeing_status = f"{topics.seeing_node}/status"
        self._reset_camera = self.create_client(Trigger, f"{topics.seeing_node or CAMERA_GOAL_NODE}/reset")
        self._change_state = self.create_client(ChangeState, "policy_node/change_state")
        self._get_state = self.create_client(GetState, "policy_node/get_state")
        self._policy_services = {
            name: self.create_client(Trigger, f"policy_node/{name}") for name in ("stop", "rearm", "received")
        }

    def wait_for_nodes(self) -> None:
        """Until all nodes answer, and the policy node is configured.

        Raises:
            LoopError: one does not come up, or refuses its configuration.
        """
        self._patience.until_it_answers(self._reset_robot, Trigger.Request())
        self._patience.until_it_answers(self._robot_parameters, SetParameters.Request())
        if self._topics.seeing_node is not None:
            self._patience.until_it_answers(self._reset_camera, Trigger.Request())
        self._patience.until_it_answers(self._get_state, GetState.Request())
        if self._lockstep:
            self._patience.until_it_answers(self._step, Trigger.Request())
            self._publish_clock()
        self._transition(Transition.TRANSITION_CONFIGURE, "configure")
        self._patience.until_it_answers(self._policy_services["received"], Trigger.Request())
        if self._lockstep:
            self._connect()

    def _connect(self) -> None:
        """Let time pass until messages of all kinds have come through. DDS finds some connections later than others,
        and what an episode loses by that would differ from run to run."""
        self.begin_episode(0)
        for _ in range(_CONNECTING_STEPS):
            self.tick()
            if self._connected:
                break
        self.end_episode()
        self._connected = True

    def _look_for_connections(self, status: dict[str, str]) -> None:
        """Give DDS a moment, and see whether messages of all kinds have come through to the policy node and from it."""
        until = time.monotonic() + _DISCOVERY_S
        while time.monotonic() < until:
            self._executor.spin_once(timeout_sec=_DISCOVERY_S)
        ages = [float(value) for key, value in status.items() if key.endswith("_age_s")]
        obeyed = all(topic in self._stamps for topic in self._topics.references)
        self._connected = obeyed and bool(np.isfinite(ages).all())

    def begin_episode(self, seed: int) -> None:
        """A new object and goal, everything forgotten, and the policy node active."""
        self._set_robot("episode_seed", ParameterValue(type=ParameterType.PARAMETER_INTEGER, integer_value=seed))
        self._patience.call(self._reset_robot, Trigger.Request())
        self._sent_to_policy.clear()
        if self._topics.seeing_node is not None:
            self._patience.call(self._reset_camera, Trigger.Request())
        self._transition(Transition.TRANSITION_ACTIVATE, "activate")

    def end_episode(self) -> None:
        """The policy node comes to rest."""
        self._transition(Transition.TRANSITION_DEACTIVATE, "deactivate")

    def tick(self) -> dict[str, str]:
        """One control period; returns the policy node's status after it."""
        if self._lockstep or "policy_node" in self._lost:
            self.advance()
        if self._lockstep:
            self._wait_for_inputs()
            self._publish_clock()
        if "policy_node" in self._lost:
            return {"phase": "dead", "reason": "the node was killed"}
        if self._clock_jumped_back:
            # The timer of a clock that jumps back fires one period later. The node has to have seen the jump by then.
            self._clock_jumped_back = False
            self._patience.call(self._get_state, GetState.Request())
            return self._status["policy_node"]
        before = self._stamps.get("policy_node/status", -1.0)
        wanted = self._time + self._clock_offset - 1e-6 if self._lockstep else before + 1e-6
        self._wait_for_stamp("policy_node/status", wanted, again=self._publish_clock if self._lockstep else None)
        status = self._status["policy_node"]
        if self._lockstep and not self._connected:
            self._look_for_connections(status)
        elif self._lockstep and status.get("sent") == "motion":
            for topic in self._topics.references:
                self._wait_for_stamp(topic, wanted)
        if int(status.get("steps", 0)) == 0:
            self.frames.clear()
        return status

    def advance(self) -> None:
        """Let one control period pass without the policy being told (lockstep); in real time, wait for it to pass."""
        if not self._lockstep:
            self._wait_for_stamp(self._topics.achieved, self._stamps.get(self._topics.achieved, -1.0) + 1e-6)
            return
        reply = json.loads(self._patience.call(self._step, Trigger.Request()).message)
        self._time = reply["time_s"]
        for name in ("joint_states", "goal"):
            if f"{name}_s" in reply:
                self._sent_to_policy[name] = reply[f"{name}_s"]
        self._wait_for_images(reply["images"])
        for topic in self._topics.truths:
            self._wait_for_stamp(topic, self._time - 1e-6)

    def set_faults(self, faults: str) -> None:
        """Faults of the robot from now on, as its parameter `faults` takes them.

        Raises:
            LoopError: the robot refuses them.
        """
        self._set_robot("faults", ParameterValue(type=ParameterType.PARAMETER_STRING, string_value=faults))

    def set_clock_offset(self, seconds: float) -> None:
        """Let /clock be this far ahead of the robot's time from now on [s]; lockstep only."""
        self._clock_jumped_back = seconds < self._clock_offset
        self._clock_offset = seconds
        for topic in self._stamped_by_clock:
            self._stamps.pop(topic, None)

    def request(self, service: str) -> None:
        """Call `stop` or `rearm` of the policy node."""
        self._patience.call(self._policy_services[service], Trigger.Request())

    def lose(self, node: str) -> None:
        """Wait no longer for a node: it was killed."""
        self._lost.add(node)

    def rejoin(self, node: str) -> None:
        """A node was started again: wait for it, and bring it to where its supervisor would.

        Raises:
            LoopError: it does not answer.
        """
        if node == "policy_node":
            self._patience.until_it_answers(self._get_state, GetState.Request())
            if self._lockstep:
                self._publish_clock()
            for topic in self._stamped_by_clock:
                self._stamps.pop(topic, None)
            self._connected = False
            self._transition(Transition.TRANSITION_CONFIGURE, "configure")
            self._patience.until_it_answers(self._policy_services["received"], Trigger.Request())
            self._transition(Transition.TRANSITION_ACTIVATE, "activate")
        else:
            self._patience.until_it_answers(self._reset_camera, Trigger.Request())
        self._lost.discard(node)

    def reference(self) -> np.ndarray:
        """Where the last trajectories end (n,) [rad]; empty before the first."""
        return np.concatenate([np.zeros(0), *self._references.values()])

    def distance(self) -> float:
        """True distance of the achieved from the desired goal [distance_unit of the contract]."""
        achieved, goal = (self._truth[topic].ravel() for topic in (self._topics.achieved, self._topics.goal))
        return float(goal_distance(self._contract, achieved, goal))

    def tip_positions(self) -> np.ndarray:
        """Where the point between an arm's fingers truly is (1, 3), or a hand's fingertips are (5, 3) [m]."""
        return self._truth[self._topics.tips].reshape(-1, 3)

    def tool_position(self) -> tuple[float, float, float] | None:
        """That of an arm's tool [m]; None for a hand, which has none."""
        if isinstance(self._contract, HandContract):
            return None
        x, y, z = self.tip_positions()[0]
        return float(x), float(y), float(z)

    @property
    def seeing_node(self) -> str | None:
        """Name of the node that finds object and goal in images; None where goals come without."""
        return self._topics.seeing_node

    def status(self, node: str) -> dict[str, str]:
        """The newest status of a node; empty before the first."""
        return self._status.get(node, {})

    def seeing_status(self) -> dict[str, str]:
        """The newest status of the node that finds object and goal in images; empty before the first, or without."""
        return self.status(self._topics.seeing_node or "")

    def detections(self) -> dict[str, int]:
        """What became of the markers that the camera node looked for, since the start."""
        camera = self.seeing_status()
        return {name: int(camera.get(name, 0)) for name in ("seen", "missed", "rejected")}

    def newest_image(self) -> np.ndarray:
        """What the camera saw last, RGB (height, width, 3) uint8.

        Raises:
            LoopError: it has not sent an image.
        """
        if self._image is None:
            raise LoopError("no camera image has come; the log of sim_robot_node may say why")
        return self._image

    def _receiver(self, topic: str, message_type: type) -> Callable[[bytes], None]:
        package, _, _ = message_type.__module__.partition(".msg")
        type_name = f"{package}/msg/{message_type.__name__}"

        def receive(serialized: bytes) -> None:
            if self._recording is not None:
                self._recording.write(f"/{topic}", type_name, time.time_ns(), serialized)
            message = deserialize_message(serialized, message_type)
            stamp = self._stamps[topic] = conversions.to_seconds(message.header.stamp)
            if topic == self._seeing_status and stamp > 0.0:
                self._images_processed += 1
            if message_type is DiagnosticArray and message.status and message.status[0].values:
                pairs = {pair.key: pair.value for pair in message.status[0].values}
                self._status[topic.partition("/")[0]] = pairs
                if topic == self._seeing_status:
                    seen = [name for name in ("object", "goal") if pairs.get(name) == "seen"]
                    # What an image tells may be of the one before, if that had to wait for other cameras.
                    self._sent_to_policy |= {name: float(pairs.get(f"{name}_s", stamp)) for name in seen}
            elif topic in self._topics.references:
                self._references[topic] = np.array(message.position)
            elif message_type is PoseStamped:
                # A position, or a whole pose, as goals are.
                self._truth[topic] = conversions.pose_vector(message.pose)[: self._contract.goal_size]
            elif message_type is PoseArray:
                self._truth[topic] = conversions.points_to_numpy(message)

        return receive

    def _on_image(self, message: Image) -> None:
        self._image = conversions.image_to_numpy(message)
        self.frames.append(thumbnail(self._image))
        self._images += 1
        if self._recording is None or self._images % _RECORDED_IMAGE_INTERVAL:
            return
        quality = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
        _, jpeg = cv2.imencode(".jpg", cv2.cvtColor(self._image, cv2.COLOR_RGB2BGR), quality)
        compressed = CompressedImage(header=message.header, format="jpeg", data=jpeg.tobytes())
        topic, type_name = f"/{self._topics.camera}/compressed", "sensor_msgs/msg/CompressedImage"
        self._recording.write(topic, type_name, time.time_ns(), serialize_message(compressed))

    def _publish_clock(self) -> None:
        assert self._clock_publisher is not None
        self._clock_publisher.publish(Clock(clock=conversions.to_stamp(self._time + self._clock_offset)))

    def _set_robot(self, name: str, value: ParameterValue) -> None:
        parameters = [Parameter(name=name, value=value)]
        reply = self._patience.call(self._robot_parameters, SetParameters.Request(parameters=parameters))
        if not reply.results[0].successful:
            raise LoopError(f"sim_robot_node refused its parameter {name}: {reply.results[0].reason}")

    def _transition(self, transition: int, label: str) -> None:
        """Bring the policy node to another state. Its answer may be lost; then its state tells."""
        goal = State.PRIMARY_STATE_ACTIVE if label == "activate" else State.PRIMARY_STATE_INACTIVE
        deadline = time.monotonic() + REPLY_TIMEOUT_S
        while time.monotonic() < deadline:
            request = ChangeState.Request(transition=Transition(id=transition))
            reply = self._patience.answer_within(_PATIENCE_S, self._change_state, request)
            if reply is not None and reply.success:
                return
            # A request that was thought to be lost may have done it, and then the one that repeats it is refused.
            if self._patience.until_it_answers(self._get_state, GetState.Request()).current_state.id == goal:
                return
            if reply is not None:
                raise LoopError(f"policy_node refused to {label}; its log says why")
        raise LoopError(f"policy_node did not {label} within {REPLY_TIMEOUT_S:g} s")

    def _wait_for_images(self, count: int) -> None:
        """Until the camera node has worked off `count` more images; a lost one is waited for briefly."""
        if self._topics.seeing_node is None or self._topics.seeing_node in self._lost:
            return
        self._images_expected += count
        deadline = time.monotonic() + _LOST_TIMEOUT_S
        while self._images_processed < self._images_expected:
            self._patience.spin(0.02)
            if time.monotonic() > deadline:
                self.lost_images += self._images_expected - self._images_processed
                self._images_expected = self._images_processed

    def _wait_for_inputs(self) -> None:
        """Until the policy node has all that was sent to it; what was lost is waited for briefly. Messages of several
        senders may overtake each other, and the clock must not arrive first."""
        if "policy_node" in self._lost or not self._connected:
            return
        deadline = time.monotonic() + _LOST_TIMEOUT_S
        while time.monotonic() < deadline:
            received = json.loads(self._patience.call(self._policy_services["received"], Trigger.Request()).message)
            if all(received.get(name, -np.inf) >= stamp - 1e-6 for name, stamp in self._sent_to_policy.items()):
                return

    def _wait_for_stamp(self, topic: str, stamp: float, again: Callable[[], None] | None = None) -> None:
        self._patience.wait(lambda: self._stamps.get(topic, -np.inf) >= stamp, f"topic {topic}", again)

    def close(self) -> None:
        """Leave the graph."""
        self._executor.shutdown()
        self.destroy_node()


def evaluator(
    domain_id: int,
    contract: Contract,
    trajectory_topics: Sequence[str],
    lockstep: bool,
    check_processes: Callable[[], None],
    recording: Recording | None,
) -> Evaluator:
    """Start ROS in this process, on a domain of its own, and join it. Several can be joined side by side."""
    context = Context()
    rclpy.init(context=context, domain_id=domain_id)
    topics = loop_topics(contract, trajectory_topics)
    return Evaluator(context, contract, topics, lockstep, check_processes, recording)


def shut_down(node: Evaluator) -> None:
    """Leave the graph and stop ROS on its domain in this process."""
    node.close()
    rclpy.try_shutdown(context=node.context)
