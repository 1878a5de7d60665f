#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A keeper of another version of the link. Usage: other-keeper.py FOLDERS VERSIONS LOG

FOLDERS is where the runtimes' folders are, of which there is one; VERSIONS holds the version that it says on its first connection and that on later ones; each
message that comes is written to LOG. It shares nothing with link.h but what version 1 was, in these very sizes; its runtime is a process that sleeps."""

import array
import os
import select
import signal
import socket
import struct
import sys
import time

HELLO, EXECUTED, EXITED, DONE, REPLY = 1, 2, 4, 7, 8
RUN, SIGNAL, SEND, ACKNOWLEDGE, WATCH, COLLECT = 64, 65, 66, 67, 68, 72
NAMES = {RUN: "run", SIGNAL: "signal", SEND: "send", ACKNOWLEDGE: "acknowledge", WATCH: "watch", COLLECT: "collect"}
SIZES = {RUN: 8, SIGNAL: 16, SEND: 16, ACKNOWLEDGE: 16, WATCH: 16, COLLECT: 4}
MAX = 1 << 17
UNKNOWN = (1 << 64) - 1


class Keeper:
    def __init__(self, folders, versions, log):
        self.folders = folders
        with open(versions) as file:
            self.versions = [int(word) for word in file.read().split()]
        self.log_file = open(log, "a", buffering=1)
        self.link = socket.socket(fileno=3)
        self.listener = self.pid = self.pidfd = self.status = None
        self.done = False

    def log(self, *words):
        print(*words, file=self.log_file)

    def send(self, layout, *values):
        self.link.send(struct.pack("=" + layout, *values))

    def tell(self, say):
        """Whoever was there may have gone."""
        try:
            if self.link:
                say()
        except (BrokenPipeError, ConnectionResetError):
            self.log("gone")

    def say_hello(self):
        version = self.versions.pop(0) if len(self.versions) > 1 else self.versions[0]
        ring = array.array("i", [4])
        self.link.sendmsg([struct.pack("=IIII", HELLO, version, os.getpid(), 1)], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, ring)])

    def say_executed(self):
        self.send("IIIIQ", EXECUTED, 0, self.pid, 0, time.monotonic_ns() // 1000)

    def say_end(self):
        signalled = os.WIFSIGNALED(self.status)
        code, status = (2, os.WTERMSIG(self.status)) if signalled else (1, os.WEXITSTATUS(self.status))
        self.send("IIiiIIQQ", EXITED, 0, code, status, 1, 0, 1, 0)
        self.send("IIQQQQQ", DONE, 0, UNKNOWN, UNKNOWN, UNKNOWN, 0, time.monotonic_ns() // 1000)
        self.done = True

    def listen(self):
        os.chdir(os.path.join(self.folders, next(name for name in os.listdir(self.folders) if "." not in name)))
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind("keeper")
        self.listener.listen()

    def run(self):
        if self.pid:
            return
        self.listen()
        for name in os.listdir("/proc/self/fd"):
            try:
                os.set_inheritable(int(name), int(name) < 3)
            except OSError:
                """That was the folder's."""
        # Returns when it has been executed: before, it would ignore SIGTERM as this process does.
        self.pid = os.posix_spawn("/bin/sleep", ["sleep", "1000"], os.environ, setsigdef=[signal.SIGTERM])
        self.pidfd = os.pidfd_open(self.pid)
        self.say_executed()

    def on_message(self, message):
        kind = struct.unpack_from("=I", message)[0]
        self.log(NAMES.get(kind, kind), len(message))
        if len(message) != SIZES.get(kind):
            self.log("wrong")
            return False
        if kind == RUN:
            self.run()
        elif kind == SIGNAL:
            _, cookie, _, number = struct.unpack("=IIIi", message)
            os.kill(self.pid, number)
            self.send("IIiI", REPLY, cookie, 0, 0)
        elif kind == COLLECT:
            if self.done:
                os.unlink("keeper")
                sys.exit(0)
            os.kill(self.pid, signal.SIGKILL)
        return True

    def accept(self):
        self.link, _ = self.listener.accept()
        self.log("connected")
        self.tell(self.say_hello)
        self.tell(self.say_executed)
        if self.status is not None:
            self.tell(self.say_end)

    def turn(self):
        fds = [fd for fd in (self.link, self.listener, self.pidfd) if fd is not None]
        ready = select.select(fds, [], [])[0]
        if self.pidfd in ready:
            _, self.status = os.waitpid(self.pid, 0)
            self.pidfd = None
            self.tell(self.say_end)
        if self.link in ready:
            try:
                message = self.link.recv(MAX)
            except ConnectionResetError:
                return
            if not message or not self.on_message(message):
                self.link.close()
                self.link = None
                if not self.pid:
                    sys.exit(0)
        if self.listener in ready:
            self.accept()


def main():
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    keeper = Keeper(*sys.argv[1:4])
    keeper.say_hello()
    while True:
        keeper.turn()


main()
