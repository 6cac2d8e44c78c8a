"""Our choice for OpenMP is a default, and does not leak into other packages' processes."""

import pytest

from edge.openmp import as_found, spin_briefly


def test_threads_spin_briefly_by_default():
    environ = {"HOME": "/root"}
    spin_briefly(environ)
    assert environ["GOMP_SPINCOUNT"] == "10000"
    assert as_found(environ) == {"HOME": "/root"}


@pytest.mark.parametrize("chosen", [{"OMP_WAIT_POLICY": "passive"}, {"GOMP_SPINCOUNT": "7"}])
def test_what_the_user_has_chosen_stays(chosen):
    environ = dict(chosen)
    spin_briefly(environ)
    assert environ == chosen
    assert as_found(environ) == chosen


def test_a_child_of_ours_knows_that_it_was_not_the_user():
    environ: dict[str, str] = {}
    spin_briefly(environ)
    child = dict(environ)
    spin_briefly(child)
    assert as_found(child) == {}
