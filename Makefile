# devmgr: libdevmgr, devmgrd, devmgrctl, devmgr-fakeplugin.  GNU make 4.2+, one non-recursive file, all output in build/.
#
#   make            library, programs            make demo     a real allocation, end to end, in a scratch folder
#   make check      all tests (no network, no root; ends "N passed, N failed")
#   make asan       check under ASan + UBSan     make tsan     src/rpc's tests under TSan
#   make fuzz       each fuzzer FUZZ_SECONDS     make lint     format, include rules, exported symbols
#   make format     clang-format in place        make interop  the real kubelet's code and plugins beside ours (Go)
#   make deps       install what is missing      make install  PREFIX= DESTDIR=
#   make dist       tarball of HEAD              make clean
#
# Knobs: CC CFLAGS LDFLAGS PREFIX DESTDIR V=1 (show commands) WERROR=1 SAN=address,undefined BUILD=dir
#        GRPC=shared (link the distribution's libgrpc instead of a static, hidden one) DEPS=no (never install)

BUILD   ?= build
PREFIX  ?= /usr/local
CFLAGS  ?= -O2 -g
GRPC    ?= static
FUZZ_SECONDS ?= 60
CLANG_FORMAT ?= clang-format-14
VERSION := 0.1.0
SONAME  := libdevmgr.so.$(basename $(VERSION))# the minor counts until 1.0

PKGS := libuv jansson libprotobuf-c yaml-0.1 inih libsystemd

# ---- set-up: goals that build ask for what is missing, install it as root, and start make again -------------------
HOUSEKEEPING := deps clean help dist format lint
ifneq ($(filter-out $(HOUSEKEEPING),$(or $(MAKECMDGOALS),all)),)
ifneq ($(shell tools/deps --check --quiet && echo yes),yes)
MISSING := yes
endif
endif
ifdef MISSING
$(or $(firstword $(filter-out $(HOUSEKEEPING),$(MAKECMDGOALS))),all): FORCE
	@tools/deps
	@$(MAKE) --no-print-directory DEPS=no $(MAKECMDGOALS)
$(wordlist 2,99,$(filter-out $(HOUSEKEEPING),$(MAKECMDGOALS))): ;
else

WARN = -Wall -Wextra -Wshadow -Wvla -Wundef -Wpointer-arith -Wwrite-strings -Wformat=2 -Wmissing-prototypes \
       -Wstrict-prototypes -Wold-style-definition -Wimplicit-fallthrough -Wno-missing-field-initializers
PKG_CFLAGS := $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
PKG_LIBS   := $(shell pkg-config --libs $(PKGS) 2>/dev/null)
SANFLAGS = $(SAN:%=-fsanitize=%) $(if $(SAN),-fno-omit-frame-pointer -fno-sanitize-recover=all)
ALL_CFLAGS = -std=gnu11 -D_GNU_SOURCE -DDM_VERSION='"$(VERSION)"' -fPIC -fvisibility=hidden -MMD -MP -Iinclude -Isrc \
       -I$(BUILD)/proto -Itests $(PKG_CFLAGS) $(WARN) $(if $(WERROR),-Werror) $(SANFLAGS) $(CPPFLAGS) $(CFLAGS)
LINK = $(CC) $(SANFLAGS) $(CFLAGS) $(LDFLAGS)

# gRPC C core: static and hidden, because two copies with visible symbols in one process hang in grpc_init and an
# embedder may have its own. What it stands on (absl, cares, re2, z) has no such trouble and stays shared.
GRPC_SHARED_LIBS := -lgrpc_unsecure -lgpr
GRPC_STATIC_LIBS := -Wl,-Bstatic -lgrpc_unsecure -lgpr -lupb -laddress_sorting -Wl,-Bdynamic \
       $(filter-out -lgrpc_unsecure -lgpr,$(shell pkg-config --libs --static grpc_unsecure 2>/dev/null | tr ' ' '\n' | awk '!seen[$$0]++')) \
       -lcares -lre2 -lz -lstdc++
GRPC_LIBS = $(if $(filter shared,$(GRPC)),$(GRPC_SHARED_LIBS),$(GRPC_STATIC_LIBS))
LIBS = $(GRPC_LIBS) $(PKG_LIBS) -pthread -lm

