"""Kernel symmetry: mean kernels, how symmetric they are, and what follows for predictions.

Alsallakh, Wroge, Miglani & Kokhlikyan (2025), "On Symmetries in Convolutional Weights",
arXiv 2503.19215.
"""

from pdenet.symmetry.kernels.consistency import (
    Consistency,
    Images,
    flip_consistency,
    shift_consistency,
)
from pdenet.symmetry.kernels.dihedral import GROUPS, SYMMETRIES, symmetry_score
from pdenet.symmetry.kernels.mean import MeanKernel, MeanKernels, mean_kernels
from pdenet.symmetry.kernels.page import KernelReport, page
from pdenet.symmetry.kernels.plots import plot_mean_kernels, plot_symmetry_by_depth
from pdenet.symmetry.kernels.report import report
from pdenet.symmetry.kernels.table import Chance, LayerSymmetry, SymmetryTable, symmetry_table
from pdenet.symmetry.kernels.uneven import PaddingUse, UnevenPadding, uneven_padding

__all__ = [
    "GROUPS",
    "SYMMETRIES",
    "Chance",
    "Consistency",
    "Images",
    "KernelReport",
    "LayerSymmetry",
    "MeanKernel",
    "MeanKernels",
    "PaddingUse",
    "SymmetryTable",
    "UnevenPadding",
    "flip_consistency",
    "mean_kernels",
    "page",
    "plot_mean_kernels",
    "plot_symmetry_by_depth",
    "report",
    "shift_consistency",
    "symmetry_score",
    "symmetry_table",
    "uneven_padding",
]
