# SPDX-License-Identifier: Apache-2.0
"""What all servers of the tests have in common."""


class Server:
    """`with` starts it, and leaves nothing behind where that fails."""

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.__exit__()
            raise
