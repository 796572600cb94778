"""Threads that run until the end of a block."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def in_background(*targets: Callable[[threading.Event], None]) -> Iterator[None]:
    """Run each target on a thread until the block ends. Then set its event and wait until it returns."""
    stop = threading.Event()
    threads = [threading.Thread(target=target, args=[stop], daemon=True) for target in targets]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()
