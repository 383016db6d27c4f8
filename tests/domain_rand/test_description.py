"""The table of a preset says what is so, and of everything."""

import dataclasses

import pytest

from her_robot import configuration
from her_robot.contract import FETCH_CONTRACTS, HAND_CONTRACTS, contract_of
from her_robot.domain_rand.description import FIELDS, describe
from her_robot.domain_rand.preset import RandomizationPreset, load_preset
from her_robot.errors import ConfigurationError
from her_robot.resources import share_directory
from her_robot.sim.hand_tasks import hand_task
from her_robot.sim.tasks import fetch_task

PRESETS = sorted(path.stem for path in (share_directory() / "config" / "randomization").glob("*.yaml"))
OF_THE_HAND = "dactyl", "hand", "hand_block", "hand_reach"
NO_DRAW = {"camera_position", "gripper_clearance", "drift_time", "blind_finger"}
"""Fields of the sensing section that say how others act."""


def _describe(preset, task="fetch_push"):
    contract = contract_of(task)
    model = (hand_task if task in HAND_CONTRACTS else fetch_task)(task).model
    return {f"{line.section}.{line.name}": line for line in describe(preset, model, contract.has_object)}


@pytest.mark.parametrize("task", FETCH_CONTRACTS)
@pytest.mark.parametrize("preset", [name for name in PRESETS if name not in OF_THE_HAND])
def test_every_shipped_preset_of_the_fetch_fits_every_task(preset, task):
    lines = _describe(load_preset(preset), task)
    assert all(line.low is None or line.low <= line.high for line in lines.values())
    if preset != "none":
        assert lines


@pytest.mark.parametrize("section", FIELDS)
def test_every_field_of_a_section_is_described(section):
    names = {field.name for field in dataclasses.fields(getattr(RandomizationPreset(), section))}
    if section == "sensing":
        names -= NO_DRAW
    assert FIELDS[section].keys() == names


def test_peng_as_published():
    lines = _describe(load_preset("peng2017"))
    mass, damping = lines["physics.link_mass"], lines["physics.joint_damping"]
    assert (mass.low, mass.high, mass.operation, mass.distribution) == (0.25, 4.0, "scale", "log_uniform")
    assert (damping.low, damping.high) == (0.2, 20.0)
    assert len(mass.components) == len(mass.elements) > 10
    puck, weld = lines["physics.object_mass"], lines["physics.weld_time_constant"]
    assert (puck.low, puck.high, puck.operation, puck.nominal, puck.unit) == (0.1, 0.4, "set", (2.0, 2.0), "kg")
    # Stiffness goes with the inverse square of the time constant: gains of 0.5 to 2.
    assert (weld.high**-2, weld.low**-2) == (pytest.approx(0.5, rel=1e-4), pytest.approx(2.0, rel=1e-4))
    assert (lines["timing.lateness_rate"].low, lines["timing.lateness_rate"].high) == (125.0, 1000.0)


@pytest.mark.parametrize("task", HAND_CONTRACTS)
def test_dactyl_as_published(task):
    lines = _describe(load_preset("dactyl"), task)
    table_1 = {
        "link_mass": (0.5, 1.5, "uniform"),
        "friction": (0.7, 1.3, "uniform"),
        "joint_damping": (0.3, 3.0, "log_uniform"),
        "actuator_gain": (0.75, 1.5, "log_uniform"),
    }
    if contract_of(task).has_object:
        table_1 |= {"object_size": (0.95, 1.05, "uniform"), "object_mass": (0.5, 1.5, "uniform")}
    described = {f"physics.{name}" for name in (*table_1, "gravity")}
    assert {name for name in lines if name.startswith("physics.")} == described
    for name, expected in table_1.items():
        line = lines[f"physics.{name}"]
        assert (line.low, line.high, line.distribution, line.operation) == (*expected, "scale")
    assert lines["physics.gravity"].distribution == "normal, mean 0, σ 0.4"
    each = {"joint_damping": 24, "actuator_gain": 20}
    assert {name: len(lines[f"physics.{name}"].components) for name in each} == each


def test_what_is_not_there_is_not_listed():
    reach, block = (_describe(load_preset("dactyl"), task) for task in ("hand_reach", "hand_block"))
    assert len(reach["sensing.fingertip_bias"].components) == 15
    assert not any(name.startswith(("sensing.rotation", "sensing.position", "pushes")) for name in reach)
    assert {"sensing.rotation_bias", "sensing.position_bias", "pushes.force"} <= block.keys()
    assert not any("fingertip" in name or "camera_rate" in name for name in block)


def test_what_is_not_randomised_is_not_listed():
    lines = _describe(load_preset("none"))
    assert not lines
    assert not any(name.startswith("sensing.position") for name in _describe(load_preset("nominal"), "fetch_reach"))


def test_noise_has_no_bounds_and_a_deviation():
    line = _describe(load_preset("robot_loop"))["sensing.grip_noise"]
    assert (line.low, line.distribution, line.when, line.unit) == (None, "normal, σ 0.001", "step", "m")


def test_an_element_that_the_model_lacks_is_refused_by_name():
    text = {"body_mass": {"low": 0.5, "high": 2.0, "elements": ["robot0:elbow_link"]}}
    preset = configuration.build(RandomizationPreset, {"physics": text}, "preset.yaml")
    with pytest.raises(ConfigurationError, match="no body 'robot0:elbow_link'; did you mean"):
        _describe(preset)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"physic": {}}, "unknown key 'physic'; did you mean 'physics'"),
        ({"nominal_fraction": 2}, r"nominal_fraction must lie in \[0, 1\]"),
        ({"finger_gap": {"low": 0.0, "high": 0.2}}, r"finger_gap must lie in \[0, 0.1\]"),
        (
            {"object_yaw": {"low": -1, "high": 1}},
            "nominal_fraction is 1, so that nothing of the rest would ever be drawn",
        ),
        ({"timing": {"lateness_rate": {"low": 10, "high": 5}}}, "low 10.0 above high 5.0"),
        ({"physics": {"object_mass": {"low": 0.5, "high": 0.1}}}, "physics.object_mass: range has low 0.5 above"),
        ({"physics": {"object_mass": {"low": -0.5, "high": 1}}}, "object_mass is a factor and must stay above 0"),
        (
            {"physics": {"object_mass": {"low": 0.5, "high": 1, "whn": "step"}}},
            "unknown key 'whn'; did you mean 'when'",
        ),
        ({"pushes": {"rate": {"low": -1, "high": 1}}}, "pushes: rate must not be negative"),
    ],
)
def test_bad_presets(tmp_path, data, message):
    path = tmp_path / "mine.yaml"
    path.write_text(configuration.dump_yaml(data))
    with pytest.raises(ConfigurationError, match=message) as refused:
        load_preset(str(path))
    assert str(path) in str(refused.value)


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_survive_a_bundle(preset):
    loaded = load_preset(preset)
    assert configuration.build(RandomizationPreset, configuration.to_mapping(loaded), "bundle") == loaded
