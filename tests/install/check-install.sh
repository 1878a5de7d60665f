#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Installs the build below a folder of its own, has everything that others read checked by their own tools, and uninstalls it:
# nothing must be left. What was really installed from this build folder, and the log of that, isn't touched.
#
# Usage: check-install.sh SOURCE BUILD MESON LIBEXECDIR        Prints TAP.

set -u
source=$1 build=$2 meson=$3 libexecdir=$4
count=0 failures=0
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
root=$scratch/root view=$scratch/build

ok() {
        echo "ok $((count += 1)) - $1"
}

not_ok() {
        echo "not ok $((count += 1)) - $1"
        sed 's/^/# /' "$scratch/output"
        failures=$((failures + 1))
}

# check WHAT COMMAND...: it succeeds.
check() {
        local what=$1
        shift
        if "$@" >"$scratch/output" 2>&1; then ok "$what"; else not_ok "$what"; fi
}

# check_with TOOL WHAT COMMAND...: the same, if there is that tool.
check_with() {
        if command -v "$1" >/dev/null; then
                check "${@:2}"
        else
                echo "ok $((count += 1)) - $2 # SKIP no $1"
        fi
}

# The one installed file of that name, whatever the folders are.
find_file() {
        local found
        mapfile -t found < <(find "$root" -path "*/${1//\\/\\\\}" ! -type d)
        [ ${#found[@]} -eq 1 ] || { echo "$1: ${#found[@]} files" >&2; return 1; }
        printf '%s\n' "${found[0]}"
}

# meson notes what it installs in the build folder: a view of that, with a place of its own for notes.
mkdir -p "$view/meson-private" "$view/meson-logs"
cp "$build/meson-private/install.dat" "$view/meson-private"
for file in "$build"/*; do
        case ${file##*/} in
                meson-private|meson-logs) ;;
                *) ln -s "$file" "$view" ;;
        esac
done

installs() {
        DESTDIR=$root "$meson" install -C "$view" --no-rebuild --quiet
}

check "it installs below DESTDIR" installs
find "$root" ! -type d >"$scratch/files"

# Units, checked where they are, but for the programs, which aren't where they will be.
units=$scratch/units
mkdir "$units"
for unit in runtime-manager.service runtime-spawner.service runtime-spawner.socket runtimes.slice runtime-manager-metrics.socket \
        runtime-manager-metrics@.service 'run-runtime\x2dmanager\x2druntimes.mount'; do
        file=$(find_file "system/$unit") && sed -e "s,=$libexecdir/,=$root$libexecdir/," -e "s,=\(/.*/runtimectl\),=$root\1," "$file" >"$units/$unit"
