"""
Pictures of the goods, drawn from simple shapes.

Every picture is drawn on a square of 1000 units, twice as large as needed, and scaled down for smooth
edges. The same shape and colour always give the same picture.
"""

from collections.abc import Callable
from io import BytesIO

from PIL import Image, ImageColor, ImageDraw

SIZE = 560
Colour = tuple[int, int, int]

CREAM: Colour = (250, 245, 236)
INK: Colour = (58, 48, 42)
STEEL: Colour = (176, 184, 188)
GLASS: Colour = (222, 233, 235)
WOOD: Colour = (176, 128, 82)
COFFEE: Colour = (84, 56, 40)
PAPER: Colour = (244, 238, 226)


def mix(colour: Colour, other: Colour, share: float) -> Colour:
    """`colour` moved towards `other` by `share` (0 to 1)."""
    return tuple(round(a + (b - a) * share) for a, b in zip(colour, other, strict=True))


def light(colour: Colour, share: float = 0.3) -> Colour:
    return mix(colour, (255, 255, 255), share)


def dark(colour: Colour, share: float = 0.22) -> Colour:
    return mix(colour, (20, 14, 10), share)


class Pen:
    """Draws in units of a thousandth of the picture's width."""

    def __init__(self, image: Image.Image):
        self._draw = ImageDraw.Draw(image)
        self._unit = image.width / 1000

    def _scaled(self, points):
        return [value * self._unit for value in points]

    def box(self, x0, y0, x1, y1, fill: Colour, radius: float = 0, corners=None):
        self._draw.rounded_rectangle(
            self._scaled((x0, y0, x1, y1)), radius * self._unit, fill=fill, corners=corners
        )

    def oval(self, x0, y0, x1, y1, fill: Colour):
        self._draw.ellipse(self._scaled((x0, y0, x1, y1)), fill=fill)

    def ring(self, x0, y0, x1, y1, colour: Colour, width: float):
        self._draw.ellipse(self._scaled((x0, y0, x1, y1)), outline=colour, width=round(width * self._unit))

    def arc(self, x0, y0, x1, y1, start, end, colour: Colour, width: float):
        self._draw.arc(
            self._scaled((x0, y0, x1, y1)), start, end, fill=colour, width=round(width * self._unit)
        )

    def shape(self, *points, fill: Colour):
        self._draw.polygon(self._scaled(points), fill=fill)

    def line(self, *points, colour: Colour, width: float):
        self._draw.line(self._scaled(points), fill=colour, width=round(width * self._unit), joint="curve")

    def sunrise(self, x, y, r, colour: Colour, ground: Colour):
        """The sign of the shop: half a sun over a line."""
        self.oval(x - r, y - r, x + r, y + r, colour)
        self.box(x - r - 4, y, x + r + 4, y + r + 4, ground)
        self.box(x - 1.5 * r, y + 6, x + 1.5 * r, y + 14, colour, 4)


def bag(pen: Pen, c: Colour):
    pen.shape(300, 250, 700, 250, 720, 850, 280, 850, fill=c)
    pen.shape(300, 250, 345, 250, 335, 850, 280, 850, fill=dark(c, 0.14))
    pen.shape(655, 250, 700, 250, 720, 850, 665, 850, fill=dark(c, 0.22))
    pen.box(296, 165, 704, 262, dark(c, 0.1), 8)
    pen.box(296, 196, 704, 206, dark(c, 0.28))
    pen.box(360, 420, 640, 720, PAPER, 14)
    pen.sunrise(500, 540, 62, c, PAPER)
    for row, width in ((610, 180), (640, 130), (668, 90)):
        pen.box(500 - width / 2, row, 500 + width / 2, row + 12, mix(INK, PAPER, 0.45), 6)
    pen.oval(478, 318, 522, 362, dark(c, 0.3))


def tin(pen: Pen, c: Colour):
    pen.box(310, 270, 690, 850, c, 34)
    pen.box(310, 270, 372, 850, light(c, 0.18), 30)
    pen.box(630, 270, 690, 850, dark(c, 0.2), 30)
    pen.box(296, 190, 704, 300, dark(c, 0.12), 30)
    pen.box(296, 278, 704, 300, dark(c, 0.35), 6)
    pen.box(310, 430, 690, 700, PAPER)
    # Two leaves and a bud.
    leaf = mix((88, 122, 70), c, 0.25)
    pen.shape(500, 650, 420, 590, 400, 490, 470, 540, fill=leaf)
    pen.shape(500, 650, 580, 590, 600, 490, 530, 540, fill=dark(leaf, 0.14))
    pen.shape(500, 640, 472, 540, 500, 460, 528, 540, fill=light(leaf, 0.25))
    pen.box(496, 560, 504, 680, dark(leaf, 0.3))


