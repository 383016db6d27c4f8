"""Several jobs at once."""

import threading

import pytest

from her_robot.errors import LoopError
from her_robot.evaluation import side_by_side
from her_robot.evaluation.side_by_side import run_side_by_side


def test_jobs_run_at_the_same_time_on_domains_of_their_own(tmp_path):
    together = threading.Barrier(3, timeout=10)

    def work(job):
        together.wait()
        return job

    jobs = run_side_by_side(work, 3, tmp_path)
    assert [job.index for job in jobs] == [0, 1, 2]
    assert len({job.domain_id for job in jobs}) == 3
    assert [job.directory for job in jobs] == [tmp_path / f"job{index}" for index in range(3)]


def test_one_job_runs_in_the_callers_thread_and_folder(tmp_path):
    (job,) = run_side_by_side(lambda job: (job, threading.current_thread()), 1, tmp_path)
    assert job[0].directory == tmp_path
    assert job[1] is threading.current_thread()


def test_a_job_that_fails_ends_the_others(tmp_path):
    def work(job):
        if job.index == 0:
            raise LoopError("the nodes did not come up")
        while not job.cancelled.wait(0.01):
            pass
        with pytest.raises(LoopError, match="interrupted"):
            job.check()

    with pytest.raises(LoopError, match="did not come up"):
        run_side_by_side(work, 2, tmp_path)


def test_no_two_evaluations_have_the_same_domain(monkeypatch, tmp_path):
    monkeypatch.setattr(side_by_side, "_LOCKS", tmp_path)
    with side_by_side.reserved_domains(60) as first, side_by_side.reserved_domains(41) as second:
        assert len({*first, *second}) == 101
        none_left = pytest.raises(LoopError, match="2 ROS domains are needed, and 0 are free")
        with none_left, side_by_side.reserved_domains(2):
            pass
    with side_by_side.reserved_domains(101) as again:
        assert sorted(again) == list(range(1, 102))
