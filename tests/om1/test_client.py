"""What OM1's history manager meets in our client."""

from __future__ import annotations

import pytest

from reflexarc import LLMConfig, load_llm
from reflexarc.errors import UnavailableError
from reflexarc.om1.client import Completions


@pytest.mark.parametrize(
    "settings",
    [{"type": "OnboardLLM"}, {"type": "FailoverLLM", "llms": [{"type": "OnboardLLM"}]}],
)
async def test_a_brain_on_board_writes_no_summaries(settings: dict[str, object]) -> None:
    """The robot would have to wait for one; OM1 drops its oldest turns where there is none."""
    llm = load_llm(LLMConfig.model_validate(settings))
    completing = Completions(lambda: llm, lambda: None).create(
        messages=[{"role": "user", "content": "?"}]
    )
    with pytest.raises(UnavailableError, match=f"{settings['type']} runs on board and writes no"):
        await completing
