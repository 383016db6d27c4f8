"""Quaternions: the laws of a group, and the conventions of Gymnasium-Robotics."""

import numpy as np
import pytest
from gymnasium_robotics.utils import rotations as gymnasium_rotations

from her_robot import rotations


@pytest.fixture
def quaternions():
    values = np.random.default_rng(0).normal(size=(2, 50, 4))
    return values / np.linalg.norm(values, axis=-1, keepdims=True)


def test_products_turn_as_products_of_matrices_do(quaternions):
    first, second = quaternions
    product = rotations.multiply(first, second)
    np.testing.assert_allclose(
        rotations.to_matrix(product), rotations.to_matrix(first) @ rotations.to_matrix(second), atol=1e-12
    )
    np.testing.assert_allclose(product, gymnasium_rotations.quat_mul(first, second), atol=1e-15)


def test_a_rotation_and_its_inverse_leave_nothing(quaternions):
    first, _ = quaternions
    identity = np.broadcast_to([1.0, 0, 0, 0], first.shape)
    np.testing.assert_allclose(rotations.multiply(first, rotations.conjugate(first)), identity, atol=1e-12)


def test_matrices_are_orthogonal_and_those_of_gymnasium_robotics(quaternions):
    first, _ = quaternions
    matrices = rotations.to_matrix(3.0 * first)
    np.testing.assert_allclose(matrices @ matrices.swapaxes(-1, -2), np.broadcast_to(np.eye(3), (50, 3, 3)), atol=1e-12)
    np.testing.assert_allclose(matrices, gymnasium_rotations.quat2mat(first), atol=1e-12)


def test_euler_angles_are_those_of_gymnasium_robotics():
    angles = np.random.default_rng(1).uniform(-1.5, 1.5, (50, 3))
    matrices = gymnasium_rotations.euler2mat(angles)
    np.testing.assert_allclose(
        rotations.euler_from_matrix(matrices), gymnasium_rotations.mat2euler(matrices), atol=1e-12
    )
    np.testing.assert_allclose(rotations.euler_from_matrix(matrices), angles, atol=1e-9)
    quaternions = rotations.from_euler(*angles.T)
    np.testing.assert_allclose(quaternions, gymnasium_rotations.euler2quat(angles), atol=1e-12)
    np.testing.assert_allclose(rotations.euler_from_quaternion(quaternions), angles, atol=1e-9)


def test_the_angle_between_two_turns_about_one_axis_is_their_difference():
    axis = np.array([0.0, 3.0, 4.0])
    first, second = rotations.from_axis_angle(axis, 0.3), rotations.from_axis_angle(axis, np.array([1.5, -0.2]))
    np.testing.assert_allclose(rotations.angle_between(first, second), [1.2, 0.5])
    np.testing.assert_allclose(rotations.angle_between(first, -first), 2 * np.pi)


def test_without_its_twist_an_orientation_is_as_near_as_any_turn_about_its_z_axis_makes_it(quaternions):
    first, second = quaternions
    nearest = rotations.without_twist(first, second)
    np.testing.assert_allclose(rotations.to_matrix(nearest)[..., 2], rotations.to_matrix(second)[..., 2], atol=1e-12)
    least = rotations.angle_between(first, nearest)
    for angle in np.linspace(-2.0 * np.pi, 2.0 * np.pi, 41):
        twist = rotations.from_axis_angle(np.tile([0.0, 0.0, 1.0], (len(first), 1)), np.full(len(first), angle))
        assert (rotations.angle_between(first, rotations.multiply(second, twist)) >= least - 1e-9).all()
    upside_down = rotations.multiply(first, np.array([0.0, 0.6, 0.8, 0.0]))
    np.testing.assert_array_equal(rotations.without_twist(first, upside_down), upside_down)


def test_tensors_give_what_arrays_give(quaternions):
    torch = pytest.importorskip("torch")
    first, second = quaternions
    tensors = torch.from_numpy(first), torch.from_numpy(second)
    for function in (rotations.multiply, rotations.angle_between, rotations.without_twist):
        np.testing.assert_allclose(function(*tensors).numpy(), function(first, second), atol=1e-12)
    for function in (rotations.conjugate, rotations.euler_from_quaternion, rotations.to_matrix):
        np.testing.assert_allclose(function(tensors[0]).numpy(), function(first), atol=1e-12)
    x, y, z = rotations.euler_from_quaternion(first).T
    found = rotations.from_euler(*(torch.from_numpy(angle) for angle in (x, y, z)))
    np.testing.assert_allclose(found, rotations.from_euler(x, y, z))
