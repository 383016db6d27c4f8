"""Randomised models: as if they had been compiled so, relative to the nominal, refused when impossible."""

import copy
from types import SimpleNamespace

import mujoco
import numpy as np
import pytest

from her_robot import configuration
from her_robot.domain_rand.distribution import Range
from her_robot.domain_rand.parameters import PARAMETERS
from her_robot.domain_rand.physics import Physics
from her_robot.domain_rand.preset import load_preset
from her_robot.domain_rand.variation import Variation, bind, check_variations
from her_robot.errors import ConfigurationError
from her_robot.robot.profile import load_spec
from her_robot.sim.tasks import fetch_task

FILE = "gymnasium_robotics:fetch/pick_and_place.xml"
LINK, FINGER = "robot0:elbow_flex_link", "robot0:r_gripper_finger_link"
FLOATS = ("body_", "geom_", "dof_", "actuator_", "eq_", "bvh_aabb")


def _physics(variations, count=1, model=None, seed=0):
    nominal = fetch_task("fetch_push").model if model is None else model
    models = [copy.copy(nominal) for _ in range(count)]
    return SimpleNamespace(
        nominal=nominal, models=models, batch=Physics(variations, nominal, models, np.random.default_rng(seed))
    )


def _factor(value, **others):
    return Variation(value, value, operation="scale", **others)


def _arrays(model):
    """All numbers of the model that physics depends on, by field."""
    names = [name for name in dir(model) if name.startswith(FLOATS)]
    found = {name: np.array(getattr(model, name)) for name in names if isinstance(getattr(model, name), np.ndarray)}
    return found | {"gravity": np.array(model.opt.gravity)}


def _set(path, change):
    """A change of one attribute of an element of a specification."""

    def apply(spec):
        kind, name, attribute = path
        element = getattr(spec, kind)(name)
        if element is None:
            element = spec.body(name).geoms[0]
        setattr(element, attribute, change(np.array(getattr(element, attribute), float)))

    return apply


def _scale_column(column, factor):
    return lambda value: np.where(np.arange(value.size) == column, value * factor, value)


def _finger_servos(spec):
    for actuator in spec.actuators:
        actuator.gainprm = np.array(actuator.gainprm) * 1.5
        actuator.biasprm = np.array(actuator.biasprm) * 1.5


def _mocap_weld(spec):
    spec.equalities[0].solref = np.array([0.03, 1.0])


def _gravity(spec):
    spec.option.gravity = np.array([0.5, 0.5, -9.31])


def _elbow_inertial(spec):
    body = spec.body(LINK)
    body.mass, body.inertia = body.mass * 3.0, np.array(body.inertia) * 3.0


AS_COMPILED = {
    "body_mass": (_factor(3.0, elements=(LINK,)), _elbow_inertial),
    "body_com": (
        Variation(0.01, 0.01, elements=(LINK,)),
        _set(("body", LINK, "ipos"), lambda value: value + 0.01),
    ),
    "geom_friction_sliding": (
        _factor(0.5, elements=("table0",)),
        _set(("geom", "table0", "friction"), _scale_column(0, 0.5)),
    ),
    "geom_friction_torsional": (
        _factor(2.0, elements=("object0",)),
        _set(("geom", "object0", "friction"), _scale_column(1, 2.0)),
    ),
    "geom_friction_rolling": (
        _factor(2.0, elements=("object0",)),
        _set(("geom", "object0", "friction"), _scale_column(2, 2.0)),
    ),
    "geom_size": (_factor(1.2, elements=("object0",)), _set(("geom", "object0", "size"), lambda value: value * 1.2)),
    "object_size": (_factor(0.8), _set(("geom", "object0", "size"), lambda value: value * 0.8)),
    "object_mass": (
        Variation(0.3, 0.3, operation="set"),
        _set(("geom", "object0", "mass"), lambda value: 0.3),
    ),
    "contact_time_constant": (
        _factor(2.0, elements=("object0",)),
        _set(("geom", "object0", "solref"), _scale_column(0, 2.0)),
    ),
    "contact_damping_ratio": (
        _factor(0.7, elements=("object0",)),
        _set(("geom", "object0", "solref"), _scale_column(1, 0.7)),
    ),
    "contact_impedance_min": (
        _factor(0.9, elements=("object0",)),
        _set(("geom", "object0", "solimp"), _scale_column(0, 0.9)),
    ),
    "contact_impedance_max": (
        _factor(0.9, elements=("object0",)),
        _set(("geom", "object0", "solimp"), _scale_column(1, 0.9)),
    ),
    "contact_width": (
        _factor(3.0, elements=("object0",)),
        _set(("geom", "object0", "solimp"), _scale_column(2, 3.0)),
    ),
    "joint_damping": (
        _factor(4.0, elements=("robot0:elbow_flex_joint",)),
        _set(("joint", "robot0:elbow_flex_joint", "damping"), lambda value: value * 4.0),
    ),
    "joint_armature": (
        _factor(4.0, elements=("robot0:elbow_flex_joint",)),
        _set(("joint", "robot0:elbow_flex_joint", "armature"), lambda value: float(value * 4.0)),
    ),
    "joint_friction_loss": (
        Variation(0.2, 0.2, elements=("robot0:elbow_flex_joint",)),
        _set(("joint", "robot0:elbow_flex_joint", "frictionloss"), lambda value: 0.2),
    ),
    "actuator_gain": (_factor(1.5, elements=("robot0:*",)), _finger_servos),
    "weld_time_constant": (Variation(0.03, 0.03, operation="set"), _mocap_weld),
    "gravity": (Variation(0.5, 0.5), _gravity),
    "table_height": (
        Variation(0.02, 0.02),
        _set(("body", "table0", "pos"), lambda value: value + [0, 0, 0.02]),
    ),
}
"""A draw of a parameter, and the same written into the model's source."""
ELSEWHERE = {"friction", "object_damping", "actuator_force_limit"}
"""Tested below: the first two are no more than others, the third needs a model that has it."""


