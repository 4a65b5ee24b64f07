#!/bin/bash
# SPDX-License-Identifier: MIT
# node.sh WORK NODE ADDRESS: the first process of a node, in namespaces of its own: what is below /run,
# /dev/shm and /var/lib is the node's, the programs are this machine's. It starts a simulated host, a
# listener that comes back when it is killed, Corosync and Pacemaker, and reaps what is left behind.
set -u
work=$1 node=$2 address=$3
own=$work/$node
mount -t proc proc /proc
mount -t tmpfs -o mode=755 run /run
mount -t tmpfs shm /dev/shm
hostname "$node"
mkdir -p "$own"/{lib,log,log/corosync,log/pacemaker} /run/resource-agents /run/lock
for directory in pacemaker corosync; do
    mkdir -p "$own/lib/$directory"
    mount --bind "$own/lib/$directory" "/var/lib/$directory"
done
mkdir -p /var/lib/pacemaker/{blackbox,cib,cores,pengine}
cp "$work/cib.xml" /var/lib/pacemaker/cib/
chown -R hacluster:haclient /var/lib/pacemaker
chmod 750 /var/lib/pacemaker/*
chmod 600 /var/lib/pacemaker/cib/cib.xml
mount --bind "$own/log" /var/log
mount --bind "$work/corosync" /etc/corosync
mount --bind "$work/hosts" /etc/hosts
mount -t tmpfs -o mode=755 agents /usr/lib/ocf/resource.d
install -D "$work/Domain" /usr/lib/ocf/resource.d/xmigrate/Domain
export PATH=$own/bin:$PATH XENSIM_DIR=$own/sim

# The other end of the cable is put in by whoever has started both nodes.
until ip link set eth0 up 2>/dev/null; do sleep 0.05; done
ip link set lo up
ip address add "$address/24" dev eth0

mkdir -p "$XENSIM_DIR"
"$work/xensim" host "$node" --mem 1G || exit
while :; do
    if [ ! -e "$own/silent" ]; then
        xmigrate --listen &
        echo $! >/run/listener
        wait $!
    fi
    sleep 0.2
done >"$own/listen.log" 2>&1 &
corosync -f >"$own/corosync.log" 2>&1 &
until corosync-quorumtool -s >/dev/null 2>&1; do sleep 0.1; done
pacemakerd -f >"$own/pacemakerd.log" 2>&1 &
while :; do
    wait -n
    sleep 0.1
done
