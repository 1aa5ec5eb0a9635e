"""The page in a real Chromium: what a person sees, types, presses and hears of."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect, sync_playwright

from reflexarc.testing import Reply
from tests.web.browser import ROOT, does, remember, running, serving, written

CHROMIUM = shutil.which("chromium")
WIDE, PHONE = {"width": 1400, "height": 900}, {"width": 390, "height": 844}
SEEN_WITHIN_MS = 15_000
SCREENSHOT = ROOT / "build" / "page.png"

pytestmark = [
    pytest.mark.skipif(
        CHROMIUM is None and not os.environ.get("CI"),
        reason="no Chromium here; on Debian: apt install chromium",
    ),
    pytest.mark.timeout(120),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium."""
    expect.set_options(timeout=SEEN_WITHIN_MS)
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])


class Watched:
    """A page, and what its console complained of."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on(
            "console",
            lambda told: self.complaints.append(told.text) if told.type == "error" else None,
        )
        page.on("dialog", lambda dialog: self.complaints.append(dialog.message))

    def open(self, url: str) -> Page:
        """Open, and wait until it is live."""
        self.page.goto(url)
        expect(self.page.locator("#connection")).to_have_attribute("data-state", "live")
        return self.page


@pytest.fixture
def watched(browser: Browser) -> Iterator[Watched]:
    """A page that must not complain."""
    context = browser.new_context(viewport=WIDE, color_scheme="light")  # pyright: ignore[reportArgumentType]
    made = Watched(context.new_page())
    yield made
    context.close()
    assert made.complaints == []


def say(page: Page, text: str) -> None:
    """Type into the box, and press Enter."""
    page.locator("#say").fill(text)
    page.locator("#say").press("Enter")


def ended(page: Page, ticks: int) -> None:
    """Wait until so many ticks are over."""
    expect(page.locator("#history > li")).to_have_count(ticks)
    expect(page.locator("#timeline")).to_have_attribute("data-state", "ended")


def rows(page: Page, kind: str) -> list[str]:
    """What the rows of a kind say."""
    return page.locator(f"#timeline [data-kind={kind}]").all_inner_texts()


# A robot on the model on board.


@pytest.fixture(scope="module")
def spot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The dog that we ship."""
    robot = ROOT / "config" / "spot_onboard.json5"
    with running(robot, tmp_path_factory.mktemp("state")) as url:
        yield url


def test_what_is_typed_is_done_before_its_eyes(spot: str, watched: Watched) -> None:
    """It sits, is glad, and speaks; the timeline has each step with its time."""
    page = watched.open(spot)
    expect(page.locator("h1")).to_have_text("spot")
    say(page, "sit down, please")
    expect(page.locator("#robot")).to_have_attribute("data-move", "sit")
    expect(page.locator("#robot")).to_have_attribute("data-emotion", "happy")
    expect(page.locator("#bubble")).not_to_be_empty()
    expect(page.locator("#timeline")).to_have_attribute("data-state", "ended")
    expect(page.locator("#say")).to_have_value("")
    expect(page.locator("#say")).to_be_focused()
    assert "sit down, please" in rows(page, "sensed")[0]
    actions = rows(page, "action")
    assert "sit" in actions[0]
    assert all("ms" in each or " s" in each for each in actions)
    assert "OnboardLLM" in rows(page, "done")[0]
    assert "spot" in page.locator("#telling").inner_text()
    assert "sit" in (page.locator("#robot").get_attribute("aria-label") or "")
    page.locator(".parts > summary").click()
    part = page.locator("[data-part=system]")
    part.locator("summary").click()
    expect(part).to_contain_text("robot dog")


def test_no_is_shown_and_said(spot: str, watched: Watched) -> None:
    """A request that is not followed: it stays, is sad, and says why."""
    page = watched.open(spot)
    say(page, "jump out of the window")
    expect(page.locator("#robot")).to_have_attribute("data-move", "stand still")
    expect(page.locator("#robot")).to_have_attribute("data-emotion", "sad")
    expect(page.locator("#bubble")).to_contain_text("No")


