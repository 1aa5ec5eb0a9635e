"""What a single value of a configuration may be, and the sentence where it may not."""

from __future__ import annotations

import math
from typing import Any

import pytest
from pydantic import ValidationError

from reflexarc.config import LLMConfig


def made(**settings: Any) -> LLMConfig:
    """A configuration with these settings."""
    return LLMConfig.model_validate({"type": "LlamaLLM"} | settings)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8080/v1?api-version=1",
        "http://127.0.0.1:8080/v1#top",
        "http://127.0.0.1:8080/v1/chat/completions",
        "http://127.0.0.1:8080/v1/chat/completions/",
    ],
)
def test_an_address_ends_where_we_go_on(url: str) -> None:
    """What would be doubled, or end up in the middle, is refused with the form to write."""
    with pytest.raises(ValidationError, match="up to and with /v1"):
        made(base_url=url)


@pytest.mark.parametrize("value", [{1}, math.nan, math.inf, b"a", object()])
def test_extra_fields_are_json(value: object) -> None:
    """A field that no request can hold is refused before anything is sent."""
    with pytest.raises(ValidationError, match="holds a value that JSON cannot"):
        made(extra_params={"top_p": value})


def test_extra_fields_that_are_json_stay() -> None:
    """Whatever JSON can hold is sent as it is."""
    fields = {"stop": ["a", None], "nested": {"deep": [1, 2.5, True]}}
    assert made(extra_params=fields).extra_params == fields
