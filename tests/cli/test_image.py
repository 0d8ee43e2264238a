"""``emasync image``: build, load, push and ls, and what is refused before anything is sent."""

from __future__ import annotations

import json
import subprocess
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from anyio import to_thread

from emasync.simulator import Fault, Simulator
from tests.cli.child import CANARY, EM, EMASYNC, login, run
from tests.cli.image_tars import save_image


def image(em: EM, home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    result = run(*EMASYNC, "image", *arguments, home=home, env=em.login)
    assert CANARY not in result.stdout + result.stderr
    return result


def lines(result: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def context(home: Path, dockerfile: str = "FROM alpine\nCOPY job.sh /job.sh\n") -> Path:
    folder = home / "job"
    folder.mkdir()
    (folder / "Dockerfile").write_text(dockerfile)
    (folder / "job.sh").write_text("#!/bin/sh\n")
    return folder


def test_a_folder_is_checked_sent_and_built_and_the_image_is_listed(em: EM, home: Path) -> None:
    # Sabotage: send the context without `exclude` in image_build.
    folder = context(home)
    (folder / "junk").mkdir()
    (folder / "junk" / "big.bin").write_bytes(b"x" * 5000)
    (folder / ".dockerignore").write_text("junk\n")

    built = image(em, home, "build", "built-here", "--context", "job", "--remote", "ctx/built here")
    listed = image(em, home, "ls", "--json")

    assert (built.returncode, built.stdout) == (0, "built built-here\n"), built.stderr
    assert "FROM alpine: the EM builds without a network" in built.stderr
    there = em.volume / "ctx" / "built here"
    assert sorted(path.name for path in there.iterdir()) == [".dockerignore", "Dockerfile", "job.sh"]
    assert listed.returncode == 0
    assert {"type": "image", "schema": 1, "name": "client1-built-here"} in lines(listed)
    assert lines(listed)[-1] == {"type": "exit", "schema": 1, "code": 0, "reason": "done"}


def test_a_context_that_cannot_build_is_exit_2_and_nothing_is_sent(em: EM, home: Path) -> None:
    # Sabotage: go on in spite of faults in image_build.
    context(home, "FROM alpine\nCOPY gone.sh /\nADD https://example.com/x /x\n")

    result = image(em, home, "build", "never", "--context", "job", "--remote", "never")
    without = image(em, home, "build", "never", "--context", "job", "--dockerfile", "Other")

    assert (result.returncode, result.stdout) == (2, "")
    assert "line 2: COPY gone.sh: no such file in the context" in result.stderr
    assert "line 3: ADD https://example.com/x: the EM builds without a network" in result.stderr
    assert not (em.volume / "never").exists()
    assert (without.returncode, without.stdout) == (2, "")
    assert "no Other in job" in without.stderr


def test_a_build_that_the_em_refuses_is_exit_20_with_its_log(em: EM, home: Path) -> None:
    there = em.volume / "remote-job"
    there.mkdir()
    (there / "Dockerfile").write_text("FROM alpine\nCOPY missing.txt /\n")

    result = image(em, home, "build", "bad", "--context", "remote-job", "--no-uplink", "--json")

    assert result.returncode == 20
    assert "missing.txt: file does not exist" in result.stderr
    log, end = lines(result)
    assert log["type"] == "build_log"
    assert "Step 2/2 : COPY missing.txt /" in "".join(log["lines"])
    assert (end["type"], end["code"]) == ("exit", 20)


def test_a_tar_with_the_right_tag_is_pushed_loaded_and_removed(em: EM, home: Path) -> None:
    save_image(home / "right.tar", "client1-right:latest", oci=True)

    result = image(em, home, "push", "right.tar", "--image", "right", "--to", "tars", "--rm-tar")

    assert (result.returncode, result.stdout) == (0, "pushed client1-right\n"), result.stderr
    assert list((em.volume / "tars").glob("*")) == []
    assert "client1-right" in image(em, home, "ls").stdout.splitlines()


@pytest.mark.parametrize(
    ("tag", "architecture", "said"),
    [
        ("echo:latest", "arm64", "docker tag echo:latest client1-echo && docker save client1-echo -o echo.tar"),
        ("client1-echo", "amd64", "docker buildx build --platform linux/arm64 --load -t client1-echo ."),
        ("client1-other", "arm64", "emasync image push echo.tar --image client1-other"),
    ],
)
def test_a_tar_the_em_could_not_run_is_exit_2_with_the_next_command_and_is_not_sent(
    em: EM, home: Path, tag: str, architecture: str, said: str
) -> None:
    # Sabotage: return no faults from image_tar.check_image.
    save_image(home / "echo.tar", tag, architecture=architecture)

    result = image(em, home, "push", "echo.tar", "--image", "echo")

    assert (result.returncode, result.stdout) == (2, "")
    assert said in result.stderr
    assert not (em.volume / "echo.tar").exists()


def test_a_tar_over_the_uplink_limit_is_exit_8_and_is_not_sent(em: EM, home: Path) -> None:
    with save_image(home / "huge.tar", "client1-huge").open("r+b") as file:
        file.truncate(500_000_001)  # sparse

    result = image(em, home, "push", "huge.tar", "--image", "huge", "--json")

    assert result.returncode == 8
    assert "one uplink call takes 500000000" in result.stderr
    assert lines(result)[-1]["code"] == 8
    assert not (em.volume / "huge.tar").exists()


def test_force_sends_it_and_a_tar_that_loads_without_becoming_an_image_is_exit_20(em: EM, home: Path) -> None:
    # Sabotage: do not list the images after the load in load_and_look.
    save_image(home / "plain.tar", "plain:latest")

    result = image(em, home, "push", "plain.tar", "--image", "plain", "--force")
    gone = image(em, home, "load", "nowhere.tar", "--image", "plain")

    assert (result.returncode, result.stdout) == (20, "")
    assert "warning: the tar's tag is plain" in result.stderr
    assert "client1-plain is not among your images" in result.stderr
    assert "emasync image load plain.tar --image client1-plain" in result.stderr
    assert (em.volume / "plain.tar").exists()
    assert (gone.returncode, gone.stdout) == (20, "")


def test_a_tar_in_the_volume_is_loaded(em: EM, home: Path) -> None:
    save_image(em.volume / "there.tar", "client1-there:latest")

    result = image(em, home, "load", "there.tar", "--image", "there", "--json")

    assert result.returncode == 0, result.stderr
    first, end = lines(result)
    assert (first["type"], first["image"], first["tar"]) == ("loaded", "there", "there.tar")
    assert (end["type"], end["code"]) == ("exit", 0)


async def test_a_build_whose_answer_is_lost_is_exit_12_and_is_not_asked_for_twice(home: Path) -> None:
    lost = Fault(kind="commit_then_drop", endpoint="em/pod/image/build")
    async with Simulator(users={"client1": CANARY}, faults=[lost]) as sim:
        context(home)
        ask = partial(run, *EMASYNC, "image", "build", "lost", "--context", "job", home=home, env=login(sim.url))

        result = await to_thread.run_sync(ask)

        assert (result.returncode, result.stdout) == (12, "")
        assert [request.path for request in sim.requests].count("em/pod/image/build") == 1
