"""What evaluations print while they last."""

import io

from rich.console import Console

from her_robot.evaluation.console import EpisodeProgress


def _printed(successes, episodes, played=0, terminal=False):
    output = io.StringIO()
    with EpisodeProgress(Console(file=output, force_terminal=terminal), episodes, played) as progress:
        for success in successes:
            progress.count(success)
    return output.getvalue().split("\n")


def test_a_log_gets_a_line_for_every_tenth():
    lines = _printed([True, False] * 25, episodes=50)
    assert lines[0] == "10 of 50 episodes; reached 5 of 10"
    assert [line.split(" of ")[0] for line in lines if line] == ["10", "15", "20", "25", "30", "35", "40", "45"]


def test_what_was_played_before_counts_as_played_alone():
    assert _printed([True] * 3, episodes=50, played=38)[0] == "40 of 50 episodes; reached 2 of 2"


def test_a_few_episodes_or_a_terminal_get_no_lines():
    assert "".join(_printed([True] * 9, episodes=9)) == ""
    assert "episodes; reached" not in "".join(_printed([True] * 50, episodes=50, terminal=True))
