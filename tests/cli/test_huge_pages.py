"""The program starts itself anew with huge pages: once, and where that is of use."""

import os
import subprocess
import sys

import pytest

from jdeconv.cli import huge_pages
from jdeconv.cli.main import main

OFFER = "always [madvise] never\n"


@pytest.fixture
def started(monkeypatch, tmp_path):
    """The argument lists that `os.execv` was called with, where the kernel offers."""
    calls = []
    monkeypatch.setattr(os, "execv", lambda path, argv: calls.append(argv))
    monkeypatch.setattr(huge_pages, "_KERNEL", tmp_path / "enabled")
    huge_pages._KERNEL.write_text(OFFER)
    monkeypatch.setenv(huge_pages.VARIABLE, "to be taken back")
    monkeypatch.delenv(huge_pages.VARIABLE)
    monkeypatch.setattr(sys, "orig_argv", ["python", "-m", "jdeconv", "train", "-h"])
    monkeypatch.setattr(sys, "argv", ["jdeconv", "train", "-h"])
    return calls


def test_program_starts_anew_once(started, capsys):
    assert main() == 0
    assert started == [[sys.executable, "-m", "jdeconv", "train", "-h"]]
    assert os.environ[huge_pages.VARIABLE] == "glibc.malloc.hugetlb=1"
    assert main() == 0  # as in the new process
    assert len(started) == 1
    assert "usage: jdeconv train" in capsys.readouterr().out


def test_call_of_the_function_does_not(started, capsys):
    assert main(["train", "-h"]) == 0
    assert not started


@pytest.mark.parametrize("offer", ["[always] madvise never", "always madvise [never]"])
def test_kernel_that_does_not_ask_is_left_alone(started, offer):
    huge_pages._KERNEL.write_text(offer)
    huge_pages.ensure()
    huge_pages._KERNEL.unlink()  # not Linux
    huge_pages.ensure()
    assert not started and huge_pages.VARIABLE not in os.environ


def test_choice_of_the_user_stays(started, monkeypatch):
    monkeypatch.setenv(huge_pages.VARIABLE, "")
    huge_pages.ensure()
    assert not started and os.environ[huge_pages.VARIABLE] == ""


@pytest.mark.skipif(
    "[madvise]" not in huge_pages._offered(), reason="this kernel offers no huge pages"
)
def test_process_that_goes_on_has_the_setting():
    code = (
        "from jdeconv.cli import huge_pages; huge_pages.ensure(); "
        'import os; print(os.getpid(), os.environ["GLIBC_TUNABLES"])'
    )
    environment = {k: x for k, x in os.environ.items() if k != huge_pages.VARIABLE}
    for given, read in ({}, "glibc.malloc.hugetlb=1"), ({huge_pages.VARIABLE: ""}, ""):
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            env=environment | given,
            stdout=subprocess.PIPE,
            text=True,
        )
        printed, _ = process.communicate()
        assert printed.rstrip() == f"{process.pid} {read}".rstrip()
        assert process.returncode == 0
