"""Scores of a tracker against the truth: identity F1, ID switches, fragmentations and more.

IDF1 is that of Ristani et al. (2016), which pairs whole true paths with whole tracks. The other
counts are those of CLEAR MOT (Bernardin and Stiefelhagen, 2008), which pairs frame by frame, and
keeps an object with the id that it had last wherever the two still overlap enough. On random videos
all five equal what ``motmetrics`` 1.4.0 says.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

MATCH_IOU = 0.5


class JudgedFrame(NamedTuple):
    """One frame: ids of its P true objects and which of them nobody is judged by; the id that the
    tracker gave each of its N objects (None: none); and how these overlap, float ``[P, N]``.
    """

    truth: Sequence[int]
    ignore: Sequence[bool]
    tracks: Sequence[int | None]
    iou: npt.NDArray[np.float64]


@dataclass(frozen=True)
class TrackingScore:
    """Counts, which add up over videos, and what follows from them."""

    truth: int = 0  # true objects, summed over frames
    found: int = 0  # of those, paired with an object that has an id
    wrong: int = 0  # objects with an id that are paired with none
    identity: int = 0  # of the truth, found under the one id that suits the object's path best
    switches: int = 0  # a true object is found under another id than the last time
    fragmentations: int = 0  # a true object is found again after frames in which it was not

    def __add__(self, other: "TrackingScore") -> "TrackingScore":
        return TrackingScore(*map(sum, zip(astuple(self), astuple(other), strict=True)))

    @property
    def recall(self) -> float:
        return self.found / max(self.truth, 1)

    @property
    def precision(self) -> float:
        return self.found / max(self.found + self.wrong, 1)

    @property
    def idf1(self) -> float:
        return 2 * self.identity / max(self.truth + self.found + self.wrong, 1)


def score(frames: Iterable[JudgedFrame]) -> TrackingScore:
    """The score of one video.

    Objects that lie on an ignored true object are taken out first, together with it: neither
    finding nor missing it counts, and its path goes on where it is judged again.
    """
    truth = found = wrong = switches = fragmentations = 0
    together: Counter[tuple[int, int]] = Counter()  # frames in which a path and a track overlap
    last_track: dict[int, int] = {}  # of each path, when it was last found
    was_found: dict[int, bool] = {}  # of each path, in the last frame that it was judged in
    for frame in frames:
        paths, tracks, iou = _judged(frame)
        pairs = _held(paths, tracks, iou, last_track)
        free = iou.copy()
        for i, j in pairs:
            free[i, :] = free[:, j] = 0
        pairs += _pairs(free)
        together.update((paths[i], tracks[j]) for i, j in np.argwhere(iou >= MATCH_IOU))
        truth += len(paths)
        found += len(pairs)
        wrong += len(tracks) - len(pairs)
        track_of = {paths[i]: tracks[j] for i, j in pairs}
        for path in paths:
            if path in track_of:
                switches += last_track.get(path, track_of[path]) != track_of[path]
                fragmentations += path in last_track and not was_found[path]
                last_track[path] = track_of[path]
            was_found[path] = path in track_of
    return TrackingScore(truth, found, wrong, _identity(together), switches, fragmentations)


def _judged(frame: JudgedFrame) -> tuple[list[int], list[int], npt.NDArray[np.float64]]:
    """The paths and the tracks that count in a frame, and their overlaps."""
    seen = [j for j, track in enumerate(frame.tracks) if track is not None]
    on_ignored = {seen[j] for i, j in _pairs(frame.iou[:, seen]) if frame.ignore[i]}
    kept = [j for j in seen if j not in on_ignored]
    judged = [i for i, ignored in enumerate(frame.ignore) if not ignored]
    tracks = [track for j in kept if (track := frame.tracks[j]) is not None]
    return [frame.truth[i] for i in judged], tracks, frame.iou[np.ix_(judged, kept)]


def _held(
    paths: Sequence[int],
    tracks: Sequence[int],
    iou: npt.NDArray[np.float64],
    last_track: Mapping[int, int],
) -> list[tuple[int, int]]:
    """The pairs that were there before and still overlap enough."""
    column = {track: j for j, track in enumerate(tracks)}
    pairs = []
    for i, path in enumerate(paths):
        j = column.get(last_track.get(path, -1))
        if j is not None and iou[i, j] >= MATCH_IOU:
            pairs.append((i, j))
            del column[tracks[j]]
    return pairs


def _pairs(iou: npt.NDArray[np.float64]) -> list[tuple[int, int]]:
    """As many pairs as overlap enough, with the most overlap in all."""
    gain = np.where(iou >= MATCH_IOU, 10 + iou, 0)
    rows, columns = linear_sum_assignment(gain, maximize=True)
    return [(int(i), int(j)) for i, j in zip(rows, columns, strict=True) if gain[i, j]]


def _identity(together: Counter[tuple[int, int]]) -> int:
    """The frames in which paths and tracks overlap when each path is given one track at most."""
    if not together:
        return 0
    paths, tracks = (sorted(set(ids)) for ids in zip(*together, strict=True))
    frames = np.array([[together[path, track] for track in tracks] for path in paths])
    return int(frames[linear_sum_assignment(frames, maximize=True)].sum())
