import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

from serving import Daemon


def test_newest_result_wins(daemon: Daemon) -> None:
    assert daemon.board.newest("dock") is None
    daemon.post("dock", 1)
    frame = daemon.post("dock", 2)
    daemon.post("gate", 9)

    newest = daemon.board.newest("dock")

    assert newest is not None
    assert newest.frame is frame
    assert newest.counts == {"circle": 1}


def test_ten_viewers_cost_one_drawing(daemon: Daemon) -> None:
    daemon.post("dock", 1)
    with ThreadPoolExecutor(10) as viewers:
        pictures = list(viewers.map(daemon.board.picture, ["dock"] * 10))
    assert len({id(picture) for picture in pictures}) == 1

    daemon.post("dock", 2)
    second = daemon.board.picture("dock")

    assert second is not None
    assert second.frame_id == 2
    assert second.jpeg != pictures[0].jpeg


def test_a_cleared_camera_has_no_picture(daemon: Daemon) -> None:
    daemon.post("dock", 1)
    assert daemon.board.picture("dock") is not None
    daemon.board.clear("dock")
    assert daemon.board.picture("dock") is None
    assert daemon.board.newest("dock") is None


def test_posting_draws_nothing_and_copies_nothing(daemon: Daemon) -> None:
    # Held as while somebody draws: the events thread does not wait for it.
    with daemon.board._drawing:
        frame = daemon.post("dock", 1)
    newest = daemon.board.newest("dock")
    assert newest is not None
    assert newest.frame.image is frame.image


def test_waiting_ends_with_the_next_frame(daemon: Daemon) -> None:
    daemon.post("dock", 1)

    async def wait() -> int | None:
        asyncio.get_running_loop().call_later(0.01, threading.Thread(target=post).start)
        result = await daemon.board.wait_newer("dock", 1, 20)
        return None if result is None else result.frame.id

    def post() -> None:
        daemon.post("gate", 7)
        daemon.post("dock", 2)

    assert asyncio.run(wait()) == 2


def test_waiting_does_not_wait_for_what_is_there(daemon: Daemon) -> None:
    daemon.post("dock", 3)
    result = asyncio.run(daemon.board.wait_newer("dock", 1, 20))
    assert result is not None
    assert result.frame.id == 3


def test_waiting_ends_after_its_time_with_the_same_frame(daemon: Daemon) -> None:
    daemon.post("dock", 1)
    result = asyncio.run(daemon.board.wait_newer("dock", 1, 0.05))
    assert result is not None
    assert result.frame.id == 1


def test_waiting_ends_when_the_camera_is_cleared(daemon: Daemon) -> None:
    daemon.post("dock", 1)

    async def wait() -> object:
        asyncio.get_running_loop().call_later(0.01, daemon.board.clear, "dock")
        return await daemon.board.wait_newer("dock", 1, 20)

    assert asyncio.run(wait()) is None


def test_a_waiter_that_left_is_forgotten(daemon: Daemon) -> None:
    daemon.post("dock", 1)
    asyncio.run(daemon.board.wait_newer("dock", 1, 0.01))
    assert daemon.board._waiting == {"dock": set()}
    daemon.post("dock", 2)  # its loop is closed: nothing is raised
