# devmgr: libdevmgr, devmgrd, devmgrctl, devmgr-fakeplugin.  GNU make 4.3+, one non-recursive file, all output in build/.
#
#   make            library, programs            make demo      a real allocation, end to end, in a scratch folder
#   make check      all tests (no network, no root; ends "N passed, N failed")
#   make unit       the unit tests alone         make asan      check under ASan + UBSan
#   make tsan       unit tests under TSan        make fuzz      each fuzzer FUZZ_SECONDS long
#   make fuzz-coverage   what the fuzzers' corpora reach of each parser; fails under 90 %
#   make model      random lives of the manager against a model: STEPS=1000000 SEED=random
#   make model-check   plants faults in the manager one by one: does the model find each?
#   make nth        each call that can fail fails in turn, in a life of devmgrd under ASan + UBSan: NTH_ARGS=read:7
#   make night      bad plugins, pods that come and go, a daemon that is killed: NIGHT_SECONDS=600 SEED=random
#   make lint       format, include rules, ...   make format    clang-format in place
#   make contract   the kubelet's behaviours one by one: which test proves each, or why we differ
#   make contract-check   breaks them one by one: does a test notice?
#   make check-vectors VECTORS=  answers recordings of the kubelet's Topology Manager and compares: file or folder;
#                   DAEMON=1: the admissions among them through devmgrd, with plugins on sockets
#   make check-checkpoints DIR=  reads checkpoints beside which the kubelet's reading lies, and compares
#   make interop    the real kubelet's code and plugins beside ours (Go)
#   make bench      measurements, beside the kubelet's code: ARGS='--limit 60'; see bench/README.md
#   make deps       install what building needs and is missing
#   make install    PREFIX= DESTDIR=             make uninstall takes away what install put there
#   make dist       tarball of HEAD              make clean     make help
#
# Knobs: CC CFLAGS LDFLAGS PREFIX DESTDIR V=1 (show commands) WERROR=1 SAN=address,undefined BUILD=dir
#        GRPC=shared (link the distribution's libgrpc instead of a static, hidden one) DEPS=no (never install)

VERSION := 0.1.0
SONAME  := libdevmgr.so.$(basename $(VERSION))# the minor counts until 1.0

BUILD   ?= build
CFLAGS  ?= -O2 -g -fstack-protector-strong -D_FORTIFY_SOURCE=2
LDFLAGS ?= -Wl,-z,relro,-z,now
GRPC    ?= static
CLANG   ?= clang-14
CLANG_FORMAT ?= clang-format-14
PKG_CONFIG   ?= pkg-config
FUZZ_SECONDS ?= 60

PREFIX     ?= /usr/local
BINDIR     ?= $(PREFIX)/bin
LIBDIR     ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
MANDIR     ?= $(PREFIX)/share/man
UNITDIR    ?= $(PREFIX)/lib/systemd/system
COMPDIR    ?= $(PREFIX)/share/bash-completion/completions

default: all

# ---- set-up -----------------------------------------------------------------------------------------------------------
# pkg-config is asked while this file is read, so what is missing has to be found before that. Then the goals below are
# all this file knows: tools/deps installs (or says what to install), and make starts again.
HOUSEKEEPING := deps clean help dist
GOALS   := $(filter-out $(HOUSEKEEPING),$(or $(MAKECMDGOALS),all))
LINTING := $(filter lint format,$(GOALS))
NEEDS   := $(if $(filter-out $(LINTING),$(GOALS)),build) $(LINTING:%=lint) $(filter fuzz interop,$(GOALS))
ifneq ($(if $(GOALS),$(shell CC='$(CC)' CXX='$(CXX)' PKG_CONFIG='$(PKG_CONFIG)' tools/deps --missing $(NEEDS))),)
$(firstword $(GOALS)): FORCE
	@tools/deps $(NEEDS)
	@$(MAKE) --no-print-directory DEPS=no $(GOALS)
$(filter-out $(firstword $(GOALS)),$(GOALS)): $(firstword $(GOALS)) ;
else

# ---- flags ------------------------------------------------------------------------------------------------------------
PKGS := libuv jansson libprotobuf-c yaml-0.1 inih libsystemd
PKG_CFLAGS := $(shell $(PKG_CONFIG) --cflags $(PKGS) 2>/dev/null)
PKG_LIBS   := $(shell $(PKG_CONFIG) --libs $(PKGS) 2>/dev/null)

