"""The published blocks as their authors would write them, with torch's own layers."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F


class Written(nn.Module):
    """One block as the paper has it (Liu, Shao & Bai, 2023), with as many kernels as `directions`.

    `width` channels come in, `out` go out; an entry block has another `out` and stride 2.
    """

    def __init__(self, width: int, out: int, stride: int, directions: int, shared: bool) -> None:
        super().__init__()
        self.stride, self.directions, self.shared = stride, directions, shared
        self.inner = self.hidden(width)
        count = directions * self.inner
        self.kernels = nn.Parameter(torch.empty(directions if shared else count, 1, 3, 3))
        self.norm = nn.BatchNorm2d(count)
        self.closing_norm = nn.BatchNorm2d(out)
        if stride > 1 or width != out:
            self.skip: nn.Module = nn.Sequential(
                nn.Conv2d(width, out, 1, stride, bias=False), nn.BatchNorm2d(out)
            )
        else:
            self.skip = nn.Identity()
        self.make(width, out)

    def hidden(self, width: int) -> int:
        return width

    def make(self, width: int, out: int) -> None:
        raise NotImplementedError

    def rate(self, u: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError

    def derivatives(self, u: torch.Tensor) -> torch.Tensor:
        kernels = self.kernels.repeat(u.shape[1], 1, 1, 1) if self.shared else self.kernels
        return self.norm(F.conv2d(u, kernels, stride=self.stride, padding=1, groups=u.shape[1]))

    def forward(self, u: torch.Tensor) -> torch.Tensor:
        return self.skip(u) + self.rate(u)


class Eq3(Written):
    def make(self, width: int, out: int) -> None:
        m = self.directions
        self.C = nn.Conv2d(width, m * width, 1, self.stride, bias=False)
        self.A = nn.Conv2d(m * width, out, 1, bias=False)

    def rate(self, u: torch.Tensor) -> torch.Tensor:
        return self.closing_norm(self.A(self.C(u) * self.derivatives(u)))


class Eq4(Written):
    def make(self, width: int, out: int) -> None:
        self.C = nn.Conv2d(width, out, 1, self.stride, bias=False)
        self.A = nn.Conv2d(self.directions * width, out, 1, bias=False)

    def rate(self, u: torch.Tensor) -> torch.Tensor:
        return self.C(u) * self.closing_norm(self.A(self.derivatives(u)))


class Eq5(Written):
    def make(self, width: int, out: int) -> None:
        self.C = nn.Conv2d(width, self.directions * width, 1, self.stride, bias=False)
        del self.closing_norm

    def rate(self, u: torch.Tensor) -> torch.Tensor:
        products = self.C(u) * self.derivatives(u)
        groups = self.directions // self.stride  # an entry block has twice the channels
        return products.unflatten(1, (-1, groups)).sum(dim=2)


class Eq6(Written):
    def make(self, width: int, out: int) -> None:
        self.C = nn.Conv2d(width, width, 1, bias=False)
        self.A = nn.Conv2d(self.directions * width, out, 1, bias=False)

    def rate(self, u: torch.Tensor) -> torch.Tensor:
        return self.closing_norm(self.A(self.derivatives(u * self.C(u))))


class Eq7(Written):
    def hidden(self, width: int) -> int:
        return 3 * width

    def make(self, width: int, out: int) -> None:
        self.C = nn.Conv2d(width, self.inner, 1, bias=False)
        self.D = nn.Conv2d(width, self.inner, 1, bias=False)
        self.A = nn.Conv2d(self.directions * self.inner, out, 1, bias=False)

    def rate(self, u: torch.Tensor) -> torch.Tensor:
        return self.closing_norm(self.A(self.derivatives(self.C(u) * self.D(u))))


# Its 1×1 convolutions, and the names that they have in the compiled block.
NAMES: dict[type[Written], dict[str, str]] = {
    Eq3: {"C": "C_D", "A": "A_B"},
    Eq4: {"C": "C", "A": "Ax_Ay"},
    Eq5: {"C": "Cx_Cy"},
    Eq6: {"C": "C", "A": "Ax_Ay"},
    Eq7: {"C": "C", "D": "D", "A": "Ax_Ay"},
}

WRITTEN: dict[str, tuple[type[Written], int, bool]] = {
    "eq3": (Eq3, 4, True),
    "eq3_nows": (Eq3, 4, False),
    "eq3_nows_x6": (Eq3, 6, False),
    "eq4": (Eq4, 4, True),
    "eq5": (Eq5, 4, True),
    "eq6": (Eq6, 4, True),
    "eq7_nows_x6": (Eq7, 2, False),
}
