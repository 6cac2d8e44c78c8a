"""Our choice for OpenMP is a default, and does not leak into other packages' processes."""

from edge.openmp import as_found, wait_asleep


def test_threads_wait_asleep_by_default():
    environ = {"HOME": "/root"}
    wait_asleep(environ)
    assert environ["OMP_WAIT_POLICY"] == "passive"
    assert as_found(environ) == {"HOME": "/root"}


def test_what_the_user_has_chosen_stays():
    environ = {"OMP_WAIT_POLICY": "active"}
    wait_asleep(environ)
    assert environ == {"OMP_WAIT_POLICY": "active"}
    assert as_found(environ) == environ


def test_a_child_of_ours_knows_that_it_was_not_the_user():
    environ: dict[str, str] = {}
    wait_asleep(environ)
    child = dict(environ)
    wait_asleep(child)
    assert as_found(child) == {}