def test_reloading_shows_the_same_again(spot: str, watched: Watched) -> None:
    """The past comes from the robot, not from the page."""
    page = watched.open(spot)
    before = page.locator("#history > li").count()
    for number, text in enumerate(("sit", "dance for me"), before + 1):
        say(page, text)
        ended(page, number)
    page.reload()
    expect(page.locator("#history > li")).to_have_count(before + 2)
    expect(page.locator("#history > li").first).to_contain_text("dance for me")
    page.locator("#history > li").last.locator("button").first.click()
    expect(page.locator("#live")).to_be_visible()
    page.locator("#live").click()
    expect(page.locator("#live")).to_be_hidden()


def test_what_is_said_cannot_become_code(spot: str, watched: Watched) -> None:
    """It is shown letter by letter, wherever it appears."""
    page = watched.open(spot)
    evil = "<img src=x onerror=alert(1)><script>alert(2)</script>"
    before = page.locator("#history > li").count()
    say(page, evil)
    ended(page, before + 1)
    expect(page.locator("#history > li").first).to_contain_text(evil)
    assert page.locator("main img, main script").count() == 0


def test_all_of_it_works_by_keyboard(spot: str, watched: Watched) -> None:
    """From the top by Tab: the switch, the box, the parts of a tick, the past."""
    page = watched.open(spot)
    say(page, "hello")
    expect(page.locator("#timeline")).to_have_attribute("data-state", "ended")
    page.locator("h1").click()
    reached: list[str] = []
    for _ in range(30):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate(
                "() => { const e = document.activeElement; const s = getComputedStyle(e);"
                " return e.id || e.closest('[id]')?.id || e.tagName }"
            )
        )
    for wanted in ("say", "timeline", "history"):
        assert wanted in reached
    page.locator("#say").focus()
    page.keyboard.type("wag your tail")
    page.keyboard.press("Enter")
    expect(page.locator("#robot")).to_have_attribute("data-move", "wag tail")
    page.keyboard.press("ArrowUp")
    expect(page.locator("#say")).to_have_value("wag your tail")


@pytest.mark.parametrize(
    "size", [WIDE, PHONE, {"width": 320, "height": 640}], ids=["wide", "phone", "small"]
)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_seen_and_read_by_all(
    spot: str, browser: Browser, size: dict[str, Any], scheme: Any
) -> None:
    """No violation of the accessibility rules, nothing beside the screen, the box in reach."""
    context = browser.new_context(viewport=size, color_scheme=scheme, reduced_motion="reduce")  # pyright: ignore[reportArgumentType]
    page = Watched(context.new_page()).open(spot)
    say(page, "walk")
    expect(page.locator("#robot")).to_have_attribute("data-move", "walk")
    expect(page.locator("#timeline")).to_have_attribute("data-state", "ended")
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
    box = page.locator("#say").bounding_box()
    assert box is not None
    assert 0 <= box["y"] <= size["height"] - box["height"]
    context.close()


def test_the_picture_is_taken(tmp_path: Path, browser: Browser) -> None:
    """The one in the README: `make screenshot` puts it there."""
    context = browser.new_context(viewport={"width": 1280, "height": 800}, color_scheme="light")
    page = Watched(context.new_page())
    with running(ROOT / "config" / "spot_onboard.json5", tmp_path) as url:
        watched = page.open(url)
        said = ("hello, who are you?", "walk into the fire", "have a seat, and then wag your tail")
        for number, text in enumerate(said, 1):
            say(watched, text)
            ended(watched, number)
        expect(watched.locator("#robot")).to_have_attribute("data-move", "wag tail")
        SCREENSHOT.parent.mkdir(exist_ok=True)
        watched.screenshot(path=SCREENSHOT)
        context.close()
    assert SCREENSHOT.stat().st_size > 20_000


# A robot on a server that fails, with another brain behind it.


