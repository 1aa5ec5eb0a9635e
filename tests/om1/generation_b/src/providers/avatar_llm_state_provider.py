"""A stand-in for OM1's avatar, which shows people that the robot thinks."""

import functools
import typing as T

SHOWN: T.List[str] = []


class AvatarLLMState:
    """What the avatar was told is in `SHOWN`."""

    @classmethod
    def trigger_thinking(cls) -> T.Any:
        """Show "Think" while a plugin's `ask` runs, and "Happy" after it."""

        def decorator(func: T.Any) -> T.Any:
            @functools.wraps(func)
            async def wrapper(*args: T.Any, **kwargs: T.Any) -> T.Any:
                if getattr(args[0], "_skip_state_management", False):
                    return await func(*args, **kwargs)
                SHOWN.append("Think")
                try:
                    return await func(*args, **kwargs)
                finally:
                    SHOWN.append("Happy")

            return wrapper

        return decorator
