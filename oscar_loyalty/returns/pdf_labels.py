"""
The app's own labels: an address label without postage on A6, which an A4 printer prints as well.

Readers of the warehouse find the number of the return twice, as Code 128 and as QR code. The library
reportlab draws it; see the extra ``returns``.
"""

import unicodedata
from io import BytesIO
from typing import Any
from zoneinfo import ZoneInfo

from django.utils import translation
from django.utils.formats import date_format
from django.utils.translation import gettext, pgettext
from reportlab.graphics.barcode.code128 import Code128
from reportlab.lib.pagesizes import A6
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFError, TTFont
from reportlab.pdfgen.canvas import Canvas

from oscar_loyalty.conf import loyalty_settings
from oscar_loyalty.returns.codes import QUIET_ZONE, read_matrix
from oscar_loyalty.returns.labels import Label, LabelRequest, LabelUnavailable

WIDTH, HEIGHT = A6
MARGIN = 7 * mm
#: Lines of an address that fit.
MOST_LINES = 7
_REGULAR, _BOLD = "LoyaltyLabel", "LoyaltyLabelBold"


class PdfLabels:
    """A provider that needs nobody: the customer takes the parcel to a carrier and pays, or the shop does."""

    def make_label(self, wanted: LabelRequest) -> Label:
        if not wanted.recipient:
            raise LabelUnavailable("OSCAR_LOYALTY_RETURN_ADDRESS is not set.")
        with translation.override(wanted.language):
            pdf = _Drawing(wanted).make()
        return Label(pdf=pdf, qr_text=wanted.number, valid_until=wanted.valid_until)


