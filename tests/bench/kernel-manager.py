#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""jupyter_client's KernelManager with a process that is ready at once, for stops.c: for each line "start" or "stop" on standard input it does that and
answers how many milliseconds it took. Exit code 77: there is no jupyter_client."""

import sys
import tempfile
import time

try:
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import KernelManager
except ImportError:
    sys.exit(77)


class Manager(KernelManager):
    @property
    def kernel_spec(self):
        return KernelSpec(argv=["/bin/sleep", "1000"], display_name="sleep", language="none")


def main():
    manager = None
    with tempfile.TemporaryDirectory() as folder:
        for line in sys.stdin:
            begin = time.monotonic()
            if line == "start\n":
                manager = Manager(connection_file=f"{folder}/connection.json")
                manager.start_kernel()
            else:
                manager.shutdown_kernel(now=True)
            print(1e3 * (time.monotonic() - begin), flush=True)


if __name__ == "__main__":
    main()