def test_every_parameter_is_tested():
    assert AS_COMPILED.keys() | ELSEWHERE == PARAMETERS.keys()


@pytest.mark.parametrize("name", AS_COMPILED)
def test_a_randomised_model_is_what_would_have_been_compiled(name):
    variation, change = AS_COMPILED[name]
    nominal = load_spec(FILE).compile()
    physics = _physics({name: variation}, model=nominal)
    physics.batch.reset(0, nominal=False)
    spec = load_spec(FILE)
    change(spec)
    found, expected, before = _arrays(physics.models[0]), _arrays(spec.compile()), _arrays(nominal)
    assert any(not np.array_equal(found[field], before[field]) for field in found), "nothing changed"
    for field, values in expected.items():
        np.testing.assert_allclose(found[field], values, rtol=1e-7, atol=1e-12, err_msg=field)


def test_a_larger_object_rests_and_is_met_as_if_it_had_been_compiled_so():
    spec = load_spec("gymnasium_robotics:fetch/push.xml")
    spec.geom("object0").size = np.array(spec.geom("object0").size) * 1.2
    nominal, larger = load_spec("gymnasium_robotics:fetch/push.xml").compile(), spec.compile()
    physics = _physics({"object_size": _factor(1.2)}, model=nominal)
    physics.batch.reset(0, nominal=False)
    assert physics.batch.object_rise(0) == pytest.approx(0.2 * 0.025)
    heights = []
    for model in (physics.models[0], larger):
        data = mujoco.MjData(model)
        data.joint("object0:joint").qpos[:] = [1.3, 0.75, 0.45, 1, 0, 0, 0]
        for _ in range(300):
            mujoco.mj_step(model, data)
        heights.append(data.joint("object0:joint").qpos[2])
    assert heights[0] == pytest.approx(heights[1], abs=1e-9)
    assert heights[0] == pytest.approx(0.4 + 1.2 * 0.025, abs=1e-3)


def test_force_limits():
    spec = load_spec(FILE)
    for actuator in spec.actuators:
        actuator.forcelimited, actuator.forcerange = mujoco.mjtLimited.mjLIMITED_TRUE, np.array([-60.0, 60.0])
    physics = _physics({"actuator_force_limit": Variation(0.5, 0.5, elements=("robot0:*",))}, model=spec.compile())
    physics.batch.reset(0, nominal=False)
    np.testing.assert_array_equal(physics.models[0].actuator_forcerange, [[-30.0, 30.0]] * 2)


def test_shorthands_of_the_object():
    physics = _physics({"friction": _factor(0.5), "object_damping": Variation(0.2, 0.2, operation="set")})
    physics.batch.reset(0, nominal=False)
    model, nominal = physics.models[0], physics.nominal
    changed = np.flatnonzero((model.geom_friction != nominal.geom_friction).any(axis=1))
    bodies = {model.body(model.geom_bodyid[geom]).name for geom in changed}
    assert bodies == {"object0", "table0", FINGER, FINGER.replace("r_g", "l_g")}
    np.testing.assert_allclose(model.geom_friction[changed, 0], 0.5)
    first = int(model.joint("object0:joint").dofadr[0])
    np.testing.assert_array_equal(model.dof_damping[first : first + 6], [0.2] * 3 + [0.01] * 3)


