"""The page's server over sockets: what is shown, what is heard, and who is kept out."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest

from reflexarc import Prompt
from reflexarc.errors import ConfigError, StorageError
from reflexarc.memory import Tick
from reflexarc.runtime.events import Failed, Remembered, TickEnded, TickStarted
from reflexarc.testing import ScriptedLLM, Turn
from reflexarc.types import ActionReady, ActionRefused, TextDelta
from reflexarc.web import PageServer
from tests.web.conftest import SIT, WALK, Stage, acting, shown, staged, until

EVIL = "<img src=x onerror=alert(1)></script>"


async def test_what_is_said_is_acted_upon_and_shown(
    stage: Stage, http: aiohttp.ClientSession
) -> None:
    """From the say box to the robot and back: sensed with its prompt, text, action, done."""
    async with acting(stage), http.get(f"{stage.url}/events") as response:
        assert response.content_type == "text/event-stream"
        events = shown(response)
        [hello] = await until(events, "hello")
        assert hello["robot"]["name"] == "dot"
        assert hello["robot"]["speech"] == "speak"
        assert hello["robot"]["actions"][0]["values"] == ["sit", "walk"]
        assert hello["brain"] == "one"
        assert [brain["name"] for brain in hello["brains"]] == ["one", "two"]
        assert hello["ticks"] == hello["now"] == []
        async with http.post(f"{stage.url}/say", json={"text": " sit \n down "}) as answer:
            assert answer.status == 200
            assert await answer.json() == {"said": "sit down"}
        told = await until(events, "done")
    assert [event["event"] for event in told] == ["sensed", "text", "action", "done"]
    sensed, text, action, done = told
    assert sensed["text"] == "A person says: sit down"
    assert sensed["prompt"] == {
        "system": "You are Dot.",
        "examples": [],
        "history": [],
        "situation": "A person says: sit down",
    }
    assert sensed["brain"] == "one"
    assert text["text"] == "sit"
    assert 0 <= text["at_s"] <= done["total_s"] + 0.1
    assert (action["type"], action["value"]) == ("move", "sit")
    assert done["provider"] == "ScriptedLLM"


async def test_who_comes_late_sees_the_tick_under_way_and_the_past() -> None:
    """A page that is opened, or reloaded, in mid-tick has all of it; after it, it is past."""
    slow = ScriptedLLM[Any](Turn((TextDelta("a"), SIT, WALK), duration_s=0.5))
    async with staged(slow=slow) as stage, acting(stage), aiohttp.ClientSession() as http:
        stage.inbox.say("go")
        await asyncio.sleep(0.3)
        async with http.get(f"{stage.url}/events") as response:
            events = shown(response)
            [hello] = await until(events, "hello")
            assert [each["event"] for each in hello["now"]][:3] == ["sensed", "text", "action"]
            assert hello["ticks"] == []
            await until(events, "done")
        await asyncio.sleep(0.05)
        async with http.get(f"{stage.url}/events") as response:
            [hello] = await until(shown(response), "hello")
    assert [each["event"] for each in hello["now"]][-1] == "done"  # all of it, until the next one
    [tick] = hello["ticks"]
    assert tick["at"] == hello["now"][0]["at"]
    assert tick["sensed"] == "A person says: go"
    assert tick["text"] == "a"
    assert [each["value"] for each in tick["actions"]] == ["sit", "walk"]
    assert {each["outcome"] for each in tick["actions"]} == {"done"}


async def test_another_brain_answers_from_the_next_tick_on() -> None:
    """The switch opens what was closed, and does not touch the tick under way."""
    one = ScriptedLLM[Any](Turn((SIT,), duration_s=0.3))
    two = ScriptedLLM[Any](Turn((WALK,)), name="Two")
    async with staged(one=one, two=two) as stage, acting(stage), aiohttp.ClientSession() as http:
        assert not two.is_open
        async with http.get(f"{stage.url}/events") as response:
            events = shown(response)
            await until(events, "hello")
            stage.inbox.say("go")
            await until(events, "sensed")
            async with http.post(f"{stage.url}/brain", json={"brain": "two"}) as answer:
                assert answer.status == 200
            told = await until(events, "done")
            assert told[-1]["provider"] == "ScriptedLLM"
            assert any(each["event"] == "brains" and each["brain"] == "two" for each in told)
            stage.inbox.say("go on")
            [sensed, *_, done] = await until(events, "done")
        assert sensed["brain"] == "two"
        assert done["provider"] == "Two"
        assert two.is_open
        async with http.post(f"{stage.url}/brain", json={"brain": "tow"}) as answer:
            assert answer.status == 404
            assert "two" in (await answer.json())["error"]
    assert not one.is_open
    assert not two.is_open


async def test_what_is_refused_is_shown_with_its_reason() -> None:
    """A refusal is an event of its own, and part of the past."""
    refused = ActionRefused("move", "fly", "'fly' is no value of move", 0.0)
    llm = ScriptedLLM[Any](Turn((refused, SIT)))
    async with staged(one=llm) as stage, acting(stage), aiohttp.ClientSession() as http:
        async with http.get(f"{stage.url}/events") as response:
            events = shown(response)
            await until(events, "hello")
            stage.inbox.say("fly")
            told = await until(events, "done")
        async with http.get(f"{stage.url}/events") as response:
            [hello] = await until(shown(response), "hello")
    assert told[1]["reason"] == "'fly' is no value of move"
    assert [each["outcome"] for each in hello["ticks"][0]["actions"]] == ["refused", "done"]


@pytest.mark.parametrize(
    ("body", "kind", "status", "sentence"),
    [
        (b"", "application/json", 400, "no JSON"),
        (b"{", "application/json", 400, "no JSON"),
        (b"[" * 10_000, "application/json", 400, "no JSON"),
        (b"\xff\xfe{}", "application/json", 400, "no JSON"),
        (b"{}", "application/json", 400, 'send one JSON object, as {"text": "..."}'),
        (b"[1]", "application/json", 400, 'send one JSON object, as {"text": "..."}'),
        (b'{"text": 7}', "application/json", 400, 'send one JSON object, as {"text": "..."}'),
        (b'{"text": "  "}', "application/json", 400, "empty"),
        (b'{"text": "sit"}', "text/plain", 415, "application/json"),
        (b"text=sit", "application/x-www-form-urlencoded", 415, "application/json"),
        (json.dumps({"text": "a" * 2001}).encode(), "application/json", 413, "2001 characters"),
        (b'{"text": "' + b"a" * 100_000 + b'"}', "application/json", 413, "bytes"),
    ],
)
async def test_what_cannot_be_heard_is_refused(
    stage: Stage,
    http: aiohttp.ClientSession,
    body: bytes,
    kind: str,
    status: int,
    sentence: str,
) -> None:
    """A malformed or oversized request is a 4xx in words, and the robot hears nothing."""
    headers = {"Content-Type": kind}
    async with http.post(f"{stage.url}/say", data=body, headers=headers) as answer:
        assert answer.status == status
        assert sentence in (await answer.json())["error"]
    assert stage.heard == []


async def test_a_request_without_end_is_refused(stage: Stage) -> None:
    """A body that goes on and on is not read to its end."""
    host = stage.url.removeprefix("http://")
    reader, writer = await asyncio.open_connection(*host.split(":"))
    writer.write(
        f"POST /say HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        "Transfer-Encoding: chunked\r\n\r\n".encode()
    )
    chunk = b"1000\r\n" + b"a" * 0x1000 + b"\r\n"
    for _ in range(64):
        writer.write(chunk)
    async with asyncio.timeout(5):
        assert b" 413 " in await reader.readline()
    writer.close()
    await asyncio.wait_for(writer.wait_closed(), 5)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Host": "evil.example"},
        {"Host": "evil.example:8000"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": "["},
    ],
)
@pytest.mark.parametrize("path", ["/say", "/events", "/ticks?before=9", "/"])
async def test_other_sites_are_kept_out(
    stage: Stage, http: aiohttp.ClientSession, path: str, headers: dict[str, str]
) -> None:
    """Another site's page can neither speak to the robot nor read what it says."""
    method = "POST" if path == "/say" else "GET"
    body = {"json": {"text": "walk"}} if path == "/say" else {}
    async with http.request(method, f"{stage.url}{path}", headers=headers, **body) as answer:
        assert answer.status in (400, 403)
    assert stage.heard == []