def caddy(pen: Pen, c: Colour):
    pen.box(300, 300, 700, 850, c, 26)
    pen.box(300, 300, 350, 850, light(c, 0.22), 24)
    pen.box(640, 300, 700, 850, dark(c, 0.16), 24)
    pen.box(286, 215, 714, 330, dark(c, 0.1), 26)
    pen.oval(455, 170, 545, 235, WOOD)
    pen.sunrise(500, 590, 74, light(c, 0.62), c)


def mug(pen: Pen, c: Colour):
    pen.ring(610, 420, 830, 690, dark(c, 0.1), 46)
    pen.box(270, 340, 680, 810, c, 60)
    pen.box(270, 340, 330, 800, light(c, 0.2), 50)
    pen.box(270, 700, 680, 810, mix(c, (205, 180, 140), 0.55), 60)
    pen.box(270, 690, 680, 736, mix(c, (205, 180, 140), 0.55))
    pen.oval(270, 300, 680, 390, dark(c, 0.2))
    pen.oval(296, 316, 654, 376, COFFEE)


def cup(pen: Pen, c: Colour):
    pen.oval(180, 740, 820, 860, dark(c, 0.12))
    pen.oval(200, 730, 800, 836, light(c, 0.12))
    pen.ring(610, 480, 770, 660, dark(c, 0.1), 36)
    pen.shape(300, 460, 670, 460, 610, 770, 360, 770, fill=c)
    pen.shape(300, 460, 360, 460, 402, 770, 360, 770, fill=light(c, 0.25))
    pen.oval(300, 415, 670, 505, dark(c, 0.16))
    pen.oval(326, 430, 644, 492, mix(COFFEE, (198, 134, 74), 0.35))


def bowl(pen: Pen, c: Colour):
    pen._draw.pieslice(pen._scaled((210, 180, 790, 800)), 0, 180, fill=c)
    pen._draw.pieslice(pen._scaled((210, 180, 790, 800)), 120, 180, fill=light(c, 0.14))
    pen.box(390, 775, 610, 850, dark(c, 0.18), 16)
    pen.oval(210, 430, 790, 550, dark(c, 0.2))
    pen.oval(246, 446, 754, 536, mix((132, 163, 84), c, 0.15))


def teapot(pen: Pen, c: Colour):
    pen.ring(650, 420, 860, 700, dark(c, 0.12), 42)
    pen.shape(330, 560, 150, 430, 190, 390, 380, 500, 360, 700, fill=dark(c, 0.08))
    pen.oval(270, 370, 740, 830, c)
    pen._draw.pieslice(pen._scaled((270, 370, 740, 830)), 110, 250, fill=light(c, 0.1))
    pen.oval(390, 350, 620, 430, dark(c, 0.2))
    pen.oval(470, 285, 540, 360, WOOD)
    pen.box(390, 805, 620, 845, dark(c, 0.2), 14)


def kettle(pen: Pen, c: Colour):
    pen.ring(560, 400, 840, 740, dark(c, 0.2), 40)
    pen.line(350, 720, 210, 640, 250, 440, 150, 350, colour=dark(c, 0.1), width=40)
    pen.shape(340, 420, 660, 420, 730, 830, 270, 830, fill=c)
    pen.shape(340, 420, 400, 420, 350, 830, 270, 830, fill=light(c, 0.18))
    pen.box(330, 380, 670, 430, dark(c, 0.2), 18)
    pen.box(440, 345, 560, 385, dark(c, 0.1), 14)
    pen.oval(465, 285, 535, 352, WOOD)


def jug(pen: Pen, c: Colour):
    pen.arc(560, 330, 830, 720, -90, 95, dark(c, 0.22), 40)
    pen.shape(330, 300, 660, 300, 700, 830, 290, 830, fill=c)
    pen.shape(330, 300, 230, 290, 345, 410, fill=dark(c, 0.08))
    pen.shape(330, 300, 400, 300, 372, 830, 290, 830, fill=light(c, 0.28))
    pen.box(400, 240, 600, 304, dark(c, 0.35), 18)


