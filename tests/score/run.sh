#!/bin/sh
# Runs `sampan score` on the golden's text and prompts and compares.
#   run.sh SAMPAN MODEL CHIP MAX_MEAN_KL [MARGIN [POSITIONS]]
# MARGIN (default 0.001): greedy tokens must agree until the reference's margin falls below it. POSITIONS (default all): only so many positions of the text, for
# chips that are slow on purpose. MODEL must be the golden's model (its sha256 is checked).
set -eu
if [ $# -lt 4 ] || [ $# -gt 6 ]; then
    sed -n '2,5s/^# //p' "$0" >&2
    exit 2
fi
sampan=$1 model=$2 chip=$3 bound=$4 margin=${5:-0.001} positions=${6:-0}
here=$(cd "$(dirname "$0")" && pwd)
golden=$here/data/smollm2.json
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT INT TERM
compare() { python3 -B "$here/compare.py" "$@"; }

python3 - "$golden" "$model" <<'PYTHON'
import hashlib, json, sys
with open(sys.argv[1], encoding="utf-8") as golden, open(sys.argv[2], "rb") as model:
    wanted, found = json.load(golden)["model_sha256"], hashlib.sha256(model.read()).hexdigest()
if wanted != found:
    sys.exit(f"FAILED: the goldens are of a model with sha256 {wanted}, {sys.argv[2]} has {found}")
PYTHON

compare ids "$golden" --positions "$positions" > "$folder/ids.json"
"$sampan" score "$model" --chip "$chip" --ids "$folder/ids.json" --top 256 --json > "$folder/score.json"
compare kl "$golden" "$folder/score.json" --max-mean-kl "$bound" --min-positions "$positions"
for name in $(compare names "$golden"); do
    compare ids "$golden" "$name" > "$folder/ids.json"
    "$sampan" score "$model" --chip "$chip" --ids "$folder/ids.json" --top 1 --generate 64 --json > "$folder/score.json"
    compare greedy "$golden" "$name" "$folder/score.json" --margin "$margin"
done
