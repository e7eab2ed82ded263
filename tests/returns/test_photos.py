"""Pictures of returned goods: small, upright, without metadata, few."""

from datetime import timedelta
from io import BytesIO

import pytest
from django.utils import timezone
from PIL import Image

from oscar_loyalty.flows import return_steps, sweeping
from oscar_loyalty.returns import photos
from oscar_loyalty.returns.models import Return, ReturnPhoto
from oscar_loyalty.returns.photos import PhotoRefused, shrink_picture

from .doors import make_picture
from .world import accept, ask, make_order


def open_shrunk(content):
    return Image.open(BytesIO(shrink_picture(content)))


def test_a_big_picture_becomes_small_and_forgets_where_it_was_taken():
    content = make_picture()
    assert b"SecretCamera" in content
    kept = shrink_picture(content)
    assert b"SecretCamera" not in kept
    picture = Image.open(BytesIO(kept))
    assert (picture.format, picture.size) == ("JPEG", (1600, 800))
    assert not picture.getexif()


def test_a_small_picture_stays_as_big_as_it_is():
    assert open_shrunk(make_picture(size=(300, 200))).size == (300, 200)


def test_a_picture_taken_upright_stands_upright():
    assert open_shrunk(make_picture(size=(800, 400), turned=True)).size == (400, 800)


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_what_is_transparent_becomes_white(kind):
    content = BytesIO()
    Image.new("RGBA", (20, 20), (0, 0, 0, 0)).save(content, format=kind)
    red, green, blue = open_shrunk(content.getvalue()).getpixel((5, 5))
    assert min(red, green, blue) > 250


@pytest.mark.parametrize(
    "content",
    [b"", b"hello", b"%PDF-1.4", b"<svg xmlns='http://www.w3.org/2000/svg'/>", make_picture()[:700]],
)
def test_what_is_no_picture_is_refused(content):
    with pytest.raises(PhotoRefused) as refused:
        shrink_picture(content)
    assert refused.value.code == "photo_not_an_image"


def test_a_picture_that_would_fill_the_memory_is_refused(monkeypatch):
    monkeypatch.setattr(photos, "MOST_PIXELS", 100 * 100)
    with pytest.raises(PhotoRefused, match="photo_too_big"):
        shrink_picture(make_picture(size=(101, 100)))
    monkeypatch.setattr(photos, "MOST_BYTES", 10)
    with pytest.raises(PhotoRefused, match="photo_too_big"):
        shrink_picture(make_picture(size=(10, 10)))


@pytest.mark.django_db
def test_three_pictures_of_a_line_until_the_goods_are_checked(account):
    order = make_order(account.user)
    of_return = ask(order)
    line_id = of_return.lines.get().line_id
    small = make_picture(size=(20, 20))

    def send(line_id=line_id):
        return photos.add_photo(return_id=of_return.pk, line_id=line_id, content=small, now=timezone.now())

    with pytest.raises(PhotoRefused, match="unknown_line"):
        send(line_id + 1)
    assert {send().line.line_id for _ in range(3)} == {line_id}
    with pytest.raises(PhotoRefused, match="photo_too_many"):
        send()
    return_steps.receive_return(return_id=of_return.pk, actor_ref="user:1", now=timezone.now())
    of_return.photos.all().delete()
    send()
    accept(of_return)
    with pytest.raises(PhotoRefused, match="photo_too_late"):
        send()


def test_pictures_are_kept_for_so_long_after_the_end_of_a_return(account, settings):
    now = timezone.now()
    rows = [ask(make_order(account.user)) for _ in range(4)]
    for one in rows:
        ReturnPhoto.objects.create(of_return=one, content=b"x", added_at=now)
    settled, closed, recent, _open = rows
    Return.objects.filter(pk=settled.pk).update(settled_at=now - timedelta(days=181))
    Return.objects.filter(pk=closed.pk).update(closed_at=now - timedelta(days=181))
    Return.objects.filter(pk=recent.pk).update(settled_at=now - timedelta(days=179))
    assert sweeping.forget_old_news(now=now) == 2
    assert {photo.of_return for photo in ReturnPhoto.objects.all()} == {recent, _open}
    settings.OSCAR_LOYALTY_RETURN_PHOTO_DAYS = 30
    assert sweeping.forget_old_news(now=now) == 1
