"""QR codes as pictures, for pages (SVG) and mails (PNG). They need segno, of the extra ``returns``."""

from importlib.util import find_spec
from io import BytesIO
from typing import Any

#: Modules around the code that stay white, as the standard asks for.
QUIET_ZONE = 4


def can_draw() -> bool:
    return find_spec("segno") is not None


def draw_qr_svg(text: str) -> str:
    """A complete ``<svg>`` to put into a page, black on white also where the page is dark."""
    picture = BytesIO()
    _encode(text).save(
        picture,
        kind="svg",
        border=QUIET_ZONE,
        light="#fff",
        xmldecl=False,
        omitsize=True,
        svgclass="loyalty-qr",
    )
    return picture.getvalue().decode()


def draw_qr_png(text: str) -> bytes:
    picture = BytesIO()
    _encode(text).save(picture, kind="png", border=QUIET_ZONE, scale=8)
    return picture.getvalue()


def read_matrix(text: str) -> list[list[bool]]:
    """The modules of the code, row by row, without the quiet zone; ``True`` is dark."""
    return [[bool(module) for module in row] for row in _encode(text).matrix]


def _encode(text: str) -> Any:
    import segno

    # A quarter of it may be soiled on the way. Never a micro code: counters' readers do not know them.
    return segno.make(text, error="q", micro=False)
