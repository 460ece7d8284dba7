#!/bin/sh
# What a sandbox's start is compared with: the same root, prepared the same way, in a user
# namespace, booted by systemd-nspawn with the same flags and nothing of ours. With an argument the
# root is that system in the Nix store, else the tree.
set -e
if [ "$INSIDE" != yes ]; then
    INSIDE=yes exec unshare --mount --propagation private "$0" "$@"
fi
base=2013200384
dir=/run/plain
mkdir -p $dir/lower $dir/memory $dir/root $dir/workspace $dir/secrets
chown $((base + 1000)):$((base + 1000)) $dir/workspace
mount -t tmpfs -o mode=0755,size=1G plain $dir/memory
if [ $# -eq 0 ]; then
    mount --bind -o X-mount.idmap=b:0:$base:65536 /srv/forage/claude $dir/lower
    mkdir $dir/memory/upper $dir/memory/work
    chown $base:$base $dir/memory/upper $dir/memory/work
    mount -t overlay \
        -o lowerdir=$dir/lower,upperdir=$dir/memory/upper,workdir=$dir/memory/work plain $dir/root
    set -- --boot
else
    (
        cd $dir/memory
        mkdir -p dev etc home nix/store proc root run sys tmp usr var workspace
        touch etc/machine-id
        chmod 1777 tmp
        chown -R $base:$base .
    )
    mount --bind $dir/memory $dir/root
    mount --bind -o ro,nosuid,nodev,X-mount.idmap=b:0:$base:65536 /nix/store $dir/root/nix/store
    set -- --kill-signal=SIGRTMIN+4 -- "$1/init"
fi
# Where a link is asked for, its two ends are somebody else's to configure.
if [ -n "$LINK" ]; then set -- --network-veth-extra="$LINK":host0 "$@"; fi
exec systemd-nspawn --quiet --directory=$dir/root --machine=plain \
    --private-users=$base:65536 --private-users-ownership=off --settings=no --link-journal=no \
    --keep-unit --register=yes --notify-ready=yes --no-new-privileges=yes --private-network \
    --resolv-conf=off --timezone=off --console=pipe \
    --drop-capability=CAP_NET_RAW,CAP_AUDIT_CONTROL,CAP_AUDIT_WRITE,CAP_SYS_BOOT,CAP_SYS_NICE,CAP_SYS_RESOURCE \
    --bind=$dir/workspace:/workspace:norbind --bind-ro=$dir/secrets:/run/secrets:norbind "$@"
