"""Log-in data from environment and profile, and settings that show no secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from emasync.config import Login, Settings, login_from_env, profile_file

PROFILES = """
[default]
url = "http://default/"
username = "d"
password = "profile-password"

[space]
url = "http://space/"
username = "s"
password_file = "{file}"
volume = "pod-a"
"""


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """An environment that knows nothing but where the profiles are."""
    (tmp_path / "secret").write_text("file-password\n")
    config = tmp_path / "config.toml"
    config.write_text(PROFILES.format(file=tmp_path / "secret"))
    return {"EMASYNC_CONFIG": str(config)}


def test_the_environment_alone_is_enough(tmp_path: Path) -> None:
    env = {"EMASYNC_URL": "http://e/", "EMASYNC_USERNAME": "u", "EMASYNC_PASSWORD": "p"}
    env["EMASYNC_CONFIG"] = str(tmp_path / "missing.toml")
    assert login_from_env(env=env) == Login(url="http://e/", username="u", password="p")


def test_the_default_profile_is_used_without_asking(env: dict[str, str]) -> None:
    login = login_from_env(env=env)
    assert (login.url, login.username, login.password, login.volume) == (
        "http://default/",
        "d",
        "profile-password",
        None,
    )


def test_a_profile_is_chosen_by_argument_before_environment(env: dict[str, str]) -> None:
    assert login_from_env("space", env=env).volume == "pod-a"
    assert login_from_env(env=env | {"EMASYNC_PROFILE": "space"}).username == "s"
    assert login_from_env("default", env=env | {"EMASYNC_PROFILE": "space"}).username == "d"


def test_a_password_file_gives_its_content_without_the_line_end(env: dict[str, str]) -> None:
    assert login_from_env("space", env=env).password == "file-password"


def test_each_value_of_the_environment_goes_before_the_profile(env: dict[str, str]) -> None:
    login = login_from_env("space", env=env | {"EMASYNC_URL": "http://other/", "EMASYNC_VOLUME": "v"})
    assert (login.url, login.username, login.volume) == ("http://other/", "s", "v")
    assert login_from_env("space", env=env | {"EMASYNC_PASSWORD": "mine"}).password == "mine"


def test_a_password_file_of_the_environment_goes_before_a_password_of_the_profile(
    env: dict[str, str], tmp_path: Path
) -> None:
    # Sabotage: look for a password in both places before any password file.
    assert login_from_env(env=env | {"EMASYNC_PASSWORD_FILE": str(tmp_path / "secret")}).password == "file-password"


def test_an_empty_variable_is_as_good_as_none(env: dict[str, str]) -> None:
    assert login_from_env(env=env | {"EMASYNC_URL": "", "EMASYNC_PASSWORD": ""}).url == "http://default/"


def test_every_missing_value_is_named_with_its_variable_and_the_file(tmp_path: Path) -> None:
    file = tmp_path / "none.toml"
    with pytest.raises(ValueError) as caught:
        login_from_env(env={"EMASYNC_CONFIG": str(file), "EMASYNC_URL": "http://e/"})
    message = str(caught.value)
    assert "EMASYNC_USERNAME" in message
    assert "EMASYNC_PASSWORD" in message
    assert "EMASYNC_URL" not in message
    assert str(file) in message


@pytest.mark.parametrize("how", ["argument", "environment"])
def test_an_unknown_profile_is_a_lookup_error_that_lists_the_known_ones(env: dict[str, str], how: str) -> None:
    name = "moon" if how == "argument" else None
    with pytest.raises(LookupError, match=r"'moon'.*default, space"):
        login_from_env(name, env=env | {"EMASYNC_PROFILE": "moon"})


def test_a_broken_profile_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text("[default\npassword = 'canary'")
    with pytest.raises(ValueError, match=r"config\.toml is not valid TOML") as caught:
        login_from_env(env={"EMASYNC_CONFIG": str(file)})
    assert "canary" not in str(caught.value)


def test_without_a_variable_the_profiles_lie_in_the_users_configuration_folder() -> None:
    assert profile_file({}).name == "config.toml"
    assert "emasync" in profile_file({}).parts


def test_no_repr_shows_the_password(env: dict[str, str]) -> None:
    # Sabotage: drop repr=False.
    assert "canary" not in repr(Login(url="http://e/", username="u", password="canary"))
    assert "password" not in repr(Settings())


def test_settings_refuse_no_workers() -> None:
    with pytest.raises(ValueError, match="at least 1, not 0"):
        Settings(workers=0)


# Sabotage: change any of these defaults, which are promises: `long_answer_s = 60.0` cuts off every large uplink.
def test_the_defaults_are_the_patience_and_the_bounds_that_are_promised() -> None:
    settings = Settings(state_dir=None)
    times = settings.timeouts
    assert (times.connect_s, times.stall_s, times.answer_s, times.long_answer_s) == (10.0, 60.0, 60.0, 7200.0)
    assert (times.low_speed_bytes_s, times.low_speed_window_s) == (1024.0, 30.0)
    retry = settings.retry
    assert (retry.base_s, retry.cap_s, retry.retry_after_cap_s, retry.busy_timeout_s) == (0.5, 30.0, 300.0, 1800.0)
    limits = settings.limits
    assert (limits.error_reply, limits.overrun, limits.uplink_files) == (64 * 1024, 64 * 1024, 100)
    assert settings.durable
