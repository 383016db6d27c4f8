"""JUnit XML, parsed back."""

from xml.etree import ElementTree

from her_robot.evaluation.junit import write_junit


def _suite(path, evaluation):
    write_junit(path, [evaluation])
    (suite,) = ElementTree.parse(path).getroot().findall("testsuite")
    return suite, {case.get("name"): case for case in suite.iter("testcase")}


def _counts(suite):
    return tuple(int(suite.get(name)) for name in ("tests", "failures", "errors", "skipped"))


def test_without_a_rate_every_missed_episode_fails(tmp_path, make_evaluation):
    suite, cases = _suite(tmp_path / "a.xml", make_evaluation([True, False, True]))
    assert suite.get("name") == "her_robot.fetch_push.ros.fetch"
    assert _counts(suite) == (4, 1, 0, 0)
    assert list(cases) == ["seed 1000000", "seed 1000001", "seed 1000002", "success rate"]
    message = cases["seed 1000001"].find("failure").get("message")
    # What XML cannot hold is left out, what it must escape comes back.
    assert message == "121 mm from the goal at the last step; goal <lost>[0m & found"
    assert cases["seed 1000000"].get("time") == "2.000"
    assert cases["success rate"].find("system-out").text == "2 of 3 episodes; interval 0.208 to 0.939"
    assert suite.find("properties/property[@name='simulated_robot']").get("value") == "fetch"


def test_a_rate_alone_decides(tmp_path, make_evaluation):
    above, cases = _suite(tmp_path / "a.xml", make_evaluation([False] + [True] * 60, at_least=0.8))
    assert _counts(above) == (62, 0, 0, 1)
    assert cases["seed 1000000"].find("skipped") is not None
    below, cases = _suite(tmp_path / "b.xml", make_evaluation([False] * 10, at_least=0.8))
    assert _counts(below) == (11, 1, 0, 10)
    assert "clearly below 0.8" in cases["success rate"].find("failure").get("message")
    undecided, cases = _suite(tmp_path / "c.xml", make_evaluation([True] * 3, at_least=0.8))
    assert _counts(undecided) == (4, 1, 0, 0)
    assert "not shown to be above 0.8" in cases["success rate"].find("failure").get("message")


def test_a_loop_that_broke_is_an_error(tmp_path, make_evaluation):
    suite, cases = _suite(tmp_path / "a.xml", make_evaluation([True], failure="policy_node ended\x00 with <9>"))
    assert _counts(suite) == (3, 0, 1, 0)
    assert cases["loop"].find("error").text == "policy_node ended with <9>"
