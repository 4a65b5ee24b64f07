#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""shadow_op.py DOMID OP...: log-dirty operations on a domain (0 off, 2 enable), as another tool
would do them beside us."""
import ctypes
import sys

xc = ctypes.CDLL("libxenctrl.so.4.17", use_errno=True)
xc.xc_interface_open.restype = ctypes.c_void_p
xch = ctypes.c_void_p(xc.xc_interface_open(None, None, 0))
domid = int(sys.argv[1])
for op in map(int, sys.argv[2:]):
    if xc.xc_shadow_control(xch, ctypes.c_uint32(domid), ctypes.c_uint(op), None, ctypes.c_uint(0)) < 0:
        sys.exit("shadow op %d on domain %d: errno %d" % (op, domid, ctypes.get_errno()))
