"""Which object of a frame is which of the frames before: a track for each, with an id that lasts.

How it works, how well, and what it does not do: docs/tracking.md.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from edge.events.association import Bits, Floats, Places, assign, distance, mask_iou, overlap, put
from edge.events.motion import Motion
from edge.events.summary import ObjectSummary

# What it costs to give an object to a track: 1 - overlap, and more for a label that the track had
# less often, up to this for one that it never had.
_LABEL_COST = 0.35
_MOST_COST = 0.8
# Where nothing overlaps enough: how far from its expected place, in units of its size, an object
# may be found, the more the longer it was away. There a label counts for more.
_REACH, _REACH_PER_S, _LONGEST_REACH = 0.4, 0.4, 1.2
_LARGEST_RATIO = 3.0  # of the areas of the two boxes
_FAR_LABEL_COST = 0.7

_DUPLICATE_IOU = 0.8  # the network has no suppression: a query may come up under two labels
_MOST_MISSES = 1  # of a track that is not confirmed
_AWAY_S = 0.5  # what was missed for longer has to be seen several times in a row again
_LARGEST_GRID = 80  # cells a side; of a finer one every second or third cell tells enough
_SMALLEST_SIZE_PX = 4.0


@dataclass(eq=False, slots=True)
class Track:
    """One object through time. It belongs to the thread of its tracker, which alone writes it.

    ``id`` is None until confirmation; from then on it stays the same, and so do ``label`` and
    ``class_id``. Before, these are what most sightings say, each with the weight of its score.
    ``last_seen_s`` is the uptime of the last frame in which it was found.
    """

    label: str
    class_id: int
    last_seen_s: float
    motion: Motion = field(repr=False)
    mask: Bits = field(repr=False)  # [m, n], as last seen
    id: int | None = None
    sightings: int = 0
    displacement: tuple[float, float] = (0.0, 0.0)  # expected, since it was seen
    in_a_row: int = 0  # sightings since it was missed
    misses: int = 0  # since it was seen
    sure: bool = True  # not for a while after it was away
    votes: dict[tuple[str, int], float] = field(default_factory=dict, repr=False)

    @property
    def confirmed(self) -> bool:
        return self.id is not None


class TrackedFrame(NamedTuple):
    """``tracks``: of each object, in their order. None: it is a duplicate of another object of this
    frame, or may be one that was away, which further frames have to show. ``lost``: the tracks that
    end with this frame, also those that were never confirmed.
    """

    tracks: list[Track | None]
    lost: list[Track]


class _Found(NamedTuple):
    """The N objects of a frame of ``size`` (height, width), and their ``masks`` ``[N, m, n]``."""

    objects: Sequence[ObjectSummary]
    places: Places
    masks: Bits
    size: tuple[int, int]


class Tracker:
    """The tracks of one camera. It belongs to one thread."""

    def __init__(self, confirm_frames: int, lost_after_s: float, last_id: int = 0) -> None:
        """An object has an id once it was seen in ``confirm_frames`` frames, and loses it when it
        is missing in a frame more than ``lost_after_s`` after the last one that it was found in.

        ``last_id``: the last one that the camera's tracker before this one has given.
        """
        self._confirm_frames, self._lost_after_s = confirm_frames, lost_after_s
        self._tracks: list[Track] = []
        self.last_id = last_id

    def update(
        self,
        objects: Sequence[ObjectSummary],
        mask_logits: npt.NDArray[np.float32],
        size: tuple[int, int],
        at_s: float,
    ) -> TrackedFrame:
        """Find out which track each of the N objects of a frame is of; begin one for what is new.

        ``mask_logits`` float32 ``[N, m, n]``: row i is of ``objects[i]``, on the grid that spans
        the frame, the same for all frames. ``size``: (height, width) of the frame in pixels.
        ``at_s``: uptime in seconds at which it was captured; any time may lie between two frames,
        and one that is not after the one before counts as taken at the same moment.
        """
        found = _found(objects, mask_logits, size)
        self._advance(at_s)
        tracks = self._tracks
        foreign = _foreign(tracks, objects)
        cost = _LABEL_COST * foreign  # [T, N]
        if tracks and objects:
            cost += 1 - overlap(_expected(tracks, found.places), found.places)
        rows = _without_duplicates(found, cost)

        pairs = [(t, rows[j]) for t, j in assign(cost[:, rows], _MOST_COST)]
        left_t, left_n = _left(range(len(tracks)), rows, pairs)
        if left_t and left_n:
            far = self._far(found, left_t, left_n, at_s)
            far += _FAR_LABEL_COST * foreign[np.ix_(left_t, left_n)]
            pairs += [(left_t[i], left_n[j]) for i, j in assign(far, 1.0)]

        result: list[Track | None] = [None] * len(objects)
        for t, n in pairs:
            self._see(tracks[t], found, n, at_s)
            result[n] = tracks[t] if tracks[t].sure else None
        left_t, left_n = _left(range(len(tracks)), rows, pairs)
        lost = self._miss([tracks[t] for t in left_t], at_s)
        for n in left_n:
            result[n] = self._begin(found, n, at_s)
        return TrackedFrame(result, lost)

    def clear(self) -> None:
        """Drop all tracks, where the camera went away. Ids go on."""
        self._tracks = []

    def _advance(self, at_s: float) -> None:
        for track in self._tracks:
            track.last_seen_s = min(track.last_seen_s, at_s)
            away_s = at_s - track.last_seen_s
            # After that nobody knows where it went, but it may have stayed.
            track.displacement = (
                track.motion.displacement(away_s) if away_s <= self._lost_after_s else (0.0, 0.0)
            )

    def _far(
        self, found: _Found, left_t: Sequence[int], left_n: Sequence[int], at_s: float
    ) -> Floats:
        """Distances of what is left, 1 where it is the most there may be."""
        tracks = [self._tracks[t] for t in left_t]
        away_s = np.array([at_s - track.last_seen_s for track in tracks])
        reach = np.minimum(_REACH + _REACH_PER_S * away_s, _LONGEST_REACH)
        height, width = found.size
        boxes = found.places.boxes[left_n]
        far = distance(_boxes(tracks), boxes, width / height, _LARGEST_RATIO)
        far /= reach[:, None]
        return far

    def _see(self, track: Track, found: _Found, n: int, at_s: float) -> None:
        seen = found.objects[n]
        if track.confirmed and track.misses and at_s - track.last_seen_s > _AWAY_S:
            track.sure, track.in_a_row = False, 0
        track.motion.see(*_box_and_size(found, n), at_s - track.last_seen_s)
        track.mask = found.masks[n]
        track.last_seen_s, track.misses = at_s, 0
        track.sightings += 1
        track.in_a_row += 1
        track.sure = track.sure or track.in_a_row >= self._confirm_frames
        name = seen.label, seen.class_id
        track.votes[name] = track.votes.get(name, 0.0) + seen.score
        if not track.confirmed:
            track.label, track.class_id = max(track.votes, key=track.votes.__getitem__)
            if track.sightings >= self._confirm_frames:
                self.last_id += 1
                track.id = self.last_id

    def _begin(self, found: _Found, n: int, at_s: float) -> Track:
        seen = found.objects[n]
        motion = Motion(*_box_and_size(found, n))
        track = Track(seen.label, seen.class_id, at_s, motion, found.masks[n])
        self._see(track, found, n, at_s)
        self._tracks.append(track)
        return track

    def _miss(self, missed: Sequence[Track], at_s: float) -> list[Track]:
        """These are not in the frame; returns those that this ends."""
        ended = []
        for track in missed:
            track.misses, track.in_a_row = track.misses + 1, 0
            too_long = at_s - track.last_seen_s > self._lost_after_s
            if too_long or (not track.confirmed and track.misses > _MOST_MISSES):
                ended.append(track)
        self._tracks = [track for track in self._tracks if track not in ended]
        return ended


def _found(
    objects: Sequence[ObjectSummary],
    mask_logits: npt.NDArray[np.float32],
    size: tuple[int, int],
) -> _Found:
    height, width = size
    boxes = np.array([seen.box for seen in objects], np.float64).reshape(-1, 4)
    step = max(1, math.ceil(max(mask_logits.shape[1:]) / _LARGEST_GRID))
    masks = mask_logits[:, ::step, ::step] > 0
    places = Places(boxes / (width, height, width, height), masks.astype(np.float32))
    return _Found(objects, places, masks, size)


def _box_and_size(
    found: _Found, n: int
) -> tuple[tuple[float, float, float, float], tuple[float, float]]:
    """What the motion wants to know of an object."""
    height, width = found.size
    x1, y1, x2, y2 = found.places.boxes[n].tolist()
    area_px = (x2 - x1) * width * (y2 - y1) * height
    size_px = math.sqrt(max(area_px, _SMALLEST_SIZE_PX**2))
    return (x1, y1, x2, y2), (size_px / width, size_px / height)


def _boxes(tracks: Sequence[Track]) -> Floats:
    """Where the tracks' boxes should be now: ``[T, 4]`` in fractions of the frame."""
    boxes: Floats = np.array([track.motion.box for track in tracks], np.float64).reshape(-1, 4)
    boxes += np.array([track.displacement * 2 for track in tracks]).reshape(-1, 4)
    return boxes


