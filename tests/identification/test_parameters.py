"""Fit coordinates, and the way from parameters to a simulated robot and back."""

from dataclasses import replace

import numpy as np
import pytest

from her_robot.errors import ConfigurationError, UnknownNameError
from her_robot.identification.parameters import UNITS, Dynamics, choose_parameters, dynamics_at
from her_robot.sim.robot import ARMS
from her_robot.sim.scene import JointControlConfig

CONFIG = ARMS.load("fetch")


def test_every_field_of_a_servo_has_a_unit():
    assert set(UNITS) == {*JointControlConfig.__dataclass_fields__, "command_delay"}


@pytest.mark.parametrize("shared", [True, False])
def test_dynamics_survive_the_way_into_a_configuration(profile, shared):
    servos = [JointControlConfig(stiffness=1000.0 * (i + 1), friction_loss=0.1 * i) for i in range(7)]
    scene = replace(CONFIG.scene, servos=dict(zip(profile.joint_names, servos, strict=True)))
    dynamics = Dynamics.of(CONFIG if shared else replace(CONFIG, scene=scene), profile)
    again = Dynamics.of(dynamics.applied_to(CONFIG, profile, shared), profile)
    for name in UNITS:
        np.testing.assert_allclose(getattr(again, name), getattr(dynamics, name), rtol=1e-4)
    assert shared or again.stiffness[3] == 4000.0


def test_fit_coordinates_begin_at_the_start_and_keep_the_bounds(profile):
    start = Dynamics.of(CONFIG, profile)
    parameters = choose_parameters(start, range(7), shared=False)
    assert len(parameters) == 7 * 5 + 1
    assert dynamics_at(start, parameters, np.zeros(36)).command_delay == start.command_delay
    for parameter in parameters:
        low, high = parameter.bounds()
        assert low <= 0.0 < high
        assert parameter.value(0.0) == parameter.start
        assert parameter.value(low) >= -1e-12
        if parameter.is_logarithmic:
            assert parameter.value(1.0) == pytest.approx(3 * parameter.start)


def test_a_coordinate_moves_its_joints_alone(profile):
    start = Dynamics.of(CONFIG, profile)
    parameters = choose_parameters(start, [2, 5], shared=False, fixed=["armature", "command_delay"])
    assert {(p.name, p.joints) for p in parameters} == {
        (name, (joint,)) for name in set(UNITS) - {"armature", "command_delay"} for joint in (2, 5)
    }
    z = np.zeros(len(parameters))
    z[[i for i, p in enumerate(parameters) if p.name == "stiffness" and p.joints == (5,)]] = 1.0
    moved = dynamics_at(start, parameters, z)
    np.testing.assert_allclose(moved.stiffness / start.stiffness, [1, 1, 1, 1, 1, 3, 1])
    np.testing.assert_array_equal(moved.damping, start.damping)
    shared = choose_parameters(start, [2, 5], shared=True)
    assert len(shared) == 6
    assert shared[0].joints == tuple(range(7))


def test_something_must_be_left_to_fit(profile):
    with pytest.raises(ConfigurationError, match="--fix leaves no parameter"):
        choose_parameters(Dynamics.of(CONFIG, profile), range(7), shared=True, fixed=list(UNITS))


def test_an_unknown_parameter_cannot_be_fixed(profile):
    with pytest.raises(UnknownNameError, match="--fix: unknown parameter 'stifness'; did you mean 'stiffness'"):
        choose_parameters(Dynamics.of(CONFIG, profile), range(7), shared=True, fixed=["stifness"])
