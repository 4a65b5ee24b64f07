# SPDX-License-Identifier: MIT
# early.sh TYPE: the destination's libxl builds a guest of that type, with its devices, while the
# guest still runs. Whatever fails between PREPARE and GO: the guest runs on at the source, with its
# devices, and nothing of the copy is left.
. "$E2E/lib.sh"
. "$E2E/move.sh"
. "$E2E/hvm.sh"
type=$1
two_hosts --mem 2G
POKE=$B/e2e/poke
make_guest() {
    local dma=()
    [ "$type" != hvm ] || dma=(--dma 500)
    guest a g --type "$type" --memory 32M "${dma[@]}" --vif
}
make_guest
before=$("$X" devices a)

# ring HOST DOMAIN WHICH: the frame of its ring (store, console), as its toolstack was told.
ring() {
    "$X" xenstore "$1" read "/local/domain/$("$X" id "$1" "$2")/$3/ring-ref"
}

has_ring() {
    ring b g--incoming "$1" >/dev/null 2>&1
}

receiver() { pgrep -n -x -P "$listener" xmigrate; }
# In the receiver's session: when libxl goes on, the engine is nobody's child that we know.
engine() { pgrep -n -s "$(receiver)" -f save-helper; }
is_detached() { [ -z "$("$X" devices b)" ]; }

# prepares DEVICES [OPTION...]: a move whose destination builds, with devices that are like that.
prepares() {
    XENSIM_DEVICES=$1 listen b
    moving a g -v --bandwidth 300M "${@:2}"
    wait_for 30 has_said "$mover" 'told to build' "$T/moving.err"
}

# lived_on: the guest, for which nothing has changed.
lived_on() {
    on a "$B/xmigrate" --recover >/dev/null 2>&1
    on b "$B/xmigrate" --recover >/dev/null 2>&1
    wait_for 20 is_detached
    untouched a b g
    [ "$type" != hvm ] || dm_is a 'running, log-dirty off'
    ! ls "$T"/*b*/qemu-resume.* 2>/dev/null || fail "the device model's FIFO is left"
    [ "$("$X" devices a)" = "$before" ] || fail "attached at the source: $("$X" devices a)"
    kill "$listener"
    wait "$listener" 2>/dev/null
}

# kill_now WHO: sets code, with which the move ends.
kill_now() {
    local pid

    code=3
    case $1 in
    engine) pid=$(engine) ;;
    receiver) pid=$(receiver) ;;
    sender) pid=$mover code=137 ;;
    sender-helper) pid=$(helper) ;;
    esac
    kill -9 "$pid"
}

never_suspended() {
    ! grep -q '"suspending"' "$T/moving.json" || fail "the guest was suspended: $(cat "$T/moving.json")"
}

# --- killed while libxl attaches the devices

for victim in engine receiver sender sender-helper; do
    prepares time=4s
    kill_now $victim
    ended $code
    never_suspended
    lived_on
done

# --- killed when libxl is through, with the guest suspended

for victim in engine receiver sender sender-helper; do
    listen b
    moving a g --bandwidth 60M --max-rounds 1
    wait_for 40 has_said "$mover" '"suspended"' "$T/moving.json"
    kill_now $victim
    ended $code
    grep -q 'ready for g, which still runs' "$T/listen-b.err" || fail "it was not prepared"
    lived_on
done

# --- the network is cut

XENSIM_DEVICES=time=4s listen b --insecure
wire after-go
wire=$launched
direct=$port port=$(cat "$T/wire.after-go")
moving a g -v --insecure
wait_for 30 has_said "$mover" 'told to build' "$T/moving.err"
kill "$wire"
ended 3
port=$direct
never_suspended
lived_on

# --- what the destination was prepared with, and is not so any more

case $type in
pvh | hvm)
    prepares time=2s
    id=$("$X" id a g)
    on a "$POKE" "$id" param 34 4096 >/dev/null
    ended 3
    grep -q 'an HVM parameter of domain .* changed' "$T/moving.err" || fail "$(cat "$T/moving.err")"
    on a "$POKE" "$id" param 34 0 >/dev/null
    ;;
