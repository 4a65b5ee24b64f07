# SPDX-License-Identifier: MIT
# Debian 13's hosts (Xen 4.20, Linux 6.12, QEMU 10), and one of each release: A is Debian 12's then.

# What is right on Debian 12's.
for name in pvh_live pv_live hvm_live file_checkpoint dropin_apparmor; do
    eval "scenario_debian13_$name() { scenario_$name; }"
    LONG+=("debian13_$name")
    RELEASES[debian13_$name]=13
done

LONG+=(debian13_killed releases_pvh releases_hvm)
RELEASES[debian13_killed]=13
RELEASES[releases_pvh]=12,13
RELEASES[releases_hvm]=12,13

scenario_debian13_killed() {
    create A g pvh
    listen B
    dies A KILL "$supervisors $helpers" 137 "xmigrate --recover"
    dies B KILL "$receivers" 3 "sleep 2; xmigrate --recover"
}

# Up it goes. Down it is warned about before anything is copied, and then refused by the older Xen.
scenario_releases_pvh() {
    create A g pvh memory=96
    listen A
    listen B
    moves A g
    pulse B g
    must B "xmigrate --live hostA g --lanes 4 $soon >/tmp/down 2>&1; code=\$?; cat /tmp/down
        [ \$code = 3 ] && awk '/hostA runs Xen 4[.]17, older than this host.s 4[.]20/ { warned = NR }
            /^round 1/ && !round { round = NR }
            /refused the HVM context.*\"g\" runs on here/ { refused = NR }
            END { exit !(warned && warned < round && round < refused) }' /tmp/down" 400
    lived_on B g
    settled B g
}

# What the older QEMU cannot take over is refused before the copy.
scenario_releases_hvm() {
    create_hvm A g
    listen A
    listen B
    hvm_moves A
    pulse B g
    refused 2 'device model is QEMU 7[.]2 .*, which cannot take over the state of the guest.s, QEMU 10[.]' \
        B "xmigrate --live hostA g -q"
    lived_on B g
    device_model_runs B g
    settled B g
}
