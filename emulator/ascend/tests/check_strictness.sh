#!/bin/sh
# Usage: check_strictness.sh EMULATOR_FOLDER. Every row of STRICTNESS.md names a test, and each test that it names is a function in tests/*.c.
cd "$1" || exit 1
missing=$(sed -n 's/^| .* | .* | \(`.*`\) |$/\1/p' STRICTNESS.md | tr -d '` ' | tr ',' '\n' | sort -u | while read -r name; do
    grep -qE "^(static )?[a-z].*[ *]$name\(" tests/*.c || echo "$name"
done)
rows=$(grep -cE '^\| .* \|$' STRICTNESS.md)
named=$(grep -cE '^\| .* \| .*\| `.*` \|$' STRICTNESS.md)
headers=$(grep -c '^| rule |' STRICTNESS.md)
[ -z "$missing" ] || { echo "no such test function: $missing"; exit 1; }
[ "$rows" -eq $((named + headers)) ] || { echo "$rows rows, $headers headers, but only $named rows with a test"; exit 1; }
[ "$named" -gt 50 ]
