"""Reading: every mode of Pillow against the definition of its colours."""

from __future__ import annotations

import colorsys
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from pdenet.errors import DataError
from pdenet.training.data.reading import read_image, to_array, to_plain
from tests.training.data.pictures import texture

STEP = 1 / 255  # of eight bits: conversions between colours round once or twice
RANDOM = np.random.default_rng(0)
BYTES = RANDOM.integers(0, 256, (3, 4, 4), dtype=np.uint8)  # (row, column, channel)
DEEP = RANDOM.integers(0, 65536, (3, 4), dtype=np.uint16)


def colour(values: np.ndarray) -> np.ndarray:
    """(row, column, 3) → (3, row, column), from 0 to 1."""
    return np.moveaxis(values.astype(float) / 255, -1, 0)


def grey(values: np.ndarray) -> np.ndarray:
    """One plane of values from 0 to 1 → three."""
    return np.stack([np.asarray(values, dtype=float)] * 3)


def over_white(values: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    a = alpha / 255
    return values * a + (1 - a)


def palette(transparent: bytes | None = None) -> Image.Image:
    image = Image.frombytes("P", (4, 3), bytes(range(12)))
    image.putpalette(BYTES[..., :3].tobytes())
    if transparent is not None:
        image.info["transparency"] = transparent
    return image


def from_ycbcr(values: np.ndarray) -> np.ndarray:
    """JFIF 1.02, page 3."""
    y, cb, cr = np.moveaxis(values.astype(float), -1, 0)
    r = y + 1.402 * (cr - 128)
    g = y - 0.344136 * (cb - 128) - 0.714136 * (cr - 128)
    b = y + 1.772 * (cb - 128)
    return np.stack([r, g, b]).clip(0, 255) / 255


def from_hsv(values: np.ndarray) -> np.ndarray:
    rgb = [colorsys.hsv_to_rgb(*(pixel / 255)) for pixel in values.reshape(-1, 3)]
    return np.moveaxis(np.reshape(rgb, values.shape), -1, 0)


RGB = Image.fromarray(BYTES[..., :3].copy())
BITS = BYTES[..., 0] > 127
INTEGERS = np.array([[-5, 0, 70000, 10]], dtype=np.int32)
FLOATS = np.array([[-1.0, 0.0, 3.0, 7.0]], dtype=np.float32)


@dataclass(frozen=True)
class Mode:
    """An image, the format it is stored in ("" for none that has the mode), and its colours."""

    name: str
    image: Image.Image
    suffix: str
    expected: np.ndarray
    steps: float = 0.0  # of eight bits, that conversions may be off


MODES = [
    Mode("1", Image.fromarray(BITS), "png", grey(BITS)),
    Mode("L", Image.fromarray(BYTES[..., 0].copy()), "png", grey(BYTES[..., 0] / 255)),
    Mode(
        "LA",
        Image.fromarray(BYTES[..., :2].copy()),
        "png",
        grey(over_white(BYTES[..., 0] / 255, BYTES[..., 1])),
        1,
    ),
    Mode("P", palette(), "png", colour(BYTES[..., :3])),
    Mode(
        "P, transparent",
        palette(transparent=bytes([0] + [255] * 11)),
        "png",
        over_white(colour(BYTES[..., :3]), np.array([0] + [255] * 11).reshape(3, 4)),
    ),
    Mode("RGB", RGB, "png", colour(BYTES[..., :3])),
    Mode(
        "RGBA",
        Image.fromarray(BYTES),
        "png",
        over_white(colour(BYTES[..., :3]), BYTES[..., 3]),
        1,
    ),
    Mode(
        "CMYK",
        Image.frombytes("CMYK", (4, 3), BYTES.tobytes()),
        "tif",
        np.moveaxis((1 - BYTES[..., :3] / 255) * (1 - BYTES[..., 3:] / 255), -1, 0),
        1,
    ),
    Mode(
        "YCbCr",
        Image.frombytes("YCbCr", (4, 3), BYTES[..., :3].tobytes()),
        "tif",
        from_ycbcr(BYTES[..., :3]),
        1,
    ),
    # Pillow keeps a and b as signed bytes: 0 is neutral. Between black and white see below.
    Mode(
        "LAB",
        Image.frombytes("LAB", (2, 1), bytes([0, 0, 0, 255, 0, 0])),
        "",
        grey(np.array([[0, 1]])),
        2,
    ),
    # Pillow's own conversion works on sextants in single precision and rounds down.
    Mode(
        "HSV",
        Image.frombytes("HSV", (4, 3), BYTES[..., :3].tobytes()),
        "",
        from_hsv(BYTES[..., :3]),
        3,
    ),
    Mode("I;16", Image.fromarray(DEEP), "png", grey(DEEP / 65535)),
    Mode(
        "I;16B",
        Image.frombytes("I;16B", (4, 3), DEEP.astype(">u2").tobytes()),
        "tif",
        grey(DEEP / 65535),
    ),
    Mode("I from PPM", Image.fromarray(DEEP), "pgm", grey(DEEP / 65535)),
    Mode("I of 16 bits", Image.fromarray(DEEP.astype(np.int32)), "tif", grey(DEEP / 65535)),
    Mode("I of 32 bits", Image.fromarray(INTEGERS), "tif", grey((INTEGERS + 5) / 70005)),
    Mode(
        "F from 0 to 1", Image.fromarray(DEEP.astype(np.float32) / 70000), "tif", grey(DEEP / 70000)
    ),
    Mode("F beyond", Image.fromarray(FLOATS), "tif", grey((FLOATS + 1) / 8)),
    Mode(
        "F, constant",
        Image.fromarray(np.full((2, 2), 9.0, np.float32)),
        "tif",
        grey(np.zeros((2, 2))),
    ),
]


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
def test_every_mode_is_read_as_its_colours_are_defined(mode: Mode, tmp_path: Path) -> None:
    def read(channels: int) -> np.ndarray:
        if not mode.suffix:
            return to_array(to_plain(mode.image, channels), channels)
        path = tmp_path / f"a.{mode.suffix}"
        mode.image.save(path)
        return to_array(read_image(path, channels), channels)

    # A quarter of a step where eight bits are kept, for the rounding of float32.
    near = (mode.steps + 1e-4) * STEP
    np.testing.assert_allclose(read(3), mode.expected, atol=near, rtol=0)
    luminance = np.tensordot([0.299, 0.587, 0.114], mode.expected, axes=1)[None]
    # One more step: Pillow rounds the luminance.
    np.testing.assert_allclose(read(1), luminance, atol=near + STEP, rtol=0)
    if mode.image.mode.startswith(("I", "F")):  # deep values are not rounded at all
        np.testing.assert_allclose(read(1), luminance, atol=1e-6, rtol=0)


def test_lightness_without_colour_is_grey() -> None:
    levels = bytes(v for lightness in range(256) for v in (lightness, 0, 0))
    planes = to_array(to_plain(Image.frombytes("LAB", (256, 1), levels), 3), 3)
    # The profile's white point is rounded: two steps of eight bits.
    np.testing.assert_allclose(planes, np.stack([planes.mean(0)] * 3), atol=2 * STEP)
    assert (np.diff(planes[0, 0]) >= 0).all()


@given(hnp.arrays(np.uint16, st.tuples(st.integers(1, 5), st.integers(1, 5))))
def test_sixteen_bits_are_scaled_and_never_clipped(values: np.ndarray) -> None:
    for image in (Image.fromarray(values), Image.fromarray(values.astype(np.int32))):
        read = to_array(to_plain(image, 1), 1)[0]
        np.testing.assert_array_equal(read, (values / 65535).astype(np.float32))


@given(
    hnp.arrays(
        np.float32,
        st.tuples(st.integers(1, 4), st.integers(1, 4)),
        elements=st.floats(-(2.0**99), 2.0**99, width=32),
    )
)
def test_floats_of_unknown_unit_keep_their_order_and_fill_zero_to_one(values: np.ndarray) -> None:
    read = to_array(to_plain(Image.fromarray(values), 1), 1)[0].ravel()
    assert read.min() >= 0
    assert read.max() <= 1
    assert (np.diff(read[np.argsort(values.ravel(), kind="stable")]) >= 0).all()
    if values.min() < 0 and values.min() < values.max():
        assert read.min() == 0
        assert read.max() == 1


# Where row 0 and column 0 of the stored picture lie in the picture that was seen (EXIF 2.3, 4.6.4).
STORED: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda seen: seen,  # top, left
    2: lambda seen: seen[:, ::-1],  # top, right
    3: lambda seen: seen[::-1, ::-1],  # bottom, right
    4: lambda seen: seen[::-1],  # bottom, left
    5: lambda seen: seen.T,  # left, top
    6: lambda seen: seen[:, ::-1].T,  # right, top
    7: lambda seen: seen[::-1, ::-1].T,  # right, bottom
    8: lambda seen: seen[::-1].T,  # left, bottom
}


