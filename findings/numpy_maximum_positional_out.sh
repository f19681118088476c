#!/usr/bin/env bash
# NumPy 2.4 deprecates the place of a result by position for two of its binary ufuncs only.
#
# A ufunc of two arguments takes the array for its result as the third one, `np.add(a, b, made)`, and
# programs that call many of them in one way (recorded calls, generated code) rely on that. Guess: all
# binary ufuncs are alike in it. NumPy 2.4.6 raises a DeprecationWarning for np.maximum and np.minimum
# alone, and for neither np.fmax and np.fmin, nor np.add. By name, `out=made`, all five are silent.
# With NumPy 2.3.5 none of them warns.
#
# Exit status: 0 as described, 1 if it is otherwise by now.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat > ufuncs.py <<'PROGRAM'
import warnings

import numpy as np

a, b, made = np.zeros(3), np.ones(3), np.empty(3)
warned = {"position": [], "name": []}
for name in ("add", "maximum", "minimum", "fmax", "fmin"):
    for way in warned:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            ufunc = getattr(np, name)
            ufunc(a, b, made) if way == "position" else ufunc(a, b, out=made)
        warned[way] += [name] if caught else []
print(" ".join(warned["position"]) or "none", "|", " ".join(warned["name"]) or "none")
PROGRAM

with_numpy() { # version: the ufuncs that warn, by position and by name
    ${PYTHON:-python3} -m venv "env-$1"
    "env-$1/bin/pip" install -q --disable-pip-version-check "numpy==$1"
    "env-$1/bin/python" ufuncs.py
}
check() { # what, expected, found
    if [ "$2" = "$3" ]; then echo "as described: $1: $3"; else echo "CHANGED: $1: $3, not $2"; exit 1; fi
}
check "NumPy 2.3.5, warnings by position | by name" "none | none" "$(with_numpy 2.3.5)"
check "NumPy 2.4.6, warnings by position | by name" "maximum minimum | none" "$(with_numpy 2.4.6)"
