#!/bin/sh
# The manual tells every setting that there is, with its default, and no other; every cause has its paragraph.
BUILD=${BUILD:-build}
export LC_ALL=C
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
n=0
same() { # NAME FILE FILE
    n=$((n + 1))
    if diff -u "$2" "$3"; then echo "ok $n - $1"; else echo "not ok $n - $1"; fi
}

env -u DEVMGR_ROOT -u DEVMGR_SOCKET "$BUILD/devmgrd" --print-config |
    sed -e '/^$/d' -e 's/^# //' -e 's/ *= */=/' | sort >"$tmp/settings"
sed -n 's/^\.It Ic \([a-z-]*\) Ns = *\(Ns [A-Z][a-z] \)*\(.*\)$/\1=\3/p' share/man/devmgrd.conf.5 | sort >"$tmp/manual"
same "devmgrd.conf(5) has the settings and their defaults" "$tmp/settings" "$tmp/manual"

sed -n '/^const char \*devmgr_cause_name/,/^}/p' src/names.c | grep -o '"[A-Z][A-Za-z]*"' | tr -d '"' | sort >"$tmp/causes"
sed -n 's/^### //p' docs/errors.md | sort >"$tmp/headings"
same "docs/errors.md has the causes" "$tmp/causes" "$tmp/headings"
echo "1..$n"
