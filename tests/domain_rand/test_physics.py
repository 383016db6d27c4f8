"""Randomised models: relative to the nominal, without accumulating, refused when impossible."""

import copy

import mujoco
import numpy as np
import pytest

from her_robot.domain_rand.distribution import Range
from her_robot.domain_rand.physics import PARAMETERS, check_parameters, randomize_model
from her_robot.errors import ConfigurationError
from her_robot.sim.tasks import fetch_task


@pytest.fixture
def models():
    nominal = fetch_task("fetch_push").model
    model = copy.copy(nominal)
    return model, nominal, mujoco.MjData(model)


def test_mass_takes_inertia_and_derived_constants_along(models):
    model, nominal, data = models
    drawn = randomize_model(model, nominal, data, {"object_mass": Range(0.5, 0.5)}, np.random.default_rng(0))
    body = nominal.body("object0").id
    assert drawn == {"object_mass": 0.5}
    assert model.body_mass[body] == pytest.approx(0.5 * nominal.body_mass[body])
    np.testing.assert_allclose(model.body_inertia[body], 0.5 * nominal.body_inertia[body])
    np.testing.assert_allclose(model.body_invweight0[body], nominal.body_invweight0[body] / 0.5)


def test_draws_do_not_accumulate(models):
    model, nominal, data = models
    ranges = {name: Range(1.1, 1.1) if name != "table_height" else Range(0.01, 0.01) for name in PARAMETERS}
    for _ in range(3):
        randomize_model(model, nominal, data, ranges, np.random.default_rng(0))
    geom = nominal.geom("object0").id
    assert model.geom_friction[geom, 0] == pytest.approx(1.1 * nominal.geom_friction[geom, 0])
    table = nominal.body("table0").id
    assert model.body_pos[table, 2] == pytest.approx(nominal.body_pos[table, 2] + 0.01)
    randomize_model(model, nominal, data, {}, np.random.default_rng(0))
    np.testing.assert_array_equal(model.geom_friction, nominal.geom_friction)
    np.testing.assert_array_equal(model.body_pos, nominal.body_pos)
    np.testing.assert_allclose(model.body_invweight0, nominal.body_invweight0)


def test_the_shared_model_stays_nominal(models):
    model, nominal, data = models
    before = nominal.body_mass.copy()
    randomize_model(model, nominal, data, {"object_mass": Range(0.1, 0.1)}, np.random.default_rng(0))
    np.testing.assert_array_equal(nominal.body_mass, before)


def test_unknown_parameters_are_refused_by_name():
    with pytest.raises(ConfigurationError, match=r"'object_mas'.*did you mean 'object_mass'.*table_height"):
        check_parameters({"object_mas": Range(1, 1)})


def test_factors_must_be_positive():
    with pytest.raises(ConfigurationError, match="friction is a factor"):
        check_parameters({"friction": Range(0.0, 1.0)})


@pytest.mark.parametrize(
    ("low", "high", "distribution", "message"),
    [
        (2.0, 1.0, "uniform", "low 2.0 above high 1.0"),
        (0.0, 1.0, "log_uniform", "low above 0"),
        (float("nan"), 1.0, "uniform", "not finite"),
    ],
)
def test_impossible_ranges(low, high, distribution, message):
    with pytest.raises(ValueError, match=message):
        Range(low, high, distribution)


def test_log_uniform_has_its_median_at_the_geometric_mean():
    samples = Range(0.1, 10.0, "log_uniform").sample(np.random.default_rng(0), 4000)
    assert samples.min() >= 0.1
    assert samples.max() <= 10.0
    assert np.median(samples) == pytest.approx(1.0, rel=0.1)
