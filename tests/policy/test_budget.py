"""Time that is spent on training, and time that is not."""

import numpy as np
import pytest

from her_robot.contract import contract_of
from her_robot.policy.budget import Budget, Point, UnmodifiedEnvironment


class Clock:
    """Tells the time that a test says it is."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def _act(observation, goal):
    return np.zeros(4)


def test_the_clock_stands_still_while_a_policy_is_measured():
    clock = Clock()

    def measure(act):
        clock.now += 50.0
        return 0.5

    budget = Budget(10.0, interval=2.0, measure=measure, clock=clock)
    budget.begin()
    for work, steps in ((1.0, 8), (2.0, 16), (1.5, 24)):
        clock.now += work
        assert budget.goes_on(steps, _act)
    assert budget.spent == 4.5
    assert budget.env_steps == 24
    assert budget.curve == [Point(3.0, 16, 0.5)]


def test_work_that_would_not_fit_is_not_begun():
    clock = Clock()
    budget = Budget(10.0, interval=100.0, measure=lambda act: 1.0, clock=clock)
    budget.begin()
    answers = []
    for work in (4.0, 1.0, 1.5):
        clock.now += work
        answers.append(budget.goes_on(0, _act))
    assert answers == [True, True, False]
    assert budget.spent == 6.5
    assert budget.curve == [Point(6.5, 0, 1.0)], "the policy at the end is measured"


def test_the_clock_must_be_started():
    with pytest.raises(AssertionError, match="begin"):
        Budget(1.0, 1.0, lambda act: 0.0).goes_on(0, _act)


def test_successes_are_those_of_the_last_step():
    environment = UnmodifiedEnvironment(contract_of("fetch_reach"))

    def towards(observation, goal):
        return np.array([*np.clip(10 * (goal - observation[:3]), -1, 1), 0.0])

    assert environment.successes(towards, range(3)) == 3
    assert environment.successes(lambda observation, goal: -towards(observation, goal), range(3)) == 0
    environment.close()
