#!/bin/sh
# The installed tree: everything is there, and examples/check_and_convert.c builds against it through pkg-config, shared and
# static, in C and as a header in C++, and does its work. Arguments: PROGRAM MODELS BUILD SOURCE MESON PREFIX COMPILER [FLAGS].
. "$(dirname "$0")/../cli/lib.sh"
build=$3 source=$4 meson=$5 prefix=$6
shift 6 # the compiler and its flags remain in "$@"
command -v pkg-config >/dev/null || { echo "skipped: no pkg-config"; exit 77; }

expect "install" 0 env DESTDIR="$tmp/root" "$meson" install -C "$build" --no-rebuild --quiet
root=$tmp/root$prefix
pc=$(find "$root" -name landfall.pc)
lib=$(dirname "$(dirname "$pc")")
for file in "$root/bin/landfall" "$root/include/landfall.h" "$lib/liblandfall.a" "$lib/liblandfall.so" "$lib/liblandfall.so.0" \
    "$root/share/man/man1/landfall.1" "$root/share/man/man1/landfall-check.1" \
    "$root/share/bash-completion/completions/landfall" "$root/share/zsh/site-functions/_landfall"; do
    if [ -s "$file" ]; then pass "installed: ${file#"$root"}"; else fail "installed" "${file#"$root"} is absent"; fi
done
if [ -e "$root/bin/landfall-pages" ]; then fail "tools of the build stay out" "landfall-pages"; else pass "tools of the build stay out"; fi
expect "installed program" 0 "$root/bin/landfall" --version

PKG_CONFIG_PATH=$(dirname "$pc")
export PKG_CONFIG_PATH
version=$("$landfall" --version | sed 's/landfall //')
if [ "$(pkg-config --modversion landfall)" = "$version" ]; then pass "pkg-config: version"; else fail "pkg-config: version" "not $version"; fi
flags=$(pkg-config --define-variable=prefix="$root" --cflags --libs landfall)
# The archive of Landfall and the shared libraries of the system: what a program that brings its own liblandfall links.
static_flags=$(pkg-config --define-variable=prefix="$root" --static --cflags --libs landfall | sed 's/-llandfall/-l:liblandfall.a/')
example=$source/examples/check_and_convert.c
# shellcheck disable=SC2086 # lists of flags
{
    expect "example, shared" 0 "$@" -Wall -Wextra -Werror "$example" -o "$tmp/shared" $flags
    expect "example, static" 0 "$@" -Wall -Wextra -Werror "$example" -o "$tmp/static" $static_flags
}
printf '#include <landfall.h>\nint main() { return lf_status_exit(LF_OK); }\n' >"$tmp/header.cc"
if command -v c++ >/dev/null; then
    expect "the header is C++ too" 0 c++ -Wall -Wextra -Werror -pedantic -I"$root/include" -fsyntax-only "$tmp/header.cc"
fi
readelf -d "$tmp/static" >"$tmp/dynamic"
if grep -q "NEEDED.*liblandfall" "$tmp/dynamic"; then fail "static needs no liblandfall.so" "it does"; else pass "static needs no liblandfall.so"; fi

LD_LIBRARY_PATH=$lib${LD_LIBRARY_PATH+:$LD_LIBRARY_PATH}
export LD_LIBRARY_PATH
model=$models/landfall-tiny-qwen3-fp8
expect "the program converts" 0 "$landfall" convert "$model" "$tmp/expected"
for kind in shared static; do
    expect "$kind: check and convert" 0 "$tmp/$kind" "$model" "$tmp/out-$kind"
    says "$kind: what it is" "$tmp/out" "Qwen3ForCausalLM: 92 tensors in 2 shards"
    says "$kind: what a rank holds" "$tmp/out" "rank 1 of 2: query heads [3, 6)"
    says "$kind: what was done" "$tmp/out" "35 tensors dequantized; 1 shards written, 1 verified"
    for file in model.safetensors config.json; do
        if cmp -s "$tmp/expected/$file" "$tmp/out-$kind/$file"; then pass "$kind: $file as the program writes it"; else fail "$kind: $file" "differs"; fi
    done
done
cp -r "$model" "$tmp/broken"
sed -i 's/model\.layers\.0\.mlp\.down_proj\.weight_scale_inv/model.layers.0.mlp.down_proj.weight_scale_xyz/' "$tmp/broken"/model*
expect "a missing scale is exit status 1" 1 "$tmp/shared" "$tmp/broken" "$tmp/none"
says "it is a finding" "$tmp/out" "error scale-missing: model.layers.0.mlp.down_proj.weight"
expect "no such model is exit status 3" 3 "$tmp/shared" "$tmp/absent"
expect "wrong usage is exit status 2" 2 "$tmp/shared"
finish
