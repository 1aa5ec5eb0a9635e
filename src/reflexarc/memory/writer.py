"""The one thread that writes: it takes orders, and says when they are on disk."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any

from reflexarc.errors import StorageError
from reflexarc.memory.store import Store

_log = logging.getLogger(__name__)

MOST_WAITING = 1000
"""Orders that wait for the disk at most; one more is refused, for a disk that hangs must not fill
the robot's memory."""

_MOST_TOGETHER = 64  # committed as one


@dataclass(slots=True, eq=False)
class _Order:
    write: Callable[[Store], Any]
    done: Future[Any] = field(default_factory=Future[Any])


class Writer:
    """Owns the connection that writes, in a thread of its own.

    The file is opened for the first order, and again for the next one after a failure.

    Parameters
    ----------
    open_store : callable
        Opens the memory; called in the thread.
    """

    def __init__(self, open_store: Callable[[], Store]) -> None:
        self._open_store = open_store
        self._store: Store | None = None
        self._orders: SimpleQueue[_Order | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._is_closed = False
        # A daemon: a program that ends without closing it must not hang.
        self._thread = threading.Thread(target=self._run, name="memory", daemon=True)
        self._thread.start()

    def submit(self, write: Callable[[Store], Any]) -> Future[Any]:
        """Have something written; does not wait.

        Parameters
        ----------
        write : callable
            Writes to the memory it is given. Others may be committed together with it.

        Returns
        -------
        concurrent.futures.Future
            Done when it is on disk, with what `write` returned; it cannot be cancelled.

        Raises
        ------
        StorageError
            If this is closed, or too many wait already.
        """
        order = _Order(write)
        order.done.set_running_or_notify_cancel()  # who gives up waiting does not take it back
        with self._lock:  # so that nothing comes after the end
            if self._is_closed:
                raise StorageError("the memory is closed; open it with `async with`")
            if self._orders.qsize() >= MOST_WAITING:
                raise StorageError(
                    f"{MOST_WAITING} ticks wait to be written, and one more was given up; "
                    "check the disk of the memory",
                    retryable=True,
                )
            self._orders.put(order)
        return order.done

    def close(self) -> None:
        """Take no more orders; does not wait for those that were given."""
        with self._lock:
            if not self._is_closed:
                self._is_closed = True
                self._orders.put(None)

    def join(self) -> None:
        """Wait until all is written and the thread has ended; blocks."""
        self._thread.join()

    def _run(self) -> None:
        is_untidy = is_last = False
        while not is_last:
            orders, is_last = self._take(wait=not is_untidy)
            if orders:
                self._write(orders)
            is_untidy = not is_last and self._tidy()
        self._close_store()

    def _take(self, *, wait: bool) -> tuple[list[_Order], bool]:
        """The orders that are there, and whether they are the last; none only if not to wait."""
        orders: list[_Order] = []
        with suppress(Empty):
            while len(orders) < _MOST_TOGETHER:
                order = self._orders.get(block=wait and not orders)
                if order is None:
                    return orders, True
                orders.append(order)
        return orders, False

    def _write(self, orders: Sequence[_Order]) -> None:
        try:
            store = self._current_store()
            with store.together():
                results = [order.write(store) for order in orders]
        except StorageError as error:
            self._close_store()
            if self._is_closed:  # who ends waits for one failure, not for as many as there are
                orders = [*orders, *self._rest()]
            for order in orders:
                order.done.set_exception(error)
        except Exception as error:  # noqa: BLE001 - handed to the one who waits for it
            if len(orders) == 1:
                orders[0].done.set_exception(error)
            for order in orders if len(orders) > 1 else ():  # the others are written all the same
                self._write([order])
        else:
            for order, result in zip(orders, results, strict=True):
                order.done.set_result(result)

    def _rest(self) -> list[_Order]:
        """All that waits, once nothing more can come."""
        rest: list[_Order] = []
        while (order := self._orders.get()) is not None:
            rest.append(order)
        self._orders.put(None)
        return rest

    def _tidy(self) -> bool:
        """Remove some of what is too much; whether there is more of it."""
        try:
            return self._store is not None and self._store.tidy()
        except StorageError as error:
            _log.warning("nothing was removed from the memory: %s", error)
            self._close_store()
            return False

    def _current_store(self) -> Store:
        if self._store is not None and not self._store.is_current:
            _log.warning("the memory %s was moved away; a new one is begun", self._store.path)
            self._close_store()
        if self._store is None:
            self._store = self._open_store()
        return self._store

    def _close_store(self) -> None:
        if self._store is not None:
            self._store.close()
            self._store = None
