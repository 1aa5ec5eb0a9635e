"""The faults, as data: what the model in front does, and what becomes of the machine meanwhile.

Behind it is the model on board. `play` plays a fault, `judge` judges each of its ticks.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from reflexarc.testing import Reply, event
from reflexarc.testing.reply import End, Step

from .judge import Ending, mark

TOKEN = 6  # characters; a good answer is of 16 of them
LONG_S = 10.0
MUCH = b"x" * 65_536


@dataclass(frozen=True, slots=True)
class Asked:
    """One request that has reached the front.

    Parameters
    ----------
    round, situation : int
        Of the tick that it belongs to.
    request : int
        Which of all requests of the fault, from 0.
    again : int
        Which of those of this round, from 0.
    """

    round: int
    situation: int
    request: int
    again: int

    def action(self, letter: str) -> str:
        """An action that nobody else gives out, as JSON."""
        said = f"{mark(self.round, self.situation, self.request)} {letter}"
        return _action("speak", said)

    @property
    def first(self) -> list[str]:
        """The tokens of a good answer up to its first action."""
        return tokens('{"actions":[' + self.action("a"))

    @property
    def rest(self) -> list[str]:
        """Those after it."""
        return tokens("," + self.action("b") + "]}")

    @property
    def before(self) -> list[str]:
        """Those in which no action is complete yet."""
        return self.first[:-1]


@dataclass(frozen=True, slots=True)
class Strike:
    """What is done to the machine.

    Parameters
    ----------
    tick : int
        In which tick of each round, from 0.
    do : str
        What: ``"kill"``, ``"stop"`` or ``"continue"`` the on-board child, or set the wall clock:
        ``"clock +3600"``.
    when : {"before", "first action"}, default "before"
        At the tick's beginning, or once it acts.
    after_s : float, default 0.0
        So many seconds later.
    """

    tick: int
    do: str
    when: Literal["before", "first action"] = "before"
    after_s: float = 0.0


Names = Literal["unknown", "hanging"]


@dataclass(frozen=True, slots=True)
class Fault:
    """One row of the table.

    Parameters
    ----------
    name : str
        What goes wrong.
    answer : callable
        The reply of the front to a request.
    sees : tuple of str
        Endings that have to be among the ticks': a fault that nobody has met shows nothing.
    ticks : int, default 3
        In a round, one a second.
    rounds : int, default 2
        Each with a fresh chain, since one that has met the fault leaves the front alone.
    over : {"http", "sdk"}, default "http"
        Our own client, or Mistral's SDK.
    url : str, default "http://127.0.0.1:{port}/v1"
        Where the front is said to be; ``port`` is the scripted server's, ``plain`` that of one that
        takes any bytes as a bad request, as web servers do.
    tls : bool, default False
        Whether it speaks TLS, with a certificate that nobody trusts.
    names : {"unknown", "hanging"} or None, default None
        What looking up a name gives.
    strikes : tuple of Strike, default ()
        What is done to the machine.
    chain, behind : mapping, default {}
        Settings of the chain, and of the model on board.
    fetched : bool, default True
        Whether the model on board is there.
    repeats : bool, default False
        Whether the text itself has an action twice.
    """

    name: str
    answer: Callable[[Asked], Reply]
    sees: tuple[Ending, ...] = ("on board",)
    ticks: int = 3
    rounds: int = 2
    over: Literal["http", "sdk"] = "http"
    url: str = "http://127.0.0.1:{port}/v1"
    tls: bool = False
    names: Names | None = None
    strikes: tuple[Strike, ...] = ()
    chain: Mapping[str, Any] = field(default_factory=dict[str, Any])
    fetched: bool = True
    repeats: bool = False

    @property
    def is_met(self) -> bool:
        """Whether requests have to reach the front."""
        return not self.tls and self.url == Fault.url

    @property
    def cost_s(self) -> float:
        """About how long it takes; the longest are played first."""
        return self.rounds * (self.ticks + 1.0)


def tokens(text: str) -> list[str]:
    """A text in the pieces in which it is streamed."""
    return [text[at : at + TOKEN] for at in range(0, len(text), TOKEN)]


def _action(type_: str, value: str) -> str:
    return json.dumps({"type": type_, "value": value}, separators=(",", ":"))


# --- Replies -------------------------------------------------------------------------------------


def good(asked: Asked) -> Reply:
    """Two actions."""
    return Reply.stream(*asked.first, *asked.rest)


def always(reply: Reply) -> Callable[[Asked], Reply]:
    """The same to everybody."""
    return lambda _: reply


def by_round(*answers: Callable[[Asked], Reply]) -> Callable[[Asked], Reply]:
    """One of these a round, with a fresh chain each."""
    return lambda asked: answers[asked.round % len(answers)](asked)


def late(seconds: float) -> Callable[[Asked], Reply]:
    """A good answer, too late."""
    return lambda asked: replace(good(asked), wait=seconds)


def racing(asked: Asked) -> Reply:
    """A good answer that is soon there, or not soon enough."""
    return replace(good(asked), wait=2.8 if asked.situation % 2 else 0.02)


def at_first(reply: Reply, failures: int = 1) -> Callable[[Asked], Reply]:
    """To so many requests of a round, then good answers."""
    return lambda asked: reply if asked.again < failures else good(asked)


def first_then(*steps: Step | str, end: End = "whole") -> Callable[[Asked], Reply]:
    """One action, then something else than the rest of the answer."""
    return lambda asked: _open(*asked.first, *steps, end=end)


def before_then(*steps: Step | str, end: End = "whole") -> Callable[[Asked], Reply]:
    """Half an action, then something else than its other half."""
    return lambda asked: _open(*asked.before, *steps, end=end)


def said(*steps: Step | str, end: End = "whole") -> Callable[[Asked], Reply]:
    """A whole stream of these."""
    return always(replace(Reply.stream(*steps), end=end))


def error(status: int, message: str, code: str = "", **headers: str) -> Reply:
    """An error in the words of the OpenAI dialect."""
    told = {"message": message, "type": code or "error", "code": code or status}
    reply = Reply.json({"error": told}, status)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return replace(reply, headers={**reply.headers, **named})


def _open(*steps: Step | str, end: End) -> Reply:
    """A stream that does not say how the answer ended."""
    # Before a reset, what was sent has time to be read.
    steps = (*steps, 0.02) if end == "reset" else steps
    return replace(Reply.stream(*steps, finish=None, done=False), end=end)


def cut_at_each_token(asked: Asked) -> Reply:
    """The good answer, each round a token more of it."""
    whole = [*asked.first, *asked.rest]
    return _open(*whole[: asked.round], end="cut")


def dripping(asked: Asked) -> Reply:
    """The good answer, byte by byte."""
    data = b"".join(step for step in good(asked).body if isinstance(step, bytes))
    drops = (step for at in range(60) for step in (data[at : at + 1], 0.3))
    return replace(good(asked), body=tuple(drops))


def slowly(asked: Asked) -> Reply:
    """A good action at once, then a token a second."""
    return Reply.stream(*asked.first, *(step for token in asked.rest for step in (1.0, token)))


def mixed(asked: Asked) -> Reply:
    """Unknown actions among good ones."""
    actions = [_action("fly", "high"), asked.action("a"), _action("move", "backflip")]
    return Reply.stream(*tokens(f'{{"actions":[{",".join([*actions, asked.action("b")])}]}}'))


def twice(asked: Asked) -> Reply:
    """One event of the stream two times, an action an event."""
    first = f"{asked.action('a')},"
    return Reply.stream('{"actions":[', first, first, asked.action("b"), "]}")


def two_roots(asked: Asked) -> Reply:
    """Two answers in one."""
    roots = (f'{{"actions":[{asked.action(letter)}]}}' for letter in "ab")
    return Reply.stream(*tokens("\n".join(roots)))


ABSURD = (
    "315360000",
    "-5",
    "nan",
    "Thu, 01 Jan 1970 00:00:00 GMT",
    "Thu, 31 Dec 2099 23:59:59 GMT",
)


def absurd(asked: Asked) -> Reply:
    """How long to wait, each round another way in which nobody waits."""
    return error(429, "Slow down", Retry_After=ABSURD[asked.round % len(ABSURD)])


def flapping(asked: Asked) -> Reply:
    """Each second something else."""
    return (good(asked), Reply.nothing("reset"), Reply.nothing("stall"))[asked.situation % 3]


def unmarked(asked: Asked) -> Reply:
    """A good answer whose end is [DONE] and nothing else."""
    return Reply.stream(*asked.first, *asked.rest, finish=None)


def stream_error(asked: Asked) -> Reply:
    """The engine dies in a stream that began well."""
    died = event({"error": {"code": 500, "message": "The engine died."}})
    return _open(*asked.before, died, end="whole")


HALF_A_HEAD = Reply(status=None, body=(b"HTTP/1.1 200 OK\r\nContent-Ty",), end="stall")
WELCOME = Reply.text("<html><body>Welcome to our Wi-Fi</body></html>", 200, "text/html")
PAGE = Reply.text("<html><body>Bad gateway</body></html>", 502, "text/html")
REDIRECT = Reply(307, {"Location": "/v1/chat/completions"}, framing="length")
REFUSED = "http://127.0.0.1:9/v1"  # the discard port, at which nobody listens
RESET = Reply.nothing("reset")
STALLED = Reply.nothing("stall")
OTHER_PORT = "https://127.0.0.1:{port}/v1"
UNKNOWN = _action("fly", "high"), _action("move", "backflip")

FAULTS = (
    # Nothing goes wrong.
    Fault("none: the front is healthy", good, ("front",)),
    Fault("none: healthy, over the SDK", good, ("front",), over="sdk"),
    Fault("none: both race, hedge_after 0.2", racing, ("front", "on board"),
          chain={"hedge_after": 0.2}),
    # On the way to the server.
    Fault("connection refused", good, url=REFUSED),
    Fault("DNS: the name is unknown", good, url="http://robot.test/v1", names="unknown"),
    Fault("DNS: the look-up hangs for 10 s", good, url="http://robot.test/v1", names="hanging"),
    Fault("TLS: a self-signed certificate", good, url=OTHER_PORT, tls=True),
    Fault("TLS: plain http on the https port", good, url="https://127.0.0.1:{plain}/v1"),
    Fault("a redirect to itself", always(REDIRECT)),
    # The connection breaks.
    Fault("reset before the head", always(RESET)),
    Fault("reset after the head", said(0.02, end="reset")),
    Fault("reset before the first action", before_then(end="reset")),
    Fault("reset after the first action", first_then(end="reset"), ("broke off", "on board")),
    Fault("reset after the first action, SDK", first_then(end="reset"), ("broke off",), over="sdk"),
    Fault("cut at each token in turn", cut_at_each_token, ("broke off", "on board"),
          rounds=2 * 8 + 1, ticks=1),
    # It is slow.
    Fault("2.5 s late", late(2.5)),
    Fault("10 s late", late(LONG_S)),
    Fault("hangs before the head, SDK", always(STALLED), over="sdk"),
    Fault("hangs in the middle of the head", always(HALF_A_HEAD)),
    Fault("hangs before the first action", before_then(end="stall")),
    Fault("hangs after the first action", first_then(end="stall"), ("broke off", "on board")),
    Fault("a byte each 0.3 s", dripping),
    Fault("a token a second after an action", slowly, ("broke off",)),
    Fault("empty, blank or comments, for ever", by_round(
        before_then(*("", 0.2) * 60), before_then(*(" \n", 0.1) * 120),
        before_then(*(b": ping\n\n", 0.2) * 60)), rounds=3),
    # What it says of itself.
    Fault("429 or 500, once", by_round(
        at_first(error(429, "Slow down")), at_first(error(500, "Oops"))), ("front",)),
    Fault("429 for ever, saying when or not", by_round(
        always(error(429, "Slow down")), always(error(429, "Slow down", Retry_After="30")))),
    Fault("429, Retry-After absurd", absurd, rounds=len(ABSURD), ticks=2),
    Fault("500 for ever, SDK", always(error(500, "Oops")), over="sdk"),
    Fault("502 with a page", always(PAGE)),
    Fault("503 while its model loads", always(error(503, "Loading model", "unavailable_error"))),
    Fault("401, 402 or 404", by_round(
        always(error(401, "Invalid key", "invalid_api_key")),
        always(error(402, "No balance", "insufficient_quota")),
        always(error(404, "No such model", "model_not_found"))), rounds=3),
    Fault("400: the context is too long",
          always(error(400, "The prompt is too long", "context_length_exceeded"))),
    Fault("an error inside the stream", stream_error),
    # What it answers.
    Fault("ends without finish_reason", unmarked, ("front",)),
    Fault("200, and nothing or a page", by_round(
        always(Reply.text("", 200, "application/json")), always(WELCOME))),
    Fault("no JSON, or half of it", by_round(
        said(*tokens("I sit down, and wag my tail: } ]")), before_then(b"data: [DONE]\n\n"))),
    Fault("unknown actions only", said(*tokens(f'{{"actions":[{",".join(UNKNOWN)}]}}'))),
    Fault("unknown actions among good ones", mixed, ("front",)),
    Fault("an event of 5 MB", before_then(b'data: {"pad":"', *[MUCH] * 80, b'"}\n\n')),
    Fault("a line of 5 MB without end", before_then(b"data: ", *[MUCH] * 80, end="stall")),
    Fault("an event twice", twice, ("front",), repeats=True),
    Fault("two answers in one", two_roots, ("front",)),
    # On this machine.
    Fault("on board killed before the tick", always(RESET), url=REFUSED,
          strikes=(Strike(1, "kill"),), ticks=4),
    Fault("on board killed while it acts", always(RESET), url=REFUSED,
          strikes=(Strike(1, "kill", "first action"),), ticks=4),
    Fault("on board stopped for 5 s", always(RESET), url=REFUSED,
          strikes=(Strike(1, "stop"), Strike(1, "continue", after_s=5.0)), ticks=6),
    Fault("both down: no model on board", always(RESET), ("idle",), fetched=False),
    # The front rests for 5 s by whichever clock, and has to be back at the end.
    Fault("the wall clock jumps", at_first(error(500, "Oops"), 2), ("on board", "front"),
          strikes=(Strike(1, "clock +3600"), Strike(2, "clock -3600"), Strike(3, "clock -86400")),
          ticks=8),
    Fault("each second good, reset or hanging", flapping, ("front", "on board"),
          rounds=1, ticks=60),
)  # fmt: skip
