"""What becomes of a coefficient under a change of unknowns, as text."""

from __future__ import annotations

from fractions import Fraction

from pdenet.symmetry.indices import Rule, Slot


def action_text(rule: Rule, name: str, rank: int) -> str:
    """Return what becomes of a coefficient: "P⁻¹ A P", or "A_π(i)π(j) d_i^-1 d_j".

    Args:
        rule: how coefficients change.
        name: the coefficient's name.
        rank: the number of its indices.
    """
    slots = [Slot(name, place) for place in range(rank)]
    letters = "ijklmnpqr"[:rank]
    of = _suffixes(rule)
    if any(slot in rule.variances for slot in slots):
        found = [rule.variances.get(slot) for slot in slots]
        is_metric = all(
            rule.groups[value[0]].shape == "orthogonal" for value in found if value is not None
        )
        common = rule.powers.get(name, Fraction(0))
        factor = f"c^{common} " if common else ""
        if rank == 2 and all(v is None or v[1] == (1 if k else -1) for k, v in enumerate(found)):
            left = f"P{of[found[0][0]]}⁻¹ " if found[0] else ""
            right = f" P{of[found[1][0]]}" if found[1] else ""
            return factor + left + name + right
        if rank == 2 and is_metric:
            left = f"P{of[found[0][0]]}ᵀ " if found[0] else ""
            right = f" P{of[found[1][0]]}" if found[1] else ""
            return factor + left + name + right
        parts = [
            f"(P{of[value[0]]}⁻¹)_{k}{k}′" if value[1] < 0 else f"P{of[value[0]]}_{k}′{k}"
            for k, value in zip(letters, found, strict=True)
            if value is not None
        ]
        inside = "".join(
            f"{k}′" if value is not None else k for k, value in zip(letters, found, strict=True)
        )
        return f"{factor}{' '.join(parts)} {name}_{inside}"
    if not any((slot, f) in rule.exponents for slot in slots for f in rule.groups):
        return name
    scales = []
    for letter, slot in zip(letters, slots, strict=True):
        for field in rule.groups:
            exponent = rule.exponents.get((slot, field))
            if exponent:
                scales.append(str(exponent).replace("d", f"d{of[field]}_{letter}"))
    inside = "".join(
        f"π({k})" if any((s, f) in rule.exponents for f in rule.groups) else k
        for k, s in zip(letters, slots, strict=True)
    )
    return " ".join([f"{name}_{inside}", *scales])


def _suffixes(rule: Rule) -> dict[str, str]:
    """Return what tells the matrices of several fields apart: "" for one matrix alone."""
    return {
        name: "" if len(rule.equal) == 1 else f"[{rule.matrix_of(name)}]" for name in rule.groups
    }
