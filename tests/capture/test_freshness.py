"""Old pictures that arrive now are told from live ones."""

from edge.capture.freshness import Freshness

INTERVAL_S = 0.04


class Stream:
    """Feeds packets to a `Freshness`: (timestamp, arrival, time waited) in seconds."""

    def __init__(self) -> None:
        self.freshness = Freshness(limit_s=0.25)

    def fresh(self, timestamp_s: float, arrived_s: float, waited_s: float) -> bool:
        behind_s = self.freshness.behind_s(timestamp_s, arrived_s, waited_s)
        return self.freshness.is_fresh(behind_s)

    def live(self, first: int, frames: int, delay_s: float = 0.0) -> list[bool]:
        """Frames that arrive as they are taken."""
        numbers = range(first, first + frames)
        return [self.fresh(n * INTERVAL_S, n * INTERVAL_S + delay_s, 0.03) for n in numbers]


def test_live_frames_are_fresh() -> None:
    assert all(Stream().live(0, 100))


def test_what_a_server_kept_from_before_is_not_fresh() -> None:
    stream = Stream()
    burst = [stream.fresh(n * INTERVAL_S, 1.0 + n * 0.0001, 0.0001) for n in range(25)]
    assert not any(burst)
    assert all(stream.live(25, 50))


def test_what_a_blocked_network_held_back_is_not_fresh() -> None:
    stream = Stream()
    stream.live(0, 50)
    # One second without a packet, then the pictures of 2.0 to 2.96 s come at 3.0 s.
    late = [
        stream.fresh(n * INTERVAL_S, 3.0 + (n - 50) * 0.0005, 1.0 if n == 50 else 0.0005)
        for n in range(50, 75)
    ]
    assert not any(late[:15])  # 0.44 s old and older; the edge has followed by 0.1 s
    assert all(late[19:])  # 0.25 s and younger
    assert all(stream.live(75, 50))


def test_a_slow_network_that_catches_up_is_not_fresh() -> None:
    stream = Stream()
    stream.live(0, 50)
    late = [
        stream.fresh(n * INTERVAL_S, 3.0 + (n - 50) * 0.01, 1.0 if n == 50 else 0.01)
        for n in range(50, 75)
    ]
    assert not any(late[:15])


def test_a_clock_that_is_set_back_costs_one_frame() -> None:
    for seconds in (1.0, 3600.0):
        stream = Stream()
        stream.live(0, 50)
        assert stream.live(50, 50, delay_s=seconds) == [False, *[True] * 49]


def test_a_clock_at_half_speed_keeps_its_camera_alive() -> None:
    stream = Stream()
    verdicts = [stream.fresh(n * INTERVAL_S / 2, n * INTERVAL_S, 0.03) for n in range(500)]
    assert all(verdicts)


def test_a_camera_too_busy_to_keep_its_time_is_not_lost() -> None:
    stream = Stream()
    verdicts = [stream.fresh(n * INTERVAL_S, n * 0.5, 0.4) for n in range(100)]
    assert sum(verdicts) >= 50
