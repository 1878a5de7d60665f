# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2154
#
# Boots what system-init.sh has laid out in an emulated machine with a kernel of
# its own, as often as is asked for. Sourced by it; returns when the machine is
# off. The disk is this namespace's root, shared over virtio-9p; what the command
# prints comes through ports of its own, and the console is for the kernel.

kernel_root=${packages%%:*} busybox_root=${packages#*:}

# Loaded by hand, so that nothing that udev does has to be waited for, in the order in which they need each other. Kernels that have one of
# them built in have no file for it.
modules=(virtio_ring virtio virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci virtio_console
        netfs fscache 9pnet 9pnet_virtio 9p autofs4)

make_initramfs() {
        local tree=$top/initramfs name file
        mkdir -p "$tree"/{bin,lib,proc,root}
        # In /usr since Debian 13, as are the modules, which are packed there.
        cp "$(find "$busybox_root" -path '*/bin/busybox' -print -quit)" "$tree/bin/" || return
        for name in "${modules[@]}"; do
                file=$(find "$kernel_root" \( -name "$name.ko" -o -name "$name.ko.xz" \) -print -quit)
                case $file in
                        '') continue ;;
                        *.xz) "$tree/bin/busybox" xzcat "$file" >"$tree/lib/$name.ko" || return ;;
                        *) cp "$file" "$tree/lib/" || return ;;
                esac
                echo "$name" >>"$tree/lib/order"
        done
        # systemd wants /run and /dev as they will be; it mounts what else is missing.
        cat >"$tree/init" <<'END'
#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
# The order may be another one in another kernel.
for pass in 1 2 3; do
        while read -r name; do
                ! [ -e /lib/$name.ko ] || ! /bin/busybox insmod /lib/$name.ko || /bin/busybox rm /lib/$name.ko
        done </lib/order
done
/bin/busybox mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144,cache=loose root /root || {
        echo "with-vm: can't mount the root file system"
        exec /bin/busybox poweroff -f
}
/bin/busybox mount -t devtmpfs -o mode=755 dev /root/dev
/bin/busybox mount -t sysfs sys /root/sys
/bin/busybox mkdir -p /root/dev/virtio-ports
for port in /root/sys/class/virtio-ports/*; do
        /bin/busybox ln -s ../${port##*/} /root/dev/virtio-ports/$(/bin/busybox cat $port/name)
done
/bin/busybox mount --move /proc /root/proc
exec /bin/busybox switch_root /root /lib/systemd/systemd
END
        chmod +x "$tree/init"
        (cd "$tree" && find . | "./bin/busybox" cpio -o -H newc) >"$top/initramfs.img"
}

# Nothing of these is wanted in there, and each costs seconds.
masked=(timers.target systemd-binfmt.service proc-sys-fs-binfmt_misc.automount systemd-timesyncd.service systemd-update-utmp.service
        systemd-udevd.service systemd-udevd-kernel.socket systemd-udevd-control.socket systemd-udev-trigger.service systemd-hwdb-update.service
        ldconfig.service systemd-update-done.service systemd-journal-catalog-update.service systemd-sysusers.service systemd-random-seed.service
        systemd-machine-id-commit.service systemd-pstore.service systemd-modules-load.service systemd-journal-flush.service
        modprobe@configfs.service modprobe@dm_mod.service modprobe@drm.service modprobe@efi_pstore.service modprobe@fuse.service modprobe@loop.service
        dev-hugepages.mount dev-mqueue.mount sys-kernel-debug.mount sys-kernel-tracing.mount sys-fs-fuse-connections.mount sys-kernel-config.mount
        networking.service apparmor.service keyboard-setup.service console-setup.service systemd-ask-password-console.path)

prepare_root() {
        local i name
        # What is below /tmp needs one that is ours first, and that nobody tidies.
        {
                echo "tmpfs /tmp tmpfs mode=1777 0 0"
                echo "tmpfs /var/log/journal tmpfs mode=2755 0 0"
                echo "io $inside 9p trans=virtio,version=9p2000.L,msize=262144 0 0"
                for ((i = 0; i < ${#views[@]}; i++)); do
                        echo "view$i ${places[i]// /\\040} 9p trans=virtio,version=9p2000.L,msize=262144,cache=loose 0 0"
                done
        } >"$root/etc/fstab"
        mkdir -p "$root/etc/tmpfiles.d" "$root/etc/systemd/system-generators"
        : >"$root/etc/tmpfiles.d/tmp.conf"
        # If this machine is a container, that one isn't.
        rm -f "$root/.dockerenv"

        for name in "${masked[@]}"; do
                ln -sf /dev/null "$root/etc/systemd/system/$name"
        done
        for name in "$root"/{usr/lib,lib,etc}/systemd/system-generators/*; do
                name=${name##*/}
                [ "$name" = systemd-fstab-generator ] || ln -sf /dev/null "$root/etc/systemd/system-generators/$name"
        done
}

boot_once() {
        local shares=() i vm deadline=$((SECONDS + 300))
        share_with_vm() {
                shares+=(-fsdev "local,id=$1,path=$2,security_model=passthrough,multidevs=remap" -device "virtio-9p-pci,fsdev=$1,mount_tag=$1")
        }
        share_with_vm root "$root"
        share_with_vm io "$io"
        for ((i = 0; i < ${#views[@]}; i++)); do
                share_with_vm "view$i" "${views[i]}"
        done

        timeout --kill-after=5 "${time_limit:-1800}" \
                qemu-system-x86_64 -machine pc -accel tcg,thread=multi -cpu Nehalem,+rdrand -m 2048 -smp 2 \
                -nodefaults -no-user-config -no-reboot -display none \
                -kernel "$(echo "$kernel_root"/boot/vmlinuz-*)" -initrd "$top/initramfs.img" \
                -append "console=ttyS0 quiet panic=-1 mitigations=off random.trust_cpu=1 systemd.unified_cgroup_hierarchy=1 systemd.unit=with-system.target systemd.firstboot=off systemd.hostname=with-vm" \
                -serial "file:$top/log" "${shares[@]}" -device virtio-serial-pci \
                -chardev "file,id=stdout,path=$io/stdout" -device virtserialport,chardev=stdout,name=stdout \
                -chardev "file,id=stderr,path=$io/stderr" -device virtserialport,chardev=stderr,name=stderr \
                </dev/null >"$top/qemu.log" 2>&1 &
        vm=$!

        until [ -e "$io/started" ]; do
                kill -0 $vm 2>/dev/null || { cat "$top/qemu.log" >>"$top/log"; give_up "the machine ended while it booted"; }
                [ $SECONDS -lt $deadline ] || give_up "the machine did not boot within 300 s"
                sleep 0.2
        done
        wait $vm
        [ $? -ne 124 ] || give_up "the time limit of ${time_limit:-1800} s has passed"
}

boot() {
        local n
        make_initramfs >"$top/log" 2>&1 || give_up "can't make an initramfs"
        prepare_root
        # Between two boots there is nobody at the other end.
        exec {hold_stdout}<>"$io/stdout" {hold_stderr}<>"$io/stderr"
        for ((n = 1; n <= boots; n++)); do
                rm -f "$io/started" "$io/code"
                echo $n >"$io/boot"
                boot_once
                [ -z "$results" ] || cp "$top/log" "$io/results/console$n"
                [ "$(cat "$io/code" 2>/dev/null)" = 0 ] || break
        done
        exec {hold_stdout}<&- {hold_stderr}<&-
}
