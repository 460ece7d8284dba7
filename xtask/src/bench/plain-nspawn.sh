#!/bin/sh
# What a sandbox's start is compared with: the same root, prepared the same way, in a user
# namespace, booted by systemd-nspawn with the same flags and nothing of ours.
set -e
if [ "$1" != inside ]; then
    exec unshare --mount --propagation private "$0" inside
fi
base=2013200384
dir=/run/plain
mkdir -p $dir/lower $dir/memory $dir/root $dir/workspace $dir/secrets
chown $((base + 1000)):$((base + 1000)) $dir/workspace
mount --bind -o X-mount.idmap=b:0:$base:65536 /srv/forage/claude $dir/lower
mount -t tmpfs -o mode=0755,size=1G plain $dir/memory
mkdir $dir/memory/upper $dir/memory/work
chown $base:$base $dir/memory/upper $dir/memory/work
mount -t overlay -o lowerdir=$dir/lower,upperdir=$dir/memory/upper,workdir=$dir/memory/work \
    plain $dir/root
exec systemd-nspawn --quiet --boot --directory=$dir/root --machine=plain \
    --private-users=$base:65536 --private-users-ownership=off --settings=no --link-journal=no \
    --keep-unit --register=yes --notify-ready=yes --no-new-privileges=yes --private-network \
    --resolv-conf=off --timezone=off --console=pipe \
    --drop-capability=CAP_NET_RAW,CAP_AUDIT_CONTROL,CAP_AUDIT_WRITE,CAP_SYS_BOOT,CAP_SYS_NICE,CAP_SYS_RESOURCE \
    --bind=$dir/workspace:/workspace:norbind --bind-ro=$dir/secrets:/run/secrets:norbind
