#!/bin/sh
# Process 1 of a host of its own: the machine's files, but users, /run, /var/lib and /etc that only
# this test sees. Lives until its standard input ends; nothing is left of it then.
set -eu
dir=$1
mount -t tmpfs -o mode=0755 tmpfs /run
mount -t tmpfs -o mode=0755 tmpfs /var/lib
mkdir /run/etc-upper /run/etc-work
mount -t overlay -o lowerdir=/etc,upperdir=/run/etc-upper,workdir=/run/etc-work overlay /etc
grep -v -E '^(foraged|alice|bob|carol|mallory):' /etc/passwd > /run/passwd
cat >> /run/passwd <<USERS
foraged:x:899:899::/var/lib/firefly-forage:/usr/sbin/nologin
alice:x:61000:61000::/nonexistent:/bin/sh
bob:x:61001:61001::/nonexistent:/bin/sh
mallory:x:61002:61002::/nonexistent:/bin/sh
carol:x:61003:61003::/nonexistent:/bin/sh
USERS
grep -v -E '^(foraged|forage|alice|bob|carol|mallory):' /etc/group > /run/group
cat >> /run/group <<GROUPS
foraged:x:899:
forage:x:898:alice,bob,carol
alice:x:61000:
bob:x:61001:
mallory:x:61002:
carol:x:61003:
GROUPS
cat /run/passwd > /etc/passwd
cat /run/group > /etc/group
umask 022
mkdir -p /etc/firefly-forage /run/firefly-forage/daemon
cp "$dir/config.toml" /etc/firefly-forage/config.toml
mkdir -m 0711 /var/lib/firefly-forage
mkdir -m 0700 /var/lib/firefly-forage/sandboxes /var/lib/firefly-forage/tokens /run/firefly-forage/pin
mkdir -m 0711 /var/lib/firefly-forage/workspaces
mkdir -m 0750 /run/firefly-forage/shim /run/firefly-forage/result
chown foraged:foraged /var/lib/firefly-forage/sandboxes /var/lib/firefly-forage/tokens /run/firefly-forage/daemon
chgrp foraged /run/firefly-forage/shim /run/firefly-forage/result
chmod 0711 /run/firefly-forage
dbus-daemon --config-file="$dir/bus.conf" --nofork --nopidfile --print-address=1 2> "$dir/bus.log" &
cat > /dev/null
rm -rf "$dir"
