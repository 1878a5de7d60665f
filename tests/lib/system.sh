# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# What with-system, with-vm and with-fresh have in common: a machine of its own for
# one command, in which nothing that is written reaches this one. They differ in
# what it is made of, this machine's files or a Debian's, and in what boots it, a
# container or a kernel.
#
# Sourced by them, after they have set $fixture and $here; they have usage().

# shellcheck source=tests/lib/leaf.sh
. "$here/lib/leaf.sh"

user='' results='' install=yes boots=1 time_limit=
environment=() command=() arguments=()

system_options() {
        arguments=("$@")
        while [ $# -gt 0 ]; do
                case $1 in
                        --help|-h) usage; exit 0 ;;
                        --user=*|--results=*|--setenv=*|--boots=*|--time-limit=*) set -- "${1%%=*}" "${1#*=}" "${@:2}"; continue ;;
                        --user|--results|--setenv|--boots|--time-limit)
                                [ $# -ge 2 ] || { usage >&2; exit 125; }
                                case $1 in
                                        --user) user=$2 ;;
                                        --results) results=$(realpath -m "$2") ;;
                                        --setenv) environment+=("$2") ;;
                                        --boots) boots=$2 ;;
                                        --time-limit) time_limit=$2 ;;
                                esac
                                shift 2 ;;
                        --no-install) install=; shift ;;
                        --) shift; break ;;
                        -*) echo "$fixture: unknown option $1, see --help" >&2; exit 125 ;;
                        *) break ;;
                esac
        done
        [ $# -gt 0 ] || { usage >&2; exit 125; }
        case $user in root|*[!a-z0-9_-]*) fail "--user takes the name of an ordinary user" ;; esac
        case $boots$time_limit in *[!0-9]*) fail "--boots and --time-limit take numbers" ;; esac
        command=("$@")
}

# system_needs WHAT TOOL...
system_needs() {
        local tool
        [ "$(id -u)" = 0 ] || cannot "$1 takes root"
        for tool in unshare setpriv findmnt "${@:2}"; do
                command -v "$tool" >/dev/null || cannot "$tool is not installed (tools/install-dependencies)"
        done
}

# system_run container|vm [ROOT]      ROOT: what the machine is made of, instead of this one's files
system_run() {
        local source_dir build_dir
        source_dir=$(cd "$here/.." && pwd)
        build_dir=$(realpath -m "${BUILD_DIR:-$source_dir/build}")
        if [ -n "$install" ] && ! [ -e "$build_dir/build.ninja" ]; then
                fail "there is no build in $build_dir: set BUILD_DIR, or use --no-install"
        fi
        [ -z "$results" ] || mkdir -p "$results" || fail "can't make $results"

        mapfile -t -O "${#environment[@]}" environment < <(env | grep -E '^(ASAN|LSAN|UBSAN)_OPTIONS=|^(CI|BUILD_DIR|LANG|G_[A-Z_]+)=')

        delegate_from_systemd "${arguments[@]}"

        export WITH_SYSTEM_MACHINE=$1 WITH_SYSTEM_BASE=${2:-/} WITH_SYSTEM_USER=$user WITH_SYSTEM_RESULTS=$results WITH_SYSTEM_INSTALL=$install
        export WITH_SYSTEM_BOOTS=$boots WITH_SYSTEM_TIME_LIMIT=$time_limit
        export WITH_SYSTEM_SOURCE=$source_dir WITH_SYSTEM_BUILD=$build_dir
        leaf_run "$here/lib/system-init.sh" "${environment[@]}" -- "${command[@]}"
}
