#!/bin/bash
# SPDX-License-Identifier: MIT
# make demo: it ends within a minute with the guest's verdict on its memory and what to try next,
# and leaves nothing behind, neither at its end nor at Ctrl-C, wherever that comes.
. "$E2E/lib.sh"
[ -z "$SAN" ] || skip "its guest of 1 GiB is too large for a sanitizer"
mkdir tmp
cd "$TOP" || exit 1
must python3 - "$T/tmp" "$B" <<'END'
import glob, os, signal, subprocess, sys, time

tmp, build = sys.argv[1:]


def left():
    """Files, and processes that know of them."""
    found = glob.glob(tmp + '/*')
    for path in glob.glob('/proc/[0-9]*/environ'):
        try:
            if (tmp + '/xmigrate-demo').encode() in open(path, 'rb').read():
                found.append(path)
        except OSError:
            pass
    return found


def demo(interrupt_at=None):
    def from_a_terminal():
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    start = time.monotonic()
    process = subprocess.Popen(['xensim/demo', build], env={**os.environ, 'TMPDIR': tmp},
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                               start_new_session=True, preexec_fn=from_a_terminal)
    said = ''
    for line in process.stdout:
        said += line
        if interrupt_at and interrupt_at in line:
            os.killpg(process.pid, signal.SIGINT)
            interrupt_at = None
    code = process.wait()
    for _ in range(50):
        if not left():
            break
        time.sleep(0.1)
    assert not left(), f'left behind: {left()}: {said}'
    return code, said, time.monotonic() - start


code, said, seconds = demo()
assert code == 0, said
for words in 'runs on basalt', 'memory whole', 'What to try next', 'total time', 'xmigrate --listen':
    assert words in said, f'not said: {words}: {said}'
assert 'went away' not in said, said
assert seconds < 60, f'{seconds} s'
for moment in 'Two simulated', 'basalt listens', 'amber moves it', 'round 1', 'runs on basalt':
    code, said, _ = demo(moment)
    assert code in (130, -signal.SIGINT), f'{code} at {moment}: {said}'
END
