"""Everything that is deployed but the messages: robot, cameras, estimator and controller in one process, in
lockstep."""

import time
from collections.abc import Iterator

import numpy as np

from her_robot.contract import Contract, FetchContract
from her_robot.errors import ConfigurationError
from her_robot.policy.bundle import PolicyBundle
from her_robot.robot.arm_controller import ArmController
from her_robot.robot.calibration import load_calibration
from her_robot.robot.controller import controller_of
from her_robot.robot.hand_calibration import load_hand_calibration
from her_robot.robot.hand_controller import HandController
from her_robot.robot.joint_controller import Command
from her_robot.robot.object_estimate import ObjectEstimator
from her_robot.robot.scene_estimate import SceneEstimator
from her_robot.robot.setup import default_setup
from her_robot.sim.block_hand import BlockHand
from her_robot.sim.hand_robot import ReachingHand
from her_robot.sim.machine import JointMeasurement
from her_robot.sim.robot import SimulatedRobot
from her_robot.sim.sensors import CameraImage, Report, SensorStream
from her_robot.sim.simulated_robot import simulated_robot

_STARTUP_STEPS = 400
"""Control periods in which the robot must have gone home, and object and goal be seen."""


class DeployedLoop:
    """A simulated robot, its cameras' estimator and a controller, connected as the nodes connect them."""

    def __init__(self, bundle: PolicyBundle, robot: str = "", calibration: str = "", severity: float = 1.0) -> None:
        """
        Args:
            bundle: the policy.
            robot: simulated robot; default: the one that fits the task.
            calibration: in calibration/; default: the one that fits the task.
            severity: how much the simulated robot differs from the one that it is based on.

        Raises:
            HerRobotError: any of them is unknown or does not fit.
        """
        contract, setup = bundle.contract, default_setup(bundle.contract)
        calibration = calibration or setup.calibration
        self.robot = simulated_robot(robot or setup.simulated_robot, contract.task, severity)
        self._sensors = SensorStream(self.robot, real_time=False)
        self.controller = controller_of(bundle, self.robot.config.profile, calibration)
        self._estimator = _estimator(contract, calibration)
        self._joints: dict[str, float] = {}
        self.camera_ms: list[float] = []
        """Time that each image took."""

    def play(self, seed: int, steps: int) -> Iterator[tuple[Command, float]]:
        """Commands of the running policy and how long each took [ms], for so many control periods.

        Raises:
            ConfigurationError: the policy did not begin to run.
        """
        self._sensors.reset(seed)
        if self._estimator is not None:
            self._estimator.reset()
        self.controller.forget()
        command = Command("waiting", "", None, 0.0)
        for _ in range(_STARTUP_STEPS + steps):
            command, took_ms = self.tick()
            if command.phase == "running":
                yield command, took_ms
            if self.controller.steps >= steps:
                # The last command takes effect, and the controller comes to rest before anything is reset.
                self._sense()
                self.controller.hold()
                return
        raise ConfigurationError(f"seed {seed}: the policy ran for {self.controller.steps} of {steps} steps: {command}")

    def tick(self) -> tuple[Command, float]:
        """One control period: its command, which has been sent, and how long that took to compute [ms]."""
        self._sense()
        begun = time.perf_counter()
        command = self.controller.tick(self.robot.time)
        took_ms = 1000 * (time.perf_counter() - begun)
        self._send(command)
        return command, took_ms

    def close(self) -> None:
        """Free the cameras' renderers."""
        self.robot.close()

    def _sense(self) -> None:
        """One control period of measurements."""
        for report in self._sensors.advance(self.controller.contract.control_period):
            if isinstance(report, JointMeasurement):
                positions, velocities = report.positions.tolist(), report.velocities.tolist()
                self.controller.measured.observe_joints(report.time, report.names, positions, velocities)
                self._joints = dict(zip(report.names, report.positions, strict=True))
            elif isinstance(self.controller, ArmController):
                self._see_table(self.controller, report)
            else:
                self._see_hand(self.controller, report)

    def _see_table(self, controller: ArmController, report: Report) -> None:
        if isinstance(report, CameraImage) and isinstance(self._estimator, SceneEstimator):
            estimate = self._estimator.process(report.pixels, report.time, self._joints)
            self.camera_ms.append(1000 * estimate.processing_s)
            if estimate.object is not None:
                controller.measured.observe_object(report.time, estimate.object.position, estimate.object.rotation)
            if estimate.goal is not None:
                controller.measured.observe_goal(report.time, estimate.goal.position)

    def _see_hand(self, controller: HandController, report: Report) -> None:
        measured, robot, frame = controller.measured, self.robot, controller.profile.base_frame
        if isinstance(report, CameraImage):
            if isinstance(self._estimator, ObjectEstimator):
                took, estimates = self._estimator.process(report.camera, report.pixels, report.time)
                self.camera_ms.append(1000 * took)
                for estimate in estimates:
                    if (pose := estimate.pose) is not None:
                        measured.observe_object(estimate.time, frame, pose.position, pose.rotation)
        elif isinstance(robot, BlockHand):
            measured.observe_object_goal(report.time, frame, np.concatenate(robot.object_goal()))
        elif isinstance(robot, ReachingHand):
            measured.observe_fingertip_goals(report.time, frame, robot.fingertip_goals())

    def _send(self, command: Command) -> None:
        if command.joints is None:
            return
        joints, robot = command.joints, self.robot
        for topic, columns in self.controller.trajectory_topics.items():
            names, times = self.controller.joint_names[columns], robot.time + joints.times
            robot.command(topic, names, times, joints.positions[:, columns], joints.velocities[:, columns])
        if isinstance(robot, SimulatedRobot) and command.gripper_gap is not None:
            robot.command_gripper(command.gripper_gap)


def _estimator(contract: Contract, calibration: str) -> SceneEstimator | ObjectEstimator | None:
    """What looks at the images; nothing, where there is no object in a hand."""
    if isinstance(contract, FetchContract):
        return SceneEstimator(load_calibration(calibration, contract.task), contract)
    return ObjectEstimator(load_hand_calibration(calibration)) if contract.has_object else None
