#!/bin/sh
# The measurements of bench/ run: a few cells, once each, nothing compared.
BUILD=${BUILD:-build}
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
n=0
check() { # NAME COMMAND
    n=$((n + 1))
    if eval "$2" >"$tmp/log" 2>&1; then
        echo "ok $n - $1"
    else
        echo "not ok $n - $1"
        sed 's/^/# /' "$tmp/log"
    fi
}
check "a table" '$BUILD/bench/topology --quick && [ "$(grep -cE "^(merge|hints|admit) .* [0-9]+\.[0-9]+ +- *$" $tmp/log)" -ge 6 ]'
check "JSON" '$BUILD/bench/topology --quick -o json >$tmp/json && python3 -c "
import json
cells = json.load(open(\"$tmp/json\"))[\"cells\"]
assert {c[\"what\"] for c in cells} == {\"merge\", \"hints\", \"admit\"}, cells
assert all(c[\"devmgr_ns\"] > 0 and c[\"kubelet\"] == \"not asked\" for c in cells), cells"'
cat >"$tmp/kubelet" <<'END'
#!/bin/sh
while read -r line; do
    case $line in *merge*) echo '{"ns":1000000000,"median_ns":1000000001}' ;; *hints*) exit 0 ;; *) exec sleep 60 ;; esac
done
END
chmod +x "$tmp/kubelet"
check "beside a program that answers, one that ends, and one that takes too long" \
    '$BUILD/bench/topology --quick --limit 3 $tmp/kubelet && grep -qE "^merge .* 1000000.0 +[0-9]" $tmp/log &&
     grep -qE "^hints .*GiB" $tmp/log && grep -qE "^admit .* > 3 s +> [0-9]+" $tmp/log'
check "without Go ours is measured alone, and that is said" \
    'GO=no-such-go bench/run --quick $BUILD/bench/topology && grep -q "WITHOUT.*no-such-go" $tmp/log &&
     tail -n 1 $tmp/log | grep -q "nothing to compare with" && grep -q "^merge" $tmp/log'
echo "1..$n"
