# SPDX-License-Identifier: MIT
"""What a seed stands for: a guest, how it is moved, and one or two faults with their moments.

Everything is drawn from random.Random(seed), so a seed repeats its plan on any machine.
"""
import random
from dataclasses import dataclass, field

PHASES = ('begin', 'start', 'round', 'suspending', 'suspended', 'ready', 'go')
HELPER_LIVES = PHASES[:5]
GUESTS = {
    'pv': ('--type', 'pv', '--remap', '200'),
    'pv-tree': ('--type', 'pv', '--p2m', 'tree', '--fork', '20'),
    'pv32': ('--type', 'pv32'),
    'pvh': ('--type', 'pvh'),
}
OPTIONS = {**GUESTS, 'hvm': ('--type', 'hvm', '--dma', '300')}
HVM_SHARE = 0.25  # drawn last: it changes no seed's faults
SOURCE = ('supervisor', 'rescuer', 'helper')
DESTINATION = ('listener', 'acceptor', 'receiver', 'helper')

# Of system calls, those in which a process can be struck; of libxl and Xen, those that can fail.
CALLS = ('any', 'write', 'read', 'poll', 'fsync', 'rename', 'open')
# libxl's and xenstore's with the phases in which they are called. Some are called only when something else fails.
LIBXL = {
    'a': {'libxl_domain_info': ('begin', 'suspended', 'ready'), 'libxl_domain_suspend': ('begin',),
          'libxl_domain_rename': ('suspended', 'ready'), 'xenstore': ('begin', 'suspended'),
          'libxl_domain_destroy': ('ready', 'go'), 'libxl_name_to_domid': ('begin',)},
    'b': {'libxl_domain_info': ('begin', 'suspended', 'ready'),
          'libxl_domain_create_restore': ('begin',), 'libxl_domain_rename': ('ready',),
          'libxl_domain_unpause': ('ready',), 'libxl_domain_destroy': ('suspended',),
          'libxl_name_to_domid': ('begin',)},
}
AFTER_FAILURE = ('libxl_domain_destroy', 'domctl_27')
# domctls: shadow_op, getpageframeinfo3, getdomaininfo, resumedomain, setvcpucontext, sethvmcontext,
# and the memory and MMU operations
HYPERCALLS = {
    'a': ('hypercall', 'domctl_10', 'domctl_61', 'domctl_5', 'domctl_27', 'map'),
    'b': ('hypercall', 'hypercall_12', 'hypercall_26', 'domctl_12', 'domctl_34', 'domctl_61', 'map'),
}
ERRORS = {'ENOMEM': 12, 'EAGAIN': 11, 'EINTR': 4, 'EIO': 5}
WIRES = ('cut', 'reset', 'stall', 'partition', 'flip', 'drop', 'duplicate', 'truncate')


@dataclass
class Fault:
    kind: str                 # signal, call, wire, disk, xen, libxl
    phase: str                # when it may begin
    side: str = ''            # a (source) or b (destination); of a wire, which way
    who: str = ''             # a process, or a connection: control, trunk, lane, all
    what: str = ''            # SIGKILL, kill, fail=12, cut, ...
    call: str = ''
    nth: int = 1
    last: int = 0
    delay_s: float = 0.0      # after the phase
    lasts_s: float = 0.0      # of a stop, a stall

    def __str__(self):
        words = [self.kind, self.what]
        if self.call:
            words.append(f'at {self.call} #{self.nth}' + ('...' if self.last else ''))
        words.append(f'in {self.side}:{self.who}' if self.who else f'at {self.side}')
        words.append(f'from {self.phase}' + (f' +{self.delay_s:.3f}s' if self.delay_s else ''))
        if self.lasts_s:
            words.append(f'for {self.lasts_s:.1f}s')
        return ' '.join(words)


@dataclass
class Plan:
    seed: int
    guest: str
    memory: str
    faults: list = field(default_factory=list)

    def holds_up(self):
        """A fault lasts: what is held up by it waits for its end, and not for us."""
        return any(f.lasts_s or f.what.startswith('sleep') for f in self.faults)

    def __str__(self):
        return f'{self.guest} {self.memory}: ' + '; '.join(map(str, self.faults))


def _side(r):
    return r.choice('ab')


def _process(r, side):
    return r.choice(SOURCE if side == 'a' else DESTINATION)


