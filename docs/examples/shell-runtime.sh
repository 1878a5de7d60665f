# SPDX-License-Identifier: LGPL-2.1-or-later
trap 'echo "asked to stop"; exit 0' USR1
systemd-notify --status="warming up"
echo "$1"
systemd-notify --ready --status="at work"
while :; do
        sleep 3600 &
        wait $!
done