async def test_a_link_to_the_page_may_be_followed(
    stage: Stage, http: aiohttp.ClientSession
) -> None:
    """From another site's page to this one; but not into a frame, nor to what it is made of."""
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    async with http.get(stage.url, headers=link) as answer:
        assert answer.status == 200
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    async with http.get(f"{stage.url}/page.js", headers={"Sec-Fetch-Site": "cross-site"}) as answer:
        assert answer.status == 403


async def test_others_need_the_token() -> None:
    """Where other machines can reach the page, its address has a token, which becomes a cookie."""
    async with staged(host="0.0.0.0") as stage:
        address, _, token = stage.server.url.partition("/?token=")
        assert socket.gethostname() in address, "what others can use"
        plain = f"http://127.0.0.1:{address.rpartition(':')[2]}"
        whole = f"{plain}/?token={token}"
        jar = aiohttp.CookieJar(unsafe=True)  # for addresses, too
        async with aiohttp.ClientSession(cookie_jar=jar) as http:
            for address in (plain, f"{plain}/?token=x", f"{plain}/events", f"{plain}/?token="):
                async with http.get(address) as answer:
                    assert answer.status == 401
            async with http.post(f"{plain}/say", json={"text": "sit"}) as answer:
                assert answer.status == 401
            async with http.get(whole, allow_redirects=False) as answer:
                assert answer.status == 303
                assert answer.headers["Location"] == "/"
                cookie = answer.headers["Set-Cookie"]
                assert "HttpOnly" in cookie
                assert "SameSite=Strict" in cookie
            async with http.post(f"{plain}/say", json={"text": "sit"}) as answer:
                assert answer.status == 200
        evil = f"{plain}//evil.example/?token={token}"
        async with aiohttp.ClientSession() as http, http.get(evil, allow_redirects=False) as answer:
            assert answer.headers["Location"] == "/evil.example/"
        headers = {
            "Authorization": f"Bearer {token}",
            "Cookie": f"reflexarc-{plain.rpartition(':')[2]}=x",
        }
        async with (
            aiohttp.ClientSession(headers=headers) as http,
            http.post(f"{plain}/say", json={"text": "walk"}) as answer,
        ):
            assert answer.status == 200
        assert stage.heard == ["sit", "walk"]


