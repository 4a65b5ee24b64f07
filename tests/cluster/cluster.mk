# SPDX-License-Identifier: MIT
# The agent under Debian's Pacemaker and Corosync, on two nodes in namespaces: tests/cluster/check.

CLUSTER_DEPS  := pacemaker pacemaker-cli-utils corosync resource-agents xsltproc libxml2-utils iproute2
CLUSTER_UNITS := corosync pacemaker logd

# This machine becomes no node: nothing is started, and what was not there will not start at boot.
.PHONY: cluster-deps
cluster-deps:
	@there() { dpkg-query -W -f '$${Status}\n' "$$@" 2>/dev/null | grep -c 'ok installed'; }; \
	[ "$$(there $(CLUSTER_DEPS))" != $(words $(CLUSTER_DEPS)) ] || exit 0; \
	before=$$(there pacemaker); policy=/usr/sbin/policy-rc.d; ours=; \
	[ -e $$policy ] || { printf '#!/bin/sh\nexit 101\n' >$$policy && chmod 755 $$policy && ours=yes; }; \
	$(MAKE) --no-print-directory cluster-packages; code=$$?; \
	[ -z "$$ours" ] || rm -f $$policy; \
	[ "$$before" != 0 ] || ! command -v systemctl >/dev/null || \
	    systemctl -q disable $(CLUSTER_UNITS) 2>/dev/null; \
	exit $$code
.PHONY: cluster-packages
cluster-packages:
	$(call install_missing,$(CLUSTER_DEPS))

.PHONY: check-cluster
check-cluster: all xensim $(E2E_FAULT) cluster-deps
	-$(Q)$(MAKE) --no-print-directory stock-helper
	$(Q)B=$(B) tests/cluster/check
