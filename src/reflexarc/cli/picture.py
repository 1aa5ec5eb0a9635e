"""What the commands share that draw."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from reflexarc.errors import ConfigError


def check_plot(path: Path) -> None:
    """See to it that a picture can be drawn, before anybody is asked.

    Parameters
    ----------
    path : Path
        The PNG file.

    Raises
    ------
    ConfigError
        If it has another ending, or its folder or matplotlib is not there.
    """
    if path.suffix != ".png":
        raise ConfigError(f"--plot writes a PNG file; name it {path.with_suffix('.png')}")
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"--plot cannot write {path}: there is no folder {path.parent}")
    if find_spec("matplotlib") is None:
        raise ConfigError("--plot needs matplotlib; run: pip install 'reflexarc[plot]'")
