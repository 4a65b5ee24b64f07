#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""holds_key.py PID KEY.PEM: does that process have that key (on P-256) anywhere in its memory?

Says where it found it, as a number, in bytes as they stand in a file or as OpenSSL keeps it. Ends
with 0 if it did, 1 if not.
"""
import base64
import re
import sys

pid, path = sys.argv[1:]
text = open(path, 'rb').read()
der = base64.b64decode(b''.join(text.split(b'\n')[1:-2]))
# PKCS#8's ECPrivateKey: version 1, then the number in an octet string of 32 bytes.
at = der.index(b'\x02\x01\x01\x04\x20') + 5
secret = der[at:at + 32]
looks = {'its number': secret, 'its number, as OpenSSL has it': secret[::-1],
         'its file': text.split(b'\n')[1]}
found = []
with open('/proc/%s/maps' % pid) as maps, open('/proc/%s/mem' % pid, 'rb', 0) as mem:
    for line in maps:
        first, last, rights, inode = re.match(r'(\w+)-(\w+) (\S+) \S+ \S+ (\d+)', line).groups()
        if not rights.startswith('rw') or inode != '0' or '[v' in line:
            continue  # its own memory, and not a guest's
        try:
            mem.seek(int(first, 16))
            bytes_here = mem.read(int(last, 16) - int(first, 16))
        except (OSError, OverflowError):
            continue
        found += ['%s in %s' % (name, line.split()[-1])
                  for name, look in looks.items() if look in bytes_here]
print('\n'.join(found))
sys.exit(0 if found else 1)
