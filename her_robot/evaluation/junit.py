"""An evaluation as JUnit XML, which Jenkins, GitLab, GitHub and Azure show as test results."""

import re
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from her_robot.configuration import write_atomically
from her_robot.contract import contract_of
from her_robot.evaluation.distance import written
from her_robot.evaluation.episodes import Episode, Evaluation
from her_robot.evaluation.sequential import Verdict

_NOT_IN_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 does not have, such as the escapes that colour a log."""


def write_junit(path: Path, evaluations: Sequence[Evaluation]) -> None:
    """Write a suite for each evaluation: a case for each episode, and one for the success rate.

    Where a rate was asked about (`at_least`), it alone decides: its case fails unless the rate is shown to be above,
    and a missed episode is a skipped case that says by how much. Where none was, every missed episode is a failed case.
    """
    suites = Element("testsuites", name="her_robot")
    for evaluation in evaluations:
        suites.append(_suite(evaluation))
    ElementTree.indent(suites)
    write_atomically(path, ElementTree.tostring(suites, encoding="utf-8", xml_declaration=True) + b"\n")


def _suite(evaluation: Evaluation) -> Element:
    robot = Path(str(evaluation.extra.get("simulated_robot", ""))).stem
    name = ".".join(filter(None, ("her_robot", evaluation.task, evaluation.loop, robot)))
    suite = Element("testsuite", name=name)
    properties = SubElement(suite, "properties")
    for key in ("policy", "simulated_robot", "environment", "mode"):
        value = evaluation.policy if key == "policy" else evaluation.extra.get(key)
        if value is not None:
            SubElement(properties, "property", name=key, value=_text(str(value)))
    for episode in evaluation.episodes:
        suite.append(_episode_case(evaluation, episode, name))
    suite.append(_rate_case(evaluation, name))
    if evaluation.extra.get("failure"):
        case = SubElement(suite, "testcase", classname=name, name="loop", time="0")
        SubElement(case, "error", message="the loop broke").text = _text(str(evaluation.extra["failure"]))
    suite.set("tests", str(len(suite.findall("testcase"))))
    suite.set("time", f"{sum(float(case.get('time', 0)) for case in suite.iter('testcase')):.3f}")
    for attribute, element in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(attribute, str(len(list(suite.iter(element)))))
    return suite


def _episode_case(evaluation: Evaluation, episode: Episode, name: str) -> Element:
    contract = contract_of(evaluation.task)
    duration = contract.control_period * len(episode.distances)
    case = Element("testcase", classname=name, name=f"seed {episode.seed}", time=f"{duration:.3f}")
    if not episode.success:
        kind = "failure" if evaluation.at_least is None else "skipped"
        message = f"{written(episode.final_distance, contract, 0)} from the goal at the last step"
        SubElement(case, kind, message=_text("; ".join(filter(None, (message, episode.note)))))
    return case


def _rate_case(evaluation: Evaluation, name: str) -> Element:
    summary, answer = evaluation.summary(), evaluation.verdict()
    case = Element("testcase", classname=name, name="success rate", time="0")
    low, high = summary.get("success_interval_anytime", summary["success_ci95"])
    text = f"{summary['successes']} of {summary['episodes']} episodes; interval {low:.3f} to {high:.3f}"
    if answer in (Verdict.BELOW, Verdict.UNDECIDED):
        found = "clearly below" if answer is Verdict.BELOW else "not shown to be above"
        SubElement(case, "failure", message=f"success rate {found} {evaluation.at_least:g}: {text}")
    SubElement(case, "system-out").text = text
    return case


def _text(value: str) -> str:
    return _NOT_IN_XML.sub("", value)
