#!/usr/bin/env bash
# usage: run.sh SAMPAN MAKE_TINY PROGRAM...
# Commands on a tiny model, and test programs, under valgrind: no error, no leak. What it adds to the sanitizers is memory that is read before it is written.
# Exits 77 (skipped) where valgrind is missing. The portable dialect is asked for because valgrind knows no AVX-512.
set -u
command -v valgrind >/dev/null || exit 77
sampan=$1 make_tiny=$2
shift 2
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT
failed=0

check() { # [< input] check WORD...
    local report=$folder/report
    valgrind --quiet --error-exitcode=99 --leak-check=full --show-leak-kinds=definite,indirect,possible \
        --errors-for-leak-kinds=definite,indirect,possible --log-file="$report" "$@" >"$folder/out" 2>"$folder/err"
    local code=$?
    [ "$code" = 0 ] && return
    echo "valgrind: $* ended with $code"
    tail -n 5 "$folder/err"
    head -n 40 "$report"
    failed=1
}

model=$folder/tiny.gguf
"$make_tiny" --layers 2 "$model" || exit 1
printf '"hello"\n"<|im_end|> \\u00e9"\n' >"$folder/strings"
check "$sampan" run "$model" --prompt hello --max-tokens 6 --chip cpu:portable --threads 2 --context 96
check "$sampan" run "$model" --prompt hello --max-tokens 4 --chip cpu:portable --threads 1 --context 96 --temperature 1.5 --seed 1 --typical-p 0.9 \
    --repetition-penalty 1.2 --logit-bias 5=1 --stop xyz --json
check "$sampan" score "$model" --text hello --chip reference --context 96 --generate 2 --json
check "$sampan" inspect "$model" --program --tensors --metadata
check "$sampan" tokenize "$model" --jsonl --special <"$folder/strings"
for program in "$@"; do
    check "$program"
done
exit $failed
