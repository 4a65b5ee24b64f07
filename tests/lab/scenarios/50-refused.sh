# SPDX-License-Identifier: MIT
# What cannot be done is said in one line, with the right exit code, and the guest goes on where it
# is.

SCENARIOS+=(untrusted_and_no_privilege too_little_memory_and_name_exists nowhere_and_port_in_use
            log_dirty_on pci_and_vnuma pv_foreign_frames)
LONG+=(memory_claimed)

guest_and_listener() {
    create A g pvh
    listen B
    pulse A g
}

untouched() {
    lived_on A g
    settled A g
}

# At both ends the line has the other's fingerprint and the command that would trust it.
scenario_untrusted_and_no_privilege() {
    local a b
    guest_and_listener
    { read -r a; read -r b; } <"$LAB_DIR/A/trust"
    # The receiver does not know the sender ...
    must A "xmigrate --config-dir /tmp/stranger --trust $b hostB"
    refused 2 'xmigrate .*--trust SHA256:' A "xmigrate --live hostB g -q --config-dir /tmp/stranger"
    must B "grep -o 'xmigrate --trust SHA256:[^ ]*' /tmp/listen.err"
    # ... and the sender not the receiver, who would have it.
    must A "mkdir -m 700 /tmp/half && cp /etc/xmigrate/*.pem /tmp/half/"
    refused 2 "xmigrate .*--trust ${b//+/[+]}" A "xmigrate --live hostB g -q --config-dir /tmp/half"
    must B "! grep -q -- '--trust $a' /tmp/listen.err"
    must A "echo 'nobody:x:65534:65534:nobody:/:/bin/sh' >>/etc/passwd"
    refused 2 'root|privilege|permission' A "su nobody -c 'xmigrate --live hostB g -q'"
    must A "sed -i /nobody/d /etc/passwd"
    untouched
}

scenario_too_little_memory_and_name_exists() {
    local free
    guest_and_listener
    free=$(on B "xl info" | awk '/^free_memory/ { print $3 }')
    create B big pvh memory=$((free - 50)) load="mem=4 still=4 rate=100"
    refused 2 'memory' A "xmigrate --live hostB g -q"
    must B "xl list; [ \$(xl list | wc -l) = 3 ]; xl destroy big"
    create B g pvh
    refused 2 'g' A "xmigrate --live hostB g -q"
    must A "logdirty is \$(xl domid g) | grep -qx off"
    lived_on A g
    whole B g 0 1
}

# Xen itself keeps what a guest on its way is to get: neither another one nor xl can have it.
scenario_memory_claimed() {
    local free claimed='xl info | awk "/^outstanding_claims/ { print \$3 }"'
    create A g pvh memory=192
    create A h pvh memory=192
    listen B
    free=$(on B "xl info" | awk '/^free_memory/ { print $3 }')
    create B big pvh memory=$((free - 320)) load="mem=4 still=4 rate=100"
    [ "$(on B "$claimed")" = 0 ] || fail "something is claimed on B already"
    pulse A g
    moving A g
    must B "claimed=\$($claimed); echo claimed \$claimed MiB; [ \$claimed -gt 50 ]"
    refused 2 'memory' A "xmigrate --live hostB h -q"
    must B "sed 's/\"big\"/\"late\"/; s/^memory=.*/memory=192/' /etc/xen/big.cfg >/etc/xen/late.cfg"
    must_not B "xl create -q /etc/xen/late.cfg" 120
    ended 0
    lived_on B g
    whole A h 0 1
    [ "$(on B "$claimed")" = 0 ] || fail "something stays claimed on B"
}

