#!/usr/bin/env bash
# What is reported of a subtest depends on how quietly and on how many workers pytest runs.
#
# pytest 9.2.0 has the fixture `subtests` built in. Two things a careful reader would not guess:
#  1. `-q` prints more than no option does: a letter for each subtest that passed, and their number in
#     the last line. The rule asks whether the verbosity is zero, not whether it is at most zero.
#  2. With workers of pytest-xdist 3.8.0 a subtest changes its name: (n=2) becomes (n='2'), since the
#     arguments are turned into text on the worker, and once more where the report arrives. Who looks
#     for a failed subtest of the log by name finds it in one of the two only.
# So cells of loops are named by the message, which is text and stays what it is.
#
# Exit status: 0 as described, 1 if it is otherwise by now.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
${PYTHON:-python3} -m venv env
env/bin/pip install -q --disable-pip-version-check pytest==9.2.0 pytest-xdist==3.8.0
cat > test_cells.py <<'TEST'
def test_cells(subtests):
    for n in range(4):
        with subtests.test("cell", n=n):
            assert n != 2
TEST

run() { env/bin/python -m pytest -p no:cacheprovider "$@" test_cells.py || [ $? -eq 1 ]; }
plain=$(run)
quiet=$(run -q)
spread=$(run -n 1)

check() { # what, where, pattern
    if grep -qE "$3" <<< "$2"; then echo "as described: $1"; else echo "CHANGED: $1"; echo "$2"; exit 1; fi
}
check "without an option: only the failed one has a letter" "$plain" '^test_cells\.py uF '
check "without an option: passed ones are not counted" "$plain" '= 2 failed in '
check "with -q: each one has a letter" "$quiet" '^uuuuF '
check "with -q: passed ones are counted" "$quiet" '^2 failed, 3 subtests passed in '
check "in one process: (n=2)" "$plain" '^SUBFAILED\[cell\] \(n=2\) '
check "on a worker: (n='2')" "$spread" "^SUBFAILED\[cell\] \(n='2'\) "
