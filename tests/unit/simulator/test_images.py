from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest

from emasync.simulator.images import ImageError, ImageRegistry
from emasync.simulator.volume import VolumeDirectory


@pytest.fixture
def volume(tmp_path: Path) -> VolumeDirectory:
    volume = VolumeDirectory(tmp_path / "volume")
    (volume.root / "ctx" / "src").mkdir(parents=True)
    (volume.root / "ctx" / "run.sh").write_text("echo\n")
    (volume.root / "ctx" / "src" / "a.py").touch()
    return volume


def build(volume: VolumeDirectory, dockerfile: str, image: str = "echo-test") -> str:
    (volume.root / "ctx" / "Dockerfile").write_text(dockerfile)
    return ImageRegistry("client1").build(volume, image, dockerfile="./ctx/Dockerfile", context="./ctx")


def save(volume: VolumeDirectory, manifest: object, *, name: str = "manifest.json") -> str:
    data = json.dumps(manifest).encode()
    with tarfile.open(volume.root / "image.tar", "w") as tar:
        info = tarfile.TarInfo(name)
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))
    return "image.tar"


@pytest.mark.parametrize(
    "dockerfile",
    [
        "FROM alpine\nCOPY run.sh /run.sh\n",
        "# comment\nARG X=1\nfrom alpine AS one\nCOPY ./src/ run.sh /app/\nCOPY --from=one /x /y\n",
        "FROM alpine\nCOPY . /app\nADD http://host/x /x\nCOPY $X /y\n",
        'FROM alpine\nCOPY ["run.sh", "src/a.py", "/app/"]\n',
        "FROM alpine\nCOPY --chown=1:1 src/*.py \\\n  # why\n  run.sh /app/\n",
    ],
)
def test_a_dockerfile_that_fits_its_context_builds(volume: VolumeDirectory, dockerfile: str) -> None:
    assert build(volume, dockerfile) == "client1-echo-test"


@pytest.mark.parametrize(
    ("dockerfile", "complaint"),
    [
        ("RUN x\n", "no FROM"),
        ("", "no FROM"),
        ("FROM alpine\nCOPY nope.sh /\n", "nope.sh is not in the context"),
        ("FROM alpine\nADD ../secret /\n", "../secret is not in the context"),
        ("FROM alpine\nCOPY run.sh src/*.c /\n", "not in the context"),
    ],
)
def test_a_dockerfile_that_does_not_fit_says_why(volume: VolumeDirectory, dockerfile: str, complaint: str) -> None:
    with pytest.raises(ImageError, match=complaint) as failed:
        build(volume, dockerfile)
    assert failed.value.log_tail
    assert all(line.endswith("\n") for line in failed.value.log_tail)


def test_a_long_log_keeps_its_last_hundred_lines(volume: VolumeDirectory) -> None:
    with pytest.raises(ImageError) as failed:
        build(volume, "FROM alpine\n" + "RUN true\n" * 300 + "COPY nope /\n")
    assert len(failed.value.log_tail) == 100
    assert "nope" in failed.value.log_tail[-1]


@pytest.mark.parametrize("image", ["Echo", "-x", "a b", "../x", ""])
def test_a_name_that_docker_refuses_does_not_build(volume: VolumeDirectory, image: str) -> None:
    with pytest.raises(ImageError, match="invalid image name"):
        build(volume, "FROM alpine\n", image)


@pytest.mark.parametrize(("dockerfile", "context"), [("nope", "ctx"), ("../x", "ctx"), ("ctx/run.sh", "nope")])
def test_missing_paths_do_not_build(volume: VolumeDirectory, dockerfile: str, context: str) -> None:
    with pytest.raises(ImageError, match="not found"):
        ImageRegistry("client1").build(volume, "x", dockerfile=dockerfile, context=context)


def test_the_prefix_is_put_before_a_name_once() -> None:
    images = ImageRegistry("client1")
    assert images.add("echo") == images.add("client1-echo") == "client1-echo"
    assert images.find("echo") == images.find("client1-echo:latest") == "client1-echo"
    assert images.find("client2-echo") is None
    assert dict(images) == {"client1-echo": 0}


def test_a_tar_with_the_users_tag_loads_and_can_be_found(volume: VolumeDirectory) -> None:
    images = ImageRegistry("client1")
    tar = save(volume, [{"RepoTags": ["other:1", "client1-echo:latest"]}])
    assert images.load(volume, "client1-echo", tar=tar) == "client1-echo"
    assert images.find("echo") == "client1-echo"


def test_a_tar_without_the_users_tag_loads_and_is_never_found(volume: VolumeDirectory) -> None:
    images = ImageRegistry("client1")
    assert images.load(volume, "echo", tar=save(volume, [{"RepoTags": ["echo:latest"]}])) is None
    assert images.load(volume, "echo", tar=save(volume, [{"RepoTags": None}])) is None
    assert images.find("echo") is None
    assert list(images) == []


def test_a_tar_that_holds_no_such_image_does_not_load(volume: VolumeDirectory) -> None:
    images = ImageRegistry("client1")
    with pytest.raises(ImageError, match="does not hold"):
        images.load(volume, "echo", tar=save(volume, [{"RepoTags": ["client1-other"]}]))
    for wrong in ({"x": 1}, ["x"], 3):
        with pytest.raises(ImageError, match="manifest"):
            images.load(volume, "echo", tar=save(volume, wrong))
    with pytest.raises(ImageError, match="manifest"):
        images.load(volume, "echo", tar=save(volume, [], name="index.json"))
    for junk in (b"", b"junk" * 1000, (volume.root / "image.tar").read_bytes()[:300]):
        (volume.root / "junk.tar").write_bytes(junk)
        with pytest.raises(ImageError, match="not an image tar"):
            images.load(volume, "echo", tar="junk.tar")
    with pytest.raises(ImageError, match="not found"):
        images.load(volume, "echo", tar="../x.tar")
