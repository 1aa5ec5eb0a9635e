"""What telemetry costs can be measured."""

from __future__ import annotations

from reflexarc.bench import bench_telemetry


def test_each_part_is_measured_beside_none() -> None:
    """A figure for a tick and one for a token, of each; a tick costs something."""
    figures = {figure.name: figure for figure in bench_telemetry(rounds=5)}
    assert list(figures) == ["telemetry: off, a tick"] + [
        f"telemetry: {part}, a {what}"
        for part in ("traces", "metrics", "spans")
        for what in ("tick", "token")
    ]
    assert figures["telemetry: off, a tick"].value > 0
    assert figures["telemetry: spans, a tick"].value > 0
    assert all(figure.value >= 0 for name, figure in figures.items() if name.endswith("token"))
