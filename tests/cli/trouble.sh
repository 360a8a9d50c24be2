#!/bin/sh
# The machine's own trouble: a full disk, files that may not be read, no memory. Said plainly, exit status 1 or 3, and nothing
# half-written left. (A port in use stands in serve.sh.)
# The small disk is a tmpfs in a mount namespace of this script's own; where that is not allowed the script is skipped.
if [ "${LF_TEST_IN_NAMESPACE-}" != yes ]; then
    if ! unshare -rm sh -c 'mount -t tmpfs -o size=64k tmpfs /mnt' 2>/dev/null; then
        echo "skipped: no mount namespace of one's own here"
        exit 77
    fi
    LF_TEST_IN_NAMESPACE=yes exec unshare -rm sh "$0" "$@"
fi
. "$(dirname "$0")/lib.sh"
model=$models/landfall-tiny-qwen3-fp8

disk=$tmp/disk
mkdir "$disk"
mount -t tmpfs -o size=64k tmpfs "$disk"
trap 'umount "$disk"; rm -rf "$tmp"' EXIT
# fill KIB: nothing on the disk but so much.
fill() {
    rm -rf "$disk"/*
    [ "$1" -eq 0 ] || head -c "$1k" /dev/zero >"$disk/filling"
}
# leaves NAME PATTERN: no file of this pattern lies on the disk.
leaves() {
    found=$(find "$disk" -type f -name "$2")
    if [ -z "$found" ]; then pass "$1"; else fail "$1" "$found"; fi
}

fill 64
expect "a benchmark's file on a full disk" 3 "$landfall" bench latency "$model" --input-len 4 --output-len 2 --num-iters 1 \
    --num-iters-warmup 0 --output-json "$disk/bench.json"
says "the cause is named" "$tmp/err" "$disk/bench.json: No space left on device"
leaves "nothing of it is left" 'bench*'
expect "a ready file on a full disk" 3 "$landfall" serve "$model" --port 0 --ready-file "$disk/ready.json"
says "the cause is named" "$tmp/err" "$disk/ready.json: No space left on device"
leaves "nothing of it is left" 'ready*'
expect "a converted checkpoint on a full disk" 3 "$landfall" convert "$model" "$disk/converted"
says "the cause is named" "$tmp/err" "not enough space"
leaves "no file that looks complete is left" '*.safetensors'
expect "logs and reports on a full disk" 3 "$landfall" verify "$model" --output-dir "$disk/full"
says "the cause is named" "$tmp/err" "No space left on device"
leaves "no report is left" 'report*'
fill 40
expect "room for the logs and one of the reports" 3 "$landfall" verify "$model" --output-dir "$disk/half"
says "the cause is named" "$tmp/err" "No space left on device"
leaves "the other one is not left alone" 'report*'
fill 0
expect "room for everything" 0 "$landfall" verify "$model" --output-dir "$disk/room"
[ ! -e /dev/full ] || expect "findings that cannot be printed" 3 sh -c "\"$landfall\" check \"$model\" >/dev/full"

# Without its capabilities root may not read a file of mode 000 either.
cp -r "$model" "$tmp/model"
unreadable() { # FILE STATUS VERB...
    file=$1 status=$2
    shift 2
    chmod 000 "$tmp/model/$file"
    expect "$1 with an unreadable $file" "$status" setpriv --bounding-set=-all --inh-caps=-all -- "$landfall" "$@"
    if grep -qE "$file(: Permission denied| cannot be read)" "$tmp/out" "$tmp/err"; then
        pass "it is named"
    else
        fail "it is named" "$(tail -n 5 "$tmp/out" "$tmp/err")"
    fi
    chmod 644 "$tmp/model/$file"
}
for file in config.json model.safetensors.index.json model-00001-of-00002.safetensors; do
    unreadable $file 1 check "$tmp/model"
    unreadable $file 1 serve "$tmp/model" --port 0
done
unreadable tokenizer.json 3 serve "$tmp/model" --port 0

# Sanitizers map terabytes: under them there is no such limit.
if sh -c "ulimit -v 400000 && \"$landfall\" --version" >/dev/null 2>&1; then
    for kib in 100000 150000 250000; do
        expect "serve with $kib KiB of memory" 3 sh -c "ulimit -v $kib && exec \"$landfall\" serve \"$model\" --port 0"
        says "memory is named" "$tmp/err" "out of memory"
    done
else
    echo "no memory: not tried with a sanitizer"
fi
finish
