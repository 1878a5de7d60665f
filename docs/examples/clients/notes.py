#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A notebook app in small, with GLib's D-Bus: see docs/clients.md.

notes.py run|own NOTEBOOK COMMAND [ARGUMENT...]    starts it, or comes back to it; its output goes to stdout and NOTEBOOK.log
notes.py stop NOTEBOOK
"""

import sys
import uuid

from gi.repository import Gio, GLib

SERVICE = MANAGER = "org.example.RuntimeManager"
MANAGER_PATH = "/org/example/RuntimeManager"
RUNTIME = "org.example.RuntimeManager.Runtime"
ERROR = "org.example.RuntimeManager.Error."
LABEL = "org.example.Notes.notebook"
LIFE, OUTPUT = 1, 2  # flags of Subscribe
PARTIAL, LOSSY, UNTERMINATED = 1, 2, 4  # flags of a line


class Notebook:
    def __init__(self, name):
        self.name = name
        self.bus = Gio.bus_get_sync(Gio.BusType.SESSION)
        self.loop = GLib.MainLoop()
        self.status = 1

    def call(self, path, interface, method, signature="()", *arguments, known={}):
        """known: names of errors that are expected, with what to say of each; "": nothing, and we go on."""
        parameters = GLib.Variant(signature, arguments)
        while True:
            try:
                return self.bus.call_sync(SERVICE, path, interface, method, parameters, None, Gio.DBusCallFlags.NONE, -1).unpack()
            except GLib.Error as error:
                name = Gio.DBusError.get_remote_error(error)
                # The service was restarted in the middle of it: every call may be repeated.
                if name == "org.freedesktop.DBus.Error.NoReply":
                    continue
                text = known.get(name, error.message.removeprefix(f"GDBus.Error:{name}: "))
                if text:
                    sys.exit(text)
                return None

    def get(self, name):
        return self.call(self.path, "org.freedesktop.DBus.Properties", "Get", "(ss)", RUNTIME, name)[0]

    def find(self):
        """The newest runtime of this notebook, ended or not; None: there is none."""
        wanted = {"Labels": GLib.Variant("a{ss}", {LABEL: self.name})}
        runtimes = self.call(MANAGER_PATH, MANAGER, "ListRuntimes", "(a{sv})", wanted)[0]
        return runtimes[-1][1] if runtimes else None

    def start(self, command, own):
        # Emptied before there is a runtime: killed in between, we must not take the old numbers for the new runtime's.
        self.transcript.truncate(0)
        self.last = 0
        options = {
            "Id": GLib.Variant("s", uuid.uuid4().hex),  # our own id makes it safe to repeat the start
            "Command": GLib.Variant("as", command),
            "WorkingDirectory": GLib.Variant("s", GLib.get_current_dir()),
            "Labels": GLib.Variant("a{ss}", {LABEL: self.name}),
            "Owner": GLib.Variant("s", "caller" if own else "none"),
        }
        return self.call(MANAGER_PATH, MANAGER, "StartRuntime", "(sa{sv})", "command", options)[1]

    def take_ownership(self):
        """From now on the runtime ends when we leave the bus, whatever the reason."""
        known = {ERROR + "HasOwner": "This notebook is open in another window.", ERROR + "BadState": ""}  # it has ended: we shall be told why
        self.call(self.path, RUNTIME, "TakeOwnership", "(a{sv})", {}, known=known)

    def open_transcript(self):
        """The number of the last line in it is where we go on: what is shown and what is remembered can't differ."""
        self.transcript = open(self.name + ".log", "a+b", buffering=0)
        self.transcript.seek(0)
        whole, newline, _ = self.transcript.read().rpartition(b"\n")
        self.transcript.truncate(len(whole + newline))
        self.last = int(whole.rpartition(b"\n")[2].split(b" ")[0]) if whole else 0

    def write(self, number, stream, flags, data):
        self.transcript.write(b"%d %d %d %s\n" % (number, stream, flags, data))
        self.last = number

    def lose(self, last):
        """Lines up to this one are no longer kept."""
        if last > self.last:
            text = f"[lines {self.last + 1} to {last} are lost]"
            print(text, file=sys.stderr)
            self.write(last, 0, 0, text.encode())

    def take(self, lines):
        for number, stream, _, flags, text in lines:
            if number <= self.last:  # it may come again: signals do after the service was restarted
                continue
            self.lose(number - 1)
            data = text.encode()
            if flags & LOSSY:  # it wasn't text: what it was is for ReadOutput
                raw = self.call(self.path, RUNTIME, "ReadOutput", "(tu)", number - 1, 1)[0]
                if raw and raw[0][0] == number:
                    data = bytes(raw[0][4])
            self.write(number, stream, flags, data)
            sys.stdout.buffer.write(data if flags & (PARTIAL | UNTERMINATED) else data + b"\n")
        sys.stdout.flush()

    def run(self, command, own):
        self.open_transcript()
        self.path = self.find()
        if not self.path:
            self.path = self.start(command, own)
        elif own:
            self.take_ownership()
        self.bus.signal_subscribe(SERVICE, RUNTIME, None, self.path, None, Gio.DBusSignalFlags.NONE, self.on_signal)
        # Called now, and each time when the service has been restarted. That it vanishes is not an end of any runtime.
        Gio.bus_watch_name_on_connection(self.bus, SERVICE, Gio.BusNameWatcherFlags.NONE, self.on_service, None)
        self.loop.run()

    def on_service(self, bus, name, owner):
        self.call(self.path, RUNTIME, "Subscribe", "(tu)", self.last, LIFE | OUTPUT)
        state = self.get("State")
        self.show(state)
        if state == "ended":
            self.finish(self.get("EndReport"))

    def on_signal(self, bus, sender, path, interface, signal, parameters):
        handlers = {
            "OutputLines": self.take,
            "OutputDropped": lambda first, count: self.lose(first + count - 1),
            "StateChanged": lambda old, new: self.show(new),
            "Ended": self.finish,
        }
        if signal in handlers and self.loop.is_running():  # there are others, and will be more
            handlers[signal](*parameters.unpack())

    def show(self, state):
        # There may be new states: what we don't know is busy.
        print(f"[{state if state in ('ready', 'ended') else 'busy'}]", file=sys.stderr)

    def finish(self, report):
        """What hasn't come is read. The service forgets the runtime when we have all of it, so that it isn't found again."""
        more = True
        while more:
            lines, last, more = self.call(self.path, RUNTIME, "ReadOutputText", "(tu)", self.last, 0)
            self.take(lines)
        self.lose(last)
        self.call(self.path, RUNTIME, "Forget")
        print(f"[{report['Result']}: {report['Message']}]", file=sys.stderr)
        self.status = report["ExitCode"] if report["Result"] in ("success", "exit-code") else 1
        self.loop.quit()

    def stop(self):
        self.path = self.find()
        if not self.path:
            sys.exit("It doesn't run.")
        self.call(self.path, RUNTIME, "Stop", "(a{sv})", {})
        self.status = 0


def main(verb, name, *command):
    notebook = Notebook(name)
    if verb == "stop":
        notebook.stop()
    else:
        notebook.run(command, verb == "own")
    return notebook.status


if __name__ == "__main__":
    if len(sys.argv) < 3 or sys.argv[1] not in ("run", "own", "stop"):
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
