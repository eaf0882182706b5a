#!/bin/sh
# An embedder needs pkg-config's flags and nothing else: against the installed tree, the examples build and run, shared and
# static, also in a process that has a gRPC of its own. (What kubelet.c does: tests/scenarios/kubelet_example.py.)
[ -z "${SAN-}" ] || { echo "a build under sanitizers is not one to install"; exit 77; }
BUILD=${BUILD:-build}
stage=$(cd "$BUILD/stage" && pwd) || exit 1
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
export PKG_CONFIG_PATH="$stage/lib/pkgconfig" LD_LIBRARY_PATH="$stage/lib"
cc="${CC:-cc} -Wall -Wextra -Werror"
n=0
check() { # NAME COMMAND
    n=$((n + 1))
    if eval "$2" >"$tmp/log" 2>&1; then
        echo "ok $n - $1"
    else
        echo "not ok $n - $1: exit $?"
        sed 's/^/# /' "$tmp/log"
    fi
}
run() { timeout 20 "$@"; }
with_plugin() { # PROGRAM ROOT: the example waits for a plugin, so it can be started first
    mkdir -p "$2/device-plugins"
    "$BUILD/devmgr-fakeplugin" --root "$2" --resource example.com/gpu --devices 2 &
    plugin=$!
    run "$1" "$2" example.com/gpu
    rc=$?
    kill $plugin && wait $plugin
    return $rc
}

for example in embed epoll thread; do
    check "$example.c builds with pkg-config --cflags --libs" \
        '$cc examples/$example.c -o $tmp/$example $(pkg-config --cflags --libs libdevmgr)'
    check "it admits a pod, releases it, leaves nothing behind" \
        'with_plugin $tmp/$example $tmp/$example.root && grep -q "released uid-1" $tmp/log &&
         [ ! -e $tmp/$example.root/device-plugins/kubelet.sock ]'
done
check "kubelet.c builds so too, with jansson" \
    '$cc examples/kubelet.c -o $tmp/kubelet $(pkg-config --cflags --libs libdevmgr jansson) &&
     [ $(wc -l <examples/kubelet.c) -le 300 ]'
mkdir "$tmp/lib" && cp "$stage/lib/libdevmgr.a" "$tmp/lib"
check "embed.c links the archive with pkg-config --static" \
    '$cc examples/embed.c -o $tmp/static -L$tmp/lib $(pkg-config --static --cflags --libs libdevmgr) &&
     ! readelf -d $tmp/static | grep libdevmgr'
check "that one does too" 'with_plugin $tmp/static $tmp/b'
own='grpc grpc_unsecure'
if [ "${GRPC:-static}" = shared ]; then
    own=grpc_unsecure # another gRPC would hang when it starts: that is why ours is hidden unless somebody asks for this
fi
for grpc in $own; do
    check "beside -l$grpc: builds" \
        '$cc tests/package/beside_grpc.c -o $tmp/beside $(pkg-config --cflags --libs libdevmgr) -l$grpc -lgpr'
    for when in before after; do
        check "beside -l$grpc, initialised $when devmgr_open" 'run $tmp/beside $when $tmp/$grpc.$when'
    done
done
echo "1..$n"
