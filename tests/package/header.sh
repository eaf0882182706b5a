#!/bin/sh
# devmgr.h compiles alone, without a warning, in the oldest C and C++ it promises.
n=0
check() { # NAME COMMAND...
    n=$((n + 1)) name=$1
    shift
    if "$@"; then echo "ok $n - $name"; else echo "not ok $n - $name"; fi
}
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
echo '#include "devmgr.h"
int main(void) { return 0; }' | tee "$tmp/header.c" >"$tmp/header.cc"
warn='-Wall -Wextra -pedantic -Werror -Iinclude -fsyntax-only'
# shellcheck disable=SC2086
{
    check "C99" "${CC:-cc}" -std=c99 $warn "$tmp/header.c"
    check "C11" "${CC:-cc}" -std=c11 $warn "$tmp/header.c"
    check "C++11" "${CXX:-c++}" -std=c++11 $warn "$tmp/header.cc"
}
echo "1..$n"
