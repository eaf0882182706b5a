#!/bin/sh
# `make install` puts everything where DESTDIR and PREFIX say, what it wrote names no other place, uninstall takes it away.
n=0
is() { # NAME GOT WANT
    n=$((n + 1))
    if [ "$2" = "$3" ]; then
        echo "ok $n - $1"
    else
        echo "not ok $n - $1"
        printf 'got:\n%s\nwant:\n%s\n' "$2" "$3"
    fi
}
[ -z "${SAN-}" ] || { echo "a build under sanitizers is not one to install"; exit 77; }
unset MAKEFLAGS MFLAGS MAKELEVEL
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
run() { make --no-print-directory DEPS=no DESTDIR="$tmp" PREFIX=/opt/devmgr "$@" >"$tmp.log" 2>&1 || cat "$tmp.log"; rm -f "$tmp.log"; }
so=$(basename "$(readlink "${BUILD:-build}/libdevmgr.so")")

run install
is "programs, library, header, pkg-config file, manual, completion, unit; nothing else" \
    "$(cd "$tmp/opt/devmgr" && find . ! -type d | LC_ALL=C sort)" \
    "$(LC_ALL=C sort <<LIST
./bin/devmgrd
$(for p in tools/*/main.c; do p=${p#tools/} && echo "./bin/${p%/main.c}"; done)
./include/devmgr.h
./lib/libdevmgr.a
./lib/libdevmgr.so
./lib/$so
./lib/pkgconfig/libdevmgr.pc
./lib/systemd/system/devmgrd.service
$(for c in share/completion/*; do echo "./share/bash-completion/completions/${c##*/}"; done)
$(for m in share/man/*; do echo "./share/man/man${m##*.}/${m##*/}"; done)
LIST
)"
is "nothing outside of PREFIX" "$(ls -A "$tmp")" "opt"
is "no placeholder is left" "$(grep -rlI '@[A-Z_]*@' "$tmp")" ""
is "no file names the build folder" "$(grep -rlI "$(pwd)" "$tmp")" ""
is "the unit starts the installed daemon" \
    "$(sed -n 's/^ExecStart=\([^ ]*\).*/\1/p' "$tmp/opt/devmgr/lib/systemd/system/devmgrd.service")" /opt/devmgr/bin/devmgrd
is "libuv comes with the library, what is private does not" \
    "$(PKG_CONFIG_PATH=$tmp/opt/devmgr/lib/pkgconfig pkg-config --print-requires libdevmgr)" libuv
is "soname" "$(readelf -d "$tmp/opt/devmgr/lib/$so" | sed -n 's/.*soname: \[\(.*\)\].*/\1/p')" "$so"
if [ "${GRPC:-static}" = static ]; then
    is "gRPC is inside" "$(readelf -d "$tmp/opt/devmgr/lib/$so" | grep NEEDED | grep -E 'libgrpc|libgpr|libssl')" ""
fi
run uninstall
is "uninstall takes all of it away" "$(find "$tmp" ! -type d)" ""
echo "1..$n"
