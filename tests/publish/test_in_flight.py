import threading

from mosquitto import DEADLINE_S

from edge.publish.in_flight import InFlight, Message


def test_qos_0_is_unsent_until_finished_and_has_no_ack_time():
    in_flight = InFlight()
    assert in_flight.handed(1, Message(qos=0, size=100, handed_at_s=5.0)) is None
    assert (in_flight.unsent_bytes, in_flight.unacknowledged) == (100, 0)
    assert in_flight.finished(1, at_s=6.0) is None
    assert in_flight.unsent_bytes == 0


def test_qos_1_gives_its_ack_time_and_runs_its_callback_once():
    acks: list[int] = []
    in_flight = InFlight()
    in_flight.handed(7, Message(1, 10, 5.0, on_ack=lambda: acks.append(7)))
    assert (in_flight.unsent_bytes, in_flight.unacknowledged) == (0, 1)
    assert in_flight.finished(7, at_s=5.25) == 0.25
    assert (in_flight.unacknowledged, acks) == (0, [7])


def test_acknowledgement_may_come_before_the_id_is_known():
    acks: list[int] = []
    in_flight = InFlight()
    assert in_flight.finished(7, at_s=5.25) is None
    assert in_flight.handed(7, Message(1, 10, 5.0, on_ack=lambda: acks.append(7))) == 0.25
    assert (in_flight.unacknowledged, acks) == (0, [7])


def test_id_that_wraps_leaves_the_counts_right():
    in_flight = InFlight()
    in_flight.handed(7, Message(1, 10, 5.0))
    in_flight.handed(7, Message(0, 30, 6.0))
    assert (in_flight.unsent_bytes, in_flight.unacknowledged) == (30, 0)
    in_flight.finished(7, at_s=7.0)
    assert (in_flight.unsent_bytes, in_flight.unacknowledged) == (0, 0)


def test_wait_ends_with_the_last_acknowledgement():
    in_flight = InFlight()
    in_flight.handed(1, Message(1, 10, 0.0))
    in_flight.handed(2, Message(1, 10, 0.0))
    assert not in_flight.wait_acknowledged(timeout_s=0.0)
    in_flight.finished(1, 1.0)
    threading.Timer(0.01, in_flight.finished, (2, 1.0)).start()
    assert in_flight.wait_acknowledged(DEADLINE_S)


def test_wait_ends_with_the_connection():
    in_flight = InFlight()
    in_flight.handed(1, Message(1, 10, 0.0))
    threading.Timer(0.01, in_flight.reset).start()
    assert in_flight.wait_acknowledged(DEADLINE_S)
    assert in_flight.finished(1, 1.0) is None


def test_message_that_waits_when_its_id_comes_round_again_is_noticed():
    in_flight = InFlight()
    in_flight.handed(7, Message(1, 10, 0.0))
    in_flight.handed(8, Message(0, 10, 0.0))
    overdue = [mid for mid in range(1, 65_536) if in_flight.overdue(mid)]
    assert overdue == [65_542 - 1000]
    in_flight.finished(7, 1.0)
    assert not in_flight.overdue(overdue[0])
