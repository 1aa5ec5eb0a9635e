"""One measured number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number.

    Parameters
    ----------
    name : str
        What it is.
    value : float
        How much.
    unit : str
        Of what: ``"ms"``, ``"MB"``, ``"us"``, ``"us/token"``, ``"%"``, ``"times"``.
    note : str, default ""
        How it was measured.
    """

    name: str
    value: float
    unit: str
    note: str = ""

    def __str__(self) -> str:
        return f"{self.name:<44} {self.value:>9.4g} {self.unit:<9} {self.note}"

    def to_dict(self) -> dict[str, Any]:
        """The figure as one JSON object."""
        return {"name": self.name, "value": self.value, "unit": self.unit, "note": self.note}