def dripper(pen: Pen, c: Colour):
    pen.shape(290, 350, 710, 350, 565, 560, 435, 560, fill=c)
    pen.shape(290, 350, 360, 350, 470, 560, 435, 560, fill=light(c, 0.22))
    pen.oval(290, 300, 710, 396, dark(c, 0.12))
    pen.oval(318, 314, 682, 384, COFFEE)
    pen.ring(650, 370, 780, 510, dark(c, 0.1), 30)
    pen.box(360, 556, 640, 592, dark(c, 0.16), 14)
    pen.shape(390, 592, 610, 592, 690, 850, 310, 850, fill=GLASS)
    pen.shape(330, 770, 670, 770, 690, 850, 310, 850, fill=COFFEE)


def press(pen: Pen, c: Colour):
    pen.ring(600, 400, 800, 720, dark(c, 0.05), 36)
    pen.box(320, 320, 650, 830, GLASS, 22)
    pen.box(320, 500, 650, 830, COFFEE, 22)
    pen.box(320, 478, 650, 508, STEEL, 6)
    pen.box(305, 640, 665, 676, c, 8)
    pen.box(305, 800, 665, 846, c, 16)
    pen.box(305, 285, 665, 336, c, 16)
    pen.box(479, 190, 491, 480, STEEL)
    pen.oval(440, 130, 530, 210, c)


def moka(pen: Pen, c: Colour):
    pen.line(650, 360, 790, 400, 760, 620, colour=INK, width=40)
    pen.shape(350, 300, 620, 300, 580, 560, 400, 560, fill=c)
    pen.shape(350, 300, 420, 300, 450, 560, 400, 560, fill=light(c, 0.28))
    pen.shape(350, 300, 280, 330, 375, 420, fill=dark(c, 0.12))
    pen.box(390, 552, 590, 600, dark(c, 0.35), 8)
    pen.shape(400, 596, 580, 596, 660, 840, 320, 840, fill=dark(c, 0.08))
    pen.shape(400, 596, 450, 596, 410, 840, 320, 840, fill=light(c, 0.18))
    pen.shape(350, 300, 620, 300, 500, 240, fill=dark(c, 0.18))
    pen.oval(465, 195, 525, 250, INK)


def carafe(pen: Pen, c: Colour):
    pen.shape(320, 190, 680, 190, 540, 470, 460, 470, fill=GLASS)
    pen.shape(440, 460, 560, 460, 720, 800, 280, 800, fill=GLASS)
    pen.box(280, 770, 720, 850, GLASS, 36)
    pen.shape(358, 640, 642, 640, 712, 800, 288, 800, fill=COFFEE)
    pen.box(284, 780, 716, 844, COFFEE, 32)
    pen.shape(425, 390, 575, 390, 545, 470, 575, 550, 425, 550, 455, 470, fill=c)
    pen.box(420, 462, 580, 480, dark(c, 0.4), 6)
    pen.shape(340, 206, 660, 206, 640, 246, 360, 246, fill=light(COFFEE, 0.2))


def grinder(pen: Pen, c: Colour):
    pen.line(500, 210, 740, 180, colour=STEEL, width=26)
    pen.box(705, 110, 765, 200, WOOD, 24)
    pen.oval(460, 160, 540, 240, STEEL)
    pen.box(390, 230, 610, 420, light(STEEL, 0.2), 18)
    pen.box(370, 400, 630, 600, c, 26)
    pen.box(370, 400, 420, 600, light(c, 0.2), 24)
    pen.box(390, 590, 610, 850, STEEL, 26)
    pen.box(390, 590, 440, 850, light(STEEL, 0.35), 24)
    pen.box(380, 585, 620, 610, dark(STEEL, 0.4), 6)


def boxmill(pen: Pen, c: Colour):
    pen.line(500, 270, 730, 230, colour=INK, width=24)
    pen.oval(700, 160, 770, 240, dark(c, 0.3))
    pen._draw.pieslice(pen._scaled((330, 240, 670, 640)), 180, 360, fill=STEEL)
    pen.box(290, 430, 710, 830, c, 12)
    pen.box(270, 420, 730, 470, dark(c, 0.16), 10)
    pen.box(270, 806, 730, 850, dark(c, 0.16), 10)
    pen.box(360, 600, 640, 760, light(c, 0.16), 8)
    pen.oval(475, 655, 525, 705, STEEL)


