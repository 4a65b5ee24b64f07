# SPDX-License-Identifier: MIT
# xmigrate: build, test, install.
#
#   make deps            install what is missing (Debian, as root)
#   make                 build/xmigrate and build/xmigrate-save-helper
#   make demo            a live migration on this machine, no Xen needed
#   make check           unit and end-to-end tests
#   make check-large     end-to-end tests with guests of 8 GiB
#   make faults          moves with faults, from seeds: SEED=1001 N=200
#   make check-fuzz      whatever reads what others wrote, 15 s each; FUZZ_SECONDS=1800 for longer
#   make bench           how fast it is, beside others
#   make bench-wan       the same over long links
#   make bench-delta     what differences to pages sent before save
#   make bench-pause     where a guest's pause goes
#   make bench-pools     what data that is not memory adds to it
#   make bench-checkpoint  files of guests, beside stock xl
#   make check-package   Debian packages: built, installed, used and removed in clean chroots
#   make check-cluster   the agent under Pacemaker and Corosync, on two nodes in namespaces
#   make install         DESTDIR and PREFIX are honoured; make uninstall takes it away again
#
# CFLAGS, CPPFLAGS and LDFLAGS are yours; HARDENING= leaves out what is added to them by default.
# SAN=asan or SAN=tsan builds the same things under build/asan or build/tsan. V=1 shows the
# commands; WERROR=1 makes warnings errors, as CI does.

PREFIX  ?= /usr/local
DESTDIR ?=
CC      ?= gcc
SAN     ?=
B       := build$(if $(SAN),/$(SAN))

RELEASE := 0.1.0
# A package says its own; elsewhere it is the commit that was built, and whether it was changed.
VERSION ?= $(RELEASE)$(addprefix +g,$(subst -dirty,.dirty,$(shell \
    git describe --always --exclude='*' --abbrev=7 --dirty 2>/dev/null)))

# What each may include is checked by tests/check-layers.
ROOMS := base crypto transport transport/compact dirtylog sched engine engine/aux engine/guest engine/in engine/out engine/probe engine/xen

LIBS_PKG := xencontrol xendevicemodel xenforeignmemory xenguest xenlight xentoollog xenstore openssl liblz4 libzstd jansson libseccomp
# Recursive on purpose: asked only when something is compiled, after `make deps` has run.
PKG_CFLAGS = $(shell pkg-config --cflags $(LIBS_PKG))
PKG_LIBS   = $(shell pkg-config --libs $(LIBS_PKG))

CFLAGS   ?= -O2 -g
WARNINGS := -Wall -Wextra -Wshadow -Wvla -Wmissing-prototypes -Wstrict-prototypes \
            -Wformat=2 -Wno-format-nonliteral $(if $(WERROR),-Werror)
ALL_CPPFLAGS = -I. -D_GNU_SOURCE -D__XEN_TOOLS__=1 $(CPPFLAGS)
# gnu11: Xen's public headers want anonymous structs and __align8__.
ALL_CFLAGS = -std=gnu11 $(HARDENING) $(CFLAGS) $(WARNINGS) -pthread $(SAN_CFLAGS)
ALL_LDFLAGS = $(HARDENING_LDFLAGS) $(LDFLAGS)
LDLIBS   = -pthread $(PKG_LIBS) -lm

# glibc's checks need an optimiser, and are not a sanitizer's; whoever chose a level keeps it.
FORTIFY := $(if $(SAN)$(findstring FORTIFY_SOURCE,$(CFLAGS) $(CPPFLAGS)),,$(if \
    $(filter -O1 -O2 -O3 -Os,$(CFLAGS)),-D_FORTIFY_SOURCE=2))
HARDENING ?= -fstack-protector-strong -fstack-clash-protection $(FORTIFY)
RELRO := -Wl,-z,relro,-z,now
HARDENING_LDFLAGS := $(if $(HARDENING),$(RELRO))
# Our own allocations are counted (engine/allocations.h).
COUNT_ALLOCATIONS := $(foreach f,malloc calloc realloc aligned_alloc,-Wl,--wrap=$(f))

SAN_CFLAGS_asan := -fsanitize=address,undefined -fno-omit-frame-pointer -fno-sanitize-recover=all
SAN_CFLAGS_tsan := -fsanitize=thread
SAN_CFLAGS := $(if $(SAN),$(SAN_CFLAGS_$(SAN)))

