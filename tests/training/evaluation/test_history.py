"""Tables of runs, whole, cut off and of other versions, and the charts made of them."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pdenet.pages.drawings import Chart, Line, curves
from pdenet.training.evaluation.history import MONITOR, History, read_table
from pdenet.training.loop.log import SUMMARY


def test_the_table_of_a_run_is_read_back(tmp_path: Path) -> None:
    (tmp_path / SUMMARY).write_text(
        "epoch,step,lr,train_loss,val_loss,val_top1,trips,seconds\n"
        "1,20,0.1,2,1.5,40,0,3\n"
        "2,40,0.05,1,1.25,60,3,6\n"
    )
    history = History.read(tmp_path)
    assert history.epochs["step"] == (20.0, 40.0)
    assert history.trips == 3
    loss, accuracy, rate = history.charts()
    assert [line.name for line in loss.lines] == ["training", "validation"]
    assert loss.lines[1].points == ((1.0, 1.5), (2.0, 1.25))
    assert accuracy.lines[0].points == ((1.0, 40.0), (2.0, 60.0))
    assert rate.lines[0].points == ((1.0, 0.1), (2.0, 0.05))
    assert loss.marks == accuracy.marks == (2.0,)


def test_the_monitor_of_a_run_is_drawn_with_its_trips_in_updates(tmp_path: Path) -> None:
    (tmp_path / SUMMARY).write_text("epoch,step,trips\n1,20,0\n2,38,1\n")
    (tmp_path / MONITOR).write_text(
        "step,stage1_u,stage1_grad_u,stage2_u,stage2_grad_u\n0,1,2,3,4\n20,5,6,inf,nan\n"
    )
    size, gradient = History.read(tmp_path).charts()
    assert [line.name for line in size.lines] == ["stage 1", "stage 2"]
    assert size.lines[1].points == ((0.0, 3.0), (20.0, math.inf))
    assert gradient.lines[0].points == ((0.0, 2.0), (20.0, 6.0))
    assert size.marks == gradient.marks == (38.0,)
    assert size.logarithmic


def test_a_table_that_is_missing_or_cut_off_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    assert read_table(path) == {}
    path.write_text("")
    assert read_table(path) == {}
    path.write_bytes(b"epoch,val_top1\n1,50.5\n2,61\n3,7\0\xff\n4")
    table = read_table(path)
    assert table["epoch"] == (1.0, 2.0, 3.0, 4.0)
    assert table["val_top1"][:2] == (50.5, 61.0)
    assert all(math.isnan(value) for value in table["val_top1"][2:])
    (tmp_path / SUMMARY).mkdir()
    assert History.read(tmp_path).charts() == ()


def test_columns_of_another_version_do_no_harm() -> None:
    assert History({"something": (1.0,)}, {"stageX_u": (2.0,)}).charts() == ()
    only = History({"val_loss": (2.0, 1.0)}).charts()
    assert only[0].lines[0].points == ((1.0, 2.0), (2.0, 1.0))  # rows are counted


SVG = "{http://www.w3.org/2000/svg}"


def drawn_lines(drawn: str) -> list[list[tuple[float, float]]]:
    """The pieces of the first line, (x, y) in points, y downwards."""
    root = ET.fromstring(drawn)  # well-formed
    found = [p for p in root.iter(f"{SVG}path") if "var(--c0)" in p.get("style", "")]
    pieces: list[list[tuple[float, float]]] = []
    for command, x, y in re.findall(r"([ML]) (\S+) (\S+)", found[0].get("d", "")):
        if command == "M":
            pieces.append([])
        pieces[-1].append((float(x), float(y)))
    return pieces


@given(
    st.lists(
        st.one_of(st.floats(-1e30, 1e30), st.sampled_from([math.nan, math.inf, 0.0])),
        min_size=0,
        max_size=60,
    ),
    st.booleans(),
)
def test_any_numbers_can_be_drawn(values: list[float], is_logarithmic: bool) -> None:
    points = tuple((float(k), y) for k, y in enumerate(values))
    drawn = curves(Chart('t < & "', (Line("a < &", points),), "x", is_logarithmic, (0.0, 5.0)))
    if not drawn:
        has_place = [y for y in values if math.isfinite(y) and (y > 0 or not is_logarithmic)]
        assert not has_place
        return
    ET.fromstring(drawn)
    assert not re.search(r"[\s\"]-?(nan|inf)\b", drawn)


def test_a_peak_of_one_step_is_seen_among_thousands() -> None:
    values = np.random.default_rng(0).normal(size=5000)
    values[3210] = 30.0
    drawn = curves(Chart("t", (Line("a", tuple(enumerate(values.tolist()))),), "x"))
    (piece,) = drawn_lines(drawn)
    assert len(piece) < 5000  # what no eye can tell apart is left out
    heights = sorted(y for _, y in piece)
    # Upwards is less; the peak is by far the highest.
    assert heights[1] - heights[0] > 5 * (heights[-1] - heights[1]) / 2 / 3.5


def test_a_gap_breaks_the_line_and_leaves_a_cross() -> None:
    values = (1.0, 2.0, math.nan, 3.0, 4.0)
    drawn = curves(Chart("t", (Line("a", tuple(enumerate(values))),), "x"))
    assert [len(piece) for piece in drawn_lines(drawn)] == [2, 2]
    whole = curves(Chart("t", (Line("a", tuple(enumerate((1.0, 2.0, 2.5, 3.0, 4.0)))),), "x"))
    # A marker of Matplotlib's is defined once and used at each of its places.
    assert drawn.count("<use") == whole.count("<use") + 1
    alone = (math.nan, 1.0, math.nan)
    assert curves(Chart("t", (Line("a", tuple(enumerate(alone))),), "x")).count("<use") > 2
