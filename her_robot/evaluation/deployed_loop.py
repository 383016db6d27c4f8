"""Everything that is deployed but the messages: robot, camera, estimator and controller in one process, in lockstep."""

import time
from collections.abc import Iterator

from her_robot.errors import ConfigurationError
from her_robot.policy.bundle import PolicyBundle
from her_robot.robot.arm_controller import ArmController
from her_robot.robot.calibration import load_calibration
from her_robot.robot.joint_controller import Command
from her_robot.robot.profile import load_profile
from her_robot.robot.scene_estimate import SceneEstimator
from her_robot.sim.machine import JointMeasurement
from her_robot.sim.robot import ARMS, SimulatedRobot
from her_robot.sim.sensors import CameraImage, SensorStream

_STARTUP_STEPS = 400
"""Control periods in which the arm must have gone home, and object and goal be seen."""


class DeployedLoop:
    """A simulated robot, its camera's estimator and a controller, connected as the nodes connect them."""

    def __init__(self, bundle: PolicyBundle, robot: str = "fetch", calibration: str = "fetch_sim") -> None:
        """
        Args:
            bundle: the policy.
            robot: profile in config/robots/, and simulated robot of the same name.
            calibration: in calibration/.

        Raises:
            HerRobotError: any of them is unknown or does not fit.
        """
        task = bundle.contract.task
        self.robot = SimulatedRobot(ARMS.load(robot), task)
        self._sensors = SensorStream(self.robot, real_time=False)
        calibrated = load_calibration(calibration, task)
        self._estimator = SceneEstimator(calibrated, bundle.contract)
        offsets, table = calibrated.joint_offsets, calibrated.table
        self.controller = ArmController(bundle, load_profile(robot), offsets, table)
        self._joints: dict[str, float] = {}
        self.camera_ms: list[float] = []
        """Time that each image took."""

    def play(self, seed: int, steps: int) -> Iterator[tuple[Command, float]]:
        """Commands of the running policy and how long each took [ms], for so many control periods.

        Raises:
            ConfigurationError: the policy did not begin to run.
        """
        self._sensors.reset(seed)
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
        """Free the camera's renderer."""
        self.robot.close()

    def _sense(self) -> None:
        """One control period of measurements."""
        measured = self.controller.measured
        for report in self._sensors.advance(self.controller.contract.control_period):
            if isinstance(report, JointMeasurement):
                measured.observe_joints(
                    report.time, report.names, report.positions.tolist(), report.velocities.tolist()
                )
                self._joints = dict(zip(report.names, report.positions, strict=True))
            elif isinstance(report, CameraImage):
                estimate = self._estimator.process(report.pixels, report.time, self._joints)
                self.camera_ms.append(1000 * estimate.processing_s)
                if estimate.object is not None:
                    measured.observe_object(report.time, estimate.object.position, estimate.object.rotation)
                if estimate.goal is not None:
                    measured.observe_goal(report.time, estimate.goal.position)

    def _send(self, command: Command) -> None:
        if command.joints is not None:
            joints, names = command.joints, self.controller.profile.joint_names
            self.robot.command_arm(names, self.robot.time + joints.times, joints.positions, joints.velocities)
            assert command.gripper_gap is not None
            self.robot.command_gripper(command.gripper_gap)
