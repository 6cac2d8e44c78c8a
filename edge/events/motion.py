"""Where an object is going: its box, moved on by the speed that its sightings tell of.

Everything is in seconds and in fractions of the frame, so that neither the frame rate nor the frame
size matters.
"""

import math

Box = tuple[float, float, float, float]  # x1, y1, x2, y2

# In units of the object's size (the root of its box' area) and seconds.
_FIRST_SPEED = 1.0  # what is expected of an object that was seen once
_WANDER = 0.7  # by how much the speed changes in one second
_EDGE_NOISE = 0.03  # of the network's boxes
# An object that is being hidden, or turns, moves its two edges differently: where it went itself
# is then as uncertain as this part of the difference.
_HIDING_NOISE = 0.5
_BORDER = 0.01  # an edge so near the frame's own does not move with the object
_COMES_TO_REST_S = 5.0  # what is out of sight slows down meanwhile
_LONGEST_STEP_S = 60.0  # after that nothing is known any more


class Motion:
    """The box of one object, and where it should be later.

    ``box`` is in fractions of the frame, as last seen; ``size`` that of the object in fractions of
    the frame's width and height.
    """

    def __init__(self, box: Box, size: tuple[float, float]) -> None:
        self.box, self._size = box, size
        self._x, self._y = _Axis(size[0]), _Axis(size[1])

    def displacement(self, away_s: float) -> tuple[float, float]:
        """How far right and down it should be, so long after it was seen."""
        reach_s = _COMES_TO_REST_S * (1 - math.exp(-away_s / _COMES_TO_REST_S))
        return self._x.speed * reach_s, self._y.speed * reach_s

    def see(self, box: Box, size: tuple[float, float], step_s: float) -> None:
        """It has been seen again after ``step_s`` seconds, 0 or more."""
        step_s = min(step_s, _LONGEST_STEP_S)
        self._x.see((self.box[0], self.box[2]), (box[0], box[2]), self._size[0], step_s)
        self._y.see((self.box[1], self.box[3]), (box[1], box[3]), self._size[1], step_s)
        self.box, self._size = box, size


class _Axis:
    """Motion along x or y: a Kalman filter over a place on the object and its speed.

    The place is relative to where it was seen last; ``speed`` is per second.
    """

    def __init__(self, size: float) -> None:
        self._place = self.speed = 0.0
        self._place_variance = (_EDGE_NOISE * size) ** 2
        self._speed_variance = (_FIRST_SPEED * size) ** 2
        self._covariance = 0.0

    def see(
        self, last: tuple[float, float], now: tuple[float, float], size: float, step_s: float
    ) -> None:
        """Its edges were at ``last`` when it was seen before, and are at ``now``."""
        wander = (_WANDER * size) ** 2
        self._place += self.speed * step_s
        dragged = self._covariance + step_s * self._speed_variance
        self._place_variance += step_s * (self._covariance + dragged) + wander * step_s**3 / 3
        self._covariance = dragged + wander * step_s**2 / 2
        self._speed_variance += wander * step_s

        low, high = now[0] - last[0], now[1] - last[1]
        low_cut = min(now[0], last[0]) < _BORDER
        high_cut = max(now[1], last[1]) > 1 - _BORDER
        noise = _EDGE_NOISE * size
        if low_cut != high_cut:  # it comes in or goes out: the edge inside the frame tells
            moved = high if low_cut else low
        else:
            moved = self._least_surprising(low, high)
            noise += _HIDING_NOISE * abs(high - low)
        total = self._place_variance + noise**2
        gain, speed_gain = self._place_variance / total, self._covariance / total
        self.speed += speed_gain * (moved - self._place)
        self._place = (1 - gain) * (self._place - moved)  # from now on relative to this sighting
        self._speed_variance -= speed_gain * self._covariance
        self._covariance *= 1 - gain
        self._place_variance *= 1 - gain

    def _least_surprising(self, low: float, high: float) -> float:
        """How far the object itself moved, of which two edges moved so far.

        What hides an object holds one edge back, and the other one goes on as expected. Edges on
        both sides of what was expected are a change of size.
        """
        return min(max(self._place, min(low, high)), max(low, high))
