"""Uplink plans: which files go up together, in the fewest requests that take the EM's lock.

Groups by folder (a request has one `dest_path`, and the server keeps base names only), packs under the limits of bytes
and count, and rejects what could not arrive. Pure: no I/O, no event loop.
"""

from __future__ import annotations

import heapq
from array import array
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from emasync.config import Limits
from emasync.disk.safe_paths import case_fold_key
from emasync.errors import EMError, TooLargeError, UnsafePathError
from emasync.model import RemotePath, safe
from emasync.transfer.planning.found_files import FoundFiles, FoundItems
from emasync.transfer.planning.plan import (
    Hashes,
    LocalFile,
    RejectedFile,
    UplinkCall,
    UplinkItem,
    UplinkPlan,
    folders_above,
)
from emasync.wire.multipart import name_problem, part_overhead

_FIELDS = 1024  # bytes of a call's form fields, at most
_TRIES = 3  # numbers of bins, from the lower bound up, that are tried evenly filled before first-fit has its say


def plan_uplink(  # noqa: PLR0913 - the limits of a request, which tests vary one by one
    found: Iterable[LocalFile],
    *,
    dest: str = "",
    refused: Iterable[RejectedFile] = (),
    notes: Iterable[str] = (),
    limits: Limits | None = None,
    target_bytes: int | None = None,
) -> UplinkPlan:
    """The calls that bring `found` to the folder `dest`, largest first; `refused` and `notes` of the scan are kept.

    A call stays within ``limits.uplink_call`` bytes on the wire, the heads of its parts and the form fields counted,
    and ``limits.uplink_files`` files. A file that fits only without its overhead goes alone.
    `target_bytes` is the size a call should have, so that none holds the lock for hours and a lost answer costs
    little: bigger folders are spread over more calls of about that size (at most half as much again, files that are
    bigger by themselves apart); folders below it stay whole.

    Refused: files above the limit, names that would not arrive as they are, different files for one target (all of
    them: nobody can say which was meant), and a file where another one needs a folder. ValueError for senseless limits.
    """
    bounds = limits or Limits()
    if min(bounds.uplink_call, bounds.uplink_files) < 1 or (target_bytes is not None and target_bytes < 1):
        raise ValueError("the limits of an uplink call must be at least 1")
    root = RemotePath(dest)
    planned = FoundItems(found if isinstance(found, FoundFiles) else FoundFiles(found), dest=root)
    rejected = [RejectedFile(remote=root / file.remote, local=file.local, error=file.error) for file in refused]
    items = planned.chosen(_arriving(planned, rejected, max_bytes=bounds.uplink_call))
    items = items.chosen(_one_per_target(items, rejected))
    items = items.chosen(_beside_folders(items, rejected))
    calls = _packed(items, bounds, target_bytes=target_bytes)
    return UplinkPlan(calls=calls, refused=tuple(rejected), notes=(*notes, *_case_notes(items)))


def pack_again(items: Iterable[UplinkItem], *, limits: Limits) -> tuple[UplinkCall, ...]:
    """Calls for `items` of a plan, which were in others before; they passed its checks then."""
    return _packed(_GivenItems(items), limits, target_bytes=limits.uplink_target)


class _Items(Protocol):
    """Items to pack, by position: found files (`FoundItems`), or items of a plan (`_GivenItems`)."""

    def __len__(self) -> int: ...
    def remote(self, position: int) -> str: ...
    def size(self, position: int) -> int: ...
    def chosen(self, positions: Iterable[int]) -> Sequence[UplinkItem]: ...


class _GivenItems:
    """Items of a plan, unpacked."""

    def __init__(self, items: Iterable[UplinkItem]) -> None:
        self._items = tuple(items)

    def __len__(self) -> int:
        return len(self._items)

    def remote(self, position: int) -> str:
        return self._items[position].remote

    def size(self, position: int) -> int:
        return self._items[position].fingerprint.size

    def chosen(self, positions: Iterable[int]) -> tuple[UplinkItem, ...]:
        return tuple(self._items[position] for position in positions)


