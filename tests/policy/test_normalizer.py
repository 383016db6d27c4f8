"""Running statistics."""

import numpy as np
import torch

from her_robot.policy.config import NormalizerConfig
from her_robot.policy.normalizer import Normalizer


def test_mean_and_deviation_of_all_samples():
    samples = np.random.default_rng(0).normal([1.0, -2.0], [0.5, 3.0], (400, 2))
    normalizer = Normalizer(2, NormalizerConfig())
    normalizer.update(samples[:100].reshape(10, 10, 2))
    normalizer.update(samples[100:])
    np.testing.assert_allclose(normalizer.mean, samples.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(normalizer.std, samples.std(axis=0), rtol=1e-4)
    normalized = normalizer(torch.from_numpy(samples).float())
    assert normalized.dtype == torch.float32
    np.testing.assert_allclose(normalized.mean(dim=0), 0.0, atol=0.02)


def test_clips_before_and_after():
    normalizer = Normalizer(1, NormalizerConfig(observation_clip=10.0, normalized_clip=2.0))
    normalizer.update(np.array([[-1.0], [1.0]]))
    np.testing.assert_allclose(normalizer(torch.tensor([[1e9], [-1e9], [1.0]])), [[2.0], [-2.0], [1.0]])


def test_a_constant_is_not_divided_by_zero():
    normalizer = Normalizer(1, NormalizerConfig(minimum_std=0.01))
    normalizer.update(np.full((10, 1), 3.0))
    np.testing.assert_allclose(normalizer(torch.tensor([[3.02]])), [[2.0]], rtol=1e-3)


def test_samples_of_several_processes_add_up():
    rng = np.random.default_rng(0)
    parts = [rng.normal(size=(20, 2)) for _ in range(2)]
    one, both = Normalizer(2, NormalizerConfig()), Normalizer(2, NormalizerConfig())
    one.update(np.concatenate(parts))
    both.add(both.sums_of(parts[0]) + both.sums_of(parts[1]))
    np.testing.assert_allclose(both.mean, one.mean, atol=1e-7)
    np.testing.assert_allclose(both.std, one.std, atol=1e-7)


def test_restored_from_its_sums():
    normalizer, restored = Normalizer(2, NormalizerConfig()), Normalizer(2, NormalizerConfig())
    normalizer.update(np.random.default_rng(0).normal(size=(50, 2)))
    restored.restore(normalizer.sums)
    np.testing.assert_array_equal(restored.mean, normalizer.mean)
    np.testing.assert_array_equal(restored.std, normalizer.std)
