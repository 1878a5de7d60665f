#!/usr/bin/gjs -m
// SPDX-License-Identifier: LGPL-2.1-or-later

// A notebook app in small, in JavaScript with gjs: see docs/clients.md.
//
//     gjs -m notes.js run|own NOTEBOOK COMMAND [ARGUMENT...]    starts it, or comes back to it; its output goes to stdout and NOTEBOOK.log
//     gjs -m notes.js stop NOTEBOOK

import Gio from 'gi://Gio';
import GLib from 'gi://GLib';
import System from 'system';

const SERVICE = 'org.example.RuntimeManager';
const MANAGER = 'org.example.RuntimeManager';
const MANAGER_PATH = '/org/example/RuntimeManager';
const RUNTIME = 'org.example.RuntimeManager.Runtime';
const ERROR = 'org.example.RuntimeManager.Error.';
const LABEL = 'org.example.Notes.notebook';
const LIFE = 1, OUTPUT = 2; // flags of Subscribe
const PARTIAL = 1, LOSSY = 2, UNTERMINATED = 4; // flags of a line

const encoder = new TextEncoder();
// Since GLib 2.80 in a namespace of its own.
const OutputStream = await import('gi://GioUnix').then(module => module.default.OutputStream, () => Gio.UnixOutputStream);
const stdout = new OutputStream({fd: 1});

function fail(text) {
    printerr(text);
    System.exit(1);
}

function join(...parts) {
    const bytes = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
    let at = 0;
    for (const part of parts) {
        bytes.set(part, at);
        at += part.length;
    }
    return bytes;
}

class Notebook {
    constructor(name) {
        this.name = name;
        this.bus = Gio.bus_get_sync(Gio.BusType.SESSION, null);
        this.loop = new GLib.MainLoop(null, false);
        this.status = 1;
    }

    // known: names of errors that are expected, with what to say of each; '': nothing, and we go on.
    call(path, iface, method, parameters = null, known = {}) {
        for (;;) {
            try {
                const reply = this.bus.call_sync(SERVICE, path, iface, method, parameters, null, Gio.DBusCallFlags.NONE, -1, null);
                return reply.recursiveUnpack();
            } catch (error) {
                const name = Gio.DBusError.get_remote_error(error);
                // The service was restarted in the middle of it: every call may be repeated.
                if (name === 'org.freedesktop.DBus.Error.NoReply')
                    continue;
                const text = known[name] ?? error.message.replace(`GDBus.Error:${name}: `, '');
                if (text)
                    fail(text);
                return null;
            }
        }
    }

    get(name) {
        return this.call(this.path, 'org.freedesktop.DBus.Properties', 'Get', new GLib.Variant('(ss)', [RUNTIME, name]))[0];
    }

    // The newest runtime of this notebook, ended or not; undefined: there is none.
    find() {
        const filter = {Labels: new GLib.Variant('a{ss}', {[LABEL]: this.name})};
        const [runtimes] = this.call(MANAGER_PATH, MANAGER, 'ListRuntimes', new GLib.Variant('(a{sv})', [filter]));
        return runtimes.at(-1)?.[1];
    }

    start(command, own) {
        // Emptied before there is a runtime: killed in between, we must not take the old numbers for the new runtime's.
        this.file.replace(null, false, Gio.FileCreateFlags.NONE, null).close(null);
        this.last = 0;
        const options = {
            Id: GLib.Variant.new_string(GLib.uuid_string_random().replaceAll('-', '')), // our own id makes it safe to repeat the start
            Command: new GLib.Variant('as', command),
            WorkingDirectory: GLib.Variant.new_string(GLib.get_current_dir()),
            Labels: new GLib.Variant('a{ss}', {[LABEL]: this.name}),
            Owner: GLib.Variant.new_string(own ? 'caller' : 'none'),
        };
        return this.call(MANAGER_PATH, MANAGER, 'StartRuntime', new GLib.Variant('(sa{sv})', ['command', options]))[1];
    }

    // From now on the runtime ends when we leave the bus, whatever the reason.
    takeOwnership() {
        this.call(this.path, RUNTIME, 'TakeOwnership', new GLib.Variant('(a{sv})', [{}]), {
            [`${ERROR}HasOwner`]: 'This notebook is open in another window.',
            [`${ERROR}BadState`]: '', // it has ended: we shall be told why
        });
    }

