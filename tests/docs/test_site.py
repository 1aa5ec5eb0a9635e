"""The documentation as a site: built strictly, and complete on a machine without a network."""

from __future__ import annotations

import os
import re
import runpy
import shutil
import threading
import tomllib
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect, sync_playwright

from tests.docs.markdown import ROOT

BUILDER: dict[str, Any] = runpy.run_path(str(ROOT / "scripts" / "build_site.py"))
CHROMIUM = shutil.which("chromium")
WIDE = {"viewport": {"width": 1400, "height": 900}, "color_scheme": "light"}
PHONE = {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark"}
LOOKS: Any = (("", WIDE), ("performance/", WIDE), ("reference/python/", PHONE))
RULES = {"runOnly": ["color-contrast", "scrollable-region-focusable"]}


class Quiet(SimpleHTTPRequestHandler):
    """Files of a folder, without a log."""

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def site() -> Iterator[str]:
    """Where the site is, after it was built."""
    found = BUILDER["build"]()
    assert not found, "\n".join(found)
    handler = partial(Quiet, directory=str(BUILDER["SITE"]))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.mark.timeout(180)
def test_it_is_built_strictly_and_asks_this_machine_only(site: str) -> None:
    """At both widths all of it is reached and read, and the search finds a setting."""
    reached(BUILDER["SITE"] / "reference" / "python" / "index.html")
    if CHROMIUM is None and not os.environ.get("CI"):
        pytest.skip("it is built; no Chromium here to look at it; on Debian: apt install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for name, look in LOOKS:
            context = browser.new_context(**look)
            page = context.new_page()
            asked: list[str] = []
            complained: list[str] = []
            page.on("request", lambda request, asked=asked: asked.append(request.url))
            page.on("console", lambda told, to=complained: to.append(f"{told.type}: {told.text}"))
            page.goto(f"{site}{name}")
            wide = page.evaluate("document.documentElement.scrollWidth")
            assert wide <= look["viewport"]["width"], name
            found = Axe().run(page, options=RULES)
            assert found.violations_count == 0, found.generate_report()
            searched(page)
            context.close()
            assert [url for url in asked if not url.startswith((site, "data:", "blob:"))] == []
            assert [line for line in complained if line.startswith("error")] == []
        browser.close()


def reached(page: Path) -> None:
    """A name in a table leads to its text, also where that is on another page."""
    links = re.findall(r'<td><a href="([^"]*)"><code>', page.read_text())
    assert "#reflexarc.LLM" in links
    assert "../errors/#reflexarc.errors.ConfigError" in links


def searched(page: Page) -> None:
    """Search for a setting, and wait until its page is found."""
    page.keyboard.press("/")
    page.get_by_role("combobox").fill("stall_timeout")
    found = page.get_by_role("option").first
    expect(found).to_have_attribute("href", re.compile(r"/configuration/.*#stall_timeout$"))


def test_every_page_is_in_the_navigation() -> None:
    """But for single decisions, which their list leads to; and nothing is in it twice."""
    settings = tomllib.loads((ROOT / "zensical.toml").read_text())
    listed = [path for each in settings["project"]["nav"] for path in paths_in(each)]
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in ROOT.glob("docs/**/*.md")}
    pages -= {page for page in pages if page.startswith("decisions/0")}
    assert sorted(listed) == sorted(pages | set(BUILDER["BESIDE"]))


def test_no_two_pages_have_one_title() -> None:
    """Nor has a page that of the site: it is what a browser and a search show of it."""
    settings = tomllib.loads((ROOT / "zensical.toml").read_text())
    sections = [pages for each in settings["project"]["nav"] for pages in each.values()]
    titles = [title.casefold() for pages in sections for each in pages for title in each]
    assert sorted(titles) == sorted(set(titles))
    assert settings["project"]["site_name"].casefold() not in titles


def paths_in(entry: Any) -> Iterator[str]:
    """The pages of one entry of the navigation."""
    for value in entry.values():
        if isinstance(value, str):
            yield value
        else:
            for each in value:
                yield from paths_in(each)
