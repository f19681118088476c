#!/usr/bin/env bash
# pytest-xdist's groups have no effect with pytest 9.2, and nothing says so.
#
# `@pytest.mark.xdist_group` with `--dist loadgroup` promises that tests of one group run in one process,
# so that a costly fixture of theirs is made once. pytest-xdist 3.8.0 writes the group behind the name
# of each test, in `item._nodeid`; pytest 9.2.0 computes a test's name from another attribute and never
# reads that one, so the tests of a group are spread over the workers as if the mark were not there.
# With pytest 9.0.2 the same release of pytest-xdist keeps them together.
# `--dist loadfile` reads names only, and keeps the tests of a file together with both.
#
# Exit status: 0 as described, 1 if it is otherwise by now.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat > test_group.py <<'TEST'
import os

import pytest


@pytest.mark.xdist_group("one")
@pytest.mark.parametrize("n", range(40))
def test_in_a_group(n):
    print("ran on", os.environ["PYTEST_XDIST_WORKER"])
TEST

workers() { # version of pytest, kind of distribution: how many workers ran the tests of the group
    [ -d "env-$1" ] || {
        ${PYTHON:-python3} -m venv "env-$1"
        "env-$1/bin/pip" install -q --disable-pip-version-check "pytest==$1" pytest-xdist==3.8.0
    }
    "env-$1/bin/python" -m pytest -p no:cacheprovider -n 2 --dist "$2" -rP test_group.py |
        grep -o 'ran on gw[01]' | sort -u | wc -l
}
check() { # what, expected, found
    if [ "$2" = "$3" ]; then echo "as described: $1: $3"; else echo "CHANGED: $1: $3, not $2"; exit 1; fi
}
check "pytest 9.0.2, loadgroup, workers of one group" 1 "$(workers 9.0.2 loadgroup)"
check "pytest 9.2.0, loadgroup, workers of one group" 2 "$(workers 9.2.0 loadgroup)"
check "pytest 9.2.0, loadfile, workers of one file" 1 "$(workers 9.2.0 loadfile)"