@pytest.mark.parametrize("suffix", ["png", "tif", "webp"])
@pytest.mark.parametrize("orientation", STORED)
def test_a_picture_stands_as_the_camera_saw_it(
    orientation: int, suffix: str, tmp_path: Path
) -> None:
    seen = DEEP if suffix == "png" else np.asarray(texture(4, 3).convert("L"))
    image = Image.fromarray(np.ascontiguousarray(STORED[orientation](seen)))
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(tmp_path / f"a.{suffix}", exif=exif, lossless=True)  # as only WebP understands
    read = to_array(read_image(tmp_path / f"a.{suffix}", 1), 1)[0]
    # Lossless WebP stores colours: grey comes back through the luminance, rounded once.
    np.testing.assert_allclose(read, seen / np.iinfo(seen.dtype).max, atol=1.01 * STEP)
    if suffix != "webp":
        np.testing.assert_allclose(read, seen / np.iinfo(seen.dtype).max, atol=1e-6)


def test_a_damaged_exif_block_leaves_the_picture_as_it_is(tmp_path: Path) -> None:
    texture(8, 8).save(tmp_path / "a.jpg", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert read_image(tmp_path / "a.jpg", 3).size == (8, 8)


@pytest.mark.parametrize("suffix", ["gif", "webp", "png", "tif"])
def test_an_animation_gives_its_first_frame(suffix: str, tmp_path: Path) -> None:
    red, blue = (Image.new("RGB", (5, 4), name) for name in ("red", "blue"))
    red.save(tmp_path / f"a.{suffix}", save_all=True, append_images=[blue, blue], lossless=True)
    read = to_array(read_image(tmp_path / f"a.{suffix}", 3), 3)
    np.testing.assert_array_equal(read, np.array([1, 0, 0])[:, None, None] * np.ones((3, 4, 5)))


def write_header(path: Path, width: int, height: int) -> None:
    """Write a PNG whose header promises a picture that is not there."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


@pytest.mark.parametrize(("width", "height"), [(8193, 8192), (12000, 9000), (60000, 60000)])
def test_a_bomb_is_refused_by_its_header(width: int, height: int, tmp_path: Path) -> None:
    """Just above the cap, above Pillow's warning, above Pillow's own limit."""
    write_header(tmp_path / "bomb.png", width, height)
    with pytest.raises(DataError, match=r"at most 67108864 pixels.*bomb\.png") as caught:
        read_image(tmp_path / "bomb.png", 3)
    assert f"{width}×{height}" in str(caught.value) or f"({width * height} pixels)" in str(
        caught.value
    )


def test_the_cap_is_the_last_size_that_is_read(tmp_path: Path) -> None:
    texture(10, 9).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png", 3, max_pixels=90).size == (10, 9)
    with pytest.raises(DataError, match="10×9"):
        read_image(tmp_path / "a.png", 3, max_pixels=89)


@given(
    st.integers(0, 10**6),
    st.integers(0, 255),
    st.sampled_from(["png", "jpg", "gif", "tif", "webp", "bmp"]),
)
def test_a_damaged_file_is_read_or_refused_by_name(
    tmp_path_factory: pytest.TempPathFactory, place: int, byte: int, suffix: str
) -> None:
    """One wrong byte anywhere, or an early end there: an image or a DataError, and nothing else."""
    path = tmp_path_factory.mktemp("damaged") / f"a.{suffix}"
    texture(12, 10).save(path)
    whole = path.read_bytes()
    place %= len(whole)
    for data in (whole[:place] + bytes([byte]) + whole[place + 1 :], whole[:place]):
        path.write_bytes(data)
        message = str(path)
        try:
            assert read_image(path, 3, max_pixels=10**6).mode == "RGB"
        except DataError as error:
            message = str(error)
        assert str(path) in message