*)
    # Its start info names others than xenstore.
    store=$(ring a g store) console=$(ring a g console)
    must "$X" rings a g "$console" "$store"
    prepares time=2s
    ended 3
    grep -q 'rings of domain .* are not where' "$T/moving.err" || fail "$(cat "$T/moving.err")"
    must "$X" rings a g "$store" "$console"
    ;;
esac
lived_on

# --- a disk that is attached meanwhile

prepares time=2s
id=$("$X" id a g)
must "$X" attach a "$id" xvdb phy:/dev/other
ended 3
grep -q 'other devices' "$T/moving.err" || fail "$(cat "$T/moving.err")"
must "$X" detach a "$id" xvdb
lived_on

# --- a vCPU that it is told to use no longer

prepares time=2s
must "$X" vcpu-set a g 1
ended 3
grep -q 'other vCPUs to use' "$T/moving.err" || fail "$(cat "$T/moving.err")"
must "$X" vcpu-set a g 2
lived_on

# --- a device that cannot be attached, and one that takes for ever

prepares fail=vif0
ended 3
grep -q 'hotplug script of vif0' "$T/moving.err" || fail "$(cat "$T/moving.err")"
never_suspended
lived_on

prepares hang=vif0
ended 3
never_suspended
lived_on

# --- a xenstore that has no room: for libxl, and for all that ours asks of it

prepares quota=vif0
ended 3
grep -q 'entries of vif0: No space left' "$T/moving.err" "$T/listen-b.err" ||
    fail "$(cat "$T/moving.err" "$T/listen-b.err")"
never_suspended
lived_on

listen b
FAULT_IN=--save-domain FAULT=call:xenstore:fail=28 FAULT_LAST=1000 FAULT_GATE=$T/full FAULT_OPENS='"event":"suspending"' moving a g --bandwidth 300M
ended 3
grep -q 'No space left' "$T/moving.err" || fail "$(cat "$T/moving.err")"
rm "$T/full"
lived_on

# --- late, but well: further rounds, and no longer a pause. What xenstored writes to its ring while
# pages come stays there.

prepares time=2s
copy=$("$X" id b g--incoming)
for which in store console; do
    wait_for 20 has_ring $which
    head -c 4096 /dev/urandom >"$T/$which"
    must on b "$POKE" "$copy" write "$(ring b g--incoming $which)" "$T/$which"
    head -c 4096 /dev/urandom >"$T/old"
    must on a "$POKE" "$("$X" id a g)" write "$(ring a g $which)" "$T/old"
done
ended 0
for which in store console; do
    must on b "$POKE" "$("$X" id b g)" read "$(ring b g $which)" "$T/now"
    cmp "$T/$which" "$T/now" || fail "the $which ring of a guest that was prepared was overwritten"
done
moved a b g
[ "$("$X" devices b | awk '{ print $2 }')" = vif0 ] || fail "attached there: $("$X" devices b)"
[ -z "$("$X" devices a)" ] || fail "attached at the source still: $("$X" devices a)"
must python3 - "$T/moving.json" <<'END'
import json, sys
events = [json.loads(line) for line in open(sys.argv[1])]
done = [e for e in events if e['event'] == 'done'][0]
rounds = [e for e in events if e['event'] == 'round']
# Two seconds of devices, and none of them in the pause.
assert done['total_ns'] > 2_000_000_000 > done['downtime']['libxl_ns'], done
assert len(rounds) >= 4, rounds
END

# --- a guest that wants to be reset (kexec), while libxl attaches the devices and when it is through:
# whoever looks after it finds it as it left itself

for when in 'told to build' 'is prepared'; do
    "$X" destroy b g 2>/dev/null
    make_guest
    XENSIM_DEVICES=time=1s listen b
    moving a g -v --bandwidth 60M --max-rounds 1
    wait_for 40 has_said "$mover" "$when" "$T/moving.err"
    must "$X" end a g soft-reset
    ended 3
    grep -q 'reset itself while it was being moved' "$T/moving.err" || fail "$(cat "$T/moving.err")"
    ! grep -q '"go"' "$T/moving.json" || fail "it was given away"
    wait_for 20 is_detached
    wait_for 20 nothing_on b
    state_is a g soft-reset
    must "$X" destroy a g
    kill "$listener"
    wait "$listener" 2>/dev/null
done
