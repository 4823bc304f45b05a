"""The demo's pictures: real photographs that the scikit-image package carries, and what its licence file says of them.

    rocket.jpg             SpaceX's Falcon 9, put in the public domain by its author (CC0)
    hubble_deep_field.jpg  NASA and the Space Telescope Science Institute, public domain
    camera.png             a photographer, greyscale, by Lav Varshney (CC0)
    chelsea.png            Chelsea the cat, by Stefan van der Walt (CC0)
    coffee.png             a cup of coffee, by Rachel Michetti (CC0)
    logo.png               scikit-image's logo, with transparency (its own BSD licence)

The kinds that the package lacks are made of these by Pillow: a large JPEG whose EXIF orientation says that the camera was held
sideways, a CMYK JPEG as a print shop sends it, and an animation that follows the rocket. Two files are no pictures: one is cut off in the middle, one is text.
"""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from pathlib import Path

from PIL import Image

PACKAGE = "scikit-image==0.26.0"
WANTED = (
    "rocket.jpg",
    "hubble_deep_field.jpg",
    "camera.png",
    "chelsea.png",
    "coffee.png",
    "logo.png",
)
ORIENTATION_TAG = 0x0112
ROTATED_90 = 6  # EXIF: turn clockwise by 90 degrees to see it upright


def pictures(cache: Path) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """(good ones, bad ones) by object key. The package is downloaded once into `cache`."""
    originals = _from_package(cache)
    good = {
        "camera-greyscale.png": originals["camera.png"],
        "chelsea.png": originals["chelsea.png"],
        "coffee.png": originals["coffee.png"],
        "logo-transparent.png": originals["logo.png"],
        "animation.gif": _animated(originals["rocket.jpg"]),
        "hubble-large-rotated.jpg": _held_sideways(originals["hubble_deep_field.jpg"]),
        "rocket-cmyk.jpg": _for_print(originals["rocket.jpg"]),
        "rocket.jpg": originals["rocket.jpg"],
    }
    bad = {
        "cut-off.jpg": originals["rocket.jpg"][:20_000],
        "text.png": b"This is a text file that somebody named .png.\n",
    }
    return good, bad


def _from_package(cache: Path) -> dict[str, bytes]:
    cache.mkdir(parents=True, exist_ok=True)
    if not list(cache.glob("scikit_image-*.whl")):
        subprocess.run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
            + ["--dest", str(cache), PACKAGE],
            check=True,
            stderr=subprocess.DEVNULL,
        )
    (wheel,) = cache.glob("scikit_image-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(f"skimage/data/{name}") for name in WANTED}


def _held_sideways(data: bytes) -> bytes:
    """Four times the size, turned, with an EXIF orientation that turns it back."""
    picture = Image.open(io.BytesIO(data)).convert("RGB")
    picture = picture.resize((picture.width * 3, picture.height * 3), Image.Resampling.LANCZOS)
    turned = picture.transpose(Image.Transpose.ROTATE_90)
    exif = turned.getexif()
    exif[ORIENTATION_TAG] = ROTATED_90
    out = io.BytesIO()
    turned.save(out, "JPEG", quality=92, exif=exif)
    return out.getvalue()


def _animated(data: bytes) -> bytes:
    """A dozen frames that pan upwards over the picture, as a GIF."""
    picture = Image.open(io.BytesIO(data)).convert("RGB")
    height = picture.height * 2 // 3
    tops = [(picture.height - height) * (11 - at) // 11 for at in range(12)]
    frames = [picture.crop((160, top, 480, top + height)).quantize(128) for top in tops]
    out = io.BytesIO()
    frames[0].save(out, "GIF", save_all=True, append_images=frames[1:], duration=80, loop=0)
    return out.getvalue()


def _for_print(data: bytes) -> bytes:
    out = io.BytesIO()
    Image.open(io.BytesIO(data)).convert("CMYK").save(out, "JPEG", quality=90)
    return out.getvalue()