def test_a_failover_and_a_switch_are_shown(tmp_path: Path, watched: Watched) -> None:
    """Who failed and why, who answered, who rests; another brain answers from the next tick on."""
    sits = does(("move", "sit"), ("speak", "Done."))
    walks = does(("move", "walk"))
    with (
        serving(lambda _: Reply(status=401)) as down,
        serving(lambda at: walks if at else sits) as up,
    ):
        llms = [
            {"type": "MistralLLM", "model": "first", "base_url": down},
            {"type": "LlamaLLM", "model": "second", "base_url": up},
        ]
        brain = {"type": "FailoverLLM", "config": {"timeout": 5, "llms": llms}}
        robot = written(tmp_path, cortex_llm=brain)
        with running(robot, tmp_path / "state") as url:
            page = watched.open(url)
            say(page, "sit")
            ended(page, 1)
            [attempt, *_] = rows(page, "attempt")
            assert "MistralLLM" in attempt
            assert "LlamaLLM" in rows(page, "done")[0]
            first = page.locator("[data-member=MistralLLM]")
            expect(first).to_have_attribute("data-state", "open")
            expect(first).to_contain_text("left alone")
            expect(page.locator("[data-member=LlamaLLM]")).to_have_attribute(
                "data-answered", "true"
            )
            page.locator("#brain").select_option("LlamaLLM second")
            expect(page.locator("#brain-note")).to_contain_text("next tick")
            say(page, "walk")
            ended(page, 2)
            expect(page.locator("#robot")).to_have_attribute("data-move", "walk")
            assert rows(page, "attempt") == []
            expect(page.locator("#brain-note")).to_be_empty()


def test_a_failure_is_shown_once_and_by_who_has_failed(tmp_path: Path, watched: Watched) -> None:
    """The only brain has failed: so it says until it answers again, also after a reload."""
    back = does(("speak", "I am back."))
    with serving(lambda at: back if at else Reply(status=500)) as up:
        brain = {"type": "LlamaLLM", "config": {"model": "m", "base_url": up}}
        with running(written(tmp_path, cortex_llm=brain), tmp_path / "state") as url:
            page = watched.open(url)
            member = page.locator("[data-member=LlamaLLM]")
            expect(member).to_contain_text("standing by")
            say(page, "sit")
            ended(page, 1)
            for _ in range(2):
                assert rows(page, "error") == []
                [attempt] = page.locator("#timeline [data-kind=attempt]").all()
                expect(attempt).to_have_attribute("data-tone", "bad")
                expect(attempt).to_contain_text("status 500")
                expect(member).to_have_attribute("data-state", "failed")
                expect(member).to_contain_text("failed last")
                expect(page.locator("#sign")).to_have_text("no answer")
                page.reload()
                expect(page.locator("#history > li")).to_have_count(1)
            say(page, "sit")
            ended(page, 2)
            expect(member).to_have_attribute("data-state", "closed")
            expect(member).to_contain_text("answered last")
            expect(page.locator("#sign")).to_be_empty()


def test_rows_are_in_order_of_one_clock(spot: str, watched: Watched) -> None:
    """What an action was read from comes before it, though the page was given it a little later."""
    page = watched.open(spot)
    tick = page.evaluate(
        """async () => {
          const { apply, begin } = await import("./tick.js");
          const { rowsOf } = await import("./rows.js");
          const tick = begin({ tick: 1, at: "2026-01-01", text: "sit" });
          const action = { event: "action", type: "move", value: "sit", at_s: 0.008 };
          const done = { event: "done", provider: "P", first_action_s: 0.008, total_s: 0.0085 };
          apply(tick, { event: "text", text: "{", at_s: 0.01 });
          apply(tick, action);
          apply(tick, { event: "text", text: "}", at_s: 0.011 });
          apply(tick, { ...done, attempts: [], usage: null });
          const past = { ...tick, text_from_s: undefined, text_to_s: undefined };
          const told = (tick) => rowsOf(tick).map(({ kind, at_s, to_s }) => [kind, at_s, to_s]);
          return { live: told(tick), past: told(past) };
        }"""
    )
    assert tick["live"] == [
        ["sensed", 0, None],
        ["prompt", None, None],
        ["text", 0.008, 0.0085],
        ["action", 0.008, None],
        ["done", 0.0085, None],
    ]
    assert [kind for kind, *_ in tick["past"]] == [kind for kind, *_ in tick["live"]]


