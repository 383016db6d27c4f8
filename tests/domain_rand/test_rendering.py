"""Looks of a model: relative to how it was compiled, prints untouched, distractors out of the way."""

import mujoco
import numpy as np
import pytest

from her_robot.domain_rand.distribution import Range
from her_robot.domain_rand.rendering import Appearance, RenderingConfig, Table, add_textures

XML = """
<mujoco>
  <asset>
    <texture name="sky" type="skybox" builtin="flat" rgb1="0 1 0" width="8" height="48"/>
    <material name="wood" rgba=".5 .4 .3 1"/>
    <material name="print_top" rgba="1 1 1 1"/>
  </asset>
  <worldbody>
    <light pos="0 0 4" diffuse=".8 .8 .8"/>
    <camera name="eye" pos="0 0 2" fovy="50"/>
    <geom type="box" size=".3 .3 .1" material="wood"/>
    <geom type="box" size=".1 .1 .2" material="print_top"/>
  </worldbody>
</mujoco>
"""
ALL = RenderingConfig(
    camera_position=Range(-0.02, 0.02),
    camera_rotation=Range(2.0, 2.0),
    field_of_view=Range(-1.0, 1.0),
    light_position=Range(-0.5, 0.5),
    light_intensity=Range(0.5, 1.5),
    colors=Range(0.5, 1.0),
    textures=1.0,
    distractors=(6, 6),
)
FIELDS = ("cam_pos", "cam_quat", "cam_fovy", "light_pos", "light_diffuse", "mat_rgba", "tex_data")


@pytest.fixture
def model():
    spec = mujoco.MjSpec.from_string(XML)
    add_textures(spec)
    return spec.compile()


def _look(model):
    return {field: getattr(model, field).copy() for field in FIELDS}


def test_a_look_is_drawn_around_the_compiled_one(model):
    before, appearance, rng = _look(model), Appearance(ALL, model, "eye"), np.random.default_rng(0)
    for _ in range(20):
        painted = appearance.draw(rng)
        assert np.abs(model.cam_pos - before["cam_pos"]).max() <= 0.02
        turn = 2 * np.arccos(np.abs(model.cam_quat[0] @ before["cam_quat"][0]))
        assert np.rad2deg(turn) == pytest.approx(2.0)
        assert np.abs(model.cam_fovy - 50.0).max() <= 1.0
        ratio = model.light_diffuse / before["light_diffuse"]
        np.testing.assert_allclose(ratio, ratio[0, 0])
        assert 0.5 <= ratio[0, 0] <= 1.5
        np.testing.assert_allclose(model.cam_pos[0] - before["cam_pos"][0], appearance.drawn["camera_position"])
    assert {model.texture(i).name for i in painted} == {"sky", "look_wood"}


def test_prints_keep_their_look(model):
    printed = model.material("print_top").id
    Appearance(ALL, model, "eye").draw(np.random.default_rng(0))
    np.testing.assert_array_equal(model.mat_rgba[printed], 1.0)
    assert not np.array_equal(model.mat_rgba[model.material("wood").id, :3], [0.5, 0.4, 0.3])
    assert model.mat_texid[printed].max() == -1


def test_without_randomisation_the_look_comes_back(model):
    before, rng = _look(model), np.random.default_rng(0)
    Appearance(ALL, model, "eye").draw(rng)
    # Another one takes what it finds as compiled, so this one is made first.
    spec = mujoco.MjSpec.from_string(XML)
    add_textures(spec)
    again = spec.compile()
    appearance = Appearance(RenderingConfig(), again, "eye")
    appearance.draw(rng)
    for field, values in _look(again).items():
        np.testing.assert_allclose(values, before[field], atol=1e-12, err_msg=field)


def test_added_textures_are_white_and_paintable_ones_only(model):
    names = [model.texture(i).name for i in range(model.ntex)]
    assert names == ["sky", "look_wood"]
    texture = model.texture("look_wood")
    start, size = int(texture.adr[0]), int(texture.width[0] * texture.height[0] * 3)
    assert (model.tex_data[start : start + size] == 255).all()


def test_distractors_lie_on_the_table_and_leave_what_is_needed_in_sight(model):
    appearance = Appearance(ALL, model, "eye")
    center = np.array([1.3, 0.75])
    table = Table(center - 0.3, center + 0.3, 0.4, ((center, 0.1),))
    for seed in range(20):
        for thing in appearance.scatter(np.random.default_rng(seed), table):
            assert np.abs(thing.position[:2] - center).max() < 0.3
            assert np.linalg.norm(thing.position[:2] - center) >= 0.1 + np.linalg.norm(thing.size)
            assert 0.4 < thing.position[2] <= 0.4 + 2 * thing.size.max()
    assert len(appearance.scatter(np.random.default_rng(0), table)) == 6


def test_a_table_without_room_stays_empty(model):
    full = Table(np.zeros(2), np.ones(2), 0.4, ((np.full(2, 0.5), 1.0),))
    assert Appearance(ALL, model, "eye").scatter(np.random.default_rng(0), full) == []


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"light_intensity": Range(-0.1, 1.0)}, "light_intensity must not be negative"),
        ({"colors": Range(0.0, 1.5)}, r"colors must lie in \[0, 1\]"),
        ({"textures": 2.0}, "textures is a probability"),
        ({"distractors": (3, 1)}, "distractors .* must be 0 <= low <= high"),
        ({"distractor_size": Range(0.0, 1.0)}, "distractor_size must stay above 0"),
    ],
)
def test_impossible_looks(values, message):
    with pytest.raises(ValueError, match=message):
        RenderingConfig(**values)