def _soon(r, phase):
    return r.uniform(0, 0.3 if phase in ('start', 'round') else 0.03)


def _signal(r, phase):
    side = _side(r)
    what = r.choice(('SIGKILL', 'SIGKILL', 'SIGSTOP', 'SIGTERM'))
    return Fault('signal', phase, side, _process(r, side), what,
                 delay_s=r.choice((0, 0, _soon(r, phase))),
                 lasts_s=r.uniform(0.2, 3) if what == 'SIGSTOP' else 0)


def _call(r, phase):
    side = _side(r)
    who = r.choice(('supervisor', 'helper') if side == 'a' else ('receiver', 'helper'))
    what = r.choice(('kill', 'kill', 'stop', 'sleep=1.5', 'fail=5'))
    call = r.choice(CALLS)
    nth = r.randint(1, {'any': 60, 'poll': 12, 'write': 12, 'read': 12}.get(call, 3))
    return Fault('call', phase, side, who, what, call, nth,
                 lasts_s=r.uniform(0.2, 3) if what == 'stop' else 0)


def _wire(r, phase):
    what = r.choice(WIRES)
    who = 'all' if what == 'partition' else r.choice(('control', 'trunk', 'lane'))
    return Fault('wire', phase, r.choice(('forth', 'back')), who, what,
                 delay_s=r.choice((0, _soon(r, phase))),
                 lasts_s=r.uniform(0.5, 4) if what in ('stall', 'partition') else 0)


def _disk(r, phase):
    side = _side(r)
    who = 'supervisor' if side == 'a' else 'receiver'
    how = r.choice(('slow', 'full', 'readonly'))
    if how == 'slow':
        return Fault('disk', phase, side, who, f'sleep={r.uniform(0.5, 3):.1f}', 'fsync',
                     r.randint(1, 3), 99)
    return Fault('disk', phase, side, who, 'fail=28' if how == 'full' else 'fail=30', 'disk',
                 r.randint(1, 3), 9999)


def _xen(r, phase):
    side = _side(r)
    call = r.choice(HYPERCALLS[side])
    what = 'page' if call == 'map' and r.random() < 0.7 else (
        'fail=%d' % ERRORS[r.choice(('ENOMEM', 'EAGAIN', 'EINTR'))])
    who = r.choice(('helper', 'helper', 'supervisor' if side == 'a' else 'receiver'))
    return Fault('xen', phase, side, who, what, call, r.randint(1, 12 if call != 'map' else 6))


def _libxl(r, _):
    side = _side(r)
    call = r.choice(tuple(LIBXL[side]))
    who = ('helper' if call == 'xenstore' else 'supervisor') if side == 'a' else 'receiver'
    return Fault('libxl', r.choice(LIBXL[side][call]), side, who,
                 r.choice(('fail', 'fail', 'sleep=2', 'sleep=25')), call, r.choice((1, 1, 2)))


KINDS = {'signal': _signal, 'call': _call, 'wire': _wire, 'disk': _disk, 'xen': _xen,
         'libxl': _libxl}
IN_PROCESS = ('call', 'disk', 'xen', 'libxl')  # one of these a side: a process takes one order


def make(seed):
    r = random.Random(seed)
    p = Plan(seed, r.choice(tuple(GUESTS)), r.choice(('16M', '32M')))
    for _ in range(r.choice((1, 1, 2))):
        kind = r.choice(tuple(KINDS))
        # The hand-off is where it matters.
        phase = r.choice(PHASES + ('suspending', 'suspended', 'suspended', 'ready'))
        fault = KINDS[kind](r, phase)
        if fault.who == 'helper' and fault.phase not in HELPER_LIVES:
            fault.phase = 'suspended'
        if fault.kind in ('signal', 'wire') and fault.phase == 'begin':
            fault.phase = 'start'
        taken = {f.side for f in p.faults if f.kind in IN_PROCESS}
        if fault.kind in IN_PROCESS and fault.side in taken:
            continue
        p.faults.append(fault)
    if any(f.call in AFTER_FAILURE for f in p.faults) and len(p.faults) < 2:
        p.faults.append(Fault('wire', 'suspended', r.choice(('forth', 'back')),
                              r.choice(('control', 'trunk')), r.choice(('cut', 'reset'))))
    if r.random() < HVM_SHARE:
        p.guest = 'hvm'
    return p