def test_draws_do_not_accumulate_and_a_nominal_episode_is_nominal():
    variations = {"object_mass": _factor(1.1), "friction": _factor(1.1), "table_height": Variation(0.01, 0.01)}
    physics = _physics(variations)
    for _ in range(3):
        drawn = physics.batch.reset(0, nominal=False)
    assert drawn == {"object_mass": 1.1, "friction": 1.1, "table_height": 0.01}
    assert physics.batch.object_rise(0) == 0.01
    body, geom = physics.nominal.body("object0").id, physics.nominal.geom("object0").id
    assert physics.models[0].body_mass[body] == pytest.approx(1.1 * physics.nominal.body_mass[body])
    assert physics.models[0].geom_friction[geom, 0] == pytest.approx(1.1 * physics.nominal.geom_friction[geom, 0])
    assert physics.batch.reset(0, nominal=True) == {}
    assert physics.batch.object_rise(0) == 0.0
    before = _arrays(physics.nominal)
    for field, values in _arrays(physics.models[0]).items():
        np.testing.assert_allclose(values, before[field], rtol=1e-12, atol=1e-15, err_msg=field)


def test_variations_of_one_value_follow_each_other():
    table = Variation(0.1, 0.1, parameter="geom_friction_sliding", operation="add", elements=("table0",))
    physics = _physics({"friction": _factor(0.5), "table": table})
    physics.batch.reset(0, nominal=False)
    geom = int(physics.nominal.body("table0").geomadr[0])
    assert physics.models[0].geom_friction[geom, 0] == pytest.approx(0.6)


def test_elements_share_a_draw_or_have_their_own():
    links = {"elements": ("robot0:*_link",), "distribution": "log_uniform"}
    shared = _physics({"body_mass": Variation(0.25, 4.0, **links)})
    own = _physics({"body_mass": Variation(0.25, 4.0, independent=True, **links)})
    ratios = []
    for physics in (shared, own):
        physics.batch.reset(0, nominal=False)
        heavy = physics.nominal.body_mass > 0
        ratios.append(physics.models[0].body_mass[heavy] / physics.nominal.body_mass[heavy])
        inertia = ratios[-1][:, None] * physics.nominal.body_inertia[heavy]
        np.testing.assert_allclose(physics.models[0].body_inertia[heavy], inertia)
    links = [name.startswith("robot0:") and name.endswith("_link") for name in _names(shared.nominal)]
    assert np.ptp(ratios[0][links]) < 1e-12
    assert np.unique(ratios[1][links]).size == sum(links) > 10
    np.testing.assert_array_equal(ratios[1][~np.array(links)], 1.0)


def _names(model):
    return [model.body(i).name for i in range(model.nbody) if model.body_mass[i] > 0]


def _frictions(physics, **variation):
    """Object friction in 10 steps of 2 episodes, (2, 10, rows)."""
    geom = physics.nominal.geom("object0").id
    found = []
    for _ in range(2):
        for row in range(len(physics.models)):
            physics.batch.reset(row, nominal=row == 0)
        found.append([])
        for _ in range(10):
            physics.batch.advance()
            found[-1].append([model.geom_friction[geom, 0] for model in physics.models])
    return np.array(found)


@pytest.mark.parametrize(
    ("when", "different"),
    [("start", [1, 1]), ("episode", [1, 2]), ("interval", [4, 8]), ("step", [10, 20])],
)
def test_when_a_parameter_is_drawn(when, different):
    """How many values a row has within an episode, and within two."""
    interval = Range(0.12, 0.12) if when == "interval" else None
    variation = Variation(0.5, 2.0, parameter="friction", when=when, interval=interval)
    found = _frictions(_physics({"grip": variation, "object_mass": _factor(2.0)}, count=3))
    np.testing.assert_array_equal(found[:, :, 0], 1.0)
    for row in (1, 2):
        assert [np.unique(found[0, :, row]).size, np.unique(found[:, :, row]).size] == different
    assert not np.array_equal(found[:, :, 1], found[:, :, 2])