def _packed(items: _Items, limits: Limits, *, target_bytes: int | None) -> tuple[UplinkCall, ...]:
    calls: list[UplinkCall] = []
    for folder, members in _by_folder(items).items():
        weights = [items.size(at) + part_overhead(items.remote(at).rpartition("/")[2]) for at in members]
        room = max(limits.uplink_call - _FIELDS, 1)
        about = calls_for_target(weights, target_bytes) if target_bytes is not None else 1
        for indexes in pack(weights, max_weight=room, max_count=limits.uplink_files, at_least=about):
            size = _FIELDS + sum(weights[index] for index in indexes)
            packed = items.chosen(members[index] for index in indexes)
            calls.append(UplinkCall(dest=RemotePath(folder), items=packed, wire_bytes=size))
    calls.sort(key=lambda call: (-call.wire_bytes, call.items[0].remote))
    return tuple(calls)


def _by_folder(items: _Items) -> dict[str, array[int]]:
    """The positions of the items of each folder, largest first."""
    order = sorted(range(len(items)), key=items.remote)
    order.sort(key=lambda at: -items.size(at))
    folders: dict[str, array[int]] = {}
    for at in order:
        folders.setdefault(items.remote(at).rpartition("/")[0], array("I")).append(at)
    return folders


def calls_for_target(weights: Iterable[int], target: int) -> int:
    """How many calls of about `target` bytes a folder is worth; a file above the target counts as one call."""
    return max(1, round(sum(min(weight, target) for weight in weights) / target))


