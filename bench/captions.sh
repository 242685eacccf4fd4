#!/bin/sh
# How often a classifier sees in drawn digits what their captions say.
#
# usage: bench/captions.sh DALLE CLASSIFIER [COUNT [FLAGS...]]
#
# DALLE is a run of configs/mnist-dalle.yaml and CLASSIFIER one of configs/mnist-cnn.yaml. Of each digit's caption COUNT pictures are drawn (100),
# by ringmaster generate with the further FLAGS, such as --temperature 0.8 or --seed 2. bin/ringmaster is used, or what RINGMASTER names.
set -eu
[ $# -ge 2 ] || { sed -n 4p "$0" >&2; exit 2; }
dalle=$1 classifier=$2 count=${3:-100}
[ $# -ge 3 ] && shift
shift 2
ringmaster=${RINGMASTER:-bin/ringmaster}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
digits="zero one two three four five six seven eight nine"
for digit in $digits; do echo "a $digit"; done > "$folder/prompts.txt"
"$ringmaster" generate "$dalle" --prompts "$folder/prompts.txt" --count "$count" --pictures "$folder/pictures" --batch 64 "$@" > "$folder/log"
"$ringmaster" predict "$classifier" --input "$folder/pictures" --out "$folder/answers.csv" >> "$folder/log"
awk -F, -v names="$digits" '
    BEGIN { split(names, name, " "); for (i in name) label[name[i]] = i - 1 }
    NR > 1 {
        sub(/.*-/, "", $1); sub(/\.png$/, "", $1)
        drawn[$1]++; all++
        if ($2 == label[$1]) { seen[$1]++; right++ }
    }
    END {
        for (i = 1; i <= 10; i++) printf "a %-6s %5.1f %%\n", name[i], 100 * seen[name[i]] / drawn[name[i]]
        printf "agreement %.1f %% of %d pictures\n", 100 * right / all, all
    }' "$folder/answers.csv"
