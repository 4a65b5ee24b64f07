# SPDX-License-Identifier: MIT
# The lab: two real Xen hosts in QEMU (docs/lab.md). `make check-lab SCENARIO=name` runs one
# scenario, `XEN=path` takes another hypervisor.

LAB_DEPS := qemu-system-x86 ipxe-qemu seabios cpio kmod socat dmsetup e2fsprogs util-linux python3-minimal \
            libpython3-stdlib liblzo2-2 libnl-route-3-200

.PHONY: deps-lab
deps-lab:
	$(call install_missing,$(LAB_DEPS))

# Built by a second make: what `deps` installs must be there before pkg-config is asked.
.PHONY: check-lab check-lab-long
check-lab: deps deps-lab
	$(Q)$(MAKE) all $(E2E_FAULT)
	$(Q)XEN=$(XEN) LAB_PROGRAMS=$(abspath $(B)) tests/lab/run $(SCENARIO)

check-lab-long: deps deps-lab
	$(Q)$(MAKE) all $(E2E_FAULT)
	$(Q)XEN=$(XEN) LAB_PROGRAMS=$(abspath $(B)) tests/lab/run --long $(SCENARIO)
