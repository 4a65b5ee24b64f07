# SPDX-License-Identifier: MIT
# Guests that are written to files by xmigrate and live on, or are destroyed, and are restored; with
# stock xl at the other end of the file.

SCENARIOS+=(file_checkpoint file_save)
LONG+=(file_checkpoint_pause)

domain_id() { # HOST NAME
    on "$1" "xl domid $2" || fail "no $2 on $1"
}

# checkpoint HOST NAME: to /tmp/NAME.ck; it is the same domain afterwards. The pause is in $pause, in ms.
pause=
checkpoint() {
    local id said
    id=$(domain_id "$1" "$2")
    said=$(on "$1" "xmigrate --checkpoint /tmp/$2.ck $2 $soon --json 2>/tmp/ck.err || cat /tmp/ck.err" 300)
    grep -q '"event":"saved"' <<<"$said" || fail "no checkpoint of $2 on $1: $(tail -n 1 <<<"$said")"
    pause=$(sed -n 's/.*"event":"saved".*"downtime_ns":\([0-9]*\).*/\1/p' <<<"$said")
    pause=$((pause / 1000000))
    [ "$(domain_id "$1" "$2")" = "$id" ] || fail "$2 on $1 is another domain"
    echo "checkpoint of $2 on $1: a pause of $pause ms: $(sed -n 's/.*"saved"//p' <<<"$said")"
}

# Live, several times, the same domain; then xl builds the guest again from the last one.
scenario_file_checkpoint() {
    local turn
    create A g pvh
    for turn in 1 2 3; do
        pulse A g
        checkpoint A g
        lived_on A g
        settled A g
    done
    must A "ps | grep '[x]migrate --monitor'"
    verify A /tmp/g.ck
    pulse A g
    must A "xl destroy g && xl restore /tmp/g.ck" 180
    whole A g 0 $((pulse_passes > 2 ? pulse_passes - 2 : 1))
    lived_on A g
    settled A g
    refused 2 'has its UUID' A "xmigrate --restore /tmp/g.ck --name h"
}

# Ours reads xl's, and xl reads ours; PV is suspended first, because Debian's Xen cannot track its writes.
scenario_file_save() {
    local type
    for type in pvh pv; do
        create A g $type
        pulse A g
        must A "xl save g /tmp/g.xl && xmigrate --restore /tmp/g.xl && rm /tmp/g.xl" 240
        lived_on A g
        settled A g
        pulse A g
        must A "xmigrate --save /tmp/g.sv g $soon && ! xl domid g" 240
        must A "xl restore /tmp/g.sv" 180
        lived_on A g
        settled A g
        [ $type = pvh ] || refused 2 'no shadow paging' A "xmigrate --checkpoint /tmp/g.ck g"
        must A "xl destroy g; rm -f /tmp/g.*"
    done
}

# Beside xl save -c, whose whole write is the pause.
scenario_file_checkpoint_pause() {
    local turn xl ours=() theirs=()
    create A g pvh load="mem=8 still=8 rate=500"
    for turn in 1 2 3 4 5; do
        checkpoint A g
        ours+=("$pause")
        xl=$(on A "rm -f /tmp/g.xl; read b _ </proc/uptime; xl save -c g /tmp/g.xl >&2; read e _ </proc/uptime; echo \$b \$e" 180)
        theirs+=("$(awk '{ printf "%d", ($2 - $1) * 1000 }' <<<"$(tail -n 1 <<<"$xl")")")
        whole A g 0 1
    done
    echo "pause: ${ours[*]} ms; xl save -c: ${theirs[*]} ms"
}
