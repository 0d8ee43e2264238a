"""The content tag, held to the one file of which both sides are published."""

from __future__ import annotations

import hashlib

import pytest

from emasync.wire.content_tag import content_tag, new_md5, tag_of_digest


# Sabotage: take the first 8 bytes, "little", or signed=False.
def test_the_published_file_has_its_published_tag() -> None:
    assert tag_of_digest(bytes.fromhex("0331450d8c126290a8c67c8e396500e1")) == -6285199279658827551


def test_the_tag_fits_64_bits_with_a_sign() -> None:
    assert tag_of_digest(bytes(8) + b"\x7f" + b"\xff" * 7) == 2**63 - 1
    assert tag_of_digest(b"\xff" * 8 + b"\x80" + bytes(7)) == -(2**63)


def test_a_running_digest_gives_the_same_tag() -> None:
    running = new_md5()
    running.update(b"down")
    running.update(b"link")
    assert tag_of_digest(running.digest()) == content_tag(b"downlink")


def test_another_digest_is_misuse() -> None:
    with pytest.raises(ValueError, match="16 bytes, not 32"):
        tag_of_digest(hashlib.sha256(b"").digest())
