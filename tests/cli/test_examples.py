"""The examples run as they are, with no arguments, and do what they say."""

from __future__ import annotations

import re
import signal
from pathlib import Path

from tests.cli.child import ROOT, end, run, simulator

STRICT = ("-X", "dev", "-W", "error")
SEED_WORKFLOW = str(ROOT / "examples" / "seed_workflow.py")
WATCH_POD = str(ROOT / "examples" / "watch_pod.py")

# Section 5 of the vendor's client document, in its order; the status is asked for until the pod has ended.
TEN_CALLS = """
    POST auth/
    GET em/files/list
    POST em/files/uplink
    POST em/pod/image/build
    GET em/files/downlink
    POST em/pod/run
    GET em/pod/status
    POST em/files/delete
    POST em/files/delete
"""


def test_the_seed_workflow_runs_against_its_own_em(home: Path) -> None:
    result = run(*STRICT, SEED_WORKFLOW, home=home)

    assert (result.returncode, result.stderr) == (0, "")
    assert [line.split(":")[0] for line in result.stdout.splitlines()] == [
        "files",
        "uplinked",
        "images",
        "downlinked",
        "pod",
        "exit code",
        "downlink.txt",
        "left",
    ]
    assert "uplinked: echo-test/Dockerfile, echo-test/echo-test.sh\n" in result.stdout
    assert "downlinked: FROM alpine\n" in result.stdout
    assert "exit code: 0\n" in result.stdout
    assert result.stdout.endswith("left: <FileTree: 0 files in 0 folders, 0 bytes>\n")


def test_the_seed_workflow_makes_the_vendors_calls_in_order_and_leaves_the_volume_clean(home: Path) -> None:
    with simulator(home, "--pod-start", "0.1", "--pod-run", "0.1") as em:
        (em.volume / "precious.txt").write_text("mine\n")
        result = run(*STRICT, SEED_WORKFLOW, home=home, env=em.login)
        left = [path.name for path in em.volume.iterdir()]
        log = end(em.process, signal.SIGINT).stderr

    assert (result.returncode, result.stderr) == (0, "")
    assert left == ["precious.txt"]
    asked = [" ".join(line.split()[1:3]) for line in log.splitlines()]
    calls = [line.strip() for line in TEN_CALLS.strip().splitlines()]
    rest = iter(asked)
    assert [call for call in calls if call not in rest] == []  # each one after the one before
    assert {line.split()[0] for line in log.splitlines()} == {"200"}


def test_watch_pod_shows_a_good_end_and_two_bad_ones(home: Path) -> None:
    result = run(*STRICT, WATCH_POD, home=home)

    assert (result.returncode, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert [re.sub(r"^counter: (\w+).*", r"\1", line) for line in lines[:3]] == ["waiting", "running", "terminated"]
    assert lines[3] == "count.txt: 2"
    assert lines[4].startswith("no-such-image: the pod cannot start (ImagePullBackOff)")
    assert lines[5] == "counter: the pod ended with exit code 3 (Error)"
    assert len(lines) == 6