WARN = -Wall -Wextra -Wshadow -Wvla -Wundef -Wpointer-arith -Wwrite-strings -Wformat=2 -Wmissing-prototypes \
       -Wstrict-prototypes -Wold-style-definition -Wimplicit-fallthrough -Wno-missing-field-initializers
SANFLAGS = $(SAN:%=-fsanitize=%) $(if $(SAN),-fno-omit-frame-pointer -fno-sanitize-recover=all)
ALL_CFLAGS = -std=gnu11 -D_GNU_SOURCE -DDM_VERSION='"$(VERSION)"' -fPIC -fvisibility=hidden -MMD -MP -Iinclude -Isrc \
       -I$(BUILD)/proto -Itests $(PKG_CFLAGS) $(WARN) $(if $(WERROR),-Werror) $(SANFLAGS) $(CPPFLAGS) $(CFLAGS)
LINK = $(CC) $(SANFLAGS) $(CFLAGS) -Wl,--as-needed -Wl,--gc-sections $(LDFLAGS)

# gRPC C core: static and hidden, because two copies with visible symbols in one process hang in grpc_init and an
# embedder may have its own. What it stands on (absl, cares, re2, z) has no such trouble and stays shared.
GRPC_ITSELF := -lgrpc_unsecure -lgpr -lupb -laddress_sorting
GRPC_LIBS_static := -Wl,-Bstatic $(GRPC_ITSELF) -Wl,-Bdynamic @$(BUILD)/grpc.libs
GRPC_LIBS_shared := -lgrpc_unsecure -lgpr
GRPC_LIBS = $(or $(GRPC_LIBS_$(GRPC)),$(error GRPC=$(GRPC): must be static or shared))
LIBS      = $(GRPC_LIBS) $(PKG_LIBS) -pthread -lm

