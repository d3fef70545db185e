"""Waiting for what other threads and processes do: with a deadline, and without a guess how long it takes."""

import os
import select
import time

SECONDS = 30
# Between two looks at what tells nobody when it changes.
STEP = 0.01


def until(condition, what="what is waited for", seconds=SECONDS):
    """Wait until the condition is true; its value. `what`, or what it returns, is named if that takes too long."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, what() if callable(what) else what
        time.sleep(STEP)
    return value


def until_gone(processes, seconds=SECONDS):
    """Wait until these processes have ended; whether somebody has asked how does not matter."""
    deadline = time.monotonic() + seconds
    for process in processes:
        try:
            handle = os.pidfd_open(process)
        except ProcessLookupError:
            continue
        try:
            ended, _, _ = select.select([handle], [], [], max(0, deadline - time.monotonic()))
            assert ended, f"process {process} has not ended"
        finally:
            os.close(handle)
