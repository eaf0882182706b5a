#!/bin/sh
# The symbols of libdevmgr.so, the functions of devmgr.h and tests/exports are the same list. A name that comes or goes is
# a change of the interface: it is made in tests/exports too, so that a reviewer sees it.
n=0
same() { # NAME FILE FILE
    n=$((n + 1))
    if diff -u "$2" "$3"; then echo "ok $n - $1"; else echo "not ok $n - $1"; fi
}
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
export LC_ALL=C
lib=${BUILD:-build}/libdevmgr.so
sed '/^#/d' include/devmgr.h | tr '\n' ' ' | grep -o 'DEVMGR_API [^;]*;' | sed 's/^[^(]*[ *]\(devmgr_[a-z_]*\)(.*/\1/' | sort >"$tmp/header"
nm -D --defined-only "$lib" | awk '{ print $3 }' | sort >"$tmp/library"
grep -c '^DEVMGR_API' include/devmgr.h >"$tmp/lines"
wc -l <"$tmp/header" >"$tmp/names"
same "every DEVMGR_API line of devmgr.h was understood" "$tmp/lines" "$tmp/names"
same "devmgr.h declares what tests/exports lists" tests/exports "$tmp/header"
[ -n "${SAN-}" ] || same "$lib exports that, and nothing else" tests/exports "$tmp/library"
echo "1..$n"
