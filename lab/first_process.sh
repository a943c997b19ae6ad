#!/bin/sh
# The first process of a host (hosts.py), in namespaces of its own. It lays a private, vanishing layer over the machine's
# files, says "ready", and lives until its standard input ends: when whoever made the host is gone, however that happened.
#
# Arguments: the host's name, then the folders that stay shared with the machine.
set -eu
name=$1
shift

# /mnt is only a place to prepare things; everything on it stays in use after it is unmounted.
mount -t tmpfs -o mode=0755 layers /mnt

number=0
for folder; do
    number=$((number + 1))
    mkdir -p "/mnt/shared/$number"
    mount --rbind "$folder" "/mnt/shared/$number"
done

for folder in etc home opt root srv usr var; do
    [ -d "/$folder" ] || continue
    mkdir -p "/mnt/$folder/new" "/mnt/$folder/work"
    chown --reference="/$folder" "/mnt/$folder/new"
    chmod --reference="/$folder" "/mnt/$folder/new"
    mount -t overlay -o "lowerdir=/$folder,upperdir=/mnt/$folder/new,workdir=/mnt/$folder/work" layer "/$folder"
done

mount -t sysfs sysfs /sys
mount -t tmpfs -o mode=1777 shm /dev/shm
mount -t tmpfs -o mode=1777 tmp /tmp
mount -t tmpfs -o mode=0755 run /run
mkdir -p /run/lock /run/pcscd /run/sshd

number=0
for folder; do
    number=$((number + 1))
    mkdir -p "$folder"
    mount --move "/mnt/shared/$number" "$folder"
done
umount --lazy /mnt

# Addresses are usable at once, and are still there after the cable was cut.
echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad
echo 1 >/proc/sys/net/ipv6/conf/default/keep_addr_on_down
ip link set lo up
hostname "$name"

# Orphans come to the first process; while it ignores SIGCHLD, the kernel buries them.
echo ready
exec env --ignore-signal=CHLD cat >/dev/null
