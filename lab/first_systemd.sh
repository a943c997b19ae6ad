#!/bin/sh
# The first process of a machine with systemd (systemd.py), in mount and process namespaces of its own. It lays a vanishing
# layer over a root folder, boots that in a container, says "ready", and lives until its standard input ends.
#
# Arguments: the machine's name, the root folder, the log of its console.
set -eu
name=$1
lower=$2
console=$3

# systemd wants the unified control groups, and a group of its own in them.
umount --recursive /sys/fs/cgroup
mount -t cgroup2 none /sys/fs/cgroup
mkdir "/sys/fs/cgroup/$name"
echo $$ >"/sys/fs/cgroup/$name/cgroup.procs"

mount -t tmpfs -o mode=0755 layer /mnt
mkdir /mnt/new /mnt/work /mnt/root
mount -t overlay -o "lowerdir=$lower,upperdir=/mnt/new,workdir=/mnt/work" layer /mnt/root

# It ends with 133 when the machine wants to be restarted.
{
    status=133
    while [ $status -eq 133 ]; do
        status=0
        systemd-nspawn --quiet --directory=/mnt/root --boot --machine="$name" --register=no --keep-unit --private-network \
            --link-journal=no --resolv-conf=off --timezone=off --console=pipe || status=$?
    done
} </dev/null >"$console" 2>&1 &
echo ready

# Orphans come to the first process; while it ignores SIGCHLD, the kernel buries them.
exec env --ignore-signal=CHLD cat >/dev/null
