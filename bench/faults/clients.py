"""Who is asked while a server fails: the peers at their defaults, and some of them tuned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench.peers import LIMIT, PEERS, Peer

TUNED: Mapping[str, Peer] = {
    "ours-told": Peer(
        "reflexarc, `timeout: 3`", "tuned:ours", "reflexarc", "reflexarc", "reflexarc",
        falls_back=True,
    ),
    "openai-by-hand": Peer(
        "openai, fallback by hand", "tuned:by_hand_whole", "openai", "openai", "openai",
        streams=False, falls_back=True,
    ),
    "openai-by-hand-stream": Peer(
        "openai, fallback by hand, streamed", "tuned:by_hand_streamed", "openai", "openai",
        "openai", falls_back=True,
    ),
    "pydantic-ai-told": Peer(
        "pydantic-ai `FallbackModel`, tuned", "tuned:pydantic_ai", "pydantic-ai",
        "pydantic-ai-slim", "pydantic_ai", streams=False, falls_back=True,
    ),
    "langchain-told": Peer(
        "langchain `with_fallbacks`, tuned", "tuned:langchain", "langchain-mistralai",
        "langchain-mistralai", "langchain_mistralai", streams=False, falls_back=True,
    ),
    "livekit-told": Peer(
        "LiveKit `FallbackAdapter`, tuned", "tuned:livekit", "livekit", "livekit-agents",
        "livekit.agents livekit.plugins.openai", streams=False, falls_back=True,
    ),
}  # fmt: skip
"""Those who have been told of the limit, by options or by a fallback written by hand."""

CLIENTS: Mapping[str, Peer] = {
    **{name: peer for name, peer in PEERS.items() if name != LIMIT and not peer.varies},
    **TUNED,
}
"""The limit knows the server's bytes and nothing else; the varieties fail as what they vary."""


def of(names: Sequence[str]) -> dict[str, Peer]:
    """Those among the peers that are measured, and those tuned whose environments they have."""
    environments = {PEERS[name].environment for name in names}
    return {
        name: client
        for name, client in CLIENTS.items()
        if name in names or (name in TUNED and client.environment in environments)
    }
