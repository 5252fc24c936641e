# mlruns-tools: moves MLflow tracking data. See README.md.
#
#   make               build/bin/*                     make SANITIZE=address,undefined …   any target, sanitized
#   make migrate       MLRUNS=dir DB=file: install what is missing, build, migrate, verify
#   make check         every test; make check-deep: the full counts; make bench; make fuzz; make lint
#   make install       PREFIX=/usr/local DESTDIR=
#   make wheel static  packages in build/dist/ (tools/dist/README.md); make check-packages: build and test all of them

VERSION := $(shell sed -n '1s/.*(\(.*\)).*/\1/p' tools/dist/changelog)
BUILD    = build
PREFIX   = /usr/local
CC       = cc
CFLAGS  ?= -O2 -g
WARN     = -Wall -Wextra -Wpedantic -Wshadow -Wmissing-prototypes -Wstrict-prototypes -Wvla
MLRUNS   = tests/data/mlruns
DB       = mlflow.db

# msgpack-c is called msgpack before its release 6.
MSGPACK := $(shell pkg-config --exists msgpack-c 2>/dev/null && echo msgpack-c || echo msgpack)
PKGS     = sqlite3 libpq yaml-0.1 jansson libxxhash libmd libzstd $(MSGPACK)
PKG_CFLAGS = $(if $(PKGS),$(shell pkg-config --cflags $(PKGS)))
LIBS     = $(if $(PKGS),$(shell pkg-config --libs $(PKGS))) -lm -lpthread
# Sanitized objects never mix with the usual ones.
O        = $(BUILD)/obj$(if $(SANITIZE),-$(subst $(comma),-,$(SANITIZE)))
comma    = ,
SAN      = $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-omit-frame-pointer -fno-sanitize-recover=all)
ALL_CFLAGS = -std=c17 -D_GNU_SOURCE -DMLRUNS_TOOLS_VERSION='"$(VERSION)"' $(WARN) $(SAN) -I. \
             $(if $(PACKAGED),-DMLRUNS_TOOLS_ONE_EXECUTABLE) $(PKG_CFLAGS) $(CPPFLAGS) $(CFLAGS)

