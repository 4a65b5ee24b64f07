# SPDX-License-Identifier: MIT
# Moves with faults, on xensim.
#
#   make faults                     60 plans; SEED=1001 N=200 others; part of make check
#   make check-faults               5,000 of them, hours; a part is SEED=2001 N=1000; PATIENCE=5
#                                   stretches the campaign's own limits on a busy machine; JOBS=6
#                                   as many plans at once, which mostly wait
#   make faults-every-call          every process killed at each call from the suspend on
#   make soak N=2000                moves there and back, eight at once: nothing may grow

SEED ?= 1
N ?=
FAULTS_SECONDS ?= 0
PATIENCE ?= 1
JOBS     ?= 2
CAMPAIGN := B=$(B) tests/faults/campaign.py --patience $(PATIENCE) --jobs $(JOBS)

.PHONY: faults check-faults faults-every-call soak
faults: e2e-tests
	$(Q)$(CAMPAIGN) --seed $(SEED) --n $(or $(N),60) --seconds $(FAULTS_SECONDS)
check-faults: e2e-tests
	$(Q)$(CAMPAIGN) --seed $(SEED) --n $(or $(N),5000)
faults-every-call: e2e-tests
	$(Q)$(CAMPAIGN) --every-call
soak: e2e-tests
	$(Q)B=$(B) tests/faults/soak.py --patience $(PATIENCE) --n $(or $(N),2000)
