"""What one parameter does by itself is told apart from what another does, and what is measured is kept."""

import runpy
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from her_robot.domain_rand.actuation import ActuationConfig
from her_robot.domain_rand.preset import load_preset
from her_robot.errors import HerRobotError
from her_robot.policy.bundle import PolicyBundle, shipped_bundle

example = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[2] / "examples" / "randomization_effects.py")))


def test_every_entry_of_peng_but_noise_changes_the_motion():
    policy = PolicyBundle.load(shipped_bundle("fetch_push"), "fetch_push")
    nominal = example.play(policy, None, 4, 50)
    changes = {}
    for name, part in example.parts(load_preset("peng2017")):
        again = example.play(policy, part, 4, 50, nominal.actions)
        changes[name] = np.abs(again.grip - nominal.grip).max()
    assert changes.pop("sensing") == 0.0
    assert len(changes) == 9
    assert min(changes.values()) > 1e-6


@pytest.mark.parametrize("name", ["peng2017", "dactyl"])
def test_a_part_and_the_rest_make_the_whole(name):
    preset = load_preset(name)
    for part_name, part in example.parts(preset):
        rest = example.without(preset, part_name)
        if rest is None:
            assert part_name == "all"
            continue
        assert part.physics | rest.physics == preset.physics
        assert not part.physics.keys() & rest.physics.keys()
        for section in ("actuation", "sensing", "timing", "pushes"):
            whole = getattr(preset, section)
            nothing = getattr(type(preset)(), section)
            assert {str(getattr(part, section)), str(getattr(rest, section))} == {str(whole), str(nothing)}


def test_fields_of_a_section_have_rows_of_their_own():
    preset = load_preset("robot_late_pick")
    found = dict(example.parts(preset, ["actuation"]))
    assert {"object_yaw", "finger_gap", "actuation", "actuation.delay_steps", "actuation.finger_lag"} <= found.keys()
    assert "actuation.loss" not in found
    alone, rest = found["actuation.delay_steps"], example.without(preset, "actuation.delay_steps")
    assert alone.actuation == replace(ActuationConfig(), delay_steps=preset.actuation.delay_steps)
    assert rest.actuation == replace(preset.actuation, delay_steps=(0, 0))
    assert (rest.sensing, rest.physics) == (preset.sensing, preset.physics)


def test_a_table_has_wilson_intervals():
    rows = {"nothing": {"alone": 10}, "timing": {"alone": 8, "all_but": 5}}
    # Wilson 1927, of 10, 8 and 5 in 10 trials.
    assert example.table(rows, 10) == (
        "|  | alone | all but it |\n| --- | --- | --- |\n"
        "| nothing | 1.00 [0.72, 1.00] |  |\n| `timing` | 0.80 [0.49, 0.94] | 0.50 [0.24, 0.76] |\n"
    )
    assert example.plot(rows, 10).startswith(b"\x89PNG")


def test_what_was_measured_otherwise_is_refused(tmp_path):
    path = tmp_path / "effects.json"
    assert example.read_rows(path, {"episodes": 5}) == {}
    path.write_text('{"setting": {"episodes": 5}, "rows": {"timing": {"alone": 3}}}')
    assert example.read_rows(path, {"episodes": 5}) == {"timing": {"alone": 3}}
    with pytest.raises(HerRobotError, match="another episodes; choose another --out"):
        example.read_rows(path, {"episodes": 6})