done
unit_files=("$units"/*)

units_are_sound() {
        local output
        output=$(SYSTEMD_UNIT_PATH=$units: systemd-analyze verify --man=no --recursive-errors=no "${unit_files[@]}" 2>&1) &&
                [ -z "$output" ] && [ ${#unit_files[@]} -eq 7 ] && return
        echo "$output"
        return 1
}
check_with systemd-analyze "systemd takes the units, without a warning" units_are_sound

check_with systemd-analyze "the service of the system bus is exposed by 1.5 at most" \
        systemd-analyze security --offline=true --threshold=15 "$units/runtime-manager.service"

check_with systemd-analyze "who answers for the metrics is exposed by 1.5 at most" \
        systemd-analyze security --offline=true --threshold=15 "$units/runtime-manager-metrics@.service"

# What a keeper would inherit, and with it every runtime.
spawner_is_no_sandbox() {
        ! grep -nE '^(Protect|Private|Restrict|SystemCall|ReadOnly|ReadWrite|Inaccessible|TemporaryFileSystem|Bind|Root|NoExec|Exec(Paths|Search)|'\
'NoNewPrivileges|CapabilityBoundingSet|AmbientCapabilities|SecureBits|LockPersonality|MemoryDenyWriteExecute|Keyring|OOMScoreAdjust|Nice|CPUScheduling|IOScheduling|'\
'CPUAffinity|NUMA|Limit|Personality|Environment|PassEnvironment|SELinux|AppArmor|Smack|User|Group|SupplementaryGroups|DynamicUser|PAMName|WorkingDirectory|'\
'IgnoreSIGPIPE|TimerSlack|Coredump|MountFlags|NetworkNamespace|IPCNamespace|UtmpIdentifier|Delegate)' "$units/runtime-spawner.service"
}
check "nothing in the spawner's unit is handed down to runtimes" spawner_is_no_sandbox

# D-Bus and polkit.
policy=$(find_file system.d/org.example.RuntimeManager.conf)
actions=$(find_file actions/org.example.RuntimeManager.policy)
check_with xmllint "the bus policy is well-formed" xmllint --noout --nonet "$policy"
check_with xmllint "the polkit actions are well-formed" xmllint --noout --nonet "$actions"
dtd=/usr/share/polkit-1/policyconfig-1.dtd
if [ -e $dtd ]; then
        check_with xmllint "the polkit actions are valid" xmllint --noout --nonet --dtdvalid $dtd "$actions"
fi

bus_takes_policy() {
        local output
        cat >"$scratch/bus.conf" <<END
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:dir=$scratch</listen>
  <include>$policy</include>
</busconfig>
END
        # The user of the service need not be there when this is tested, and not everybody may have so many fds.
        output=$(dbus-run-session --config-file="$scratch/bus.conf" -- true 2>&1) || { echo "$output"; return 1; }
        # It writes who it is and what it says apart, so that two of its processes may come between each other.
        output=$(grep -v -e '[Uu]nknown user' -e 'Failed to set fd limit' -e '^dbus-daemon\[[0-9]*\]: *$' <<<"$output")
        [ -z "$output" ] || { echo "$output"; return 1; }
}
check_with dbus-run-session "the message bus takes the policy" bus_takes_policy

activation_leads_to_units() {
        local session system
        session=$(find_file dbus-1/services/org.example.RuntimeManager.service) &&
                system=$(find_file dbus-1/system-services/org.example.RuntimeManager.service) || return
        grep -qxF Name=org.example.RuntimeManager "$session" && grep -qxF Name=org.example.RuntimeManager "$system" || return
        find_file "user/$(sed -n 's/^SystemdService=//p' "$session")" && find_file "system/$(sed -n 's/^SystemdService=//p' "$system")"
}
check "what the buses activate is installed" activation_leads_to_units

# What programs are built against.
package() {
        PKG_CONFIG_PATH=$root$pkgconfig_dir pkg-config "$@" runtime-manager
}
pkgconfig_file=$(find_file pkgconfig/runtime-manager.pc)
pkgconfig_dir=${pkgconfig_file#"$root"} pkgconfig_dir=${pkgconfig_dir%/*}

package_tells_names_and_folders() {
        [ "$(package --variable=bus_name)" = org.example.RuntimeManager ] && [ "$(package --variable=object_path)" = /org/example/RuntimeManager ] &&
                [ -f "$root$(package --variable=interfaces_dir)/org.example.RuntimeManager.xml" ] &&
                [ -f "$root$(package --variable=interfaces_dir)/org.example.RuntimeManager.Runtime.xml" ] &&
                [ -f "$root$(package --variable=kinds_dir)/command.kind" ] &&
                [ -x "$root$(package --variable=examples_dir)/clients/notes.py" ] && return
        cat "$pkgconfig_file"
        return 1
}
check_with pkg-config "pkg-config tells names and folders" package_tells_names_and_folders

interface_makes_code() {
        local code=$scratch/code interfaces flags
        interfaces=$root$(package --variable=interfaces_dir)
        mkdir "$code" && gdbus-codegen --interface-prefix org.example. --c-namespace Example --generate-c-code "$code/manager" \
                "$interfaces/org.example.RuntimeManager.xml" "$interfaces/org.example.RuntimeManager.Runtime.xml" || return
        read -ra flags <<<"$(pkg-config --cflags gio-unix-2.0)"
        # A program that names what was made: a method with its arguments, a property, a signal.
        cat >"$code/program.c" <<'END'
#include "manager.h"

void program(ExampleRuntimeManager *manager, ExampleRuntimeManagerRuntime *runtime);
void program(ExampleRuntimeManager *manager, ExampleRuntimeManagerRuntime *runtime) {
        guint64 last;

        example_runtime_manager_call_start_runtime(manager, "command", g_variant_new_parsed("@a{sv} {}"), NULL, NULL, NULL);
        (void) example_runtime_manager_runtime_call_subscribe_sync(runtime, 0, 3, &last, NULL, NULL);
        g_print("%s", example_runtime_manager_runtime_get_state(runtime));
        g_signal_connect(runtime, "output-lines", G_CALLBACK(program), NULL);
}
END
        cc -Wall -Werror "${flags[@]}" -c -o "$code/manager.o" "$code/manager.c" && cc -Wall -Werror "${flags[@]}" -c -o "$code/program.o" "$code/program.c"
}
check_with gdbus-codegen "gdbus-codegen makes code of the interface, which compiles" interface_makes_code

languages_are_there() {
        local language file
        while read -r language; do
                file=$(find_file "$language/LC_MESSAGES/runtime-manager.mo") && msgunfmt "$file" | grep 'Authentication is required' || return
                grep "<description xml:lang=\"$language\">" "$actions" && grep "<message xml:lang=\"$language\">" "$actions" || return
        done <"$source/po/LINGUAS"
}
check_with msgunfmt "each language is there, also for what polkit asks" languages_are_there

users_are_made() {
        local output
        output=$(systemd-sysusers --dry-run "$(find_file sysusers.d/runtime-manager.conf)" 2>&1) && ! grep -E 'runtime-manager.conf:[0-9]+' <<<"$output"
}
check_with systemd-sysusers "systemd-sysusers takes the user" users_are_made

# The catalog is looked for in one place, which isn't ours to choose.
journal_takes_catalog() {
        local base=$scratch/journal id
        mkdir -p "$base/usr/lib/systemd/catalog" "$base/var/lib/systemd/catalog"
        cp "$(find_file catalog/runtime-manager.catalog)" "$base/usr/lib/systemd/catalog" && journalctl --root="$base" --update-catalog || return
        while read -r id; do
                journalctl --root="$base" --dump-catalog "$id" | grep '^Subject: ..' || { echo "$id"; return 1; }
        done < <(sed -n 's/^#define MESSAGE_ID_.* "\(.*\)".*/\1/p' "$source/src/util/message-ids.h")
}
check_with journalctl "the journal takes the catalog, and explains each message" journal_takes_catalog

names_no_folder_of_ours() {
        ! grep -rlIF -e "$root" -e "$build" -e "$source" "$root"
}
check "no text that is installed names the folders it was built in" names_no_folder_of_ours

# And away with it.
uninstalls() {
        (cd "$view" && "$meson" --internal uninstall) || return
        [ ! -e "$root" ] || { find "$root"; return 1; }
}
check "uninstalling leaves nothing" uninstalls

echo "1..$count"
[ $failures -eq 0 ]