class _Drawing:
    """One label, drawn from top to bottom."""

    def __init__(self, wanted: LabelRequest) -> None:
        self.wanted = wanted
        self.regular, self.bold = _register_fonts()
        self.file = BytesIO()
        self.canvas = Canvas(self.file, pagesize=A6, invariant=True)
        self.canvas.setTitle(gettext("Return label %(number)s") % {"number": wanted.number})
        self.canvas.setSubject(wanted.order_number)

    def make(self) -> bytes:
        self._sender()
        self._recipient()
        self._codes()
        self._foot()
        self.canvas.showPage()
        self.canvas.save()
        return self.file.getvalue()

    def _sender(self) -> None:
        self._text(MARGIN, HEIGHT - 10 * mm, pgettext("address", "From"), size=7, grey=True)
        top = HEIGHT - 14 * mm
        for index, line in enumerate(self.wanted.sender[:MOST_LINES]):
            self._text(MARGIN, top - index * 3.6 * mm, line, size=8, width=48 * mm)
        right = WIDTH - MARGIN
        self._text(right, HEIGHT - 10 * mm, gettext("Return"), size=7, grey=True, to_the_right=True)
        self._text(right, HEIGHT - 15 * mm, self.wanted.number, size=13, bold=True, to_the_right=True)
        order = gettext("Order %(number)s") % {"number": self.wanted.order_number}
        self._text(right, HEIGHT - 20 * mm, order, size=8, width=WIDTH / 2 - 2 * MARGIN, to_the_right=True)

    def _recipient(self) -> None:
        top = HEIGHT - 42 * mm
        self.canvas.setLineWidth(0.4)
        self.canvas.line(MARGIN, top, WIDTH - MARGIN, top)
        self._text(MARGIN, top - 5 * mm, pgettext("address", "To"), size=7, grey=True)
        for index, line in enumerate(self.wanted.recipient[:MOST_LINES]):
            self._text(MARGIN, top - (11 + index * 5.6) * mm, line, size=13, bold=index == 0)

    def _codes(self) -> None:
        bottom = 17 * mm
        side = 30 * mm
        modules = read_matrix(self.wanted.number)
        step = side / (len(modules) + 2 * QUIET_ZONE)
        left = WIDTH - MARGIN - side
        for row, line in enumerate(modules):
            for column, is_dark in enumerate(line):
                if is_dark:
                    x = left + (column + QUIET_ZONE) * step
                    y = bottom + side - (row + 1 + QUIET_ZONE) * step
                    # A hair wider than a module, so that printers leave no gaps between them.
                    self.canvas.rect(x, y, step * 1.02, step * 1.02, stroke=0, fill=1)
        bars = Code128(self.wanted.number, barHeight=16 * mm, barWidth=0.28 * mm, quiet=False)
        bars.drawOn(self.canvas, MARGIN, bottom + 9 * mm)
        self._text(MARGIN, bottom + 4 * mm, self.wanted.number, size=10, bold=True)

    def _foot(self) -> None:
        self.canvas.line(MARGIN, 14 * mm, WIDTH - MARGIN, 14 * mm)
        until = date_format(
            self.wanted.valid_until.astimezone(ZoneInfo(self.wanted.time_zone)), "DATE_FORMAT"
        )
        words = gettext("Send it until %(day)s. Stick this label on the parcel and cover other bar codes.")
        for index, line in enumerate(self._wrapped(words % {"day": until}, size=7)):
            self._text(MARGIN, (10 - 3.2 * index) * mm, line, size=7)

    def _text(
        self,
        x: float,
        y: float,
        text: str,
        *,
        size: float,
        bold: bool = False,
        grey: bool = False,
        width: float = WIDTH - 2 * MARGIN,
        to_the_right: bool = False,
    ) -> None:
        font = self.bold if bold else self.regular
        text = _drawable(text, font)
        # Long names become narrow, never cut: whoever delivers must be able to read them.
        size = min(size, size * width / max(pdfmetrics.stringWidth(text, font, size), 1))
        self.canvas.setFont(font, size)
        self.canvas.setFillGray(0.35 if grey else 0)
        (self.canvas.drawRightString if to_the_right else self.canvas.drawString)(x, y, text)
        self.canvas.setFillGray(0)

    def _wrapped(self, text: str, *, size: float) -> list[str]:
        lines = [""]
        for word in text.split():
            longer = f"{lines[-1]} {word}".strip()
            if (
                pdfmetrics.stringWidth(_drawable(longer, self.regular), self.regular, size)
                > WIDTH - 2 * MARGIN
            ):
                lines.append(word)
            else:
                lines[-1] = longer
        return lines


def _register_fonts() -> tuple[str, str]:
    """Fonts are embedded, because what a reader has instead may lack the letters."""
    file = loyalty_settings.label_font
    names = (f"{_REGULAR}:{file}",) * 2 if file else (_REGULAR, _BOLD)
    files = (file, file) if file else ("Vera.ttf", "VeraBd.ttf")
    for name, path in zip(names, files, strict=True):
        if name not in pdfmetrics.getRegisteredFontNames():
            try:
                pdfmetrics.registerFont(TTFont(name, path))
            except TTFError as error:
                raise LabelUnavailable(f"OSCAR_LOYALTY_LABEL_FONT cannot be read: {error}") from error
    return names[0], names[1]


def _drawable(text: str, font: str) -> str:
    """The text with letters that the font has: Łódź as Lódz, rather than as boxes."""
    known: Any = pdfmetrics.getFont(font).face.charToGlyph  # type: ignore[attr-defined]
    return "".join(_letter(letter, known) for letter in unicodedata.normalize("NFC", text))


def _letter(letter: str, known: Any) -> str:
    if ord(letter) in known:
        return letter
    plain = unicodedata.normalize("NFKD", letter)[0]
    plain = _STROKED.get(plain, plain)
    return plain if ord(plain) in known else "?"


#: Letters that Unicode does not take apart.
_STROKED = {"Đ": "D", "đ": "d", "Ħ": "H", "ħ": "h", "Ł": "L", "ł": "l", "Ŧ": "T", "ŧ": "t"}
