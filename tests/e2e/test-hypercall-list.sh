#!/bin/bash
# SPDX-License-Identifier: MIT
# The list of hypercalls in docs/xensim.md is the list in the code.
. "$E2E/lib.sh"
cd "$TOP" || exit 1
must python3 - <<'END'
import glob, re, sys

documented = set()
for line in open('docs/xensim.md'):
    cells = line.split('|')
    prefix = re.match(r' `((?:__HYPERVISOR|XEN|XENMEM|MMUEXT|[A-Z]+OP|XENVER|IOCTL)_[A-Z_]*)`',
                      cells[1] if len(cells) == 4 else '')
    if prefix:
        operations = re.sub(r'\(.*?\)', '', cells[2])
        documented |= {prefix[1] + name for name in re.findall(r'\w*_\w+|\b\w+\b', operations)
                       if name != 'and'}
code = ''.join(open(name).read() for room in ('hypervisor', 'preload')
               for name in glob.glob(f'xensim/{room}/*.c'))
answered = {name for name in re.findall(r'(?:case|op\.cmd ==|arg\[0\] !=|a\.op !=) (\w+)', code)
            if re.match(r'__HYPERVISOR_|XEN_(DOM|SYS)CTL_|XEN_DMOP_|XENMEM_|MMUEXT_|HVMOP_|EVTCHNOP_|'
                        r'SCHEDOP_|GNTTABOP_|XENVER_|IOCTL_PRIVCMD_', name)}
for name in sorted(documented ^ answered):
    print(name, 'is not in the', 'code' if name in documented else 'list')
sys.exit(documented != answered or len(answered) < 50)
END
