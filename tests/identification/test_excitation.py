"""The motion to record keeps the robot's limits, and the arm in the air."""

import numpy as np
import pytest
from scipy.interpolate import CubicHermiteSpline

from her_robot.identification.excitation import LEAD_IN_S, excitation, trajectory_message
from her_robot.robot.kinematics import Kinematics


@pytest.mark.parametrize("seed", range(3))
def test_limits_are_kept_from_rest_to_rest(profile, seed):
    center = np.array(profile.look["fetch_reach"])
    motion = excitation(profile, center, 20.0, seed)
    spline = CubicHermiteSpline(motion.times, motion.positions, motion.velocities)
    fine = np.linspace(0.0, 20.0, 5000)
    assert (np.abs(spline(fine, 1)) <= 0.55 * profile.velocity_limit).all()
    assert (np.abs(spline(fine, 2)) <= 0.75 * profile.acceleration_limit).all()
    assert (spline(fine) > profile.position_low).all()
    assert (spline(fine) < profile.position_high).all()
    assert (np.ptp(spline(fine), axis=0) > 0.2).all()
    np.testing.assert_allclose(motion.positions[[0, -1]], [center, center], atol=1e-12)
    np.testing.assert_allclose(motion.velocities[[0, -1]], 0.0, atol=1e-12)


def test_the_hand_stays_above_the_table(profile):
    kinematics = Kinematics(profile)
    motion = excitation(profile, np.array(profile.look["fetch_reach"]), 45.0)
    heights = [kinematics.forward(positions)[0][2] for positions in motion.positions]
    assert min(heights) > profile.workspace.low[2] + 0.05


def test_the_message_goes_to_the_middle_first(profile):
    motion = excitation(profile, np.array(profile.look["fetch_reach"]), 45.0)
    message = trajectory_message(profile, motion)
    assert message["joint_names"] == list(profile.joint_names)
    first, *_, last = message["points"]
    np.testing.assert_allclose(first["positions"], profile.look["fetch_reach"], atol=1e-5)
    assert first["time_from_start"] == {"sec": LEAD_IN_S, "nanosec": 0}
    assert last["time_from_start"] == {"sec": 50, "nanosec": 0}
