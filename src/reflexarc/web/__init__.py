"""The page on which a person sees what the robot senses, thinks and does."""

from reflexarc.web.page import MOST_TICKS, Page
from reflexarc.web.server import HOST, PORT, PageServer

__all__ = ["HOST", "MOST_TICKS", "PORT", "Page", "PageServer"]
