"""Comparisons of two evaluations."""

import json

import pytest

from her_robot.errors import ConfigurationError
from her_robot.evaluation.comparison import compare, read_evaluation


def test_pairs_are_made_by_seed(make_evaluation):
    first = make_evaluation([True] * 20 + [False] * 20).to_json()
    second = make_evaluation([True] * 36).to_json()
    second["per_episode"].reverse()
    comparison = compare(first, second)
    assert (comparison["pairs"], comparison["left_out"]) == (36, 4)
    assert (comparison["both"], comparison["only_first"], comparison["only_second"]) == (20, 0, 16)
    assert comparison["success_rates"] == pytest.approx([20 / 36, 1.0])
    assert comparison["difference"] == pytest.approx(16 / 36)
    assert comparison["p_value"] == pytest.approx(2**-16)
    assert comparison["better"] == "second"
    assert compare(second, first)["better"] == "first"
    assert comparison["final_distance_m"][0] == pytest.approx(comparison["final_distance_m"][1])
    json.dumps(comparison)


def test_too_few_episodes_show_nothing(make_evaluation):
    comparison = compare(make_evaluation([True, True, False]).to_json(), make_evaluation([True, True, True]).to_json())
    assert comparison["better"] is None
    assert comparison["pairs_needed"] > 3


def test_what_else_differs_is_told(make_evaluation):
    heavy = make_evaluation([True] * 40, at_least=0.9, simulated_robot="heavy").to_json()
    comparison = compare(make_evaluation([True] * 40).to_json(), heavy)
    assert comparison["differs_in"] == ["simulated_robot"]
    assert comparison["ended_early"] == [False, True]
    assert comparison["pairs_needed"] is None


def test_other_tasks_and_other_seeds_are_refused(make_evaluation):
    evaluation = make_evaluation([True]).to_json()
    with pytest.raises(ConfigurationError, match="differ in task: fetch_push and fetch_slide"):
        compare(evaluation, evaluation | {"task": "fetch_slide"})
    with pytest.raises(ConfigurationError, match="differ in loop"):
        compare(evaluation, evaluation | {"loop": "sim"})
    other = evaluation | {"per_episode": [{"seed": 5, "success": True}]}
    with pytest.raises(ConfigurationError, match="no seed in common"):
        compare(evaluation, other)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot be read"),
        ("{", "not JSON"),
        ('{"task": "fetch_push", "loop": "sim"}', "lacks policy, per_episode"),
        ("[{}, {}]", "holds 2 evaluations"),
        ("7", "lacks task"),
    ],
)
def test_wrong_files(tmp_path, text, message):
    path = tmp_path / "a.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigurationError, match=message):
        read_evaluation(path)