SUITE   := $(shell sed -n 's/^ *X."[a-z]*", "\([a-z-]*\)".*/\1/p' tools/suite.h)
PROGRAMS = mlruns-tools $(SUITE)
LIB_SRC  = $(wildcard common/*.c formats/*/*.c migrations/*.c) \
           $(filter-out $(PROGRAMS:%=tools/%.c),$(wildcard tools/*.c))
EMBEDDED = $(wildcard formats/*/*.sql formats/*/*.html formats/*/*.css)
LIB_OBJ  = $(LIB_SRC:%.c=$(O)/%.o) $(O)/gen/migrations.o $(O)/gen/embedded.o
LIB      = $(O)/libmlruns.a
BIN      = $(BUILD)/bin
UNITS    = $(patsubst tests/unit/%.c,%,$(wildcard tests/unit/*/*_test.c))
FUZZERS  = $(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/*_fuzz.c))

.PHONY: all completions check check-deep check-faults storm bench fuzz lint install dist migrate deps clean units FORCE
.DELETE_ON_ERROR:

all: $(PROGRAMS:%=$(BIN)/%)

# Records compiler and flags: if they change, everything is rebuilt.
$(O)/flags: FORCE
	@mkdir -p $(O)
	@echo '$(CC) $(ALL_CFLAGS)' | sed "s/'//g" | cmp -s - $@ || echo '$(CC) $(ALL_CFLAGS)' | sed "s/'//g" >$@

$(O)/%.o: %.c $(O)/flags
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(O)/gen/%.o: $(BUILD)/gen/%.c $(O)/flags
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -Wno-overlength-strings -c -o $@ $<

$(BUILD)/gen/migrations.c: migrations $(wildcard migrations/*)
	@mkdir -p $(@D)
	sh migrations/embed.sh migrations >$@

$(BUILD)/gen/embedded.c: formats/embed.sh $(EMBEDDED) $(sort $(dir $(EMBEDDED)))
	@mkdir -p $(@D)
	sh formats/embed.sh $(EMBEDDED) >$@

$(LIB): $(LIB_OBJ)
	@rm -f $@
	$(AR) rcs $@ $^

# Programs built with different flags share a directory; the mark says when to relink.
$(BIN)/linked-$(notdir $(O)): FORCE
	@mkdir -p $(BIN)
	@test -e $@ || { rm -f $(BIN)/linked-*; touch $@; }

# PACKAGED=1: all programs are one executable, which is called by several names.
ifdef PACKAGED
$(SUITE:%=$(O)/tools/%.o): $(O)/tools/%.o: tools/%.c $(O)/flags
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -Dmain=main_of_$(subst -,_,$*) -include tools/one_executable.h -MMD -MP -c -o $@ $<
$(BIN)/mlruns-tools: $(SUITE:%=$(O)/tools/%.o)
$(SUITE:%=$(BIN)/%): $(BIN)/mlruns-tools
	ln -sf mlruns-tools $@
LINKED   = $(BIN)/mlruns-tools
else
LINKED   = $(PROGRAMS:%=$(BIN)/%)
endif

$(LINKED): $(BIN)/%: $(O)/tools/%.o $(LIB) $(BIN)/linked-$(notdir $(O))
	$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $(filter %.o,$^) $(LIB) $(LIBS)
ifndef PACKAGED
$(BIN)/ml-transform: $(O)/tools/ml-transform-options.o
$(BIN)/mlruns-dump: $(O)/tools/mlruns-dump-roots.o $(O)/tools/mlruns-dump-spans.o $(O)/tools/mlruns-dump-options.o $(O)/tools/tick.o
endif

units: $(UNITS:%=$(BUILD)/unit/%)
$(UNITS:%=$(BUILD)/unit/%): $(BUILD)/unit/%: $(O)/tests/unit/%.o $(LIB) $(BIN)/linked-$(notdir $(O))
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $< $(LIB) $(LIBS)

-include $(wildcard $(O)/*/*.d $(O)/*/*/*.d $(O)/*/*/*/*.d)

deps:
	@sh tests/setup.sh apt

migrate: deps
	@$(MAKE) --no-print-directory all
	$(BIN)/ml-migrate --source '$(MLRUNS)' --target 'sqlite:///$(DB)' --verify

check: deps
	@$(MAKE) --no-print-directory all units
	@BUILD='$(BUILD)' SANITIZE='$(SANITIZE)' tests/run

check-deep: deps
	@$(MAKE) --no-print-directory all units
	@BUILD='$(BUILD)' SANITIZE='$(SANITIZE)' DEEP=1 tests/run

# Every program, with each of its calls of the C library failing in turn.
check-faults: deps
	@$(MAKE) --no-print-directory all
	@BUILD='$(BUILD)' DEEP=1 tests/run tests/faults/check_faults.py

# Syncs of so many points into a database that has so many.
POINTS = 1000000
ROWS   = 20000000
# With 20 spans each.
TRACES = 200000
# Real writers, a real server, and ticks that are killed, in both dialects; STORM_TICKS, STORM_SEED, STORM_KEEP: see the file.
storm: deps
	@$(MAKE) --no-print-directory all
	@PATH='$(abspath $(BIN)):'"$$PATH" BUILD='$(abspath $(BUILD))' python3 tests/mlflow/storm.py

bench: deps
	@$(MAKE) --no-print-directory all $(BUILD)/bench/insert_floor
	@BUILD='$(BUILD)' python3 tests/bench/run.py --growth $(BENCH_ARGS)
	@BUILD='$(BUILD)' python3 tests/bench/sync.py --points $(POINTS) --rows $(ROWS)
	@BUILD='$(BUILD)' python3 tests/bench/spans.py --traces $(TRACES)

$(BUILD)/bench/insert_floor: tests/bench/insert_floor.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -o $@ $< $(LIBS)

# Each target for FUZZ_SECONDS under clang's libFuzzer.
FUZZ_SECONDS = 60
fuzz:
	@BUILD='$(BUILD)' SECONDS_EACH='$(FUZZ_SECONDS)' ALL_CFLAGS="-std=c17 -D_GNU_SOURCE -I. $(PKG_CFLAGS)" \
	    LIBS='$(LIBS)' tests/fuzz/run $(FUZZERS)

lint: $(BUILD)/gen/migrations.c
	python3 tests/lint_house.py
	clang-format --dry-run --Werror common/*.[ch] formats/*/*.[ch] migrations/*.[ch] tools/*.[ch] tests/unit/*.h tests/unit/*/*.c tests/fuzz/*.c
	cppcheck --quiet --std=c11 --enable=warning,portability,performance --inline-suppr --error-exitcode=1 \
	    -D_GNU_SOURCE -DSQLITE_VERSION_NUMBER=3040000 -I. common formats migrations tools

# What bash, zsh and fish complete, from the programs' option tables.
completions: all
	tools/dist/completions/generate $(BIN) $(BUILD)/completions

SHARE = $(DESTDIR)$(PREFIX)/share
ZSH_FUNCTIONS = $(PREFIX)/share/zsh/site-functions
install: all completions
	install -d $(DESTDIR)$(PREFIX)/bin $(SHARE)/man/man1 $(SHARE)/man/man5 $(SHARE)/man/man7 \
	    $(SHARE)/bash-completion/completions $(DESTDIR)$(ZSH_FUNCTIONS) $(SHARE)/fish/vendor_completions.d
	cp -P $(BUILD)/completions/bash/* $(SHARE)/bash-completion/completions
	cp -P $(BUILD)/completions/zsh/* $(DESTDIR)$(ZSH_FUNCTIONS)
	cp -P $(BUILD)/completions/fish/* $(SHARE)/fish/vendor_completions.d
	install -m 755 $(LINKED) $(DESTDIR)$(PREFIX)/bin
	for p in $(filter-out $(LINKED:$(BIN)/%=%),$(PROGRAMS)); do ln -sf mlruns-tools $(DESTDIR)$(PREFIX)/bin/$$p; done
	install -m 644 man/*.1 $(SHARE)/man/man1
	install -m 644 man/*.5 $(SHARE)/man/man5
	install -m 644 man/*.7 $(SHARE)/man/man7

include tools/dist/release.mk

include tools/dist/dist.mk

dist:
	@mkdir -p $(BUILD)/dist
	git archive --prefix=mlruns-tools-$(VERSION)/ -o $(BUILD)/dist/mlruns-tools-$(VERSION).tar.gz HEAD

clean:
	rm -rf $(BUILD)