# No such domain, no such host, nobody or somebody else at the port.
scenario_nowhere_and_port_in_use() {
    guest_and_listener
    refused 2 '8002' B "xmigrate --listen"
    refused 2 'nobody' A "xmigrate --live hostB nobody -q"
    refused 2 'nowhere' A "xmigrate --live nowhere g -q"
    refused 2 '10.0.0.77' A "xmigrate --live 10.0.0.77 g -q"
    refused 2 'hostB.*8999' A "xmigrate --live hostB:8999 g -q"
    must B "printf 'SSH-2.0-OpenSSH_9.2 and a long line to fill what is awaited\r\n' >/tmp/ssh
        pretend() {
            setsid socat tcp-listen:\$1,fork,reuseaddr exec:\"\$2\" >/dev/null 2>&1 </dev/null
        }
        pretend 8022 'cat /tmp/ssh' &
        pretend 8023 'sleep 1000' &
        usleep 500000"
    refused 2 'hostB:8022' A "xmigrate --live hostB:8022 g -q"
    refused 2 'hostB:8023' A "xmigrate --live hostB:8023 g -q"
    untouched
}

# Log-dirty is on already: somebody else's, which is left on; then that of a migration of ours.
scenario_log_dirty_on() {
    guest_and_listener
    must A "logdirty on \$(xl domid g)"
    refused 2 'log-dirty' A "xmigrate --live hostB g -q"
    must A "logdirty is \$(xl domid g) | grep -qx on && logdirty off \$(xl domid g)"
    untouched
    pulse A g
    moving A g "--bandwidth 32M"
    refused 2 'g' A "xmigrate --live hostB g -q"
    ended 0
    arrived B g
}

# Without an IOMMU nothing can be assigned here, libxl 4.17 cannot build a PVH guest with virtual NUMA
# nodes, and a PV one it refuses: what libxl has recorded of the domain says that it has such.
scenario_pci_and_vnuma() {
    local config='/var/lib/xen/userdata-d.$(xl domid g).*.libxl-json'
    guest_and_listener
    must A "cp $config /tmp/config
        back=/local/domain/0/backend/pci/\$(xl domid g)/0
        xenstore-write \$back/num_devs 1 \$back/dev-0 0000:00:1f.3 \$back/state-0 3 \
            /libxl/\$(xl domid g)/device/pci/0/backend \$back
        device='{ \"dev\": 31, \"func\": 3 }'
        sed -i \"s/\\\"c_info\\\": *{/\\\"pcidevs\\\": [ \$device ], &/\" $config
        xl list -l g | grep -q pcidevs"
    refused 2 'pci' A "xmigrate --live hostB g -q"
    must A "cp /tmp/config $config
        xenstore-rm /local/domain/0/backend/pci/\$(xl domid g)
        xenstore-rm /libxl/\$(xl domid g)/device/pci
        node='{ \"memkb\": 131072, \"pnode\": 0, \"distances\": [ 10 ], \"vcpus\": [ 0 ] }'
        sed -i \"s/\\\"b_info\\\": *{/& \\\"vnuma_nodes\\\": [ \$node ],/\" $config
        xl list -l g | grep -q vnuma_nodes"
    refused 2 'vnuma' A "xmigrate --live hostB g -q"
    untouched
}

# A PV guest whose tables map a frame that is not its own cannot be moved. Live, that is seen while
# it still runs; offline it has to be resumed. Once it has let go of the frame, it moves.
scenario_pv_foreign_frames() {
    local mode=--offline
    create A g pv load="mem=8 still=8 rate=500 grants=1"
    listen B
    on A "xl info" | grep -q '^virt_caps.* shadow' && mode=--live
    must A "setsid grant \$(xl domid g) >/tmp/grant 2>&1 </dev/null &
        await 20 /tmp/grant && cat /tmp/grant &&
            guest-tell g \"map \$(sed -n 's/grant //p' /tmp/grant)\""
    guest_says A g 'mapped grant'
    pulse A g
    refused 3 'g' A "xmigrate $mode hostB g -q" 120
    lived_on A g
    settled A g
    must A "guest-tell g unmap"
    guest_says A g unmapped
    moves A g $mode
}
