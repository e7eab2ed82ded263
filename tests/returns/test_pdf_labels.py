"""The label is read as a warehouse reads it: its text, its bar code and its QR code."""

import subprocess
from datetime import UTC, datetime
from io import BytesIO
from shutil import which

import pytest
import zxingcpp
from PIL import Image
from pypdf import PdfReader

from oscar_loyalty.returns.codes import draw_qr_png, draw_qr_svg
from oscar_loyalty.returns.labels import LabelRequest, LabelUnavailable, get_provider
from oscar_loyalty.returns.pdf_labels import PdfLabels

NUMBER = "RV7K2M9QXA"
SENDER = ("Frau Łucja Müller-Weiß", "Hafenstraße 1", "20457 Hamburg", "Deutschland")
SHOP = ("Morgenrot Versand", "Retouren", "Kaiweg 12", "20457 Hamburg")


def make(**values):
    wanted = {
        "reference": "7b0c1c70",
        "number": NUMBER,
        "order_number": "100042",
        "sender": SENDER,
        "recipient": SHOP,
        "language": "en",
        # Still the 28th in Berlin.
        "time_zone": "Europe/Berlin",
        "valid_until": datetime(2026, 12, 28, 22, 59, tzinfo=UTC),
    }
    return PdfLabels().make_label(LabelRequest(**{**wanted, **values}))


def text_of(pdf):
    (page,) = PdfReader(BytesIO(pdf)).pages
    return page.extract_text()


def codes_of(picture):
    return {(str(code.format).rpartition(".")[2], code.text) for code in zxingcpp.read_barcodes(picture)}


def test_a_label_says_from_whom_to_whom_what_and_until_when():
    made = make()
    text = text_of(made.pdf)
    for line in (*SENDER, *SHOP, NUMBER, "Order 100042", "Send it until Dec. 28, 2026."):
        assert line in text
    assert (made.qr_text, made.valid_until.day) == (NUMBER, 28)


def test_it_is_a6_and_the_same_each_time():
    made = make()
    page = PdfReader(BytesIO(made.pdf)).pages[0]
    width, height = (float(side) / 72 * 25.4 for side in (page.mediabox.width, page.mediabox.height))
    assert (round(width), round(height)) == (105, 148)
    assert make().pdf == made.pdf


@pytest.mark.skipif(which("pdftoppm") is None, reason="pdftoppm (poppler-utils) is not here")
def test_readers_of_the_warehouse_find_the_number_in_both_codes():
    ran = subprocess.run(
        ["pdftoppm", "-r", "200", "-png", "-"], input=make().pdf, capture_output=True, check=True
    )
    found = codes_of(Image.open(BytesIO(ran.stdout)))
    assert {text for _kind, text in found} == {NUMBER}
    assert len(found) == 2


def test_the_code_of_mails_is_read_too():
    (code,) = zxingcpp.read_barcodes(Image.open(BytesIO(draw_qr_png("https://carrier.example/ä?x=1"))))
    assert code.text == "https://carrier.example/ä?x=1"


def test_the_code_of_pages_is_one_element_that_a_policy_of_content_allows():
    svg = draw_qr_svg(NUMBER)
    assert svg.startswith("<svg")
    assert 'class="loyalty-qr"' in svg
    assert "style=" not in svg
    assert "<script" not in svg


def test_letters_that_the_font_lacks_become_plain_ones_instead_of_boxes():
    text = text_of(make(sender=("Nguyễn Văn Ạnh", "山田 太郎", "Đorđe Ħal")).pdf)
    assert "Nguyen Van Anh" in text
    assert "?? ??" in text
    assert "orđe" in text or "orde" in text


def test_a_long_name_is_made_narrow_not_cut():
    name = "Hochwohlgeborene " * 12
    assert name.strip() in " ".join(text_of(make(sender=(name.strip(),)).pdf).split())


def test_without_an_address_there_is_no_label():
    with pytest.raises(LabelUnavailable, match="OSCAR_LOYALTY_RETURN_ADDRESS"):
        make(recipient=())


def test_a_font_that_cannot_be_read_is_said_so(settings, tmp_path):
    wrong = tmp_path / "wrong.ttf"
    wrong.write_bytes(b"no font")
    settings.OSCAR_LOYALTY_LABEL_FONT = str(wrong)
    with pytest.raises(LabelUnavailable, match="OSCAR_LOYALTY_LABEL_FONT"):
        make()


def test_a_provider_that_cannot_be_had_is_unavailable(settings):
    settings.OSCAR_LOYALTY_LABEL_PROVIDER = "nowhere.to.be.Found"
    with pytest.raises(LabelUnavailable):
        get_provider()
