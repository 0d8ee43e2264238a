"""Writing the configuration file: what was there stays, and what is written can be read."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from emasync.cli.profile_file import drop_profile, save_profile

BEFORE = """# mine
[default]
url = "https://a/"  # the lab's
username = "client1"

[other] # keep
url = "https://b/"

["with space"]
volume = 'x'
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the configuration file would be."""
    file = tmp_path / "folder" / "config.toml"
    monkeypatch.setenv("EMASYNC_CONFIG", str(file))
    return file


def test_a_value_is_changed_and_comments_and_other_profiles_stay(file: Path) -> None:
    file.parent.mkdir()
    file.write_text(BEFORE)
    save_profile("default", {"username": "client2", "volume": "pod-a"})

    changed = 'username = "client2"\nvolume = "pod-a"'
    assert file.read_text() == BEFORE.replace('username = "client1"', changed)


def test_none_takes_a_key_away_and_dropping_takes_the_profile_away(file: Path) -> None:
    file.parent.mkdir()
    file.write_text(BEFORE)
    save_profile("with space", {"volume": None, "url": "https://c/"})
    dropped = [drop_profile("other"), drop_profile("other")]

    default = {"url": "https://a/", "username": "client1"}
    assert dropped == [True, False]
    assert tomllib.loads(file.read_text()) == {"default": default, "with space": {"url": "https://c/"}}


def test_the_file_and_its_folder_are_made_for_the_user_alone(file: Path) -> None:
    assert save_profile("default", {"url": "https://a/"}) == file
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert [path.name for path in file.parent.iterdir()] == ["config.toml"]


def test_a_link_to_the_file_stays_a_link(file: Path, tmp_path: Path) -> None:
    # Sabotage: drop `.resolve()` from emasync/cli/profile_file.py.
    file.parent.mkdir()
    (tmp_path / "dotfile").write_text("")
    file.symlink_to(tmp_path / "dotfile")
    save_profile("default", {"url": "https://a/"})

    assert file.is_symlink()
    assert "https://a/" in (tmp_path / "dotfile").read_text()


@pytest.mark.parametrize(
    "text",
    ['default = { url = "x" }\n', '[default]\nnote = """\nurl = 1\n"""\n', "not toml", '[default.url]\nx = "y"\n'],
)
def test_what_cannot_be_edited_is_left_as_it_is(file: Path, text: str) -> None:
    # Sabotage: drop `written != expected` from emasync/cli/profile_file.py.
    file.parent.mkdir()
    file.write_text(text)

    with pytest.raises(ValueError, match=r"by hand|mend it"):
        save_profile("default", {"url": "https://a/"})
    assert file.read_text() == text


@settings(max_examples=50, deadline=None)
@given(name=st.text(min_size=1, max_size=8), value=st.text(min_size=1, max_size=12))
@example(name="0", value='\x85\u2028\x7f\r\n"\\')
def test_any_name_and_value_come_back_or_are_refused(
    tmp_path_factory: pytest.TempPathFactory, name: str, value: str
) -> None:
    # Sabotage: splitlines() in emasync/cli/profile_file.py (it splits at U+0085 too), or no replacement of DEL.
    file = tmp_path_factory.mktemp("config") / "config.toml"
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("EMASYNC_CONFIG", str(file))
        save_profile("zero", {"url": "0"})
        save_profile(name, {"username": value})
        save_profile(name, {"username": value, "volume": "v"})

    assert tomllib.loads(file.read_text(encoding="utf-8"))[name] | {"url": ""} == {
        "username": value,
        "volume": "v",
        "url": "",
    }
