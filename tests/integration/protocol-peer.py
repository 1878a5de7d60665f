#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A runtime's side of protocol 1, well behaved or not. Usage: protocol-peer.py BEHAVIOUR

It shares nothing with the manager's own side, and stands for a language that knows the protocol from its description alone."""

import json
import os
import select
import signal
import socket
import sys
import time

REF = os.environ["RUNTIME_MANAGER_INIT_REF"]


def connect():
    if "RUNTIME_MANAGER_SOCKET" in os.environ:
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(os.environ["RUNTIME_MANAGER_SOCKET"])
        return connection.makefile("r"), connection.makefile("w")
    return os.fdopen(3), os.fdopen(4, "w")


def raw(text):
    WRITER.write(text)
    WRITER.flush()


def send(**message):
    raw(json.dumps({"jsonrpc": "2.0", **message}) + "\n")


def receive():
    line = READER.readline()
    return json.loads(line) if line else None


def started(ref=REF, **more):
    send(method="node_started", params={"protocol": 1, "init_ref": ref, "pid": os.getpid(), "capabilities": {"x": [1]}, **more})


def initialize():
    request = receive()
    assert request["method"] == "initialize", request
    assert request["params"]["id"] == os.environ["RUNTIME_MANAGER_ID"], request
    send(id=request["id"], result={"anything": None})
    done = receive()
    assert done["method"] == "node_initialized" and done["params"]["init_ref"] == REF and "id" not in done, done


def serve():
    """Until it is told to shut down, or its connection ends."""
    while True:
        request = receive()
        if request is None:
            sys.exit(5)
        print(request["method"], flush=True)
        send(id=request["id"], result={})
        if request["method"] == "shutdown":
            sys.exit(0)


def good():
    remaining = int(os.environ["RUNTIME_MANAGER_DEADLINE_USEC"]) / 1e6 - time.clock_gettime(time.CLOCK_MONOTONIC)
    # Its own deadline is a little behind the manager's 20 s, so that the manager is the one who tells.
    assert 0 < remaining <= 25, remaining
    started(node="peer@localhost")
    initialize()
    print("initialized", flush=True)
    serve()


def status():
    started()
    initialize()
    send(method="status", params={"text": "Counting\nsheep"})
    send(method="unheard_of", params={"text": "ignored"})
    serve()


def chatty():
    """Statuses in its handshake too: they are gathered, for a tenth of a second, and change nothing else. Some come just when that is over."""
    started()
    for attempt in range(20):
        send(method="status", params={"text": "told at once"})
        send(method="status", params={"text": "kept"})
        select.select([], [], [], 0.1 + attempt * 0.0005)
        send(method="status", params={"text": "in between"})
        select.select([], [], [], 0.12)
    initialize()
    send(method="status", params={"text": "the last"})
    serve()


def asks():
    """Requests that the manager doesn't know are answered, before ready too."""
    send(id="mine", method="evaluate", params={})
    answer = receive()
    assert answer["id"] == "mine" and answer["error"]["code"] == -32601, answer
    good()


def wrong_ref():
    started(ref="0" * 32)
    signal.pause()


def other_protocol():
    started(protocol=2)
    signal.pause()


def twice():
    started()
    started()
    signal.pause()


def broken():
    raw('{"jsonrpc": "2.0", broken \x07\n')
    signal.pause()


def too_long():
    raw("x" * ((1 << 20) + 1) + "\n")
    signal.pause()


def closes():
    started()
    receive()
    WRITER.close()
    READER.close()
    signal.pause()


def refuses():
    started()
    send(id=receive()["id"], error={"code": -32000, "message": "no room"})
    signal.pause()


def stuck():
    started()
    signal.pause()


def leaves():
    """Ready, then without a connection: it works for somebody, so it is only warned about."""
    started()
    initialize()
    WRITER.close()
    READER.close()
    print("left", flush=True)
    signal.pause()


def deaf():
    """Ready, but never answers."""
    started()
    initialize()
    print("deaf", flush=True)
    signal.pause()


def wait_for(name):
    while not os.path.exists(os.path.join(os.environ["HOME"], name)):
        select.select([], [], [], 0.01)


def slow():
    """Says what it is asked, and answers when a file is there: it is asked once, whoever asks."""
    started(node="peer@localhost")
    request = receive()
    print(request["method"], flush=True)
    wait_for("initialize")
    send(id=request["id"], result={"connection": {"port": 7}})
    done = receive()
    print(done["method"], flush=True)
    while True:
        request = receive()
        print(request["method"] if request else "closed", flush=True)
        wait_for(request["method"] if request else "closed")
        send(id=request["id"], result={})
        if request["method"] == "shutdown":
            sys.exit(0)


READER, WRITER = connect()
{function.__name__: function for function in
 (good, status, chatty, asks, wrong_ref, other_protocol, twice, broken, too_long, closes, refuses, stuck, leaves, deaf, slow)}[sys.argv[1]]()
