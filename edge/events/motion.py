"""Where an object is going: its box, moved on by the velocity that its sightings tell of.

Everything is in seconds and in fractions of the frame, so that neither the frame rate nor the frame
size matters.
"""

import math

Box = tuple[float, float, float, float]  # x1, y1, x2, y2

# In units of the object's size (the root of its box' area) and seconds.
_FIRST_SPEED = 1.0  # what is expected of an object that has been seen once
_ACCELERATION = 0.7  # by how much the speed wanders off in one second
_EDGE_NOISE = 0.03  # of the network's boxes
# An object that is being hidden, or turns, moves its two edges differently: where its middle went
# is then as uncertain as this part of the difference.
_HIDING_NOISE = 0.5
_FORGET_SPEED_S = 3.0  # an object that is out of sight is taken to come to rest
_BORDER = 0.01  # an edge so near the frame's is the frame's and does not move with the object
_LONGEST_STEP_S = 60.0  # after that nothing is known any more


class Motion:
    """The box of one object: last seen, and where it should be now.

    ``box`` is in fractions of the frame, ``scale`` the object's size in fractions of the frame's
    width and height.
    """

    def __init__(self, box: Box, scale: tuple[float, float]) -> None:
        self.box, self._scale = box, scale
        self.moved_x = self.moved_y = 0.0  # since it was seen
        self._x, self._y = _Axis(scale[0]), _Axis(scale[1])

    def advance(self, step_s: float) -> None:
        """Let it move on for ``step_s`` seconds, not below 0."""
        step_s = min(step_s, _LONGEST_STEP_S)
        self.moved_x += self._x.advance(step_s, self._scale[0])
        self.moved_y += self._y.advance(step_s, self._scale[1])

    def expect_where_seen(self) -> None:
        """Take it to be where it was seen last: it has been away for too long to tell."""
        self.moved_x = self.moved_y = 0.0

    def predicted(self) -> Box:
        x1, y1, x2, y2 = self.box
        return x1 + self.moved_x, y1 + self.moved_y, x2 + self.moved_x, y2 + self.moved_y

    def see(self, box: Box, scale: tuple[float, float]) -> None:
        """It has been seen, at the time that it was advanced to."""
        last = self.box
        self._x.see((last[0], last[2]), (box[0], box[2]), self._scale[0])
        self._y.see((last[1], last[3]), (box[1], box[3]), self._scale[1])
        self.box, self._scale = box, scale
        self.moved_x = self.moved_y = 0.0


class _Axis:
    """Motion along x or y: a Kalman filter over a place on the object, and its speed.

    Places are relative to where the object was seen first.
    """

    def __init__(self, size: float) -> None:
        self._seen = 0.0  # where it was seen last
        self._place = self._speed = 0.0
        self._place_variance = (_EDGE_NOISE * size) ** 2
        self._speed_variance = (_FIRST_SPEED * size) ** 2
        self._covariance = 0.0

    def advance(self, step_s: float, size: float) -> float:
        """Returns how far it moves meanwhile."""
        kept = math.exp(-step_s / _FORGET_SPEED_S)
        reach_s = _FORGET_SPEED_S * (1 - kept)
        moved = self._speed * reach_s
        self._place += moved
        self._speed *= kept
        dragged = self._covariance + reach_s * self._speed_variance
        wander = (_ACCELERATION * size) ** 2
        self._place_variance += reach_s * (self._covariance + dragged) + wander * step_s**3 / 3
        self._covariance = kept * dragged + wander * step_s**2 / 2
        self._speed_variance = kept**2 * self._speed_variance + wander * step_s
        return moved

    def see(self, last: tuple[float, float], now: tuple[float, float], size: float) -> None:
        """Its edges were at ``last`` when it was seen before, and are at ``now``."""
        low, high = now[0] - last[0], now[1] - last[1]
        low_cut = min(now[0], last[0]) < _BORDER
        high_cut = max(now[1], last[1]) > 1 - _BORDER
        if low_cut == high_cut:
            self._seen += (low + high) / 2
        else:  # it comes in or goes out: the edge inside the frame tells how fast
            self._seen += high if low_cut else low
        noise = _EDGE_NOISE * size + _HIDING_NOISE * abs(high - low) * (low_cut == high_cut)
        total = self._place_variance + noise**2
        gain, speed_gain = self._place_variance / total, self._covariance / total
        off = self._seen - self._place
        self._place += gain * off
        self._speed += speed_gain * off
        self._speed_variance -= speed_gain * self._covariance
        self._covariance *= 1 - gain
        self._place_variance *= 1 - gain
