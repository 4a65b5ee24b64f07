# SPDX-License-Identifier: MIT
# Debian packages in clean chroots: tests/package/check. RELEASES=13 for one of them.

RELEASES ?= 12 13

.PHONY: check-package
check-package:
	$(call install_missing,debootstrap zstd iproute2)
	$(Q)tests/package/check $(RELEASES)
