"""ROS 2 node that plays episodes with a robot in the loop, and alone knows the truth.

In lockstep it owns time: each control period it lets the simulated robot advance, waits until the camera node has
worked off the image, publishes /clock, which fires the policy node's timer, and waits until the robot has its command.
Nothing depends on how fast the machine is. In real time it only listens.
"""

import json
import time
from collections.abc import Callable, Sequence

import numpy as np
import rclpy
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rosgraph_msgs.msg import Clock
from std_srvs.srv import Trigger

from her_robot.contract import Contract
from her_robot.errors import LoopError
from her_robot.evaluation.recording import Recording
from her_robot.ros_nodes import conversions
from her_robot.ros_nodes.heard import Heard
from her_robot.ros_nodes.loop_topics import CAMERA_GOAL_NODE, LoopTopics, loop_topics
from her_robot.ros_nodes.patience import REPLY_TIMEOUT_S, Patience

_LOST_TIMEOUT_S = 10.0
_CONNECTING_STEPS = 25
"""Control periods in which object and goal are seen, if ever."""
_DISCOVERY_S = 0.1
"""Between them, DDS is given this long."""
_PATIENCE_S = 10.0
"""Then it is asked whether an answer was lost: configuring alone takes seconds on a busy machine."""


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
        self._topics = topics
        # What bears the time of /clock, rather than that of the robot.
        self._stamped_by_clock = ("policy_node/status", *topics.references)
        self._lockstep = lockstep
        self._executor = SingleThreadedExecutor(context=context)
        self._executor.add_node(self)
        self._patience = Patience(self._executor, check_processes)
        self.heard = Heard(self, contract, topics, recording)
        """What the nodes have said."""
        self._images_expected = 0
        self.lost_images = 0
        """Images that the camera node did not get."""
        self._time = 0.0
        self._clock_offset = 0.0
        self._clock_jumped_back = False
        self._lost: set[str] = set()
        self._sent_to_policy: dict[str, float] = {}
        self._connected = False
        self._clock_publisher = self.create_publisher(Clock, "/clock", 10) if lockstep else None
        self._step = self.create_client(Trigger, "sim_robot_node/step")
        self._reset_robot = self.create_client(Trigger, "sim_robot_node/reset")
        self._robot_parameters = self.create_client(SetParameters, "sim_robot_node/set_parameters")
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
        obeyed = all(topic in self.heard.stamps for topic in self._topics.references)
        self._connected = obeyed and bool(np.isfinite(ages).all())

    def begin_episode(self, seed: int) -> None:
        """A new object and goal, everything forgotten, and the policy node active."""
        self._set_robot("episode_seed", ParameterValue(type=ParameterType.PARAMETER_INTEGER, integer_value=seed))
        self._patience.call(self._reset_robot, Trigger.Request())
        self._sent_to_policy.clear()
        self.heard.seen.clear()
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
            return self.heard.status("policy_node")
        before = self.heard.stamp("policy_node/status")
        wanted = self._time + self._clock_offset - 1e-6 if self._lockstep else before + 1e-6
        self._wait_for_stamp("policy_node/status", wanted, again=self._publish_clock if self._lockstep else None)
        status = self.heard.status("policy_node")
        if self._lockstep and not self._connected:
            self._look_for_connections(status)
        elif self._lockstep and status.get("sent") == "motion":
            for topic in self._topics.references:
                self._wait_for_stamp(topic, wanted)
        if int(status.get("steps", 0)) == 0:
            self.heard.frames.clear()
        return status

    def advance(self) -> None:
        """Let one control period pass without the policy being told (lockstep); in real time, wait for it to pass."""
        if not self._lockstep:
            self._wait_for_stamp(self._topics.achieved, self.heard.stamp(self._topics.achieved) + 1e-6)
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
        self.heard.forget_stamps(*self._stamped_by_clock)

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
            self.heard.forget_stamps(*self._stamped_by_clock)
            self._connected = False
            self._transition(Transition.TRANSITION_CONFIGURE, "configure")
            self._patience.until_it_answers(self._policy_services["received"], Trigger.Request())
            self._transition(Transition.TRANSITION_ACTIVATE, "activate")
        else:
            self._patience.until_it_answers(self._reset_camera, Trigger.Request())
        self._lost.discard(node)

    @property
    def seeing_node(self) -> str | None:
        """Name of the node that finds object and goal in images; None where goals come without."""
        return self._topics.seeing_node

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
        while self.heard.images_processed < self._images_expected:
            self._patience.spin(0.02)
            if time.monotonic() > deadline:
                self.lost_images += self._images_expected - self.heard.images_processed
                self._images_expected = self.heard.images_processed

    def _wait_for_inputs(self) -> None:
        """Until the policy node has all that was sent to it; what was lost is waited for briefly. Messages of several
        senders may overtake each other, and the clock must not arrive first."""
        if "policy_node" in self._lost or not self._connected:
            return
        deadline = time.monotonic() + _LOST_TIMEOUT_S
        while time.monotonic() < deadline:
            received = json.loads(self._patience.call(self._policy_services["received"], Trigger.Request()).message)
            sent = self._sent_to_policy | self.heard.seen
            if all(received.get(name, -np.inf) >= stamp - 1e-6 for name, stamp in sent.items()):
                return

    def _wait_for_stamp(self, topic: str, stamp: float, again: Callable[[], None] | None = None) -> None:
        self._patience.wait(lambda: self.heard.stamps.get(topic, -np.inf) >= stamp, f"topic {topic}", again)

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