async def test_what_is_there_is_served(stage: Stage, http: aiohttp.ClientSession) -> None:
    """The page, its parts, a second time without a body; what is not there is told."""
    async with http.get(stage.url) as answer:
        assert answer.content_type == "text/html"
        assert "<script" in await answer.text()
        tag = answer.headers["ETag"]
    async with http.get(stage.url, headers={"If-None-Match": tag}) as answer:
        assert answer.status == 304
    async with http.get(f"{stage.url}/page.js") as answer:
        assert answer.status == 200
        assert "javascript" in answer.content_type
    for path in ("/nothing.js", "/../__init__.py", "/%2e%2e/page.py", "/static/page.js"):
        async with http.get(f"{stage.url}{path}") as answer:
            assert answer.status == 404
            assert "error" in await answer.json()


@pytest.mark.parametrize("before", ["", "x", "-1", "1" * 30, "٣"])
async def test_older_ticks_are_asked_for_by_number(
    stage: Stage, http: aiohttp.ClientSession, before: str
) -> None:
    """Anything else is a mistake in words; without a memory there are none."""
    async with http.get(f"{stage.url}/ticks", params={"before": before}) as answer:
        assert answer.status == 400
    async with http.get(f"{stage.url}/ticks?before=7") as answer:
        assert await answer.json() == {"ticks": []}


async def test_a_port_that_is_taken_is_told() -> None:
    """One that was asked for; the usual one gives way."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        async with staged() as stage:
            with pytest.raises(ConfigError, match=f"port {port}.*--web"):
                async with PageServer(stage.page, print, port=port):
                    pytest.fail("it must not serve")


async def test_closing_ends_all_who_watch() -> None:
    """A page that is open does not hold the robot up when it ends."""
    async with aiohttp.ClientSession() as http:
        async with staged() as stage:
            response = await http.get(f"{stage.url}/events")
            await until(shown(response), "hello")
            begun = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() - begun < 1
        await response.content.read()
        response.close()


async def test_too_many_watchers_are_told(
    http: aiohttp.ClientSession, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is a limit, and who leaves makes room."""
    monkeypatch.setattr("reflexarc.web.broadcast.MOST_WATCHERS", 1)
    async with http.get(f"{stage.url}/events") as response:
        await until(shown(response), "hello")
        async with http.get(f"{stage.url}/events") as other:
            assert other.status == 503
    async with asyncio.timeout(5):
        while len(stage.page.broadcast):  # noqa: ASYNC110 - that a watcher left has no event
            await asyncio.sleep(0.01)
    async with http.get(f"{stage.url}/events") as response:
        assert response.status == 200


async def test_a_slow_watcher_starts_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who does not read loses what it has not read, costs bounded memory, and slows nobody."""
    monkeypatch.setattr("reflexarc.web.broadcast.MOST_WAITING", 10)
    async with (
        staged() as stage,
        aiohttp.ClientSession(read_bufsize=1024) as http,
        http.get(f"{stage.url}/events") as response,
    ):
        events = shown(response)
        await until(events, "hello")
        for number in range(1, 2001):
            stage.page.broadcast.publish(json.dumps({"event": "text", "text": "x" * 5000}))
            if number % 50 == 0:
                await asyncio.sleep(0)
        [watcher] = stage.page.broadcast._watchers
        assert len(watcher._frames) <= 10
        told = await until(events, "hello")
    assert len(told) < 2000


async def test_half_an_emoji_is_shown(stage: Stage, http: aiohttp.ClientSession) -> None:
    """A model may cut one in two; that ends nobody's watching, now or later."""
    stage.page.observe(TickStarted(1, "\ud83d"))
    for _ in range(2):
        async with http.get(f"{stage.url}/events") as response:
            events = shown(response)
            [hello] = await until(events, "hello")
            assert hello["now"][0]["text"] == "\ufffd"
            stage.page.observe(TextDelta("\ud83d"))
            [text] = await until(events, "text")
            assert text["text"] == "\ufffd"


