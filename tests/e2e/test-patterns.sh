#!/bin/bash
# SPDX-License-Identifier: MIT
# Each write pattern and content runs, and the guest's memory is whole at full speed as well.
. "$E2E/lib.sh"
host a
seq 0 7 5000 | sed "5~3a-" >trace
for pattern in idle uniform hot sequential file:trace; do
    guest a g --type pvh --pattern $pattern --dirty max --content zero=10,text=10,random=80
    sleep 0.3
    whole a g
    must "$X" destroy a g
done
must_say "add up to 100" "$X" create a --content zero=50,text=60
must_say "not a page number" "$X" create a --pattern file:"$E2E/lib.sh"