def pack(weights: Sequence[int], *, max_weight: int, max_count: int, at_least: int = 1) -> list[list[int]]:
    """Indexes of `weights` in few bins of at most `max_weight` and `max_count`; each index once, heaviest first.

    The lower bound on the number of bins (by weight and by count) is met whenever an even spread fits in so many;
    else it is never more than first-fit-decreasing needs. A weight above `max_weight` gets a bin of its own.
    `at_least` asks for more bins than needed (never for more than there are weights). O(n log n).
    """
    order = sorted(range(len(weights)), key=lambda index: (-weights[index], index))
    alone = [[index] for index in order if weights[index] > max_weight]
    rest = order[len(alone) :]
    if not rest:
        return alone
    total = sum(weights[index] for index in rest)
    fewest = max(-(-len(rest) // max_count), -(-total // max_weight), min(at_least, len(order)) - len(alone), 1)
    best: list[list[int]] | None = None
    for bins in range(fewest, fewest + _TRIES):
        if best := _even(rest, weights, bins=bins, max_weight=max_weight, max_count=max_count):
            break
    if best is None or len(best) > fewest:
        fitted = _first_fit(rest, weights, max_weight=max_weight, max_count=max_count)
        best = fitted if best is None or len(fitted) < len(best) else best
    return alone + best


def _even(
    order: Sequence[int], weights: Sequence[int], *, bins: int, max_weight: int, max_count: int
) -> list[list[int]] | None:
    """Each item into the lightest bin that is not full by count; None when that does not fit into `bins`."""
    packed: list[list[int]] = [[] for _ in range(bins)]
    lightest = [(0, number) for number in range(bins)]
    for index in order:
        if not lightest or lightest[0][0] + weights[index] > max_weight:
            return None
        load, number = lightest[0]
        packed[number].append(index)
        if len(packed[number]) == max_count:
            heapq.heappop(lightest)
        else:
            heapq.heapreplace(lightest, (load + weights[index], number))
    return [members for members in packed if members]


def _first_fit(order: Sequence[int], weights: Sequence[int], *, max_weight: int, max_count: int) -> list[list[int]]:
    """First-fit over bins that are the leaves of a tree; a node holds the most room below it, -1 for a full count."""
    leaves = 1 << (len(order) - 1).bit_length()
    room = [max_weight] * (2 * leaves)
    packed: list[list[int]] = []
    for index in order:
        node = 1
        while node < leaves:
            node *= 2
            if room[node] < weights[index]:
                node += 1  # not on the left, so on the right: the root always has room, a bin is left for each item
        number = node - leaves
        if number == len(packed):
            packed.append([])
        packed[number].append(index)
        room[node] = -1 if len(packed[number]) == max_count else room[node] - weights[index]
        while node := node // 2:
            room[node] = max(room[2 * node], room[2 * node + 1])
    return packed


def _reject(item: UplinkItem, error: EMError) -> RejectedFile:
    return RejectedFile(remote=item.remote, local=item.local, error=error)


def _arriving(items: FoundItems, rejected: list[RejectedFile], *, max_bytes: int) -> Iterator[int]:
    """The positions of the items that fit one request and whose names arrive as they are; the others are rejected."""
    folders: dict[str, str | None] = {}
    for at in range(len(items)):
        remote, size = items.remote(at), items.size(at)
        folder, _, name = remote.rpartition("/")
        if folder not in folders:
            folders[folder] = _folder_problem(folder)
        if problem := name_problem(name) or folders[folder]:
            text = f"{safe(remote)} cannot be sent: {problem}; rename it"
            rejected.append(_reject(items[at], UnsafePathError(text, name=remote, reason=problem)))
        elif size > max_bytes:
            text = f"{safe(remote)} has {size:,} bytes; one uplink call takes at most {max_bytes:,}"
            rejected.append(_reject(items[at], TooLargeError(text)))
        else:
            yield at


def _folder_problem(folder: str) -> str | None:
    # dest_path is a form field: forms rewrite line ends and Django REST framework trims what surrounds a value
    if folder != folder.strip():
        return "the EM would strip the space around the folder's name"
    if not all(part.isprintable() for part in folder.split("/")):
        return "the folder's name holds a character that does not print"
    return None


def _remotes(items: FoundItems) -> Iterator[str]:
    return map(items.remote, range(len(items)))


def _one_per_target(items: FoundItems, rejected: list[RejectedFile]) -> Iterator[int]:
    """One item for each remote path: one local file named twice counts once, different files are all refused."""
    hashes = Hashes()
    deque(hashes.passing(_remotes(items)), maxlen=0)
    claims: dict[str, list[int]] = {}
    for at in hashes.suspects():
        claims.setdefault(items.remote(at), []).append(at)
    dropped: set[int] = set()
    for remote, (first, *others) in claims.items():
        same = all(_same_file(items[first], items[other]) for other in others)
        dropped.update(others if same else (first, *others))
        if same:
            continue
        rivals = [items[at] for at in (first, *others)]
        names = " and ".join(sorted({safe(rival.local_path) for rival in rivals}))
        text = f"{safe(remote)} is the target of different files: {names}; send them to different folders"
        for rival in rivals:
            error = UnsafePathError(text, name=remote, reason="different files for one target")
            rejected.append(_reject(rival, error))
    return (at for at in range(len(items)) if at not in dropped)


def _same_file(item: UplinkItem, other: UplinkItem) -> bool:
    first, second = item.fingerprint, other.fingerprint
    # some file systems number no inodes: there only the path can tell
    same_inode = bool(first.inode) and (first.device, first.inode) == (second.device, second.inode)
    return item.local_path == other.local_path or same_inode


def _beside_folders(items: FoundItems, rejected: list[RejectedFile]) -> Iterator[int]:
    """The items that do not stand where another one needs a folder: one file gives way to a whole tree."""
    needed = folders_above(_remotes(items))
    for at, remote in enumerate(_remotes(items)):
        if (inside := needed.get(remote)) is None:
            yield at
            continue
        text = f"{safe(remote)} cannot be a file: it is the folder of {safe(inside)}"
        rejected.append(_reject(items[at], UnsafePathError(text, name=remote, reason="both a file and a folder")))


def _case_notes(items: FoundItems) -> list[str]:
    """Notes on files that the EM tells apart, but many a disk to which they come back does not."""
    hashes = Hashes()
    deque(hashes.passing(map(case_fold_key, _remotes(items))), maxlen=0)
    seen: dict[str, str] = {}
    notes: list[str] = []
    for remote in map(items.remote, hashes.suspects()):
        first = seen.setdefault(case_fold_key(remote), remote)
        if first != remote:
            notes.append(f"{safe(first)} and {safe(remote)} are one file on a disk that ignores case")
    return notes
