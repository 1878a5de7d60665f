#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A runtime whose output can be checked for completeness: chaos-runtime.py NAME CODE CHILDREN LONG STAY

Every process of it numbers its own lines, "WRITER NUMBER PAYLOAD", and says last how many there were, "WRITER end NUMBER"; the payload follows from writer and
number. All write to stdout; the first one to stderr too, where it is alone: some of those lines are long (LONG=1), some come in two pieces. It ends, with
the exit code CODE, when there is a file $HOME/finish.NAME; with STAY=1 it leaves a child behind. The first line is "ready".
"""

import os
import select
import sys

NAME, CODE, CHILDREN, LONG, STAY = sys.argv[1], *map(int, sys.argv[2:6])
FINISH = os.path.join(os.environ["HOME"], "finish." + NAME)


def pause(milliseconds):
    select.select([], [], [], milliseconds / 1000)


def write(fd, text):
    data = text.encode()
    while data:
        data = data[os.write(fd, data):]


def payload(writer, number):
    size = number * 7 % 61
    if LONG and writer == "e" and number % 50 == 49:
        size = 150000
    return chr(97 + number % 26) * size


def say(fd, writer, number):
    text = f"{writer} {number} {payload(writer, number)}\n"
    if writer == "e" and number % 10 == 5:
        # Unfinished for longer than the keeper waits.
        middle = len(text) // 2
        write(fd, text[:middle])
        pause(70)
        text = text[middle:]
    write(fd, text)


def child(writer, stays):
    number = 0
    while stays or not os.path.exists(FINISH):
        number += 1
        say(1, writer, number)
        pause(25 + number % 4 * 9)
    write(1, f"{writer} end {number}\n")
    os._exit(0)


def start_child(writer, stays=False):
    pid = os.fork()
    if pid == 0:
        child(writer, stays)
    return pid


write(1, "ready\n")
pids = [start_child(f"c{index}") for index in range(CHILDREN)]
if STAY:
    start_child("s", True)
numbers = {"m": 0, "e": 0}
while not os.path.exists(FINISH):
    for fd, writer in ((1, "m"), (2, "e")):
        numbers[writer] += 1
        say(fd, writer, numbers[writer])
    # One that comes and goes.
    if numbers["m"] % 40 == 20 and os.fork() == 0:
        os._exit(0)
    pause(20 + numbers["m"] % 3 * 12)
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            break
        if pid == 0:
            break
        if pid in pids:
            pids.remove(pid)
for pid in pids:
    os.waitpid(pid, 0)
write(2, f"e end {numbers['e']}\n")
write(1, f"m end {numbers['m']}\n")
sys.exit(CODE)