def test_masses_that_change_within_an_episode_take_derived_constants_along():
    variation = Variation(0.5, 2.0, when="interval", interval=Range(0.04, 0.04))
    physics = _physics({"object_mass": variation})
    physics.batch.reset(0, nominal=False)
    body = physics.nominal.body("object0").id
    weights = set()
    for _ in range(4):
        physics.batch.advance()
        model = physics.models[0]
        weights.add(model.body_mass[body])
        product = model.body_mass[body] * model.body_invweight0[body]
        np.testing.assert_allclose(product, physics.nominal.body_mass[body] * physics.nominal.body_invweight0[body])
    assert len(weights) >= 3


def test_what_is_entangled_with_a_mass_that_changes_does_not_accumulate():
    """Size and mass share the inertia: when one is written again, so is the other, once."""
    mass = Variation(0.5, 2.0, when="interval", interval=Range(0.04, 0.04))
    physics = _physics({"object_size": _factor(1.2), "object_mass": mass})
    physics.batch.reset(0, nominal=False)
    body, geom = physics.nominal.body("object0").id, physics.nominal.geom("object0").id
    for _ in range(5):
        physics.batch.advance()
        model, nominal = physics.models[0], physics.nominal
        ratio = model.body_mass[body] / nominal.body_mass[body]
        np.testing.assert_allclose(model.geom_size[geom], 1.2 * nominal.geom_size[geom])
        np.testing.assert_allclose(model.body_inertia[body], 1.44 * ratio * nominal.body_inertia[body])


def test_the_draws_of_shipped_presets_stay():
    """A policy was trained on these: the first draws of robot_loop, made before there was a table of parameters."""
    physics = _physics(load_preset("robot_loop").physics, seed=7)
    drawn = physics.batch.reset(0, nominal=False)
    rng = np.random.default_rng(7)
    assert drawn["object_mass"] == np.exp(rng.uniform(np.log(0.4), np.log(1.5)))
    assert drawn["friction"] == np.exp(rng.uniform(np.log(0.7), np.log(1.3)))
    assert drawn["table_height"] == rng.uniform(-0.005, 0.005)


def test_a_task_without_an_object_leaves_its_shorthands_out():
    model = fetch_task("fetch_reach").model
    names = [bound.name for bound in bind(model, {"object_mass": _factor(2.0), "table_height": Variation(0, 0.01)})]
    assert names == ["table_height"]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"object_mas": {"low": 1, "high": 1}}, r"unknown parameter 'object_mas'; did you mean 'object_mass'"),
        ({"mine": {"low": 1, "high": 1, "parameter": "frictoin"}}, "'frictoin'; did you mean 'friction'"),
        ({"friction": {"low": 0, "high": 1}}, "friction is a factor and must stay above 0, found 0.0"),
        ({"table_height": {"low": 1, "high": 1, "operation": "scale"}}, "operation is scale; valid: add"),
        ({"object_mass": {"low": 1, "high": 1, "when": "step"}}, "when is step; valid: start, episode, interval"),
        ({"object_mass": {"low": 1, "high": 1, "when": "interval"}}, "an interval .* belongs to when: interval"),
        ({"body_mass": {"low": 1, "high": 2}}, "body_mass needs elements: names of a body"),
        ({"gravity": {"low": 0, "high": 1, "elements": ["object0"]}}, "belongs to the model as a whole"),
        ({"body_mass": {"low": 1, "high": 2, "elements": ["object1"]}}, "no body 'object1'; did you mean 'object0'"),
        ({"joint_damping": {"low": 1, "high": 2, "elements": ["robot0:elbow*joit"]}}, "no joint 'robot0:elbow.joit'"),
        ({"geom_size": {"low": 1, "high": 2, "elements": ["floor0"]}}, "geom 'floor0' lacks a size of its own"),
        ({"actuator_gain": {"low": 1, "high": 2, "elements": ["*"]}}, "the model has no actuator"),
        (
            {"object_mass": {"low": -3, "high": 0, "operation": "add"}},
            "object_mass could become -1 kg; must be above 0",
        ),
        (
            {
                "friction": {"low": 0.5, "high": 1},
                "less": {"parameter": "friction", "operation": "add", "low": -0.6, "high": 0},
            },
            r"less could become -0.1 1; must lie in \[0, inf\]",
        ),
    ],
)
def test_what_is_refused(entry, message):
    with pytest.raises(ConfigurationError, match=message):
        bind(
            fetch_task("fetch_push").model,
            {name: configuration.build(Variation, values, "preset.yaml") for name, values in entry.items()},
        )


def test_what_no_model_could_have_is_refused_without_one():
    with pytest.raises(ConfigurationError, match=r"valid: actuator_force_limit, .*table_height"):
        check_variations({"object_mas": Variation(1, 1)})
