"""The check of an image tar before it is sent: tag, architecture, and what to do next."""

from __future__ import annotations

from pathlib import Path

import pytest

from emasync.cli.docker_archive import check_image, full_name, read_archive
from tests.cli.image_tars import save_image


def check(file: Path, wanted: str = "echo") -> tuple[str, ...]:
    return check_image(read_archive(file), wanted=wanted, username="client1", file=file).problems


@pytest.mark.parametrize("oci", [False, True])
@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_a_tar_of_docker_save_is_read_in_both_layouts_and_compressed(tmp_path: Path, oci: bool, mode: str) -> None:
    file = save_image(tmp_path / "echo.tar", "client1-echo:latest", oci=oci, mode=mode)

    (image,) = read_archive(file)

    assert (image.tags, image.architecture, image.os) == (("client1-echo:latest",), "arm64", "linux")
    assert check(file) == ()
    assert check(file, "client1-echo:latest") == ()


def test_a_tag_without_the_users_prefix_is_a_fault_with_the_command_that_mends_it(tmp_path: Path) -> None:
    # Sabotage: compare without full_name in check_image.
    file = save_image(tmp_path / "my echo.tar", "echo:latest")

    (fault,) = check(file)

    assert fault.endswith(f"docker tag echo:latest client1-echo && docker save client1-echo -o '{file}'")


def test_an_image_without_a_tag_is_named_by_its_id(tmp_path: Path) -> None:
    file = save_image(tmp_path / "echo.tar")
    (image,) = read_archive(file)

    assert f"docker tag {image.id} client1-echo" in check(file)[0]


def test_a_tar_with_another_image_of_the_user_says_which(tmp_path: Path) -> None:
    (fault,) = check(save_image(tmp_path / "echo.tar", "client1-other:v2"))

    assert "client1-other:v2" in fault
    assert fault.endswith("--image client1-other:v2")


def test_every_fault_is_told_at_once(tmp_path: Path) -> None:
    file = save_image(tmp_path / "echo.tar", "echo:latest", architecture="amd64")

    tag, platform = check(file)

    assert "docker tag" in tag
    assert "linux/amd64" in platform
    assert "docker buildx build --platform linux/arm64" in platform


@pytest.mark.parametrize(
    ("content", "said"), [(b"", "is no tar"), (b"#!/bin/sh\n" * 99, "is no tar"), (None, "no usable manifest.json")]
)
def test_a_file_that_is_no_image_tar_is_refused(tmp_path: Path, content: bytes | None, said: str) -> None:
    file = tmp_path / "echo.tar"
    if content is None:
        save_image(file, oci=True, manifest=False)
    else:
        file.write_bytes(content)

    with pytest.raises(ValueError, match=said):
        read_archive(file)


def test_a_tar_that_is_cut_is_refused(tmp_path: Path) -> None:
    file = save_image(tmp_path / "echo.tar", "client1-echo", mode="w:gz")
    file.write_bytes(file.read_bytes()[:-40])

    with pytest.raises(ValueError, match=r"is no tar|no usable"):
        read_archive(file)


def test_the_prefix_is_put_on_once() -> None:
    names = ["echo", "client1-echo", "echo:latest", "client1-echo:latest", "docker.io/library/client1-echo:latest"]

    assert {full_name(name, username="client1") for name in names} == {"client1-echo"}