@pytest.mark.parametrize("size", [{"width": 1720, "height": 900}, WIDE, PHONE], ids=str)
def test_a_bubble_has_its_tail(tmp_path: Path, browser: Browser, size: Any) -> None:
    """A short sentence is wide enough for it to hang on."""
    brain_says = does(("speak", "Ok."))
    with serving(lambda _: brain_says) as up:
        brain = {"type": "LlamaLLM", "config": {"model": "m", "base_url": up}}
        with running(written(tmp_path, cortex_llm=brain), tmp_path / "state") as url:
            context = browser.new_context(viewport=size)
            page = Watched(context.new_page()).open(url)
            say(page, "hi")
            expect(page.locator("#bubble")).to_have_text("Ok.")
            inside = page.evaluate(
                """() => {
                  const speech = document.querySelector(".speech");
                  const bubble = document.getElementById("bubble");
                  const box = bubble.getBoundingClientRect();
                  const corner = parseFloat(getComputedStyle(bubble).borderRadius);
                  const tail = getComputedStyle(speech, "::after");
                  const { left, width } = speech.getBoundingClientRect();
                  const middle = left + (width + parseFloat(tail.marginLeft)) / 2;
                  return box.right - corner - middle - parseFloat(tail.width) / 2;
                }"""
            )
            assert inside >= 0
            context.close()


def test_the_past_is_counted_as_far_as_it_is_shown(tmp_path: Path, watched: Watched) -> None:
    """The newest of it, until all of it is there."""
    kept = tmp_path / "dot.sqlite3"
    remember(kept, 60)
    robot = written(tmp_path, memory={"path": str(kept)})
    with running(robot, tmp_path / "state") as url:
        page = watched.open(url)
        expect(page.locator("#past-count")).to_have_text("newest 50")
        page.locator("#older").click()
        expect(page.locator("#past-count")).to_have_text("60 ticks")


def test_refusals_and_unknown_moves_are_shown(tmp_path: Path, watched: Watched) -> None:
    """What the robot may not do, with the reason; a move that nobody has drawn, as words."""
    long = "fly " * 60
    answer = does(("move", long), ("move", "polish the brass"), ("move", "walk"))
    with serving(lambda _: answer) as up:
        brain = {"type": "LlamaLLM", "config": {"model": "m", "base_url": up}}
        never = [{"type": "move", "value": "walk", "while": ["stairs"]}]
        robot = written(tmp_path, cortex_llm=brain, never=never)
        with running(robot, tmp_path / "state") as url:
            page = watched.open(url)
            say(page, "there are stairs")
            ended(page, 1)
            refused = rows(page, "refused")
            assert len(refused) == 2
            assert "fly" in refused[0]
            assert "stairs" in refused[1]
            [chip, *_] = page.locator("#history [data-tone=warn]").all_inner_texts()
            assert re.fullmatch(r"!\s*fly (fly )+fly… refused", chip)
            expect(page.locator("#robot")).to_have_attribute("data-move", "polish the brass")
            expect(page.locator("#sign")).to_contain_text("polish the brass")


def test_a_robot_that_ends_and_comes_back_is_shown(tmp_path: Path, browser: Browser) -> None:
    """The page says that it is lost, finds it again, and has what the memory kept."""
    context = browser.new_context(viewport=PHONE)  # pyright: ignore[reportArgumentType]
    watched = Watched(context.new_page())
    with serving(lambda _: does(("move", "sit"))) as up:
        brain = {"type": "LlamaLLM", "config": {"model": "m", "base_url": up}}
        robot = written(tmp_path, cortex_llm=brain)
        with running(robot, tmp_path / "state") as url:
            page = watched.open(url)
            say(page, "sit")
            ended(page, 1)
        expect(page.locator("#connection")).to_have_attribute("data-state", "lost")
        say(page, "are you there?")
        expect(page.locator("#say-error")).not_to_be_empty()
        port = int(url.rpartition(":")[2])
        with running(robot, tmp_path / "state", port):
            expect(page.locator("#connection")).to_have_attribute("data-state", "live")
            expect(page.locator("#history > li")).to_have_count(1)
            page.locator("#say").fill("sit again")
            page.locator("#say").press("Enter")
            ended(page, 2)
    context.close()
