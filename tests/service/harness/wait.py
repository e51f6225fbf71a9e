# SPDX-License-Identifier: Apache-2.0
"""Waiting for conditions: nothing in the tests sleeps and hopes."""

import time


def wait_until(condition, seconds=30.0, what="the condition", every=0.02):
    """The first true value of condition(); AssertionError with `what` past the deadline."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what() if callable(what) else what}: not within {seconds} s")
        time.sleep(every)
