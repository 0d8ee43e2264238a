from collections.abc import AsyncGenerator, Generator
from pathlib import Path
from types import coroutine

from benchmarks.modules_per_task import Place, await_chain, find_places, writes_to_disk


def test_every_way_to_name_an_option_is_found(tmp_path: Path) -> None:
    (tmp_path / "part").mkdir()
    (tmp_path / "part" / "one.py").write_text(
        "class Options:\n    verify: str\n\ndef run(verify, other):\n    go(verify=other.verify)\n    verify = 1\n"
    )
    assert find_places(tmp_path, ("verify",)) == [
        Place(module="part.one", line=2, kind="variable"),
        Place(module="part.one", line=4, kind="parameter"),
        Place(module="part.one", line=5, kind="attribute"),
        Place(module="part.one", line=5, kind="keyword"),
        Place(module="part.one", line=6, kind="variable"),
    ]


def test_the_await_chain_goes_through_coroutines_and_asynchronous_generators() -> None:
    @coroutine
    def pause() -> Generator[None, None, None]:
        yield

    async def steps() -> AsyncGenerator[int, None]:
        await pause()
        yield 1

    async def outer() -> None:
        async for _ in steps():
            pass

    waiting = outer()
    waiting.send(None)
    assert [name.rpartition(".")[2] for name in await_chain(waiting)] == ["outer", "steps", "pause"]
    waiting.close()


def test_writing_to_a_file_is_told_from_other_c_functions(tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb", buffering=0) as file:
        assert writes_to_disk(file.write)
    assert not writes_to_disk(len)
