#!/bin/sh
# Manual pages and completion: every flag and choice that a verb's --help lists is in each of them, the formatters have nothing to
# complain about, and bash completes. Arguments: PROGRAM MODELS PAGES.
. "$(dirname "$0")/../cli/lib.sh"
pages=$3

# skip NAME REASON
skip() {
    echo "[  SKIPPED ] $1: $2"
    skipped=$((${skipped-0} + 1))
}

# has_all NAME FILE WORDS: every line of WORDS is in FILE.
has_all() {
    missing=$(grep -v '^$' "$3" | while read -r word; do grep -qF -- "$word" "$2" || echo "$word"; done)
    if [ ! -s "$3" ]; then fail "$1" "there was nothing to look for"; elif [ -z "$missing" ]; then pass "$1"; else fail "$1" "without $missing"; fi
}

# quiet NAME COMMAND...: the command prints nothing.
quiet() {
    name=$1
    shift
    timeout 60 "$@" >"$tmp/out" 2>&1 </dev/null
    if [ -s "$tmp/out" ]; then fail "$name" "$(head -n 5 "$tmp/out")"; else pass "$name"; fi
}

verbs=$("$landfall" --help | awk '/^  [a-z]+ / { print $1 }')
"$landfall" --help | awk '/^  [a-z]+ / { print $1 }' >"$tmp/verbs"
sed 's/\\-/-/g; s/\\f[BIR]//g' "$pages/landfall.1" >"$tmp/plain"
has_all "landfall.1 has every verb" "$tmp/plain" "$tmp/verbs"
has_all "bash has every verb" "$pages/landfall" "$tmp/verbs"
has_all "zsh has every verb" "$pages/_landfall" "$tmp/verbs"

for verb in $verbs; do
    "$landfall" "$verb" --help >"$tmp/help"
    # "  --flag N, -alias   help (one|two)": flags with their aliases, then the choices.
    sed -n 's/^  \(--[a-z0-9-]*\).*/\1/p' "$tmp/help" >"$tmp/flags"
    sed -n 's/^  --[^,]\{1,28\}, \(-[a-z]*\) .*/\1/p' "$tmp/help" >>"$tmp/flags"
    sed -n 's/.*(\([a-z0-9|-]*|[a-z0-9|-]*\))$/\1/p' "$tmp/help" | tr '|' '\n' >"$tmp/choices"
    sed 's/\\-/-/g; s/\\f[BIR]//g' "$pages/landfall-$verb.1" >"$tmp/man"
    # In bash and zsh: the part of the script that belongs to the verb.
    grep "^ *$verb[:)]" "$pages/landfall" >"$tmp/bash"
    awk -v verb="$verb" '$0 == "    " verb ")" { is_in = 1; next } $1 == ";;" { is_in = 0 } is_in' "$pages/_landfall" >"$tmp/zsh"
    for what in man bash zsh; do
        has_all "$verb: $what has every flag" "$tmp/$what" "$tmp/flags"
        [ ! -s "$tmp/choices" ] || has_all "$verb: $what has every choice" "$tmp/$what" "$tmp/choices"
    done
done

for page in "$pages"/*.1; do
    name=$(basename "$page")
    # man-db passes the warnings of groff on; a missing page and a bad escape both end up there.
    if command -v man >/dev/null; then
        quiet "man --warnings $name" sh -c "LC_ALL=C.UTF-8 MANROFFSEQ= MANWIDTH=80 man --warnings -E UTF-8 -l -Tutf8 -Z '$page' 2>&1 >/dev/null"
    else
        skip "man --warnings $name" "no man"
    fi
    if command -v mandoc >/dev/null; then
        quiet "mandoc -T lint $name" mandoc -T lint -W warning "$page"
    else
        skip "mandoc -T lint $name" "no mandoc"
    fi
done

# complete WORD...: what bash proposes for the last word, one a line, in $tmp/out.
complete_words() {
    bash -c '. "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _landfall 2>/dev/null; printf "%s\n" "${COMPREPLY[@]}"' \
        complete "$pages/landfall" "$@" >"$tmp/out"
}

# proposes NAME EXPECTED WORD...: exactly these, separated by spaces.
proposes() {
    name=$1 expected=$2
    shift 2
    complete_words landfall "$@"
    found=$(tr '\n' ' ' <"$tmp/out" | sed 's/ *$//')
    if [ "$found" = "$expected" ]; then pass "$name"; else fail "$name" "'$found', expected '$expected'"; fi
}

if command -v bash >/dev/null; then
    quiet "bash reads its completion" bash -n "$pages/landfall"
    proposes "bash: a verb" "check convert" c
    proposes "bash: the program's own flags" "--help --version" --
    proposes "bash: a flag" "--sarif" check --s
    proposes "bash: an alias" "-tp" check -t
    proposes "bash: flags of this verb only" "--dequant-rounding --dry-run" convert --d
    proposes "bash: choices" "exact bf16-scale" convert --dequant-rounding ""
    proposes "bash: choices, underscores" "bf16-scale" convert --dequant_rounding b
    proposes "bash: choices after =" "exact" convert --dequant-rounding = e
    proposes "bash: choices right after =" "auto dummy" verify --load-format =
    proposes "bash: nothing for a number" "" check --tensor-parallel-size ""
    proposes "bash: a literal operand" "latency" bench ""
    mkdir -p "$tmp/here/model one" "$tmp/here/other"
    echo x >"$tmp/here/file.sarif"
    cd "$tmp/here" || exit 1
    proposes "bash: a directory with a space" "model one" check m
    proposes "bash: models are directories" "other" check o
    proposes "bash: no file as a model" "" check f
    proposes "bash: a file" "file.sarif" check --sarif f
    proposes "bash: a file after =" "file.sarif" check --sarif = f
    cd / || exit 1
else
    skip "bash completion" "no bash"
fi
if command -v zsh >/dev/null; then
    quiet "zsh reads its completion" zsh -n "$pages/_landfall"
else
    skip "zsh reads its completion" "no zsh"
fi

[ "${skipped-0}" -eq 0 ] || echo "[  SKIPPED ] $skipped test(s)"
finish
