"""Faults of the sensors of a simulated robot."""

from collections import Counter

import numpy as np
import pytest

from her_robot.contract import contract_of
from her_robot.errors import ConfigurationError, UnknownNameError
from her_robot.robot.calibration import load_calibration
from her_robot.robot.scene_estimate import SceneEstimator
from her_robot.sim.faults import FaultySensors, RobotFault, parse_faults
from her_robot.sim.machine import JointMeasurement
from her_robot.sim.robot import ARMS, GroundTruth, SimulatedRobot
from her_robot.sim.sensors import CameraImage, SensorStream

PERIOD = 0.04


class Sensors:
    """A robot's sensors, with faults between them and whoever listens."""

    def __init__(self, robot):
        self.robot = robot
        self.stream = SensorStream(robot, real_time=False)
        self.faulty = FaultySensors(robot)

    def advance(self, duration):
        return list(self.faulty.reports(self.stream.advance(duration)))


@pytest.fixture(scope="module")
def robot():
    robot = SimulatedRobot(ARMS.load("fetch"), "fetch_push")
    yield robot
    robot.close()


@pytest.fixture
def sensors(robot):
    sensors = Sensors(robot)
    sensors.stream.reset(3)
    sensors.faulty.reset()
    return sensors


def begin(sensors, text):
    sensors.faulty.begin(parse_faults(text))


def of(kind, reports):
    return [report for report in reports if isinstance(report, kind)]


def test_without_faults_everything_arrives(sensors):
    assert Counter(map(type, sensors.advance(0.4))) == {JointMeasurement: 40, CameraImage: 5, GroundTruth: 10}


@pytest.mark.parametrize(
    ("fault", "silent"), [("joint_states_silent", JointMeasurement), ("images_silent", CameraImage)]
)
def test_silence_is_of_one_kind_and_ends(sensors, fault, silent):
    begin(sensors, fault)
    reports = sensors.advance(0.2)
    assert not of(silent, reports)
    assert len(of(GroundTruth, reports)) == 5
    begin(sensors, "")
    assert of(silent, sensors.advance(0.2))


def test_one_position_is_not_a_number(sensors):
    begin(sensors, "joint_states_nan")
    for report in of(JointMeasurement, sensors.advance(0.04)):
        assert np.isnan(report.positions).sum() == 1
        assert np.isfinite(report.velocities).all()


def test_reordered_joints_keep_their_names(sensors):
    begin(sensors, "joint_states_reordered")
    report = of(JointMeasurement, sensors.advance(0.04))[-1]
    assert report.names[0] == "l_gripper_finger_joint"
    found = dict(zip(report.names, report.positions, strict=True))
    assert found["head_tilt_joint"] == pytest.approx(0.85)


def test_delayed_joint_states_come_late_in_order_and_catch_up(sensors):
    begin(sensors, "joint_states_delayed:0.1")
    arrivals = []
    for _ in range(8):
        arrivals += [(sensors.robot.time, report.time) for report in of(JointMeasurement, sensors.advance(PERIOD))]
    ages = [now - stamp for now, stamp in arrivals]
    assert min(ages) >= 0.1 - 1e-9
    assert max(ages) <= 0.1 + PERIOD + 0.01
    begin(sensors, "")
    caught_up = of(JointMeasurement, sensors.advance(PERIOD))
    stamps = [stamp for _, stamp in arrivals] + [report.time for report in caught_up]
    np.testing.assert_allclose(np.diff(stamps), 0.01, atol=1e-9)
    assert caught_up[-1].time == pytest.approx(sensors.robot.time, abs=0.0101)


def test_a_frozen_camera_repeats_its_last_image_with_new_stamps(sensors):
    before = of(CameraImage, sensors.advance(0.2))[-1]
    begin(sensors, "images_frozen")
    frozen = of(CameraImage, sensors.advance(0.4))
    assert all(np.array_equal(image.pixels, before.pixels) for image in frozen)
    assert (np.diff([before.time] + [image.time for image in frozen]) > 0.05).all()
    begin(sensors, "")
    assert not np.array_equal(of(CameraImage, sensors.advance(0.2))[-1].pixels, before.pixels)


def test_hidden_markers_are_not_found_and_come_back(sensors):
    estimator = SceneEstimator(load_calibration("fetch_sim", "fetch_push"), sensors.robot.contract)
    outcomes = []
    for time, fault in enumerate(("", "markers_hidden", "")):
        begin(sensors, fault)
        outcomes.append(estimator.process(sensors.robot.render(), float(time)).outcomes)
    seen, missed = {"object": "seen", "goal": "seen"}, {"object": "missed", "goal": "missed"}
    assert outcomes == [seen, missed, seen]


def test_a_moved_goal_is_seen_where_it_is_and_returns(sensors):
    robot, contract = sensors.robot, contract_of("fetch_push")
    estimator = SceneEstimator(load_calibration("fetch_sim", "fetch_push"), contract)
    before = robot.ground_truth().goal
    begin(sensors, "goal_moved:0.09")
    robot.step(0.002)
    goal = robot.ground_truth().goal
    assert goal[1] == pytest.approx(contract.goal_high[1] + 0.09)
    seen = estimator.process(robot.render(), 0.0).goal.position + contract.base_position
    np.testing.assert_allclose(seen, goal, atol=3e-3)
    begin(sensors, "")
    np.testing.assert_array_equal(robot.ground_truth().goal, before)


def test_faults_are_written_as_they_are_read():
    faults = [RobotFault("joint_states_delayed", 0.3), RobotFault("images_frozen")]
    assert parse_faults(", ".join(map(str, faults))) == faults
    assert parse_faults(" ") == []


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("images_frosen", UnknownNameError, "did you mean 'images_frozen'"),
        ("images_delayed", ConfigurationError, "needs a number above 0, found 0"),
        ("images_delayed:-1", ConfigurationError, "needs a number above 0, found -1"),
        ("images_frozen:2", ConfigurationError, "takes no number"),
        ("images_delayed:soon", ConfigurationError, "'soon' is not a number"),
    ],
)
def test_impossible_faults_are_refused(text, error, message):
    with pytest.raises(error, match=message):
        parse_faults(text)