def electric(pen: Pen, c: Colour):
    pen.shape(360, 160, 640, 160, 590, 350, 410, 350, fill=GLASS)
    pen.shape(372, 230, 628, 230, 590, 350, 410, 350, fill=COFFEE)
    pen.box(350, 130, 650, 170, INK, 12)
    pen.box(330, 345, 670, 760, c, 40)
    pen.box(330, 345, 390, 760, light(c, 0.16), 36)
    pen.oval(440, 420, 560, 540, STEEL)
    pen.box(494, 425, 506, 480, INK, 4)
    pen.box(430, 620, 570, 850, dark(GLASS, 0.08), 14)
    pen.box(430, 740, 570, 850, COFFEE, 14)
    pen.box(290, 815, 710, 855, dark(c, 0.3), 16)


def paper(pen: Pen, c: Colour):
    pen.shape(330, 330, 790, 300, 640, 700, fill=dark(PAPER, 0.12))
    pen.shape(280, 310, 740, 310, 590, 720, 430, 720, fill=PAPER)
    pen.shape(280, 310, 330, 310, 455, 720, 430, 720, fill=dark(PAPER, 0.08))
    pen.box(250, 520, 620, 850, c, 16)
    pen.box(250, 520, 620, 580, dark(c, 0.15), 16)
    pen.sunrise(435, 720, 60, light(c, 0.75), c)


def box(pen: Pen, c: Colour):
    pen.box(290, 260, 710, 850, c, 14)
    pen.shape(710, 274, 770, 230, 770, 800, 710, 850, fill=dark(c, 0.25))
    pen.shape(290, 262, 350, 222, 770, 222, 710, 268, fill=light(c, 0.25))
    pen.box(345, 380, 655, 720, PAPER, 10)
    pen.sunrise(500, 530, 70, c, PAPER)
    pen.box(400, 610, 600, 624, mix(INK, PAPER, 0.45), 6)
    pen.box(430, 646, 570, 658, mix(INK, PAPER, 0.55), 6)


def bar(pen: Pen, c: Colour):
    pen.box(270, 240, 730, 470, dark(c, 0.1), 16)
    for column in range(4):
        pen.box(290 + column * 108, 258, 382 + column * 108, 350, light(c, 0.12), 8)
        pen.box(290 + column * 108, 366, 382 + column * 108, 458, light(c, 0.12), 8)
    pen.box(250, 430, 750, 850, mix(c, (214, 164, 96), 0.45), 14)
    pen.box(250, 430, 750, 466, (222, 214, 200), 6)
    pen.box(320, 540, 680, 770, PAPER, 10)
    pen.sunrise(500, 660, 60, c, PAPER)


def honey(pen: Pen, c: Colour):
    pen.box(310, 340, 690, 850, c, 70)
    pen.box(310, 340, 370, 840, light(c, 0.35), 60)
    pen.box(320, 240, 680, 350, (196, 176, 140), 24)
    pen.box(320, 320, 680, 350, (160, 140, 106), 8)
    pen.box(310, 500, 690, 740, PAPER)
    for x, y in ((500, 560), (455, 636), (545, 636)):
        pen._draw.regular_polygon((x * pen._unit, y * pen._unit, 46 * pen._unit), 6, fill=c)


def jar(pen: Pen, c: Colour):
    pen.box(300, 320, 700, 850, GLASS, 56)
    pen.box(318, 470, 682, 836, c, 46)
    pen.box(318, 340, 366, 830, light(GLASS, 0.6), 24)
    pen.box(320, 230, 680, 310, light(GLASS, 0.3), 30)
    pen.box(300, 300, 700, 330, (190, 92, 66), 10)
    pen.line(310, 410, 290, 300, 330, 240, colour=STEEL, width=14)
    pen.line(690, 410, 710, 300, 670, 240, colour=STEEL, width=14)


def bottle(pen: Pen, c: Colour):
    pen.box(450, 150, 550, 400, mix(c, GLASS, 0.3), 20)
    pen.box(440, 120, 560, 200, INK, 14)
    pen.box(360, 350, 640, 850, c, 70)
    pen.box(360, 380, 410, 830, light(c, 0.35), 30)
    pen.box(360, 520, 640, 740, PAPER)
    pen.sunrise(500, 640, 56, c, PAPER)


def carton(pen: Pen, c: Colour):
    pen.shape(350, 290, 420, 170, 640, 170, 650, 290, fill=light(c, 0.25))
    pen.box(420, 130, 640, 182, dark(c, 0.1), 6)
    pen.box(350, 290, 650, 850, c, 8)
    pen.box(350, 290, 420, 850, light(c, 0.15), 8)
    pen.box(350, 480, 650, 740, PAPER)
    pen.sunrise(500, 625, 66, c, PAPER)


