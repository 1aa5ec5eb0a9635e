"""What looks like a key is not shown; what has a name is."""

from __future__ import annotations

import pytest

from reflexarc.redaction import blotted


@pytest.mark.parametrize(
    "key",
    [
        "sk-proj-abc123def456ghi789",
        "sk-canary_7xW9zR4tY2mN8qL5",
        "xai-A1b2C3d4E5f6G7h8",
        "gsk_A1b2C3d4E5f6G7h8",
        "om1_live_0123456789abcdef0123456789",
        "AIzaSyA1b2C3d4E5f6",
        "LLM|1234567890|abcDEF_ghi",
        "a1B2c3D4e5F6g7H8i9J0k1",
    ],
)
def test_a_key_is_known_by_its_looks(key: str) -> None:
    """Of each vendor, wherever it stands."""
    assert blotted(f"model is '{key}', and not known") == "model is '***', and not known"


@pytest.mark.parametrize(
    "name",
    [
        "sk-learn-classifier-model",
        "xai-grok-4-fast-reasoning",
        "om1-spot-configuration",
        "unitree_go2_autonomy_config",
        "Qwen2_5_0_5B_Instruct_Q4_K_M.gguf",
        "meta_llama_Llama_3_3_70B_Instruct_Turbo",
        "/home/robot/models/SmolLM2-135M-Instruct.Q4_1.gguf",
        "internationalisations",
    ],
)
def test_a_name_is_shown(name: str) -> None:
    """Else nobody finds what is wrong in a file."""
    assert blotted(name) == name