    // The number of the last line in it is where we go on: what is shown and what is remembered can't differ.
    readTranscript() {
        this.file = Gio.File.new_for_path(`${this.name}.log`);
        this.last = 0;
        if (!this.file.query_exists(null))
            return;
        const [, bytes] = this.file.load_contents(null);
        const whole = bytes.slice(0, bytes.lastIndexOf(10) + 1);
        if (whole.length < bytes.length)
            this.file.replace_contents(whole, null, false, Gio.FileCreateFlags.NONE, null);
        if (whole.length > 0)
            this.last = parseInt(new TextDecoder().decode(whole.slice(whole.lastIndexOf(10, -2) + 1)));
    }

    write(number, stream, flags, data) {
        this.transcript.write_all(join(encoder.encode(`${number} ${stream} ${flags} `), data, [10]), null);
        this.last = number;
    }

    // Lines up to this one are no longer kept.
    lose(last) {
        if (last <= this.last)
            return;
        const text = `[lines ${this.last + 1} to ${last} are lost]`;
        printerr(text);
        this.write(last, 0, 0, encoder.encode(text));
    }

    take(lines) {
        for (const [number, stream, , flags, text] of lines) {
            if (number <= this.last) // it may come again: signals do after the service was restarted
                continue;
            this.lose(number - 1);
            let data = encoder.encode(text);
            if (flags & LOSSY) { // it wasn't text: what it was is for ReadOutput
                const [[raw]] = this.call(this.path, RUNTIME, 'ReadOutput', new GLib.Variant('(tu)', [number - 1, 1]));
                if (raw?.[0] === number)
                    data = raw[4];
            }
            this.write(number, stream, flags, data);
            stdout.write_all(flags & (PARTIAL | UNTERMINATED) ? data : join(data, [10]), null);
        }
    }

    show(state) {
        // There may be new states: what we don't know is busy.
        printerr(`[${['ready', 'ended'].includes(state) ? state : 'busy'}]`);
    }

    // What hasn't come is read. The service forgets the runtime when we have all of it, so that it isn't found again.
    finish(report) {
        let lines, last, more;
        do {
            [lines, last, more] = this.call(this.path, RUNTIME, 'ReadOutputText', new GLib.Variant('(tu)', [this.last, 0]));
            this.take(lines);
        } while (more);
        this.lose(last);
        this.call(this.path, RUNTIME, 'Forget');
        printerr(`[${report.Result}: ${report.Message}]`);
        this.status = ['success', 'exit-code'].includes(report.Result) ? report.ExitCode : 1;
        this.loop.quit();
    }

    onSignal(signal, [first, second]) {
        if (!this.loop.is_running())
            return;
        switch (signal) {
        case 'OutputLines':
            this.take(first);
            break;
        case 'OutputDropped':
            this.lose(first + second - 1);
            break;
        case 'StateChanged':
            this.show(second);
            break;
        case 'Ended':
            this.finish(first);
            break;
        // There are others, and will be more.
        }
    }

    onService() {
        this.call(this.path, RUNTIME, 'Subscribe', new GLib.Variant('(tu)', [this.last, LIFE | OUTPUT]));
        const state = this.get('State');
        this.show(state);
        if (state === 'ended')
            this.finish(this.get('EndReport'));
    }

    run(command, own) {
        this.readTranscript();
        this.path = this.find();
        if (!this.path)
            this.path = this.start(command, own);
        else if (own)
            this.takeOwnership();
        this.transcript = this.file.append_to(Gio.FileCreateFlags.NONE, null);
        this.bus.signal_subscribe(SERVICE, RUNTIME, null, this.path, null, Gio.DBusSignalFlags.NONE,
            (bus, sender, path, iface, signal, parameters) => this.onSignal(signal, parameters.recursiveUnpack()));
        // Called now, and each time when the service has been restarted. That it vanishes is not an end of any runtime.
        Gio.bus_watch_name_on_connection(this.bus, SERVICE, Gio.BusNameWatcherFlags.NONE, () => this.onService(), null);
        this.loop.run();
    }

    stop() {
        this.path = this.find();
        if (!this.path)
            fail("It doesn't run.");
        this.call(this.path, RUNTIME, 'Stop', new GLib.Variant('(a{sv})', [{}]));
        this.status = 0;
    }
}

const [verb, name, ...command] = ARGV;
if (!name || !['run', 'own', 'stop'].includes(verb))
    fail('Usage: notes.js run|own|stop NOTEBOOK [COMMAND [ARGUMENT...]]');
const notebook = new Notebook(name);
if (verb === 'stop')
    notebook.stop();
else
    notebook.run(command, verb === 'own');
System.exit(notebook.status);
