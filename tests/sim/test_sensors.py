from collections import Counter
from concurrent.futures import Future
from dataclasses import replace

import numpy as np
import pytest

from her_robot.contract import contract_of
from her_robot.sim.camera import CameraConfig
from her_robot.sim.machine import JointMeasurement
from her_robot.sim.robot import GroundTruth, SimulatedRobot, SimulatedRobotConfig
from her_robot.sim.sensors import CameraImage, SensorStream


class StubRobot(SimulatedRobot):
    """A clock, and images that are rendered when the test says so."""

    def __init__(self, latency: float = 0.03) -> None:
        self.contract = contract_of("fetch_reach")
        self.config = SimulatedRobotConfig(camera=CameraConfig(rate=15.0, latency=latency))
        self.ticks = 0
        self.images: list[Future] = []
        self.render_at_once = True

    @property
    def timestep(self) -> float:
        return 0.002

    @property
    def time(self) -> float:
        return self.ticks * self.timestep

    def step(self, duration: float) -> None:
        self.ticks += round(duration / self.timestep)

    def reset(self, seed: int) -> None:
        self.seed = seed

    @property
    def cameras(self) -> tuple[str, ...]:
        return ("head_camera",)

    def capture(self, camera: str | None = None) -> Future:
        self.images.append(Future())
        if self.render_at_once:
            self.images[-1].set_result(np.zeros((2, 2, 3), np.uint8))
        return self.images[-1]

    def joint_state(self) -> JointMeasurement:
        return JointMeasurement(self.time, (), np.zeros(0), np.zeros(0))

    def ground_truth(self) -> GroundTruth:
        nowhere = np.zeros(3)
        return GroundTruth(self.time, None, None, nowhere, nowhere, np.array([1.0, 0.0, 0.0, 0.0]))


def times(reports, kind) -> np.ndarray:
    return np.array([report.time for report in reports if isinstance(report, kind)])


def test_every_sensor_has_its_rate():
    reports = list(SensorStream(StubRobot(latency=0.0), real_time=False).advance(2.0))
    assert Counter(map(type, reports)) == {JointMeasurement: 200, CameraImage: 30, GroundTruth: 50}
    np.testing.assert_allclose(times(reports, JointMeasurement), np.arange(1, 201) * 0.01, atol=1e-9)
    np.testing.assert_allclose(times(reports, GroundTruth), np.arange(1, 51) * 0.04, atol=1e-9)
    late = times(reports, CameraImage) - np.arange(1, 31) / 15
    assert (late >= -1e-9).all()
    assert (late < 0.002).all()


def test_images_are_late_by_the_latency_and_keep_their_stamp():
    robot = StubRobot(latency=0.03)
    for report in SensorStream(robot, real_time=False).advance(1.0):
        if isinstance(report, CameraImage):
            assert robot.time - report.time == pytest.approx(0.03, abs=1e-9)


def test_what_is_less_than_a_physics_step_does_not_pass():
    robot = StubRobot()
    stream = SensorStream(robot, real_time=True)
    assert list(stream.advance(0.0019)) == []
    assert robot.time == 0.0
    list(stream.advance(0.0039))
    assert robot.time == 0.002


def test_a_reset_begins_all_rates_anew_and_drops_images_under_way():
    robot = StubRobot(latency=0.03)
    stream = SensorStream(robot, real_time=False)
    list(stream.advance(0.076))
    assert len(robot.images) == 1
    stream.reset(7)
    assert robot.seed == 7
    reports = list(stream.advance(0.1))
    np.testing.assert_allclose(times(reports, JointMeasurement), 0.076 + np.arange(1, 11) * 0.01)
    np.testing.assert_allclose(times(reports, CameraImage), [0.076 + 0.068])


def test_in_real_time_slow_images_arrive_when_they_are_ready_and_others_are_lost():
    robot = StubRobot()
    robot.render_at_once = False
    stream = SensorStream(robot, real_time=True)
    assert not len(times(stream.advance(0.22), CameraImage))
    assert (len(robot.images), stream.lost_images) == (1, 2)
    robot.images[0].set_result(np.zeros((2, 2, 3), np.uint8))
    np.testing.assert_allclose(times(stream.advance(0.002), CameraImage), [0.068])


def test_the_same_commands_give_the_same_reports():
    config = SimulatedRobotConfig(camera=replace(CameraConfig(), width=64, height=48))

    def episode(seed):
        robot = SimulatedRobot(config, "fetch_push", 0)
        stream = SensorStream(robot, real_time=False)
        list(stream.advance(0.12))
        stream.reset(seed)
        reports = list(stream.advance(0.2))
        robot.close()
        return reports

    first, again = episode(3), episode(3)
    assert Counter(map(type, first)) == {JointMeasurement: 20, CameraImage: 2, GroundTruth: 5}
    for a, b in zip(first, again, strict=True):
        assert (type(a), a.time) == (type(b), b.time)
        if isinstance(a, JointMeasurement):
            np.testing.assert_array_equal(a.positions, b.positions)
        elif isinstance(a, CameraImage):
            np.testing.assert_array_equal(a.pixels, b.pixels)
        else:
            np.testing.assert_array_equal(a.achieved_goal, b.achieved_goal)
