"""Held-out robots: one dial, and values that no training preset draws."""

from dataclasses import replace

import numpy as np
import pytest

from her_robot import resources
from her_robot.domain_rand.preset import load_preset
from her_robot.errors import ConfigurationError, UnknownNameError
from her_robot.sim.differences import Difference, with_differences
from her_robot.sim.hand_robot import HANDS
from her_robot.sim.robot import ARMS

BASE = {"mass": 0.5, "camera": {"latency": 0.03, "width": 640}}
TRAINED = [
    load_preset(path.stem) for path in (resources.share_directory() / "config/randomization").glob("robot_*.yaml")
]
WITH_OBJECT = [preset for preset in TRAINED if preset.physics]
TRAINED_MASS = 2.0
"""Of the object in Gymnasium-Robotics, which presets scale [kg]."""
PERIOD = 0.04


@pytest.mark.parametrize(
    ("severity", "mass", "latency"), [(0, 0.5, 0.03), (0.5, 1.0, 0.08), (1, 2, 0.13), (2, 8, 0.23)]
)
def test_factors_grow_with_the_power_and_summands_in_proportion(severity, mass, latency):
    differences = {"mass": Difference(scale=4.0), "camera.latency": Difference(add=0.1)}
    result = with_differences(BASE, differences, severity, "here")
    assert result["mass"] == pytest.approx(mass)
    assert result["camera"] == {"latency": pytest.approx(latency), "width": 640}
    assert BASE["camera"]["latency"] == 0.03


@pytest.mark.parametrize(
    ("name", "severity", "error", "message"),
    [
        ("camera.latencyy", 1.0, UnknownNameError, "unknown value 'camera.latencyy'; did you mean 'camera.latency'"),
        ("lens.latency", 1.0, UnknownNameError, "valid: camera.latency, mass"),
        ("camera", 1.0, ConfigurationError, "only real numbers"),
        ("camera.width", 1.0, ConfigurationError, "camera.width is 640; only real numbers"),
        ("mass", 2.5, ConfigurationError, "severity is 2.5; it must lie in 0 ... 2"),
        ("mass", -1.0, ConfigurationError, "severity is -1"),
        ("mass", float("nan"), ConfigurationError, "severity is nan"),
    ],
)
def test_what_cannot_differ_is_refused_by_name(name, severity, error, message):
    with pytest.raises(error, match=message):
        with_differences(BASE, {name: Difference(add=1.0)}, severity, "here")


@pytest.mark.parametrize("values", [{}, {"add": 1.0, "scale": 2.0}, {"scale": 0.0}, {"scale": -2.0}])
def test_a_difference_is_one_factor_or_one_summand(values):
    with pytest.raises(ValueError, match="scale"):
        Difference(**values)


VARIANTS = [(fleet, name) for fleet in (ARMS, HANDS) for name in fleet.variants()]


@pytest.mark.parametrize(("fleet", "name"), VARIANTS, ids=[name for _, name in VARIANTS])
def test_shipped_robots_are_their_base_without_severity_and_differ_by_what_they_say(fleet, name):
    base = fleet.load(fleet.names()[0])
    assert fleet.load(name, 0.0) == base
    for severity in (0.5, 1.0, 2.0):
        assert fleet.load(name, severity) != base
    assert fleet.variant(name).differences


@pytest.mark.parametrize(("fleet", "base"), [(ARMS, "fetch"), (HANDS, "shadow_hand")])
def test_the_base_is_listed_first_and_has_no_dial(fleet, base):
    assert fleet.names()[0] == base
    assert fleet.load(base, 2.0) == fleet.load(base)


def test_masses_and_frictions_are_held_out():
    masses = [TRAINED_MASS * preset.physics["object_mass"].high for preset in WITH_OBJECT]
    assert ARMS.load("heavy_object").scene.object_mass >= 1.6 * max(masses)
    low = min(preset.physics["friction"].low for preset in WITH_OBJECT)
    high = max(preset.physics["friction"].high for preset in WITH_OBJECT)
    assert ARMS.load("slippery").scene.friction <= 0.71 * low
    assert ARMS.load("sticky").scene.friction >= 1.2 * high


def test_delays_servos_and_cameras_are_held_out():
    laggy, weak = ARMS.load("laggy"), ARMS.load("weak_controller").scene.joint_control
    assert laggy.command_delay >= 1.15 * PERIOD * max(preset.actuation.delay_steps[1] for preset in TRAINED)
    assert laggy.camera.latency >= 1.1 * max(preset.sensing.camera_latency.high for preset in WITH_OBJECT)
    slowest = max(-PERIOD / np.log(preset.actuation.smoothing.high) for preset in TRAINED)
    assert weak.damping / weak.stiffness >= 1.7 * slowest
    noisy = ARMS.load("noisy_camera").camera
    assert noisy.rate <= 0.5 * min(preset.sensing.camera_rate for preset in WITH_OBJECT)


def test_a_hand_s_delays_and_friction_are_held_out():
    trained = [load_preset(name) for name in ("hand", "hand_block", "hand_reach")]
    laggy, weak = HANDS.load("laggy"), HANDS.load("weak_servos").scene.fingers
    assert laggy.command_delay >= 1.9 * PERIOD * max(preset.actuation.delay_steps[1] for preset in trained)
    assert laggy.camera.latency >= 1.2 * max(preset.sensing.camera_latency.high for preset in trained)
    slowest = max(
        -PERIOD / np.log(preset.actuation.smoothing.high) for preset in trained if preset.actuation.smoothing.high > 0
    )
    assert weak.damping / weak.stiffness >= 1.7 * slowest
    lowest = min(preset.physics["friction"].low for preset in trained if preset.physics)
    assert HANDS.load("slippery").scene.friction <= 0.75 * lowest
    assert HANDS.load("heavy_object").scene.object_mass >= 1.3 * max(
        preset.physics["object_mass"].high for preset in trained if preset.physics
    )


@pytest.mark.parametrize("fleet", [ARMS, HANDS])
def test_all_at_once_has_the_differences_of_its_parts(fleet):
    parts = fleet.variant("all_at_once").combine
    everything = fleet.variant("all_at_once").differences
    assert everything == {k: v for part in parts for k, v in fleet.variant(part).differences.items()}


def test_contradicting_parts_are_refused(tmp_path):
    path = tmp_path / "both.yaml"
    path.write_text("{base: fetch, description: x, combine: [slippery, sticky]}")
    with pytest.raises(ConfigurationError, match=r"more than one has scene\.friction"):
        ARMS.load(str(path))


def test_an_impossible_result_is_refused_with_the_file(tmp_path):
    path = tmp_path / "late.yaml"
    path.write_text("{base: fetch, description: x, differences: {command_delay: {add: -1.0}}}")
    with pytest.raises(ConfigurationError, match=r"late\.yaml: command_delay must not be negative"):
        ARMS.load(str(path))
    assert ARMS.load(str(path), 0.0) == replace(ARMS.load("fetch"))
