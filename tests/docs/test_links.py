"""Every link leads somewhere; those that leave the repository are known by their host."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.docs.markdown import PAGES, links_of, name_of, places_in

HOSTS = (Path(__file__).parent / "hosts.txt").read_text().split()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    """A file or folder of the repository, a heading of its page, or a host that is known."""
    for link in links_of(page):
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            assert parts.scheme == "https" or parts.hostname in ("127.0.0.1", "localhost"), link
            assert parts.hostname in HOSTS, f"{link}: is its host right? then add it to hosts.txt"
            continue
        target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
        assert target.exists(), f"{name_of(page)} links to {link}, which is not there"
        if parts.fragment:
            assert unquote(parts.fragment) in places_in(target), f"no place {link}"


def test_every_host_is_linked_to() -> None:
    """A host that no page names any more leaves the list."""
    linked = {urlsplit(link).hostname for page in PAGES for link in links_of(page)}
    assert sorted(set(HOSTS) - linked) == []