LIB_DIRS := base topology checkpoint manager rpc registration
PROTOS   := $(wildcard proto/*/*/*.proto)
PROTO_C  := $(patsubst proto/%.proto,$(BUILD)/proto/%.pb-c.c,$(PROTOS))
LIB_O    := $(patsubst %.c,$(BUILD)/%.o,$(wildcard src/*.c $(LIB_DIRS:%=src/%/*.c))) $(BUILD)/proto/deviceplugin/v1beta1/deviceplugin.pb-c.o
CONTROL_O := $(patsubst %.c,$(BUILD)/%.o,$(wildcard src/control/*.c)) $(BUILD)/proto/devmgr/v1alpha1/devmgr.pb-c.o
TOOL_MAINS := $(wildcard tools/*/main.c)
PROGS    := $(BUILD)/devmgrd $(TOOL_MAINS:tools/%/main.c=$(BUILD)/%)
TESTS    := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/unit/test_*.c))
FUZZERS  := $(patsubst fuzz/%.c,%,$(wildcard fuzz/fuzz_*.c))
EXAMPLES := $(patsubst %.c,$(BUILD)/%,$(wildcard examples/*.c))
SOURCES  := $(wildcard include/*.h src/*.[ch] src/*/*.[ch] tools/*/*.[ch] tests/*.[ch] tests/unit/*.[ch] fuzz/*.c examples/*.c bench/*.c)

# `make V=1` shows commands; otherwise one short line each.
say = $(if $(V),,@printf '  %-7s %s\n' $(1) $(2);)

all: $(BUILD)/libdevmgr.a $(BUILD)/$(SONAME) $(PROGS)

# ---- protobuf: C names cannot hold services, and NUL or bad UTF-8 must be seen: strip and read strings as bytes ----
$(BUILD)/proto/%.pb-c.c: proto/%.proto tools/proto-for-c
	$(call say,PROTOC,$<) mkdir -p $(BUILD)/proto-in/$(*D) $(BUILD)/proto && tools/proto-for-c $< > $(BUILD)/proto-in/$*.proto && \
	    protoc-c --proto_path=$(BUILD)/proto-in --c_out=$(BUILD)/proto $*.proto
$(BUILD)/proto/%.pb-c.h: $(BUILD)/proto/%.pb-c.c ;
$(BUILD)/proto/%.o: $(BUILD)/proto/%.c $(BUILD)/flags
	$(call say,CC,$<) $(CC) $(ALL_CFLAGS) -w -c -o $@ $<
$(BUILD)/%.o: %.c $(BUILD)/flags | $(PROTO_C)
	$(call say,CC,$<) mkdir -p $(@D) && $(CC) $(ALL_CFLAGS) -c -o $@ $<

$(BUILD)/libdevmgr.a: $(LIB_O)
	$(call say,AR,$@) rm -f $@ && $(AR) rcs $@ $^
$(BUILD)/$(SONAME): $(LIB_O)
	$(call say,LD,$@) $(LINK) -shared -Wl,-soname,$(SONAME) -Wl,-z,defs -Wl,--exclude-libs,ALL -Wl,--gc-sections \
	    -o $@ $^ $(LIBS) && ln -sf $(SONAME) $(BUILD)/libdevmgr.so
$(BUILD)/libcontrol.a: $(CONTROL_O)
	$(call say,AR,$@) rm -f $@ && $(AR) rcs $@ $^

$(BUILD)/devmgrd: $(patsubst %.c,$(BUILD)/%.o,$(wildcard src/daemon/*.c))
define tool_objects
$(BUILD)/$(1): $(patsubst %.c,$(BUILD)/%.o,$(wildcard tools/$(1)/*.c))
endef
$(foreach t,$(TOOL_MAINS:tools/%/main.c=%),$(eval $(call tool_objects,$(t))))
$(PROGS): $(BUILD)/libcontrol.a $(BUILD)/libdevmgr.a
	$(call say,LD,$@) $(LINK) -o $@ $(filter %.o,$^) $(filter %.a,$^) -Wl,--gc-sections $(LIBS)
$(TESTS): %: %.o $(BUILD)/libcontrol.a $(BUILD)/libdevmgr.a
	$(call say,LD,$@) $(LINK) -o $@ $^ $(LIBS)

# Touched only when its content changes: new CFLAGS or SAN rebuild everything, nothing else does.
$(BUILD)/flags: FORCE
	@mkdir -p $(@D); echo '$(subst ','\'',$(CC) $(ALL_CFLAGS))' | cmp -s - $@ || echo '$(subst ','\'',$(CC) $(ALL_CFLAGS))' > $@

unit: $(TESTS)
	@tests/run $(TESTS)

clean:
	rm -rf build
FORCE:
.PHONY: all unit clean FORCE
.SECONDARY:
-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
endif