async def test_a_tick_gets_its_own_number(stage: Stage) -> None:
    """However late the memory is, and whatever began meanwhile."""
    at = datetime.now(UTC)
    for number in (1, 2):
        prompt = Prompt(situation=str(number))
        stage.page.observe(TickStarted(number, str(number), (), prompt, at))
        stage.page.observe(TickEnded(number, Tick(at, prompt)))
    stage.page.observe(Remembered(2, 72))
    stage.page.observe(Remembered(1, 71))
    hello = json.loads(stage.page.hello())
    assert [tick["id"] for tick in hello["ticks"]] == [71, 72]
    assert [event["event"] for event in hello["now"]] == ["sensed"]


async def test_what_is_not_of_the_tick_is_not_part_of_it(stage: Stage) -> None:
    """A sensor or the memory that fails later; and what is long loses text, not actions."""
    stage.page.observe(TickStarted(1, "a"))
    stage.page.observe(Failed(OSError("camera gone"), "input"))
    stage.page.observe(Failed(StorageError("disk full"), "memory"))
    for _ in range(5000):
        stage.page.observe(TextDelta("a"))
    stage.page.observe(ActionReady(SIT, 0, 0.1))
    now = [event["event"] for event in json.loads(stage.page.hello())["now"]]
    assert "error" not in now
    assert len(now) < 5000
    assert now[-1] == "action"


async def test_who_asks_for_nothing_is_shown_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A silent connection, half a request, a request that has no end: none of them stays."""
    monkeypatch.setattr("reflexarc.web.door.SAYS_NOTHING_S", 0.2)
    monkeypatch.setattr("reflexarc.web.server._HEARD_S", 0.2)
    async with staged() as stage:
        host = stage.url.removeprefix("http://")
        endless = (
            f"POST /say HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
            "Content-Length: 99\r\n\r\n{"
        )
        for sent, answered in ((b"", b""), (b"GET / HT", b""), (endless.encode(), b" 408 ")):
            reader, writer = await asyncio.open_connection(*host.split(":"))
            writer.write(sent)
            async with asyncio.timeout(5):
                with suppress(ConnectionResetError):
                    assert answered in await reader.read()
            writer.close()
            with suppress(ConnectionResetError):
                await writer.wait_closed()


async def test_a_crowd_leaves_the_robot_its_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """So many connections are held, and no more; who leaves makes room."""
    monkeypatch.setattr("reflexarc.web.door.MOST_CONNECTIONS", 5)
    async with staged() as stage, aiohttp.ClientSession() as http:
        crowd = [await asyncio.open_connection(*stage.url[7:].split(":")) for _ in range(5)]
        await asyncio.sleep(0.05)
        with pytest.raises(aiohttp.ClientError):
            await http.get(stage.url)
        for _, writer in crowd:
            writer.close()
            await writer.wait_closed()
        await asyncio.sleep(0.05)
        async with http.get(stage.url) as answer:
            assert answer.status == 200


async def test_what_is_packed_stays_packed(stage: Stage, http: aiohttp.ClientSession) -> None:
    """A few bytes that would become many are no JSON."""
    packed = gzip.compress(b" " * 10_000_000)
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    async with http.post(f"{stage.url}/say", data=packed[:9000], headers=headers) as answer:
        assert answer.status == 400


async def test_every_reply_is_marked(stage: Stage, http: aiohttp.ClientSession) -> None:
    """Also those of the library: nothing of it may be framed or run as a script."""
    for method, path, status in (
        ("PUT", "/say", 405),
        ("HEAD", "/events", 405),
        ("GET", "/x", 404),
    ):
        async with http.request(method, f"{stage.url}{path}") as answer:
            assert answer.status in (status, 404)
            assert "frame-ancestors" in answer.headers["Content-Security-Policy"]


async def test_noise_is_no_news(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """Who does not speak HTTP costs the person at the terminal no page of text."""
    reader, writer = await asyncio.open_connection(*stage.url[7:].split(":"))
    writer.write(b"\x16\x03\x01 nonsense\r\n\r\nGET\r\n\r\n")
    async with asyncio.timeout(5):
        await reader.read()
    writer.close()
    await writer.wait_closed()
    assert caplog.records == []
