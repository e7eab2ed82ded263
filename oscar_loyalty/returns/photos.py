"""
Pictures of goods that customers send along: made small, and without what a camera writes into them (place,
device, owner).
"""

from datetime import datetime
from io import BytesIO

from django.db import transaction
from PIL import Image, ImageOps, UnidentifiedImageError

from oscar_loyalty.returns.models import Return, ReturnLine, ReturnPhoto
from oscar_loyalty.returns.retention import has_ended
from oscar_loyalty.returns.states import VOID

#: Pixels of the longer side that are kept.
LONGEST_SIDE = 1600
MOST_PER_LINE = 3
#: Bytes of a picture that is sent.
MOST_BYTES = 10 * 1024 * 1024
#: Pixels that are unpacked at most: a small file may hold a very big picture.
MOST_PIXELS = 60_000_000
FORMATS = ("JPEG", "PNG", "WEBP", "GIF")
_QUALITY = 82


class PhotoRefused(ValueError):
    """
    ``code``: ``photo_not_an_image``, ``photo_too_big``, ``photo_too_many``, ``photo_too_late``,
    ``unknown_line``.
    """

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def add_photo(
    *, return_id: int, line_id: int, content: bytes, now: datetime, by_staff: bool = False
) -> ReturnPhoto:
    """
    Keep a picture of a line of a return. ``line_id``: of the order's line.

    :raises PhotoRefused: nothing was kept
    """
    # Before the picture is unpacked, which costs something, and again when nobody else can add one.
    _find_line(Return.objects.get(pk=return_id), line_id=line_id, by_staff=by_staff)
    picture = shrink_picture(content)
    with transaction.atomic():
        of_return = Return.objects.select_for_update().get(pk=return_id)
        line = _find_line(of_return, line_id=line_id, by_staff=by_staff)
        return ReturnPhoto.objects.create(
            of_return=of_return, line=line, by_staff=by_staff, content=picture, added_at=now
        )


def _find_line(of_return: Return, *, line_id: int, by_staff: bool) -> ReturnLine:
    """:raises PhotoRefused: it takes no (more) pictures"""
    if not by_staff and not may_add_photos(of_return):
        raise PhotoRefused("photo_too_late")
    line = of_return.lines.filter(line_id=line_id).first()
    if line is None:
        raise PhotoRefused("unknown_line")
    if line.photos.filter(by_staff=by_staff).count() >= MOST_PER_LINE:
        raise PhotoRefused("photo_too_many")
    return line


def may_add_photos(of_return: Return) -> bool:
    """Until the goods are checked."""
    return not of_return.decision and of_return.state not in VOID


def delete_old_photos(*, before: datetime, limit: int = 500) -> int:
    """Delete up to ``limit`` pictures of returns that ended before that moment; return how many."""
    ended = ReturnPhoto.objects.filter(has_ended(before, path="of_return__"))
    old = list(ended.order_by("pk").values_list("pk", flat=True)[:limit])
    return ReturnPhoto.objects.filter(pk__in=old).delete()[0]


def shrink_picture(content: bytes) -> bytes:
    """
    A JPEG of no more than ``LONGEST_SIDE``, upright, on white, without metadata.

    :raises PhotoRefused: too big, or no picture
    """
    if len(content) > MOST_BYTES:
        raise PhotoRefused("photo_too_big")
    try:
        with Image.open(BytesIO(content), formats=FORMATS) as picture:
            if picture.width * picture.height > MOST_PIXELS:
                raise PhotoRefused("photo_too_big")
            picture.draft("RGB", (LONGEST_SIDE, LONGEST_SIDE))
            upright = _on_white(ImageOps.exif_transpose(picture))
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        if isinstance(error, PhotoRefused):
            raise
        raise PhotoRefused("photo_not_an_image") from error
    upright.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    # Pixels alone: comments, profiles and places stay behind.
    bare = Image.frombytes("RGB", upright.size, upright.tobytes())
    kept = BytesIO()
    bare.save(kept, format="JPEG", quality=_QUALITY, optimize=True)
    return kept.getvalue()


def _on_white(picture: Image.Image) -> Image.Image:
    if picture.mode not in ("RGBA", "LA", "PA") and "transparency" not in picture.info:
        return picture.convert("RGB")
    layer = picture.convert("RGBA")
    white = Image.new("RGBA", layer.size, "white")
    white.alpha_composite(layer)
    return white.convert("RGB")
