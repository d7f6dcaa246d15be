# Makefile: the front door. Meson builds; this file says what there is to do.
#
#   make             build everything, ready to run from build/stage
#   make demo        run a program of an OCI image in a microVM
#   make check       every test; the last line is "N passed, N failed, N skipped"
#   make bench       measure, beside the budgets and the peers
#   make soak        the long forms of the tests (hours)
#   make install     into PREFIX (default /usr/local), below DESTDIR
#   make uninstall   remove what install put there
#   make format      clang-format the sources
#   make clean       remove build/; caches outside of the tree stay

PREFIX ?= /usr/local
DESTDIR ?=
BUILD := build
STAGE := $(CURDIR)/$(BUILD)/stage
RUNTIME := $(DESTDIR)$(PREFIX)/libexec/supermachine

.PHONY: all demo check bench soak install uninstall format clean deps \
	programs kernel
.NOTPARALLEL:

all: programs kernel
	@echo "ready: $(BUILD)/stage/bin/supermachine"

deps:
	@tools/bootstrap build kernel

programs: deps
	@echo "building the programs"
	@tools/quietly meson setup $(BUILD)/main --prefix=$(PREFIX) \
	    $$(test -f $(BUILD)/main/build.ninja && echo --reconfigure)
	@tools/quietly ninja -C $(BUILD)/main
	@tools/stage $(BUILD)/main $(STAGE)

kernel: deps
	@tools/stage-kernel $(STAGE)

demo: all
	@tools/bootstrap demo testbed
	@tools/demo

check:
	@tools/bootstrap build kernel check testbed demo
	@$(MAKE) --no-print-directory all
	@tests/check

bench: all
	@tools/bootstrap demo testbed check
	@tools/bench
	@tools/bench-images

soak: check
	@tests/soak

# As another user than who built it, one may have no kernel in the cache.
install: programs $(if $(wildcard $(STAGE)/libexec/supermachine/vmlinux),,kernel)
	@meson install -C $(BUILD)/main --no-rebuild --quiet \
	    $(if $(DESTDIR),--destdir "$(DESTDIR)")
	@install -m 644 $(STAGE)/libexec/supermachine/vmlinux "$(RUNTIME)/vmlinux"
	@$(if $(DESTDIR),,[ "$$(id -u)" != 0 ] || ldconfig)
	@echo "installed below $(DESTDIR)$(PREFIX)"

uninstall:
	@tools/unstage "$(DESTDIR)$(PREFIX)"
	@$(if $(DESTDIR),,[ "$$(id -u)" != 0 ] || ldconfig)

format:
	@git ls-files '*.[ch]' | xargs clang-format -i

clean:
	rm -rf $(BUILD)
