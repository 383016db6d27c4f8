import pytest

from her_robot.sim.pacing import Pacer


def test_the_robot_is_kept_beside_the_clock():
    pacer = Pacer(clock=1000.0, robot_time=3.0)
    assert pacer.offset == 997.0
    assert pacer.due(1000.05, 3.0) == pytest.approx(0.05)
    assert pacer.due(1000.05, 3.05) == pytest.approx(0.0)
    assert pacer.due(1000.05, 3.06) == 0.0
    assert pacer.slips == 0


@pytest.mark.parametrize("jump", [5.0, -5.0])
def test_a_jump_is_not_run_after(jump):
    pacer = Pacer(clock=1000.0, robot_time=0.0)
    assert pacer.due(1000.0 + jump, 0.0) == 0.0
    assert pacer.offset == 1000.0 + jump
    assert pacer.slips == 1
    assert pacer.due(1000.1 + jump, 0.0) == pytest.approx(0.1)
