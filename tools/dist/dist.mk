# Packages; see tools/dist/README.md. Included by the Makefile.
#
#   make wheel           build/dist/*.whl, for glibc 2.17 (manylinux2014) and musl, for each of ARCHES
#   make static          build/dist/mlruns-tools-*-linux-*.tar.xz
#   make libraries       the libraries alone, into the cache
#   make lock            lock the newest sources of the libraries (NAMES="openssl postgresql": those alone)
#   make check-packages  build all of them, and test them

ARCHES   = x86_64 aarch64
DIST     = $(BUILD)/dist
dist     = BUILD='$(abspath $(BUILD))' sh tools/dist/

.PHONY: wheel static libraries lock check-packages $(ARCHES:%=wheel-%) $(ARCHES:%=static-%)

libraries:
	@for arch in $(ARCHES); do \
	    for libc in gnu.2.17 musl; do $(dist)libraries.sh $$arch-linux-$$libc || exit; done; \
	done

lock:
	python3 tools/dist/fetch.py --lock $(NAMES)

wheel: $(ARCHES:%=wheel-%)
$(ARCHES:%=wheel-%): wheel-%:
	@$(dist)wheel.sh $* gnu.2.17 '$(VERSION)'
	@$(dist)wheel.sh $* musl '$(VERSION)'

static: $(ARCHES:%=static-%)
$(ARCHES:%=static-%): static-%:
	@$(dist)static.sh $* '$(VERSION)'

# Then all tests with the wheel's executable under all names.
check-packages: wheel static deb all units
	@BUILD='$(BUILD)' ARCHES='$(ARCHES)' CHECK_PACKAGES=1 tests/run tests/packages.bats tests/release.bats
	@rm -rf $(DIST)/check && mkdir -p $(DIST)/check/bin
	@python3 -m zipfile -e $(DIST)/mlruns_tools-$(VERSION)-py3-none-manylinux*_$(shell uname -m).whl $(DIST)/check
	@chmod 755 $(DIST)/check/*.data/scripts/mlruns-tools
	@for p in $(PROGRAMS); do ln -s ../mlruns_tools-$(VERSION).data/scripts/mlruns-tools $(DIST)/check/bin/$$p; done
	@ln -s '$(abspath $(BUILD))/unit' $(DIST)/check/unit
	@BUILD='$(DIST)/check' tests/run tests/*.bats
