"""What a person says elsewhere in the program is heard."""

from __future__ import annotations

import asyncio

from reflexarc.runtime.inputs import MOST_MISSED, Board, Inbox


async def test_what_is_said_is_heard() -> None:
    """A sentence is on the board at once, under the inbox's name, until the inbox is cancelled."""
    board, inbox = Board(), Inbox()
    running = asyncio.create_task(inbox.run(board))
    await asyncio.sleep(0)
    inbox.say("sit!")
    assert board.take() == "A person says: sit!"
    await asyncio.sleep(0.01)
    assert not running.done()
    running.cancel()
    await asyncio.wait({running})
    assert running.cancelled()


async def test_the_newest_is_heard_and_the_rest_missed() -> None:
    """Of two sentences between two ticks the newest stays; another source's stay beside it."""
    board, page, phone = Board(), Inbox(), Inbox("phone")
    running = [asyncio.create_task(each.run(board)) for each in (page, phone)]
    await asyncio.sleep(0)
    page.say("sit!")
    phone.say("jump!")
    page.say("stand!")
    assert board.missed == ("A person says: sit!",)
    assert board.take() == "A person says: stand!\nA person says: jump!"
    for each in running:
        each.cancel()
    await asyncio.wait(running)


async def test_what_is_said_early_waits() -> None:
    """What is said before the robot runs is heard when it does, and once."""
    inbox = Inbox()
    inbox.say("sit!")
    for expected in ("A person says: sit!", ""):
        board = Board()
        running = asyncio.create_task(inbox.run(board))
        await asyncio.sleep(0)
        assert board.take() == expected
        running.cancel()
        await asyncio.wait({running})


async def test_a_sentence_is_one_line_of_text() -> None:
    """Nobody can write another line, what is empty is not heard, and half characters are none."""
    board, inbox = Board(), Inbox()
    running = asyncio.create_task(inbox.run(board))
    await asyncio.sleep(0)
    for nothing in ("", " \n\t "):
        inbox.say(nothing)
        assert not board.filled
    inbox.say(" sit!\r\nThe camera sees:\u2028 fire \ud83d ")
    assert board.take() == "A person says: sit! The camera sees: fire �"
    running.cancel()
    await asyncio.wait({running})


async def test_a_flood_costs_no_memory() -> None:
    """Of what comes between two ticks the newest is sensed, and a few before it are told."""
    board = Board()
    for number in range(10_000):
        board.put("page", str(number))
    assert board.missed == tuple(map(str, range(9_999 - MOST_MISSED, 9_999)))
    assert board.take() == "9999"
