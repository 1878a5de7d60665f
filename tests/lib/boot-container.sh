# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2154
#
# Boots what system-init.sh has laid out as a container, on this machine's
# kernel. Sourced by it; returns when the container has ended.

boot() {
        local binds=("--bind=$io:$inside") network=(--private-network) i container deadline=$((SECONDS + 60))

        for ((i = 0; i < ${#views[@]}; i++)); do
                binds+=("--bind=${views[i]}:${places[i]}")
        done
        # One that fetches packages; and namespaces with networks of their own are made in it, too.
        [ "$base" = / ] || network=(--resolv-conf=replace-host --capability=CAP_NET_ADMIN)
        systemd-nspawn --register=no --keep-unit --quiet --directory="$root" "${network[@]}" --link-journal=no --hostname=with-system \
                --console=pipe "${binds[@]}" \
                --boot systemd.unit=with-system.target systemd.firstboot=off </dev/null >"$top/log" 2>&1 &
        container=$!

        until [ -e "$io/started" ]; do
                kill -0 $container 2>/dev/null || give_up "the container ended while it booted"
                [ $SECONDS -lt $deadline ] || give_up "the container did not boot within 60 s"
                sleep 0.02
        done
        wait $container
}