def glass(pen: Pen, c: Colour):
    for dx in (-150, 150):
        x = 500 + dx
        pen.shape(x - 130, 320, x + 130, 320, x + 100, 830, x - 100, 830, fill=GLASS)
        pen.shape(x - 98, 450, x + 98, 450, x + 74, 780, x - 74, 780, fill=c)
        pen.oval(x - 98, 430, x + 98, 472, light(c, 0.35))
        pen.shape(x - 116, 330, x - 92, 330, x - 76, 810, x - 92, 810, fill=light(GLASS, 0.7))


def travel(pen: Pen, c: Colour):
    pen.shape(340, 310, 660, 310, 615, 850, 385, 850, fill=c)
    pen.shape(340, 310, 400, 310, 428, 850, 385, 850, fill=light(c, 0.22))
    pen.shape(352, 480, 648, 480, 634, 640, 366, 640, fill=dark(c, 0.25))
    pen.box(325, 240, 675, 320, INK, 24)
    pen.box(430, 200, 560, 246, INK, 14)
    pen.sunrise(500, 580, 48, light(c, 0.6), dark(c, 0.25))


def spoon(pen: Pen, c: Colour):
    pen.line(760, 230, 450, 600, colour=c, width=56)
    pen.oval(732, 198, 792, 258, c)
    pen.oval(230, 540, 540, 830, c)
    pen.oval(266, 570, 504, 790, dark(c, 0.3))
    pen.oval(290, 600, 470, 770, COFFEE)


def scale(pen: Pen, c: Colour):
    pen.shape(250, 620, 750, 620, 810, 800, 190, 800, fill=light(c, 0.12))
    pen.box(190, 796, 810, 850, dark(c, 0.2), 14)
    pen.box(300, 700, 480, 770, (196, 226, 205), 10)
    pen.oval(600, 706, 660, 766, light(c, 0.45))
    pen.shape(390, 400, 610, 400, 570, 620, 430, 620, fill=GLASS)
    pen.shape(402, 470, 598, 470, 570, 620, 430, 620, fill=COFFEE)


def whisk(pen: Pen, c: Colour):
    pen.box(430, 170, 570, 480, c, 30)
    for row in range(3):
        pen.box(430, 240 + row * 70, 570, 250 + row * 70, dark(c, 0.25))
    for step in range(-6, 7):
        pen.line(500 + step * 10, 470, 500 + step * 32, 760, 500 + step * 22, 840,
                 colour=c if step % 2 else dark(c, 0.18), width=13)  # fmt: skip
    pen.box(425, 470, 575, 500, INK, 8)


def tamper(pen: Pen, c: Colour):
    pen.oval(390, 200, 610, 420, c)
    pen.shape(420, 360, 580, 360, 545, 640, 455, 640, fill=c)
    pen.oval(420, 230, 500, 330, light(c, 0.25))
    pen.box(440, 620, 560, 690, STEEL, 10)
    pen.box(320, 680, 680, 810, STEEL, 22)
    pen.box(320, 680, 400, 810, light(STEEL, 0.4), 20)


SHAPES: dict[str, Callable[[Pen, Colour], None]] = {
    draw.__name__: draw
    for draw in (
        bag, bar, bottle, bowl, box, boxmill, caddy, carafe, carton, cup, dripper, electric, glass, grinder,
        honey, jar, jug, kettle, moka, mug, paper, press, scale, spoon, tamper, teapot, tin, travel, whisk,
    )
}  # fmt: skip


def draw_picture(shape: str, colour: str, size: int = SIZE) -> bytes:
    """
    A square JPEG of `size` pixels showing one of `SHAPES` in a colour like ``"#b5533c"``.

    :raises KeyError: there is no such shape
    """
    paint = ImageColor.getrgb(colour)
    ground = mix(light(paint, 0.72), CREAM, 0.55)
    image = Image.new("RGB", (size * 2, size * 2), ground)
    pen = Pen(image)
    pen.oval(130, 110, 870, 850, mix(ground, (255, 255, 255), 0.5))
    pen.box(0, 840, 1000, 1000, dark(ground, 0.09))
    pen.oval(200, 810, 800, 890, dark(ground, 0.2))
    SHAPES[shape](pen, paint)
    file = BytesIO()
    image.reduce(2).save(file, "JPEG", quality=86)
    return file.getvalue()
