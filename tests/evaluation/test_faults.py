"""Schedules of faults, and verdicts on what happened."""

from dataclasses import replace

import numpy as np
import pytest

from her_robot.contract import CONTRACTS
from her_robot.errors import ConfigurationError, UnknownNameError
from her_robot.evaluation.faults import FaultEvent, FaultSchedule, Tick, judge, load_faults, shipped_faults

PUSH, REACH = CONTRACTS["fetch_push"], CONTRACTS["fetch_reach"]
PERIOD = 0.04
HOLD = FaultEvent("joint_states_silent", at=1.0, lasts=1.0, expect="hold", within=0.4, recover_within=0.2)
STOP = FaultEvent("stop_requested", at=1.0, lasts=1.0, expect="stop", within=0.4)
CARRY_ON = FaultEvent("joint_states_reordered", at=1.0, lasts=1.0, expect="carry_on")


def episode(still_from=1.2, still_until=2.04, phase="holding", length=3.0, speed=0.2):
    """A tool that moves with `speed` [m/s], but from one time to another, while the phase is another too."""
    ticks, x, steps = [], 0.0, 0
    for time in PERIOD * np.arange(1, round(length / PERIOD) + 1):
        still = still_from <= time + 1e-9 and time < still_until - 1e-9
        x += 0.0 if still else speed * PERIOD
        steps += not still
        reference = (x / 0.7, 0.0)
        ticks.append(
            Tick(
                time, phase if still else "running", "why" if still else "", steps, np.array([[x, 0.0, 0.5]]), reference
            )
        )
    return ticks


def test_an_arm_that_stands_still_in_time_and_runs_again():
    verdict = judge(HOLD, episode(), PUSH)
    assert verdict.ok
    assert verdict.expected == "hold within 0.4 s, recover within 0.2 s"
    assert verdict.happened == "stood still after 0.16 s (holding); running again after 0.04 s"


def test_an_arm_that_is_too_late():
    verdict = judge(HOLD, episode(still_from=1.6), PUSH)
    assert not verdict.ok
    assert "moved 32 mm after 0.4 s" in verdict.happened


def test_an_arm_that_moves_before_the_fault_is_over():
    assert not judge(HOLD, episode(still_until=1.8), PUSH).ok


def test_an_arm_that_never_holds():
    assert not judge(HOLD, episode(still_from=9.0), PUSH).ok


def test_a_trajectory_counts_as_motion_even_if_the_tool_stands():
    ticks = [replace(tick, reference=(tick.time, 0.0)) for tick in episode()]
    assert not judge(HOLD, ticks, PUSH).ok


def test_a_policy_that_runs_at_its_goal_does_not_hold():
    ticks = [replace(tick, steps=int(25 * tick.time)) for tick in episode()]
    assert not judge(HOLD, ticks, PUSH).ok


def test_an_arm_that_does_not_recover():
    verdict = judge(HOLD, episode(still_until=2.6), PUSH)
    assert not verdict.ok
    assert verdict.happened.endswith("running again after 0.60 s")
    verdict = judge(HOLD, episode(still_until=9.0), PUSH)
    assert not verdict.ok
    assert verdict.happened.endswith("not running again (holding: why)")


def test_a_stop_is_more_than_a_hold():
    assert judge(STOP, episode(phase="stopped"), PUSH).ok
    verdict = judge(STOP, episode(phase="holding"), PUSH)
    assert not verdict.ok
    assert verdict.happened == "stood still after 0.16 s, but holding"


def test_carrying_on():
    assert judge(CARRY_ON, episode(still_from=9.0), PUSH).ok
    verdict = judge(CARRY_ON, episode(), PUSH)
    assert not verdict.ok
    assert verdict.happened == "holding after 0.20 s: why"


def test_a_policy_that_never_ran():
    verdict = judge(HOLD, [], PUSH)
    assert not verdict.ok
    assert "never came" in verdict.happened


def test_tasks_without_an_object_may_expect_something_else():
    event = replace(HOLD, without_object="carry_on")
    assert judge(event, episode(), PUSH).ok
    assert not judge(event, episode(), REACH).ok
    assert judge(event, episode(still_from=9.0), REACH).ok


def test_a_hand_stands_still_when_all_its_fingertips_do():
    ticks = [replace(tick, tips=np.repeat(tick.tips, 5, axis=0)) for tick in episode()]
    assert judge(HOLD, ticks, CONTRACTS["hand_reach"]).ok
    for tick in ticks:
        tick.tips[3, 1] = 0.1 * tick.time
    verdict = judge(HOLD, ticks, CONTRACTS["hand_reach"])
    assert not verdict.ok
    assert verdict.happened.startswith("moved 60 mm after 0.4 s")


def test_no_place_is_out_of_reach_where_none_is_asked_for():
    moved = replace(HOLD, kind="goal_moved", by=0.1)
    assert moved.expectation(CONTRACTS["hand_block_rotate_z"]) == "carry_on"
    assert moved.expectation(CONTRACTS["hand_block"]) == moved.expectation(PUSH) == "hold"


def test_a_schedule_has_one_fault_at_a_time():
    later = replace(HOLD, at=2.5)
    schedule = FaultSchedule("two", (HOLD, later))
    assert schedule.active(1.0) is None
    assert schedule.active(1.04) is HOLD
    assert schedule.active(2.0) is HOLD
    assert schedule.active(2.04) is None
    assert schedule.active(2.54) is later
    with pytest.raises(ValueError, match=r"joint_states_silent at 1.5 s begins before joint_states_silent is over"):
        FaultSchedule("two", (HOLD, replace(HOLD, at=1.5)))


def test_shipped_schedules_are_sound_and_cover_every_kind():
    from her_robot.evaluation.faults import KINDS

    schedules = [load_faults(name) for name in shipped_faults()]
    assert {event.kind for schedule in schedules for event in schedule.events} == set(KINDS)


@pytest.mark.parametrize(
    ("event", "error", "message"),
    [
        ("kind: joint_states_quiet, expect: hold, within: 0.2", UnknownNameError, "unknown fault 'joint_states_quiet'"),
        ("kind: joint_states_nan, expect: explode", ConfigurationError, "'explode' is not one of hold, stop, carry_on"),
        ("kind: joint_states_nan, expect: hold", ConfigurationError, "within must lie between 0 and lasts"),
        ("kind: images_delayed, expect: carry_on", ConfigurationError, "needs a number above 0"),
        ("kind: node_killed, expect: carry_on", ConfigurationError, "node belongs to node_killed"),
        ("kind: node_killed, node: sim_robot_node, expect: carry_on", UnknownNameError, "unknown node"),
        ("kind: clock_jump, expect: carry_on", ConfigurationError, "by must not be 0"),
        ("kind: stop_requested, expect: carry_on, lasts: 0", ConfigurationError, "lasts"),
    ],
)
def test_impossible_events_are_refused(tmp_path, event, error, message):
    path = tmp_path / "faults.yaml"
    lasts = "" if "lasts" in event else ", lasts: 1.0"
    path.write_text(f"description: x\nevents: [{{at: 1.0{lasts}, {event}}}]\n")
    with pytest.raises(error, match=message):
        load_faults(str(path))
