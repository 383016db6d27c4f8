"""What a preset costs: the arithmetic, and how much longer control periods last."""

import pytest

from her_robot.domain_rand.distribution import Range
from her_robot.domain_rand.preset import RandomizationPreset
from her_robot.domain_rand.timing import TimingConfig
from her_robot.evaluation import randomization_cost
from her_robot.evaluation.randomization_cost import Cost, measure_cost


def test_the_share_is_of_a_simulated_second():
    assert Cost(nominal_us=100.0, randomized_us=110.0, longer=0.0).share == pytest.approx(0.1)
    assert Cost(nominal_us=100.0, randomized_us=110.0, longer=0.1).share == pytest.approx(0.0)


@pytest.mark.parametrize("task", ["fetch_reach", "hand_reach"])
def test_longer_control_periods_are_measured(task, monkeypatch):
    monkeypatch.setattr(randomization_cost, "_ROUNDS", 1)
    monkeypatch.setattr(randomization_cost, "_NUM_ENVS", 10)
    preset = RandomizationPreset(timing=TimingConfig(Range(250.0, 250.0)))
    cost = measure_cost(task, preset, seed=0)
    # 1 / 250 s of 0.04 s; the mean of 500 exponential times has a relative standard deviation of 5 %.
    assert cost.longer == pytest.approx(0.1, rel=0.2)
    assert min(cost.nominal_us, cost.randomized_us) > 0.0
