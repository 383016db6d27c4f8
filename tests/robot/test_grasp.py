"""When fingers are closing on an object, and what is left of a motion meanwhile."""

import numpy as np
import pytest

from her_robot.robot.grasp import closes_on, without_leaving


@pytest.mark.parametrize(
    ("offset", "gap", "commanded", "closes"),
    [
        ((0.0, 0.0, 0.0), 0.08, 0.07, True),
        ((0.019, 0.03, -0.019), 0.08, 0.07, True),
        ((0.021, 0.0, 0.0), 0.08, 0.07, False),
        ((0.0, 0.0, 0.021), 0.08, 0.07, False),
        ((0.0, 0.041, 0.0), 0.08, 0.07, False),
        ((0.0, 0.0, 0.0), 0.08, 0.08, False),
        ((0.0, 0.0, 0.0), 0.08, 0.09, False),
        ((0.0, 0.0, 0.0), 0.051, 0.04, False),
    ],
)
def test_fingers_close_on_what_is_between_them_and_not_held_yet(offset, gap, commanded, closes):
    assert closes_on(np.array(offset), gap, commanded, 0.052) is closes


def test_a_motion_may_come_nearer_to_the_centre_and_not_go_away():
    offset = np.array([0.01, -0.005, 0.0])
    np.testing.assert_allclose(without_leaving(np.array([-0.008, 0.004, 0.001]), offset), [-0.008, 0.004, 0.001])
    np.testing.assert_allclose(without_leaving(np.array([0.008, -0.004, 0.03]), offset), [0.0, 0.0, 0.002])
    # Nor past the centre to its other side, farther than it was.
    np.testing.assert_allclose(without_leaving(np.array([-0.03, 0.0, 0.0]), offset), [-0.02, 0.0, 0.0])