def _expected(tracks: Sequence[Track], found: Places) -> Places:
    """Where the tracks should be now."""
    _, rows, columns = found.masks.shape
    masks = np.zeros((len(tracks), rows, columns), np.float32)
    for mask, track in zip(masks, tracks, strict=True):
        right, down = track.displacement
        put(track.mask, round(down * rows), round(right * columns), mask)
    return Places(_boxes(tracks), masks)


def _foreign(tracks: Sequence[Track], objects: Sequence[ObjectSummary]) -> Floats:
    """``[T, N]``: which part of a track's sightings, by score, had another label than an object."""
    names = [(seen.label, seen.class_id) for seen in objects]
    kinds = sorted(set(names))
    shares = []
    for track in tracks:
        total = sum(track.votes.values())
        shares.append([track.votes.get(kind, 0.0) / total for kind in kinds])
    return 1 - np.array(shares).reshape(len(tracks), len(kinds))[:, [*map(kinds.index, names)]]


def _without_duplicates(found: _Found, cost: Floats) -> list[int]:
    """The objects left when of those on the same place only one stays: the one that fits a track
    best, then the one with the highest score.
    """
    count = len(found.objects)
    same = mask_iou(found.places.masks, found.places.masks) >= _DUPLICATE_IOU
    np.fill_diagonal(same, val=False)
    if not same.any():
        return list(range(count))
    least = cost.min(axis=0, initial=_MOST_COST)  # [N]
    kept: list[int] = []
    for n in sorted(range(count), key=lambda n: (least[n], -found.objects[n].score)):
        if not same[n, kept].any():
            kept.append(n)
    return sorted(kept)


def _left(
    tracks: Sequence[int], rows: Sequence[int], pairs: Sequence[tuple[int, int]]
) -> tuple[list[int], list[int]]:
    """The tracks and the objects that are in no pair."""
    paired_t, paired_n = {t for t, _ in pairs}, {n for _, n in pairs}
    return [t for t in tracks if t not in paired_t], [n for n in rows if n not in paired_n]
