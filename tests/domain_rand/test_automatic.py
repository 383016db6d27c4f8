"""Automatic domain randomisation: hand-computed widening and narrowing, boundaries, going on."""

import json

import numpy as np
import pytest

from her_robot.domain_rand.automatic import NO_BOUNDARY, AutomaticConfig, AutomaticRandomization

CONFIG = AutomaticConfig(episodes=4, widen_above=0.75, narrow_below=0.25, step=0.2, initial_width=0.1)
A_LOW, A_HIGH, B_LOW, B_HIGH = range(4)


def _automatic(config=CONFIG, nominal=(0.5, 1.0)):
    return AutomaticRandomization(config, ["a", "b"], np.array(nominal))


def _play(automatic, boundary, successes):
    """One cycle of episodes at a boundary."""
    outcome = np.array(successes, bool)
    automatic.record(automatic.count(np.full(outcome.size, boundary), outcome))


def test_begins_about_what_is_nominal_and_inside():
    np.testing.assert_allclose(_automatic().parts, [[0.45, 0.55], [0.9, 1.0]])
    np.testing.assert_allclose(_automatic(nominal=(0.0, 0.02)).parts, [[0.0, 0.1], [0.0, 0.1]])


def test_widens_and_narrows_hand_computed():
    automatic = _automatic()
    _play(automatic, A_HIGH, [1, 1, 1])
    np.testing.assert_allclose(automatic.parts[0], [0.45, 0.55])  # Three of four episodes: not judged yet.
    _play(automatic, A_HIGH, [0])
    np.testing.assert_allclose(automatic.parts, [[0.45, 0.75], [0.9, 1.0]])  # 3 of 4: at the threshold.
    _play(automatic, A_HIGH, [1, 1, 0, 0])
    np.testing.assert_allclose(automatic.parts[0], [0.45, 0.75])  # Neither good nor bad.
    _play(automatic, A_HIGH, [1, 1, 1, 1])
    _play(automatic, A_LOW, [1, 1, 1, 1])
    np.testing.assert_allclose(automatic.parts[0], [0.25, 0.95])
    _play(automatic, A_HIGH, [0, 0, 0, 1])
    np.testing.assert_allclose(automatic.parts[0], [0.25, 0.75])  # 1 of 4: at the threshold.
    assert automatic.entropy == pytest.approx((np.log(0.5) + np.log(0.1)) / 2)


def test_a_judged_buffer_is_emptied():
    automatic = _automatic()
    _play(automatic, A_HIGH, [1, 1, 1, 1])
    _play(automatic, A_HIGH, [1, 1, 1])
    assert automatic.parts[0, 1] == pytest.approx(0.75)


def test_never_leaves_the_preset_nor_shrinks_below_the_start():
    automatic = _automatic()
    for _ in range(12):
        for boundary in range(4):
            _play(automatic, boundary, [1, 1, 1, 1])
    np.testing.assert_array_equal(automatic.parts, [[0.0, 1.0], [0.0, 1.0]])
    assert automatic.entropy == 0.0
    for _ in range(12):
        for boundary in range(4):
            _play(automatic, boundary, [0, 0, 0, 0])
    np.testing.assert_allclose(automatic.parts, _automatic().parts)


def test_an_episode_at_a_boundary_has_one_dimension_there():
    automatic = _automatic()
    np.testing.assert_array_equal(automatic.parts_at(NO_BOUNDARY), automatic.parts)
    np.testing.assert_allclose(automatic.parts_at(A_HIGH), [[0.55, 0.55], [0.9, 1.0]])
    np.testing.assert_allclose(automatic.parts_at(B_LOW), [[0.45, 0.55], [0.9, 0.9]])


def test_counts_by_boundary():
    boundaries = np.array([A_LOW, NO_BOUNDARY, B_HIGH, B_HIGH, NO_BOUNDARY])
    episodes, successes = _automatic().count(boundaries, np.array([0, 1, 1, 0, 1], bool))
    np.testing.assert_array_equal(episodes, [[1, 0], [0, 2]])
    np.testing.assert_array_equal(successes, [[0, 0], [0, 1]])


def test_boundaries_have_their_share_and_are_all_drawn():
    automatic = _automatic(AutomaticConfig(boundary_probability=0.3))
    drawn = automatic.draw_boundaries(4000, np.random.default_rng(0))
    counts = np.array([(drawn == boundary).sum() for boundary in (NO_BOUNDARY, *range(4))])
    assert counts.sum() == 4000
    np.testing.assert_allclose(counts / 4000, [0.7, *[0.075] * 4], atol=0.02)
    np.testing.assert_array_equal(drawn, automatic.draw_boundaries(4000, np.random.default_rng(0)))


def test_goes_on_to_the_bit_from_its_state_as_json():
    rng = np.random.default_rng(1)
    whole, first = _automatic(), _automatic()
    outcomes = [(automatic_boundary, rng.random(3) < 0.7) for automatic_boundary in rng.integers(4, size=60)]
    for boundary, outcome in outcomes[:31]:
        _play(whole, boundary, outcome)
        _play(first, boundary, outcome)
    resumed = _automatic()
    resumed.restore(json.loads(json.dumps(first.state())))
    for boundary, outcome in outcomes[31:]:
        _play(whole, boundary, outcome)
        _play(resumed, boundary, outcome)
    np.testing.assert_array_equal(resumed.parts, whole.parts)
    assert resumed.state() == whole.state()
    assert whole.state().keys() >= {"a.low", "b.high", "a.low.episodes", "b.high.successes"}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"boundary_probability": 1.5}, "boundary_probability must lie in"),
        ({"episodes": 0}, "episodes must be at least 1"),
        ({"widen_above": 0.3}, "narrow_below < widen_above"),
        ({"step": 0.0}, "step must lie above 0"),
        ({"initial_width": 1.5}, "initial_width must lie above 0"),
    ],
)
def test_what_is_refused(values, message):
    with pytest.raises(ValueError, match=message):
        AutomaticConfig(**values)
