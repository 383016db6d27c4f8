"""The sequential test: its error rates, and that it is no longer than it must be."""

from math import log

import numpy as np
import pytest
from scipy.integrate import quad

from her_robot.evaluation.sequential import (
    ERROR,
    SequentialTest,
    Verdict,
    _log_evidence_above,
    anytime_interval,
    episodes_to_decide,
    verdict,
)


def _exactly(probability, rate, most):
    """Probabilities of both verdicts within `most` episodes, and the expected number of episodes: no simulation.

    Undecided numbers of successes lie between two boundaries, which only ever rise.
    """
    undecided, above, below, expected = {0: 1.0}, 0.0, 0.0, 0.0
    lowest, enough = 0, 1
    for trials in range(1, most + 1):
        expected += sum(undecided.values())
        reached = {}
        for successes, chance in undecided.items():
            reached[successes] = reached.get(successes, 0.0) + chance * (1 - probability)
            reached[successes + 1] = reached.get(successes + 1, 0.0) + chance * probability
        while enough <= trials and verdict(enough, trials, rate) is not Verdict.ABOVE:
            enough += 1
        while lowest <= trials and verdict(lowest, trials, rate) is Verdict.BELOW:
            lowest += 1
        above += sum(chance for successes, chance in reached.items() if successes >= enough)
        below += sum(chance for successes, chance in reached.items() if successes < lowest)
        undecided = {successes: chance for successes, chance in reached.items() if lowest <= successes < enough}
    return above, below, expected


def test_evidence_is_a_likelihood_ratio_averaged_over_the_angle():
    successes, failures, rate = 17, 2, 0.6
    lowest = np.arcsin(np.sqrt(rate))

    def likelihood(angle):
        return np.sin(angle) ** (2 * successes) * np.cos(angle) ** (2 * failures)

    mean = quad(likelihood, lowest, np.pi / 2)[0] / (np.pi / 2 - lowest)
    expected = log(mean / (rate**successes * (1 - rate) ** failures))
    assert _log_evidence_above(successes, successes + failures, rate) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("rate", [0.5, 0.8, 0.95])
def test_looking_all_the_time_errs_no_more_than_it_says(rate):
    # The rate is neither above nor below: both verdicts are errors.
    above, below, _ = _exactly(rate, rate, 600)
    assert 0.01 < above <= ERROR
    assert 0.01 < below <= ERROR
    # Where it is worse than what is asked about, "above" is rarer still.
    assert _exactly(rate - 0.02, rate, 600)[0] < above


def test_outcomes_one_by_one_give_the_same_verdicts():
    generator = np.random.default_rng(2)
    decided = 0
    for outcomes in generator.random((200, 40)) < 0.9:
        test = SequentialTest(0.7)
        decided += any(test.add(bool(outcome)) is not Verdict.UNDECIDED for outcome in outcomes)
    above, below, _ = _exactly(0.9, 0.7, 40)
    # Four standard deviations of 200 draws.
    assert decided / 200 == pytest.approx(above + below, abs=0.14)


def test_the_same_with_a_fixed_size_test_would_err_far_more():
    """So the bound above is one that looking after every episode could break."""
    generator = np.random.default_rng(3)
    successes = np.cumsum(generator.random((400, 250)) < 0.8, axis=1)
    trials = np.arange(1, 251)
    z = (successes - 0.8 * trials) / np.sqrt(trials * 0.8 * 0.2)
    assert np.mean((z[:, 20:] > 1.645).any(axis=1)) > 3 * ERROR


def test_a_clear_rate_is_found_soon():
    above, _, episodes = _exactly(0.99, 0.9, 300)
    assert above > 0.99
    assert episodes < 60
    _, below, episodes = _exactly(0.6, 0.9, 300)
    assert below > 0.99
    assert episodes < 25


def test_sides_mirror_each_other():
    for successes, trials, rate in ((19, 20, 0.7), (3, 20, 0.5), (12, 20, 0.6)):
        mirrored = {Verdict.ABOVE: Verdict.BELOW, Verdict.BELOW: Verdict.ABOVE}
        answer = verdict(successes, trials, rate)
        assert verdict(trials - successes, trials, 1 - rate) is mirrored.get(answer, answer)


@pytest.mark.parametrize(("successes", "trials"), [(0, 20), (1, 1), (17, 20), (47, 50), (950, 1000)])
def test_the_interval_holds_the_rates_that_are_undecided(successes, trials):
    low, high = anytime_interval(successes, trials)
    for rate in np.linspace(0.005, 0.995, 199):
        answer = verdict(successes, trials, rate)
        expected = Verdict.ABOVE if rate < low else Verdict.BELOW if rate > high else Verdict.UNDECIDED
        assert answer is expected


def test_how_many_episodes_an_answer_takes():
    needed = episodes_to_decide(1.0, 0.9)
    assert needed is not None
    assert verdict(needed, needed, 0.9) is Verdict.ABOVE
    assert verdict(needed - 1, needed - 1, 0.9) is Verdict.UNDECIDED
    # A test of fixed size takes log(.05) / log(.9) = 28.4 successes; the price of looking is not half as many again.
    assert 29 <= needed <= 43
    assert episodes_to_decide(0.9, 0.9) is None
    assert episodes_to_decide(0.97, 0.9) > episodes_to_decide(0.99, 0.9) > needed


@pytest.mark.parametrize("rate", [0.0, 1.0, 90])
def test_impossible_rates(rate):
    with pytest.raises(ValueError, match="must lie between 0 and 1"):
        SequentialTest(rate)