ifeq ($(V),1)
Q :=
else
Q := @
endif
say = @printf '  %-5s %s\n' $(1) '$(2)'

# Objects of tests are kept: they would be compiled again at every run.
.SECONDARY:

LIB_SRC  := $(foreach r,$(ROOMS),$(wildcard $(r)/*.c))
CMD_SRC  := $(wildcard cmd/xmigrate/*.c cmd/xmigrate/*/*.c)
HELP_SRC := $(wildcard cmd/helper/*.c)
BOTH_SRC := $(wildcard cmd/*.c cmd/handoff/*.c)
obj = $(patsubst %.c,$(B)/obj/%.o,$(1))

LIB      := $(B)/libxmigrate.a
PROGRAMS := $(B)/xmigrate $(B)/xmigrate-save-helper

.PHONY: all programs
all: programs
programs: $(PROGRAMS)

# Rooms that are programs or tests of their own bring their own rules.
include $(wildcard xensim/xensim.mk tests/unit/unit.mk tests/e2e/e2e.mk tests/fuzz/fuzz.mk \
                   tests/faults/faults.mk tests/lab/lab.mk tests/model/model.mk tests/link/link.mk \
                   tests/package/package.mk tests/cluster/cluster.mk perf/perf.mk)

.PHONY: objects
objects: $(LIB) $(call obj,$(CMD_SRC) $(HELP_SRC) $(BOTH_SRC))

$(LIB): $(call obj,$(LIB_SRC))
	$(call say,AR,$@)
	$(Q)rm -f $@ && ar rcsP $@ $^

$(B)/xmigrate: $(call obj,$(CMD_SRC) $(BOTH_SRC)) $(LIB)
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(COUNT_ALLOCATIONS) $(LDLIBS)

$(B)/xmigrate-save-helper: $(call obj,$(HELP_SRC) $(BOTH_SRC)) $(LIB)
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(COUNT_ALLOCATIONS) $(LDLIBS)

$(B)/obj/%.o: %.c
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_CPPFLAGS) $(PKG_CFLAGS) -MMD -MP -c -o $@ $<

# Compiled again when the version has changed, and not else.
$(B)/version: FORCE
	$(Q)mkdir -p $(B) && { echo '$(VERSION)' | cmp -s - $@ || echo '$(VERSION)' >$@; }
# Phony, as .SECONDARY takes what does not exist for an intermediate file.
.PHONY: FORCE
FORCE:
$(B)/obj/cmd/version.o $(FUZZ_B)/obj/cmd/version.o: $(B)/version
$(B)/obj/cmd/version.o $(FUZZ_B)/obj/cmd/version.o: private ALL_CPPFLAGS += -DXMIGRATE_VERSION='"$(VERSION)"' \
    -DXMIGRATE_XEN_VERSION='"$(shell pkg-config --modversion xenlight)"'

-include $(shell find $(B)/obj -name '*.d' 2>/dev/null)

# Debian packages, installed only when something is missing, and the user that --listen needs.
DEPS := gcc libc6-dev pkg-config libxen-dev libssl-dev liblz4-dev libzstd-dev libjansson-dev \
        libseccomp-dev libcmocka-dev python3 procps openssl spin musl-tools
define install_missing
	@missing=; for p in $(1); do \
	    dpkg-query -W -f '$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$p"; \
	done; \
	if [ -n "$$missing" ]; then \
	    echo "installing:$$missing"; \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
	        apt-get install -y -qq --no-install-recommends $$missing >/dev/null || \
	        { echo "make deps: could not install:$$missing (are you root?)" >&2; exit 1; }; \
	fi
endef

.PHONY: deps
deps:
	$(call install_missing,$(DEPS))
	@getent passwd _xmigrate >/dev/null || \
	    useradd --system --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin _xmigrate || \
	    { echo "make deps: could not add the user _xmigrate (are you root?)" >&2; exit 1; }

# Each suite ends with "N passed, N failed"; tests/sum adds them up.
E2E_SUITE      := $(if $(wildcard tests/e2e/e2e.mk),check-e2e)
SUITES         := check-layers check-musl check-unit check-model faults $(E2E_SUITE)
SUITES_OF_SAN  := check-unit $(E2E_SUITE)
# Built on all cores, run one after the other; what does not build fails again, and counts, in its suite.
build_tests = $(MAKE) --no-print-directory -j$$(nproc) unit-tests e2e-tests $(1)
suites = tests/sum $(foreach s,$(if $(filter SAN=%,$(1)),$(SUITES_OF_SAN),$(SUITES)),$(MAKE) --no-print-directory $(s) $(1) --)

.PHONY: check-layers
check-layers:
	$(Q)tests/check-layers

.PHONY: check-musl
check-musl:
	$(Q)tests/check-musl $(B)/musl '-DXMIGRATE_VERSION=""' '-DXMIGRATE_XEN_VERSION=""' -- \
	    $(LIB_SRC) $(CMD_SRC) $(HELP_SRC) $(BOTH_SRC)

.PHONY: check check-asan check-tsan
check: deps
	-$(Q)$(call build_tests,)
	$(Q)$(call suites,FAULTS_SECONDS=90)
check-asan: deps
	-$(Q)$(call build_tests,SAN=asan)
	$(Q)$(call suites,SAN=asan)
# ThreadSanitizer makes everything ten times slower: the tests with the most threads, the most going
# wrong and the most at once, in some six minutes on two cores.
TSAN_E2E := source- dest-lanes move-events move-signals move-doubt move-hangs move-host-death \
            receiver-killed receive-crowd receive-recover move-differences guest
check-tsan: deps
	-$(Q)$(call build_tests,SAN=tsan)
	$(Q)$(call suites,SAN=tsan E2E="$(TSAN_E2E)")

.PHONY: demo
demo: deps
	$(Q)$(MAKE) --no-print-directory -j$$(nproc) all
	$(Q)xensim/demo $(B)

SBINDIR   ?= $(PREFIX)/sbin
DATADIR   ?= $(PREFIX)/share
LIBDIR    ?= $(PREFIX)/lib
UNITDIR   ?= $(LIBDIR)/systemd/system
ZSHDIR    ?= $(DATADIR)/zsh/site-functions
SYSCONFDIR ?= /etc
# Where Pacemaker looks, whatever the prefix.
OCFDIR    ?= /usr/lib/ocf/resource.d

# MODE FILE WHERE-TO, a line each: what install puts there and uninstall takes away.
define INSTALLED
755 $(B)/xmigrate                       $(SBINDIR)/xmigrate
755 $(B)/xmigrate-save-helper           $(SBINDIR)/xmigrate-save-helper
644 docs/man/xmigrate.8                 $(DATADIR)/man/man8/xmigrate.8
644 docs/man/xmigrate-save-helper.8     $(DATADIR)/man/man8/xmigrate-save-helper.8
644 dist/completions/xmigrate.bash      $(DATADIR)/bash-completion/completions/xmigrate
644 dist/completions/_xmigrate          $(ZSHDIR)/_xmigrate
644 dist/xmigrate.socket                $(UNITDIR)/xmigrate.socket
644 $(B)/dist/xmigrate.service          $(UNITDIR)/xmigrate.service
644 dist/xmigrate.sysusers              $(LIBDIR)/sysusers.d/xmigrate.conf
644 dist/xmigrate.tmpfiles              $(LIBDIR)/tmpfiles.d/xmigrate.conf
644 dist/xmigrate.logrotate             $(SYSCONFDIR)/logrotate.d/xmigrate
755 dist/ocf/Domain                     $(OCFDIR)/xmigrate/Domain
endef
export INSTALLED

$(B)/dist/%: dist/%.in FORCE
	$(Q)mkdir -p $(@D) && sed 's|@sbindir@|$(SBINDIR)|' $< >$@

.PHONY: install uninstall
install: programs $(B)/dist/xmigrate.service
	$(Q)echo "$$INSTALLED" | while read -r mode file to; do \
	    install -v -D -m $$mode $$file "$(DESTDIR)$$to" || exit 1; done
uninstall:
	$(Q)echo "$$INSTALLED" | while read -r mode file to; do rm -vf "$(DESTDIR)$$to"; done

.PHONY: format
format:
	$(Q)git ls-files '*.[ch]' | xargs clang-format -i

.PHONY: clean
clean:
	rm -rf build