# ---- what there is: found by looking, so that a new file needs no edit here ------------------------------------------
o = $(patsubst %.c,$(BUILD)/%.o,$(1))
LIB_DIRS  := base topology checkpoint manager rpc registration
PROTO_C   := $(patsubst proto/%.proto,$(BUILD)/proto/%.pb-c.c,$(wildcard proto/*/*/*.proto))
LIB_O     := $(call o,$(wildcard src/*.c $(LIB_DIRS:%=src/%/*.c))) $(BUILD)/proto/deviceplugin/v1beta1/deviceplugin.pb-c.o
CONTROL_O := $(call o,$(wildcard src/control/*.c)) $(BUILD)/proto/devmgr/v1alpha1/devmgr.pb-c.o
PROG_DIRS := $(patsubst %/main.c,%,$(wildcard src/daemon/main.c tools/*/main.c))
prog       = $(BUILD)/$(patsubst src/daemon,devmgrd,$(patsubst tools/%,%,$(1)))
PROGS     := $(foreach dir,$(PROG_DIRS),$(call prog,$(dir)))
TESTS     := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/unit/test_*.c))
MODEL     := $(BUILD)/tests/model/model
NTH       := $(addprefix $(BUILD)/tests/nth/,nth devmgrd embedded)
QUICK_NTH := $(if $(SAN)$(filter shared,$(GRPC)),,$(NTH))# once is enough for check; make nth is the whole, with sanitizers
EXAMPLES  := $(patsubst %.c,$(BUILD)/%,$(wildcard examples/*.c))
FUZZERS   := $(patsubst fuzz/%.c,%,$(wildcard fuzz/fuzz_*.c))
REPLAYS   := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/vectors/*.c))
BENCHES   := $(patsubst %.c,$(BUILD)/%,$(wildcard bench/*.c))
CORPORA   := $(FUZZERS:%=$(BUILD)/tests/corpus/%)
SCRIPTS   := $(wildcard tests/package/*.sh tests/package/*.py tests/scenarios/*.py)
SOURCES   := $(wildcard include/*.h src/*.[ch] src/*/*.[ch] tools/*/*.[ch] tests/*.[ch] tests/unit/*.[ch] \
             tests/vectors/*.[ch] tests/model/*.[ch] tests/nth/*.[ch] tests/package/*.c fuzz/*.[ch] examples/*.[ch] bench/*.[ch])

say = $(if $(V),,@printf '  %-7s %s\n' $(1) $(2);)# V=1 shows commands, otherwise one short line each

all: $(BUILD)/libdevmgr.a $(BUILD)/$(SONAME) $(PROGS)

# ---- compile ----------------------------------------------------------------------------------------------------------
# C names cannot hold services, and NUL or bad UTF-8 in a string must be seen: strip those, read strings as bytes.
$(BUILD)/proto/%.pb-c.c $(BUILD)/proto/%.pb-c.h: proto/%.proto tools/proto-for-c
	$(call say,PROTOC,$<) mkdir -p $(BUILD)/proto-in/$(*D) $(BUILD)/proto && \
	    tools/proto-for-c $< > $(BUILD)/proto-in/$*.proto && \
	    protoc-c --proto_path=$(BUILD)/proto-in --c_out=$(BUILD)/proto $*.proto
$(BUILD)/proto/%.o: $(BUILD)/proto/%.c $(BUILD)/flags
	$(call say,CC,$<) $(CC) $(ALL_CFLAGS) -w -c -o $@ $<
$(BUILD)/%.o: %.c $(BUILD)/flags | $(PROTO_C)
	$(call say,CC,$<) mkdir -p $(@D) && $(CC) $(ALL_CFLAGS) -c -o $@ $<

# Rewritten only when their content changes: other flags or a file that went rebuild what they touch, nothing else does.
stamp = @mkdir -p $(@D); echo '$(subst ','\'',$(1))' | cmp -s - $@ || echo '$(subst ','\'',$(1))' > $@
$(BUILD)/flags: FORCE
	$(call stamp,$(CC) $(ALL_CFLAGS))
$(BUILD)/link: FORCE | $(BUILD)/grpc.libs
	$(call stamp,$(LINK) $(LIBS) $(LIB_O) $(CONTROL_O))

# What a static gRPC stands on. pkg-config takes half a second over it, names most of absl many times, and leaves out
# upb, address_sorting, cares, re2 and z.
$(BUILD)/grpc.libs: Makefile
	@mkdir -p $(@D); { $(PKG_CONFIG) --libs --static grpc_unsecure | tr ' ' '\n' | \
	    awk '/^-l/ && !/-l(grpc_unsecure|gpr)$$/ && !seen[$$0]++'; echo -lcares -lre2 -lz -lstdc++; } | tr '\n' ' ' > $@

# ---- link -------------------------------------------------------------------------------------------------------------
$(BUILD)/libdevmgr.a: $(LIB_O)
$(BUILD)/libcontrol.a: $(CONTROL_O)
$(BUILD)/libdevmgr.a $(BUILD)/libcontrol.a: $(BUILD)/link
	$(call say,AR,$@) rm -f $@ && $(AR) rcs $@ $(filter %.o,$^)
$(BUILD)/$(SONAME): $(LIB_O) $(BUILD)/link
	$(call say,LD,$@) $(LINK) -shared -Wl,-soname,$(SONAME) $(if $(SAN),,-Wl,-z,defs) -Wl,--exclude-libs,ALL \
	    -o $@ $(LIB_O) $(LIBS) && ln -sf $(SONAME) $(BUILD)/libdevmgr.so

$(foreach dir,$(PROG_DIRS),$(eval $(call prog,$(dir)): $(call o,$(wildcard $(dir)/*.c))))
$(TESTS) $(EXAMPLES) $(REPLAYS) $(BENCHES): %: %.o
$(MODEL): $(call o,$(wildcard tests/model/*.c))
$(CORPORA): $(BUILD)/tests/corpus/%: $(BUILD)/fuzz/%.o $(BUILD)/tests/corpus.o
$(PROGS) $(TESTS) $(MODEL) $(EXAMPLES) $(REPLAYS) $(BENCHES) $(CORPORA): $(BUILD)/libcontrol.a $(BUILD)/libdevmgr.a $(BUILD)/link
	$(call say,LD,$@) mkdir -p $(@D) && $(LINK) -o $@ $(filter %.o,$^) $(filter %.a,$^) $(LIBS)

# The n-th failure (tests/nth): a driver, and two programs whose every call that can fail is wrapped. gRPC shared: only
# calls of our own are to fail.
$(BUILD)/tests/nth/nth: $(call o,$(filter-out %/faults.c %/embedded.c,$(wildcard tests/nth/*.c)))
	$(call say,LD,$@) $(LINK) -o $@ $(filter %.o %.a,$^) $(LIBS)
$(BUILD)/tests/nth/devmgrd: $(call o,$(wildcard src/daemon/*.c) tests/nth/faults.c)
$(BUILD)/tests/nth/embedded: $(call o,tests/nth/embedded.c tests/nth/faults.c)
$(BUILD)/tests/nth/devmgrd $(BUILD)/tests/nth/embedded:
	$(call say,LD,$@) $(LINK) $$(nm $(BUILD)/tests/nth/faults.o | sed -n 's/.* T __wrap_/-Wl,--wrap=/p') -o $@ \
	    $(filter %.o %.a,$^) $(GRPC_LIBS_shared) $(PKG_LIBS) -pthread -lm
$(NTH): $(BUILD)/libcontrol.a $(BUILD)/libdevmgr.a $(BUILD)/link
nth: # with the objects of make asan
	@+$(MAKE) --no-print-directory DEPS=no BUILD=$(BUILD)/asan CFLAGS='-O1 -g' SAN=address,undefined nth-lives
nth-lives: $(NTH) $(BUILD)/devmgr-fakeplugin
	@$< $(or $(NTH_ARGS),all)
.PHONY: nth nth-lives

# ---- tests ------------------------------------------------------------------------------------------------------------
export BUILD CC CXX SAN PKG_CONFIG GRPC
unit: $(TESTS)
	@tests/run $(TESTS)
check: all $(TESTS) $(MODEL) $(EXAMPLES) $(REPLAYS) $(BENCHES) $(CORPORA) $(QUICK_NTH) $(if $(SAN),,stage)
	@tests/run $(TESTS) $(MODEL) $(firstword $(QUICK_NTH)) $(REPLAYS) $(CORPORA) $(SCRIPTS)
model: $(MODEL)
	@TEST_TIMEOUT=1800 tests/run $(MODEL)
model-check: $(MODEL)
	@tools/model-check $(MUTANTS)
night: all
	@NIGHT_SECONDS=$${NIGHT_SECONDS:-600} TEST_TIMEOUT=7200 TEST_VERBOSE=1 tests/run tests/scenarios/night.py
check-vectors: $(if $(DAEMON),$(BUILD)/devmgrd $(BUILD)/devmgr-fakeplugin,$(BUILD)/tests/vectors/topology)
	@$(if $(DAEMON),VECTORS=$(or $(VECTORS),tests/data/topology) tests/scenarios/topology_vectors.py,$< $(or $(VECTORS),tests/data/topology))
contract: all $(TESTS)
	@tests/run $$(tools/contract --programs) >$(BUILD)/contract.log 2>&1 || { cat $(BUILD)/contract.log; echo; }
	@tools/contract
contract-check: all $(TESTS)
	@tools/contract-check $(MUTANTS)
check-checkpoints: $(BUILD)/tests/vectors/checkpoints
	@$< $(or $(DIR),$(error DIR=FOLDER: files with the kubelet's reading of each beside it, NAME and NAME.json))
stage: all
	@rm -rf $(BUILD)/stage && $(MAKE) --no-print-directory DESTDIR= PREFIX=$(abspath $(BUILD)/stage) install >/dev/null
demo: all
	@tools/demo
again = @+$(MAKE) --no-print-directory DEPS=no BUILD=$(BUILD)/$@ CFLAGS='-O1 -g'
asan:
	$(again) SAN=address,undefined check
tsan: export TSAN_OPTIONS = ignore_noninstrumented_modules=1 suppressions=$(CURDIR)/tests/tsan.supp
tsan: # gRPC shared: the option above knows modules, and gRPC is not instrumented
	$(again) SAN=thread GRPC=shared unit
fuzz:
	$(again) SAN=fuzzer-no-link,address,undefined CC=$(CLANG) $(FUZZERS:%=run-%)
run-%: $(BUILD)/fuzz/%.o $(BUILD)/libcontrol.a $(BUILD)/libdevmgr.a
	$(call say,LD,$*) $(LINK) -fsanitize=fuzzer -o $(BUILD)/$* $^ $(LIBS)
	$(call say,FUZZ,'$* for $(FUZZ_SECONDS) s') mkdir -p $(BUILD)/corpus/$* && \
	    $(BUILD)/$* -max_total_time=$(FUZZ_SECONDS) -timeout=10 -artifact_prefix=$(BUILD)/$*- $(BUILD)/corpus/$* \
	    $(wildcard fuzz/corpus/$(*:fuzz_%=%)) >$(BUILD)/$*.log 2>&1 || { tail -n 60 $(BUILD)/$*.log; exit 1; }
	@tail -n 1 $(BUILD)/$*.log | sed 's/^/          /'
fuzz-coverage: # beside the objects of this BUILD alone
	$(again) CFLAGS='-O0 -g --coverage' corpora
	@BUILD=$(BUILD)/$@ fuzz/coverage
corpora: $(CORPORA)
interop: all stage
	@interop/build $(BUILD)/interop
	@interop/run
bench: all $(BENCHES)
	@bench/run $(ARGS) $(BENCHES)
lint:
	@$(CLANG_FORMAT) --dry-run -Werror $(SOURCES)
	@tools/lint-rules
format:
	$(CLANG_FORMAT) -i $(SOURCES)

# ---- install ----------------------------------------------------------------------------------------------------------
D = $(DESTDIR)
MAN     := $(wildcard share/man/*.[158])
UNITS   := $(wildcard share/systemd/*.service)
COMPLETION := $(wildcard share/completion/*)
STATIC_LIBS = $(GRPC_ITSELF) $(shell cat $(BUILD)/grpc.libs) $(filter-out -lsystemd,$(PKG_LIBS)) -pthread -lm
fill = sed -e 's|@PREFIX@|$(PREFIX)|g' -e 's|@BINDIR@|$(BINDIR)|g' -e 's|@LIBDIR@|$(LIBDIR)|g' -e 's|@VERSION@|$(VERSION)|g' \
       -e 's|@INCLUDEDIR@|$(INCLUDEDIR)|g' -e 's|@STATIC_LIBS@|$(STATIC_LIBS)|g' $(1) > $(D)$(2)
man_dir = $(MANDIR)/man$(subst .,,$(suffix $(1)))
INSTALLED = $(PROGS:$(BUILD)/%=$(BINDIR)/%) $(addprefix $(LIBDIR)/,libdevmgr.a $(SONAME) libdevmgr.so pkgconfig/libdevmgr.pc) \
           $(INCLUDEDIR)/devmgr.h $(foreach m,$(notdir $(MAN)),$(call man_dir,$(m))/$(m)) \
           $(UNITS:share/systemd/%=$(UNITDIR)/%) $(COMPLETION:share/completion/%=$(COMPDIR)/%)
install: all
	$(call say,INSTALL,$(D)$(PREFIX)) install -d $(sort $(dir $(INSTALLED:%=$(D)%))) && \
	    $(if $(PROGS),install -m 755 $(PROGS) $(D)$(BINDIR) &&) \
	    install -m 755 $(BUILD)/$(SONAME) $(D)$(LIBDIR) && ln -sf $(SONAME) $(D)$(LIBDIR)/libdevmgr.so && \
	    install -m 644 $(BUILD)/libdevmgr.a $(D)$(LIBDIR) && install -m 644 include/devmgr.h $(D)$(INCLUDEDIR) && \
	    install -m 644 $(COMPLETION) $(D)$(COMPDIR) && \
	    $(call fill,libdevmgr.pc.in,$(LIBDIR)/pkgconfig/libdevmgr.pc) $(foreach u,$(notdir $(UNITS)), \
	    && $(call fill,share/systemd/$(u),$(UNITDIR)/$(u))) $(foreach m,$(notdir $(MAN)), \
	    && $(call fill,share/man/$(m),$(call man_dir,$(m))/$(m)))
	@[ -n "$(D)" ] || [ "$$(id -u)" != 0 ] || case $(LIBDIR) in (/usr/*) ldconfig ;; esac
uninstall:
	rm -f $(INSTALLED:%=$(D)%)

-include $(patsubst %.c,$(BUILD)/%.d,$(filter %.c,$(SOURCES))) $(PROTO_C:.c=.d)
endif

deps:
	@tools/deps build
dist:
	@mkdir -p $(BUILD)
	git archive --prefix=devmgr-$(VERSION)/ -o $(BUILD)/devmgr-$(VERSION).tar.gz HEAD
clean:
	rm -rf $(BUILD)
help:
	@sed -n '/^#/!q;s/^# \{0,1\}//p' Makefile
FORCE:
.PHONY: default all unit check model model-check night check-vectors check-checkpoints contract contract-check stage demo asan tsan fuzz fuzz-coverage corpora interop bench lint format install uninstall deps dist clean help FORCE
.SECONDARY:
.DELETE_ON_ERROR:
