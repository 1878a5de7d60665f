#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# PID 1 of a fixture's namespaces, first half: enters the leaf cgroup and makes
# it the root of what is seen from now on. Done in here and not before the PID
# namespace is made: a process outside of that namespace but inside the leaf
# shows up as PID 0 in there, which systemd takes for an I/O error.
#
# Usage: enter-leaf.sh CGROUP_DIRECTORY... -- COMMAND...

while [ "$1" != -- ]; do
        echo $$ >"$1/cgroup.procs" || exit 125
        shift
done
shift
exec unshare --cgroup -- "$@"
