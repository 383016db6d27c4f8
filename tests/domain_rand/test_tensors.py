"""Tensors go through actuation, sensing and pushes as arrays do: the same draws give the same numbers.

They are compared in double precision: in single, an age of 0.2 s may fall on the other side of a timeout of 0.2 s.
"""

from dataclasses import fields

import numpy as np
import pytest
import torch

from her_robot import rotations
from her_robot.contract import CONTROL_PERIOD_S, HandObjectState, HandState, ObjectState, RobotState
from her_robot.domain_rand.actuation import Actuation
from her_robot.domain_rand.distribution import Range
from her_robot.domain_rand.hand_sensing import HandSensing
from her_robot.domain_rand.preset import load_preset
from her_robot.domain_rand.pushes import PushConfig, Pushes
from her_robot.domain_rand.sensing import Sensing

ROWS = 5


@pytest.fixture(autouse=True)
def _double_precision():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


class _AsTensors:
    """The draws of a NumPy generator, as tensors."""

    def __init__(self, seed):
        self._rng = np.random.default_rng(seed)

    def __getattr__(self, name):
        def draw(*arguments):
            drawn = np.asarray(getattr(self._rng, name)(*arguments))
            return torch.as_tensor(drawn, dtype=torch.long if drawn.dtype.kind == "i" else torch.float64)

        return draw


def _states(steps):
    """Grippers that wander over objects, now and then around them."""
    rng = np.random.default_rng(0)
    grip, obj = np.array([1.3, 0.75, 0.45]), np.array([1.3, 0.75, 0.42])
    for _ in range(steps):
        turned = np.linalg.qr(np.eye(3) + 0.05 * rng.normal(size=(ROWS, 3, 3)))[0]
        turned *= np.sign(np.diagonal(turned, axis1=1, axis2=2))[:, None]
        yield RobotState(
            grip_position=grip + rng.normal(0, 0.02, (ROWS, 3)),
            grip_velocity=rng.normal(0, 0.1, (ROWS, 3)),
            finger_position=rng.uniform(0, 0.03, (ROWS, 2)),
            finger_velocity=rng.normal(0, 0.1, (ROWS, 2)),
            object=ObjectState(
                position=obj + rng.normal(0, 0.02, (ROWS, 3)),
                rotation=turned,
                velocity=rng.normal(0, 0.1, (ROWS, 3)),
                angular_velocity=rng.normal(0, 0.1, (ROWS, 3)),
            ),
        )


def _hands(steps):
    """Hands in whose palms an object turns."""
    rng = np.random.default_rng(0)
    axis = rng.normal(size=(ROWS, 3))
    for step in range(steps):
        turning = HandObjectState(
            position=np.array([1.0, 0.9, 0.2]) + rng.normal(0, 0.002, (ROWS, 3)),
            quaternion=rotations.from_axis_angle(axis, np.full(ROWS, 0.08 * step)),
            velocity=rng.normal(0, 0.1, (ROWS, 3)),
            angular_velocity=rng.normal(0, 0.1, (ROWS, 3)),
        )
        position, velocity = rng.normal(size=(2, ROWS, 24))
        yield HandState(position, velocity, rng.normal(size=(ROWS, 5, 3)), turning)


_OBJECTS = (ObjectState, HandObjectState)


def _tensors(state):
    def convert(value):
        return value if value is None else _tensors(value) if isinstance(value, _OBJECTS) else torch.as_tensor(value)

    return type(state)(**{field.name: convert(getattr(state, field.name)) for field in fields(state)})


def _assert_equal(found, expected):
    for field in fields(expected):
        value, other = getattr(expected, field.name), getattr(found, field.name)
        if isinstance(value, _OBJECTS):
            _assert_equal(other, value)
        elif value is None:
            assert other is None
        else:
            assert isinstance(other, torch.Tensor)
            np.testing.assert_allclose(other.numpy(), value, atol=1e-9, err_msg=field.name)


@pytest.mark.parametrize("preset", ["robot_loop", "robot_loop_pick", "robot_loop_slide", "nominal"])
def test_what_is_seen(preset):
    config, nominal = load_preset(preset).sensing, np.arange(ROWS) == 0
    arrays = Sensing(config, ROWS, CONTROL_PERIOD_S, np.random.default_rng(7))
    tensors = Sensing(config, ROWS, CONTROL_PERIOD_S, _AsTensors(7), torch)
    first, *states = _states(60)
    for row in range(ROWS):
        arrays.reset(row, nominal[row], first)
        tensors.reset(row, bool(nominal[row]), _tensors(first))
    for state in states:
        arrays.advance(state)
        tensors.advance(_tensors(state))
        _assert_equal(tensors.present(_tensors(state)), arrays.present(state))


def test_what_a_hand_sees_late():
    config = load_preset("hand_block").sensing
    arrays = HandSensing(config, ROWS, CONTROL_PERIOD_S, np.random.default_rng(1))
    tensors = HandSensing(config, ROWS, CONTROL_PERIOD_S, _AsTensors(1), torch)
    states = list(_hands(20))
    for row in range(ROWS):
        arrays.reset(row, row == 0, states[0])
        tensors.reset(row, row == 0, _tensors(states[0]))
    for state in states:
        arrays.advance(state)
        tensors.advance(_tensors(state))
        _assert_equal(tensors.present(_tensors(state)), arrays.present(state))


def test_what_takes_effect():
    config, nominal = load_preset("robot_loop_pick").actuation, np.arange(ROWS) == 0
    arrays = Actuation(config, ROWS, np.random.default_rng(7))
    tensors = Actuation(config, ROWS, _AsTensors(7), xp=torch)
    first, *states = _states(40)
    for row in range(ROWS):
        arrays.reset(row, nominal[row], first.finger_position[row])
        tensors.reset(row, bool(nominal[row]), _tensors(first).finger_position[row])
    rng = np.random.default_rng(1)
    for state in states:
        actions = rng.uniform(-1.2, 1.2, (ROWS, 4)).astype(np.float32)
        found = tensors.apply(torch.from_numpy(actions), _tensors(state).finger_position)
        np.testing.assert_allclose(found.numpy(), arrays.apply(actions, state.finger_position), atol=1e-6)


def test_pushes():
    config = PushConfig(rate=Range(5.0, 5.0), force=Range(1.0, 9.0), duration=Range(0.05, 0.2))
    arrays = Pushes(config, ROWS, CONTROL_PERIOD_S, np.random.default_rng(7))
    tensors = Pushes(config, ROWS, CONTROL_PERIOD_S, _AsTensors(7), torch)
    for row in range(ROWS):
        arrays.reset(row, row == 0)
        tensors.reset(row, row == 0)
    forces = [(arrays.advance(), tensors.advance()) for _ in range(30)]
    assert any(expected.any() for expected, _ in forces)
    for expected, found in forces:
        np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)


def test_several_rows_begin_together():
    """Each by itself: nominal ones pass unchanged, the others have draws of their own."""
    config = load_preset("robot_loop").actuation
    actuation = Actuation(config, ROWS, _AsTensors(7), xp=torch)
    nominal = torch.arange(ROWS) < 2
    actuation.reset(torch.arange(ROWS), nominal, torch.zeros(ROWS, 2))
    actions = torch.full((ROWS, 4), 0.5)
    for _ in range(3):
        effective = actuation.apply(actions, torch.zeros(ROWS, 2))
    torch.testing.assert_close(effective[nominal], actions[nominal].float())
    assert len(set(effective[~nominal, 0].tolist())) == 3
