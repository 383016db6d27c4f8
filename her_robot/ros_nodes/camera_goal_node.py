"""ROS 2 node: camera images in, object and goal poses out. Topics and parameters: docs/camera.md."""

import sys

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image, JointState

from her_robot.contract import contract_of
from her_robot.robot.calibration import load_calibration
from her_robot.robot.scene_estimate import EstimatorConfig, SceneEstimator
from her_robot.ros_nodes import conversions
from her_robot.ros_nodes.running import declared, image_qos, run
from her_robot.ros_nodes.seeing import SeeingNode


class CameraGoalNode(SeeingNode):
    """Publishes where the object and the goal are, and for every image what became of it."""

    def __init__(self) -> None:
        """Read the parameters and the calibration.

        Raises:
            HerRobotError: an unknown task or calibration, or a calibration that cannot be used.
        """
        super().__init__("camera_goal_node")
        contract = contract_of(self.declare_parameter("task", "fetch_push").value)
        calibration = load_calibration(self.declare_parameter("calibration", "fetch_sim").value, contract.task)
        self._check_head = self.declare_parameter("check_head", True).value
        self._estimator = SceneEstimator(calibration, contract, declared(self, "estimator", EstimatorConfig()))
        self._frame = calibration.hand_eye.parent_frame
        self._joint_positions: dict[str, float] = {}

        self._object_publisher = self._pose_publisher("object_pose")
        self._goal_publisher = self._pose_publisher("goal_pose")
        self._image_topic = self._topic("image", "head_camera/rgb/image_raw")
        self.create_subscription(Image, self._image_topic, self._on_image, image_qos(self))
        joint_topic = self._topic("joint_states", "joint_states")
        self.create_subscription(JointState, joint_topic, self._on_joint_states, qos_profile_sensor_data)
        self.get_logger().info(f"looking for {' and '.join(self._estimator.counts)} on {self._image_topic}")

    def _on_joint_states(self, message: JointState) -> None:
        self._joint_positions.update(zip(message.name, message.position, strict=False))

    def _on_image(self, message: Image) -> None:
        self._watchdog.reset()
        time = conversions.to_seconds(message.header.stamp)
        image = self._read(message)
        if image is None:
            estimate = self._estimator.refuse(time, "image not readable")
        else:
            estimate = self._estimator.process(image, time, self._joint_positions if self._check_head else None)
        for pose, publisher in ((estimate.object, self._object_publisher), (estimate.goal, self._goal_publisher)):
            if pose is not None:
                publisher.publish(
                    conversions.pose_with_covariance(
                        self._frame, message.header.stamp, pose.position, pose.rotation, pose.covariance
                    )
                )
        values = estimate.outcomes | {"processing_ms": f"{1e3 * estimate.processing_s:.3f}"}
        level = DiagnosticStatus.ERROR if estimate.problem else DiagnosticStatus.OK
        self._report(message.header.stamp, values, estimate.summary, level)

    def _on_watchdog(self) -> None:
        self._report_silence([self._image_topic])


def main(args: list[str] | None = None) -> int:
    """Run the node until it is interrupted; 1 if it could not start."""
    return run("camera_goal_node", CameraGoalNode, args)


if __name__ == "__main__":
    sys.exit(main())
