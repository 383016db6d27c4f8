"""What the evaluator listens to, for each kind of task."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseArray, PoseStamped, PoseWithCovarianceStamped
from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectory

from her_robot.contract import Contract, HandContract
from her_robot.ros_nodes import conversions

CAMERA_GOAL_NODE, OBJECT_POSE_NODE = "camera_goal_node", "object_pose_node"
"""Which find things in images, of an arm and of a hand."""

COMMON_TOPICS: dict[str, type] = {
    "joint_states": JointState,
    "policy_node/command_sent": JointTrajectory,
    "policy_node/status": DiagnosticArray,
}
"""Types of messages by topic, in all loops."""
_ARM_TOPICS: dict[str, type] = {
    "object_pose": PoseWithCovarianceStamped,
    "goal_pose": PoseWithCovarianceStamped,
    "camera_goal_node/status": DiagnosticArray,
    "sim_robot_node/ground_truth/object_pose": PoseStamped,
    "sim_robot_node/ground_truth/goal_pose": PoseStamped,
    "sim_robot_node/ground_truth/grip_pose": PoseStamped,
}
_HAND_TOPICS: dict[str, type] = {
    "fingertip_goals": PoseArray,
    "sim_robot_node/ground_truth/fingertips": PoseArray,
    "sim_robot_node/ground_truth/fingertip_goals": PoseArray,
}
_HAND_OBJECT_TOPICS: dict[str, type] = {
    "object_pose": PoseWithCovarianceStamped,
    "object_goal": PoseStamped,
    "object_pose_node/status": DiagnosticArray,
    "sim_robot_node/ground_truth/object_pose": PoseStamped,
    "sim_robot_node/ground_truth/object_goal": PoseStamped,
    "sim_robot_node/ground_truth/fingertips": PoseArray,
}


@dataclass(frozen=True)
class LoopTopics:
    """What the evaluator listens to, beside what all loops have."""

    messages: Mapping[str, type]
    """Types of messages by topic."""
    camera: str
    """Topic of the images that reports show."""
    references: tuple[str, ...]
    """Where the simulated robot says what it was told last."""
    achieved: str
    """Topic of the ground truth that counts."""
    goal: str
    """Topic of the ground truth that it shall come to."""
    tips: str
    """Topic of the ground truth of what a robot moves: an arm's tool, a hand's fingertips."""
    seeing_node: str | None
    """Name of the node that finds object and goal in images; None where goals come without."""

    @property
    def truths(self) -> list[str]:
        """All topics of the ground truth that come in this task."""
        return list(dict.fromkeys((self.achieved, self.goal, self.tips)))


def loop_topics(contract: Contract, trajectory_topics: Sequence[str]) -> LoopTopics:
    """Those of a task, with a robot whose controllers listen to `trajectory_topics`."""
    references = tuple(conversions.reference_topic(topic) for topic in trajectory_topics)
    truth = "sim_robot_node/ground_truth/{}".format
    if isinstance(contract, HandContract):
        camera = "hand_camera/rgb/image_raw"
        if contract.has_object:
            achieved, goal = truth("object_pose"), truth("object_goal")
            tips = truth("fingertips")
            return LoopTopics(_HAND_OBJECT_TOPICS, camera, references, achieved, goal, tips, OBJECT_POSE_NODE)
        achieved, goal = truth("fingertips"), truth("fingertip_goals")
        return LoopTopics(_HAND_TOPICS, camera, references, achieved, goal, achieved, None)
    achieved = truth("object_pose" if contract.has_object else "grip_pose")
    goal, tips = truth("goal_pose"), truth("grip_pose")
    return LoopTopics(_ARM_TOPICS, "head_camera/rgb/image_raw", references, achieved, goal, tips, CAMERA_GOAL_NODE)
