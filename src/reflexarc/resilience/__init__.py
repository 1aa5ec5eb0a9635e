"""Never brainless: each of these is an LLM around others, so that one line composes them.

``Deadline(Failover([Breaker(Retry(mistral)), Breaker(Retry(llama)), onboard]), timeout=3)``
"""

from reflexarc.resilience.around import Around
from reflexarc.resilience.breaker import Breaker
from reflexarc.resilience.chain import FailoverLLM
from reflexarc.resilience.deadline import Deadline
from reflexarc.resilience.failover import Failover, Hedge
from reflexarc.resilience.retry import Backoff, Retry

__all__ = [
    "Around",
    "Backoff",
    "Breaker",
    "Deadline",
    "Failover",
    "FailoverLLM",
    "Hedge",
    "Retry",
]
