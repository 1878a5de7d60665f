# SPDX-License-Identifier: LGPL-2.1-or-later
import json
import os
import signal
import socket

signal.signal(signal.SIGINT, lambda *_: print("interrupted"))
ref = os.environ["RUNTIME_MANAGER_INIT_REF"]
connection = socket.socket(socket.AF_UNIX)
connection.settimeout(int(os.environ["RUNTIME_MANAGER_TIMEOUT_USEC"]) / 1e6)
connection.connect(os.environ["RUNTIME_MANAGER_SOCKET"])
lines = connection.makefile("rw", encoding="utf-8")


def send(**message):
    print(json.dumps({"jsonrpc": "2.0", **message}), file=lines, flush=True)


send(method="node_started", params={"protocol": 1, "init_ref": ref, "pid": os.getpid(), "capabilities": {}})
for line in lines:  # ends when the manager is gone, and raises TimeoutError when it is not ready in time
    message = json.loads(line)
    method, number = message.get("method"), message.get("id")
    if method == "node_initialized" and message["params"]["init_ref"] == ref:
        connection.settimeout(None)
        print("ready")
    elif method in ("initialize", "ping", "status", "shutdown"):
        send(id=number, result={})
        if method == "shutdown":
            break
    elif number is not None and method is not None:
        send(id=number, error={"code": -32601, "message": "unknown method"})
