"""Distances with their units."""

import pytest

from her_robot.contract import contract_of
from her_robot.evaluation.distance import distance_key, written


@pytest.mark.parametrize(
    ("task", "distance", "expected"),
    [
        ("fetch_push", 0.0123, "12.3 mm"),
        ("fetch_push", 0.123, "123 mm"),
        ("hand_reach", 0.0052, "5.2 mm"),
        ("hand_block_rotate_z", 0.25, "0.250 rad"),
        ("hand_egg", 1.5, "1.50 tolerances"),
        ("hand_egg", None, "–"),
    ],
)
def test_units(task, distance, expected):
    assert written(distance, contract_of(task)) == expected


def test_digits_are_those_asked_for():
    assert written(0.0123, contract_of("fetch_push"), 0) == "12 mm"


def test_keys_name_their_unit():
    assert distance_key(contract_of("fetch_push")) == "final_distance_m"
    assert distance_key(contract_of("hand_pen_rotate")) == "final_distance_rad"
