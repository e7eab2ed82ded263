# ruff: noqa: E501 (a row of a table reads best on one line)

"""
What the shop sells, written by hand in German and English.

Prices are in euros, VAT included. A `Good` without variants is sold as it is; with variants it becomes
a parent product and one child per variant.
"""

from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal


@dataclass(frozen=True)
class Words:
    """One text in both languages of the shop."""

    de: str
    en: str


def same(text: str) -> Words:
    return Words(text, text)


@dataclass(frozen=True)
class Variant:
    suffix: Words
    price: Decimal
    attributes: dict[str, object]
    colour: str = ""


@dataclass(frozen=True)
class Good:
    """
    One product as customers know it.

    `kind` is the product class, `shape` and `colour` say how its picture is drawn, `goes_with` names
    categories that people buy along with it, `uses_up` says that it is bought again and again.
    """

    key: str
    kind: str
    category: str
    title: Words
    description: Words
    price: Decimal
    shape: str
    colour: str
    attributes: dict[str, object] = field(default_factory=dict)
    variants: tuple[Variant, ...] = ()
    goes_with: tuple[str, ...] = ()
    uses_up: bool = False


# Categories: key, parent, name

CATEGORIES = (
    ("coffee", None, Words("Kaffee", "Coffee"), Words(
        "Jede Woche frisch geröstet, in kleinen Trommeln und mit Geduld.",
        "Roasted fresh every week, in small drums and with patience.")),
    ("espresso", "coffee", same("Espresso"), Words(
        "Kräftig und rund, für Siebträger und Herdkanne.",
        "Full and round, for the espresso machine and the stovetop.")),
    ("filter", "coffee", Words("Filterkaffee", "Filter coffee"), Words(
        "Klar und duftig, für Handfilter, Maschine und Kanne.",
        "Clear and fragrant, for pour-over, machine and press.")),
    ("decaf", "coffee", Words("Entkoffeiniert", "Decaffeinated"), Words(
        "Voller Geschmack, auch nach acht Uhr abends.",
        "Full flavour, even after eight in the evening.")),
    ("tea", None, Words("Tee", "Tea"), Words(
        "Lose Blätter aus Gärten, die wir kennen, und Kräuter aus der Nähe.",
        "Loose leaves from gardens we know, and herbs from close to home.")),
    ("black-tea", "tea", Words("Schwarzer Tee", "Black tea"), Words(
        "Vom blumigen Frühlingstee bis zur kräftigen Ostfriesenmischung.",
        "From flowery spring tea to a strong East Frisian blend.")),
    ("green-tea", "tea", Words("Grüner Tee", "Green tea"), Words(
        "Frisch, grasig, nussig: bei 70 Grad aufgegossen.",
        "Fresh, grassy, nutty: brewed at 70 degrees.")),
    ("oolong-white", "tea", Words("Oolong und weißer Tee", "Oolong and white tea"), Words(
        "Zart und vielschichtig, für mehrere Aufgüsse.",
        "Delicate and layered, for several infusions.")),
    ("herbs-fruit", "tea", Words("Kräuter und Früchte", "Herbs and fruit"), Words(
        "Ohne Koffein, ohne Aroma, ohne Zucker.",
        "No caffeine, no flavourings, no sugar.")),
    ("brewing", None, Words("Zubereitung", "Brewing"), Words(
        "Werkzeug, das seine Arbeit gut macht und lange hält.",
        "Tools that do their work well and last.")),
    ("makers", "brewing", Words("Kaffeebereiter", "Coffee makers"), Words(
        "Handfilter, Pressstempelkannen und Herdkannen.",
        "Drippers, presses and stovetop pots.")),
    ("grinders", "brewing", Words("Mühlen", "Grinders"), Words(
        "Frisch gemahlen schmeckt man den Unterschied.",
        "Freshly ground is the difference you taste.")),
    ("pots", "brewing", Words("Kannen und Kessel", "Pots and kettles"), Words(
        "Zum Kochen, Gießen und Warmhalten.",
        "For boiling, pouring and keeping warm.")),
    ("accessories", "brewing", Words("Filter und Zubehör", "Filters and accessories"), Words(
        "Papier, Siebe, Waagen und was sonst fehlt.",
        "Papers, strainers, scales and whatever else is missing.")),
    ("table", None, Words("Tisch und Küche", "Table and kitchen"), Words(
        "Keramik, Glas und Holz für jeden Tag.",
        "Ceramics, glass and wood for every day.")),
    ("cups", "table", Words("Tassen und Becher", "Cups and mugs"), Words(
        "Gedreht, glasiert und spülmaschinenfest.",
        "Thrown, glazed and dishwasher safe.")),
    ("storage", "table", Words("Aufbewahrung", "Storage"), Words(
        "Dicht, dunkel und schön genug für das offene Regal.",
        "Airtight, dark and good-looking enough for an open shelf.")),
    ("pantry", None, Words("Vorrat", "Pantry"), Words(
        "Was zu Kaffee und Tee gehört.",
        "What belongs with coffee and tea.")),
    ("sweets", "pantry", Words("Gebäck und Schokolade", "Biscuits and chocolate"), Words(
        "Aus kleinen Backstuben und Manufakturen.",
        "From small bakeries and makers.")),
    ("honey-sugar", "pantry", Words("Honig, Zucker und Sirup", "Honey, sugar and syrup"), Words(
        "Süßes in Maßen.",
        "Sweetness in measure.")),
)  # fmt: skip

# What attributes say: code -> words

CLASSES = {
    "coffee": Words("Kaffee", "Coffee"),
    "tea": Words("Tee", "Tea"),
    "pantry": Words("Lebensmittel", "Food"),
    "kitchenware": Words("Küchenware", "Kitchenware"),
}

#: Product class -> attribute code -> (name, type)
ATTRIBUTES = {
    "coffee": {
        "origin": (Words("Herkunft", "Origin"), "option"),
        "roast": (Words("Röstung", "Roast"), "option"),
        "grind": (Words("Mahlgrad", "Grind"), "option"),
        "weight": (Words("Gewicht (g)", "Weight (g)"), "integer"),
    },
    "tea": {
        "origin": (Words("Herkunft", "Origin"), "option"),
        "weight": (Words("Gewicht (g)", "Weight (g)"), "integer"),
        "temperature": (Words("Wassertemperatur (°C)", "Water temperature (°C)"), "integer"),
    },
    "pantry": {
        "weight": (Words("Inhalt (g)", "Contents (g)"), "integer"),
        "organic": (Words("Bio", "Organic"), "boolean"),
    },
    "kitchenware": {
        "material": (Words("Material", "Material"), "option"),
        "colour": (Words("Farbe", "Colour"), "option"),
        "capacity": (Words("Fassungsvermögen (ml)", "Capacity (ml)"), "integer"),
    },
}

OPTIONS = {
    "origin": {
        "ET": Words("Äthiopien", "Ethiopia"),
        "KE": Words("Kenia", "Kenya"),
        "RW": Words("Ruanda", "Rwanda"),
        "BR": Words("Brasilien", "Brazil"),
        "CO": Words("Kolumbien", "Colombia"),
        "GT": Words("Guatemala", "Guatemala"),
        "PE": Words("Peru", "Peru"),
        "HN": Words("Honduras", "Honduras"),
        "ID": Words("Indonesien", "Indonesia"),
        "IN": Words("Indien", "India"),
        "CN": Words("China", "China"),
        "JP": Words("Japan", "Japan"),
        "LK": Words("Sri Lanka", "Sri Lanka"),
        "TW": Words("Taiwan", "Taiwan"),
        "NP": Words("Nepal", "Nepal"),
        "ZA": Words("Südafrika", "South Africa"),
        "DE": Words("Deutschland", "Germany"),
        "MIX": Words("Mischung", "Blend"),
    },
    "roast": {
        "light": Words("hell", "light"),
        "medium": Words("mittel", "medium"),
        "dark": Words("dunkel", "dark"),
    },
    "grind": {
        "whole": Words("ganze Bohne", "whole bean"),
        "ground": Words("gemahlen", "ground"),
    },
    "material": {
        "stoneware": Words("Steinzeug", "Stoneware"),
        "porcelain": Words("Porzellan", "Porcelain"),
        "glass": Words("Borosilikatglas", "Borosilicate glass"),
        "steel": Words("Edelstahl", "Stainless steel"),
        "aluminium": Words("Aluminium", "Aluminium"),
        "cast-iron": Words("Gusseisen", "Cast iron"),
        "wood": Words("Holz", "Wood"),
        "paper": Words("Papier", "Paper"),
        "cotton": Words("Baumwolle", "Cotton"),
        "tinplate": Words("Weißblech", "Tinplate"),
    },
    "colour": {
        "sand": Words("Sand", "Sand"),
        "sea": Words("Meerblau", "Sea blue"),
        "moss": Words("Moosgrün", "Moss green"),
        "brick": Words("Ziegelrot", "Brick red"),
        "night": Words("Nachtschwarz", "Night black"),
        "snow": Words("Schneeweiß", "Snow white"),
        "sun": Words("Sonnengelb", "Sun yellow"),
    },
}  # fmt: skip

COLOURS = {
    "sand": "#d9bf94", "sea": "#3f6f8f", "moss": "#6d8058", "brick": "#b5533c",
    "night": "#33363b", "snow": "#f2efe8", "sun": "#e3a83b",
}  # fmt: skip


#: Keeps a number and its unit on one line.
NBSP = "\N{NO-BREAK SPACE}"


def euros(value: Decimal) -> Decimal:
    """A shop price near `value`: ends in 0 or 5 tenths of ten cents, such as 8.90 or 12.50."""
    return value.quantize(Decimal("0.1"), ROUND_HALF_UP).quantize(Decimal("0.01"))


# Coffee

ROASTS = {
    "light": Words(
        "Hell geröstet, damit Frucht und Blüte bleiben.",
        "Lightly roasted, so that fruit and blossom stay.",
    ),
    "medium": Words(
        "Mittel geröstet: ausgewogen, mit milder Säure.",
        "Medium roast: balanced, with gentle acidity.",
    ),
    "dark": Words(
        "Dunkel und langsam geröstet, mit wenig Säure und langem Nachklang.",
        "Dark and slowly roasted, with little acidity and a long finish.",
    ),
}

# key, category, title, origin, roast, price of 250 g, colour, taste
_COFFEES = (
    ("morgenlicht", "filter", Words("Morgenlicht Hausmischung", "Morgenlicht house blend"), "MIX", "medium",
     "7.90", "#e08e45", Words("Nougat, Apfel und ein Hauch Karamell.", "Nougat, apple and a hint of caramel.")),
    ("yirga", "filter", Words("Äthiopien Yirgacheffe", "Ethiopia Yirgacheffe"), "ET", "light",
     "10.90", "#c65d6b", Words("Jasmin, Bergamotte und Pfirsich.", "Jasmine, bergamot and peach.")),
    ("sidamo", "filter", Words("Äthiopien Sidamo Natural", "Ethiopia Sidamo natural"), "ET", "light",
     "11.40", "#a8486b", Words("Blaubeere, Kakao und Honig.", "Blueberry, cocoa and honey.")),
    ("nyeri", "filter", Words("Kenia Nyeri AA", "Kenya Nyeri AA"), "KE", "light",
     "12.50", "#8f3b46", Words("Schwarze Johannisbeere und Rhabarber.", "Blackcurrant and rhubarb.")),
    ("kivu", "filter", Words("Ruanda Kivusee", "Rwanda Lake Kivu"), "RW", "medium",
     "10.50", "#b9693f", Words("Orange, Schwarztee und Rohrzucker.", "Orange, black tea and cane sugar.")),
    ("huila", "filter", Words("Kolumbien Huila", "Colombia Huila"), "CO", "medium",
     "9.50", "#c98b2f", Words("Rote Äpfel, Panela und Mandel.", "Red apple, panela and almond.")),
    ("antigua", "filter", Words("Guatemala Antigua", "Guatemala Antigua"), "GT", "medium",
     "9.80", "#7d8f4e", Words("Milchschokolade, Pflaume und Zimt.", "Milk chocolate, plum and cinnamon.")),
    ("cajamarca", "filter", Words("Peru Cajamarca Bio", "Peru Cajamarca organic"), "PE", "medium",
     "9.20", "#5d8a66", Words("Haselnuss, Vanille und Mandarine.", "Hazelnut, vanilla and mandarin.")),
    ("copan", "filter", Words("Honduras Copán", "Honduras Copán"), "HN", "medium",
     "8.60", "#4f7f86", Words("Toffee, Walnuss und Zitrus.", "Toffee, walnut and citrus.")),
    ("fruehnebel", "filter", Words("Frühnebel Filtermischung", "Frühnebel filter blend"), "MIX", "light",
     "8.40", "#7fa3b5", Words("Mandel, Aprikose und Blütenhonig.", "Almond, apricot and blossom honey.")),
    ("sonntagsruhe", "filter", Words("Sonntagsruhe", "Sonntagsruhe (slow Sunday)"), "MIX", "medium",
     "8.20", "#d3a24c", Words("Kuchenteig, Kirsche und Sahne.", "Cake batter, cherry and cream.")),
    ("hafenkante", "espresso", Words("Espresso Hafenkante", "Espresso Hafenkante"), "MIX", "dark",
     "8.90", "#3d4f63", Words("Bitterschokolade, Malz und geröstete Nuss.", "Dark chocolate, malt and roasted nuts.")),
    ("speicher7", "espresso", Words("Espresso Speicher Sieben", "Espresso Speicher Sieben"), "MIX", "dark",
     "8.50", "#7a4a36", Words("Kakao, Tabak und brauner Zucker.", "Cocoa, tobacco and brown sugar.")),
    ("cerrado", "espresso", Words("Brasilien Cerrado", "Brazil Cerrado"), "BR", "medium",
     "8.20", "#3f7a52", Words("Erdnusskrokant, Schokolade, kaum Säure.", "Peanut brittle, chocolate, hardly any acidity.")),
    ("mandheling", "espresso", Words("Sumatra Mandheling", "Sumatra Mandheling"), "ID", "dark",
     "9.90", "#5c5346", Words("Zedernholz, Gewürze und dunkler Sirup.", "Cedar, spice and dark syrup.")),
    ("monsooned", "espresso", Words("Indien Monsun Malabar", "India Monsooned Malabar"), "IN", "dark",
     "9.40", "#8a6d3b", Words("Nussig, weich und beinahe ohne Säure.", "Nutty, soft and almost without acidity.")),
    ("nachtschicht", "espresso", Words("Espresso Nachtschicht", "Espresso Nachtschicht"), "MIX", "dark",
     "8.70", "#2f3440", Words("Kräftig, mit Lakritz und dicker Crema.", "Strong, with liquorice and a thick crema.")),
    ("mezzogiorno", "espresso", Words("Espresso Mittagspause", "Espresso Mittagspause"), "MIX", "medium",
     "8.60", "#b0472f", Words("Haselnusscreme und getrocknete Feige.", "Hazelnut cream and dried fig.")),
    ("abendrot", "decaf", Words("Abendrot entkoffeiniert", "Abendrot decaf"), "CO", "medium",
     "9.60", "#b3575e", Words("Karamell und Kirsche, schonend mit Quellwasser entkoffeiniert.",
                              "Caramel and cherry, gently decaffeinated with spring water.")),
    ("mondschein", "decaf", Words("Espresso Mondschein entkoffeiniert", "Espresso Mondschein decaf"), "BR", "dark",
     "9.40", "#54527a", Words("Schokolade und Nuss, für den letzten Espresso des Tages.",
                              "Chocolate and nuts, for the last espresso of the day.")),
)  # fmt: skip

_COFFEE_SIZES = (
    (250, "whole", "1.00"),
    (250, "ground", "1.00"),
    (500, "whole", "1.88"),
    (1000, "whole", "3.50"),
)


def _coffees() -> list[Good]:
    goods = []
    for key, category, title, origin, roast, price, colour, taste in _COFFEES:
        base = Decimal(price)
        variants = []
        for grams, grind, factor in _COFFEE_SIZES:
            size = f"1{NBSP}kg" if grams == 1000 else f"{grams}{NBSP}g"
            words = OPTIONS["grind"][grind]
            variants.append(
                Variant(
                    suffix=Words(f"{size}, {words.de}", f"{size}, {words.en}"),
                    price=euros(base * Decimal(factor)),
                    attributes={"weight": grams, "grind": grind},
                )
            )
        goods.append(
            Good(
                key=key,
                kind="coffee",
                category=category,
                title=title,
                description=Words(
                    f"{taste.de} {ROASTS[roast].de} Am besten zwei bis acht Wochen nach der Röstung.",
                    f"{taste.en} {ROASTS[roast].en} At its best two to eight weeks after roasting.",
                ),
                price=base,
                shape="bag",
                colour=colour,
                attributes={"origin": origin, "roast": roast},
                variants=tuple(variants),
                goes_with=("accessories", "sweets", "cups"),
                uses_up=True,
            )
        )
    return goods


# Tea: key, category, title, origin, °C, price of 100 g, colour, text

_TEAS = (
    ("ostfriesen", "black-tea", Words("Ostfriesische Teestunde", "East Frisian tea hour"), "MIX", 100, "6.90", "#7c2f2a",
     Words("Kräftige Blattmischung mit Assam, für Kluntje und Sahne.", "A strong leaf blend with Assam, made for rock sugar and cream.")),
    ("darjeeling-ff", "black-tea", Words("Darjeeling First Flush", "Darjeeling first flush"), "IN", 90, "12.90", "#b8a13c",
     Words("Blumig und hell, im Frühling gepflückt.", "Flowery and bright, picked in spring.")),
    ("darjeeling-sf", "black-tea", Words("Darjeeling Second Flush", "Darjeeling second flush"), "IN", 95, "10.90", "#a8672f",
     Words("Muskateller und reife Frucht aus der Sommerpflückung.", "Muscatel and ripe fruit from the summer picking.")),
    ("assam", "black-tea", Words("Assam Goldspitzen", "Assam golden tips"), "IN", 100, "8.90", "#8a4b22",
     Words("Malzig und voll, mit vielen goldenen Blattspitzen.", "Malty and full, with many golden tips.")),
    ("ceylon", "black-tea", Words("Ceylon Hochland", "Ceylon highland"), "LK", 100, "7.20", "#c0672c",
     Words("Frisch und zitronig aus über 1.500 Metern Höhe.", "Brisk and citrusy from above 1,500 metres.")),
    ("earlgrey", "black-tea", same("Earl Grey"), "CN", 95, "7.60", "#4a5f86",
     Words("Schwarzer Tee mit dem Öl der Bergamotte, sonst nichts.", "Black tea with oil of bergamot, and nothing else.")),
    ("keemun", "black-tea", same("Keemun"), "CN", 95, "9.40", "#5b3a36",
     Words("Weich, mit Kakao und einem Anflug von Rauch.", "Soft, with cocoa and a touch of smoke.")),
    ("rauchtee", "black-tea", Words("Rauchtee aus Kiefernholz", "Pine-smoked tea"), "CN", 95, "8.40", "#3e3a35",
     Words("Über Kiefernholz getrocknet: wie ein Abend am Lagerfeuer.", "Dried over pine wood: like an evening by the campfire.")),
    ("nepal-ilam", "black-tea", Words("Nepal Ilam", "Nepal Ilam"), "NP", 90, "9.80", "#9b7a3d",
     Words("Hochlandtee mit Honig und Weintraube.", "Highland tea with honey and grape.")),
    ("sencha", "green-tea", same("Sencha"), "JP", 70, "9.90", "#5f8f4f",
     Words("Gedämpfte Blätter, frisch wie eine Wiese nach dem Regen.", "Steamed leaves, fresh as a meadow after rain.")),
    ("gyokuro", "green-tea", same("Gyokuro"), "JP", 60, "24.90", "#2f6b4b",
     Words("Im Schatten gewachsen, süß und dicht.", "Grown in the shade, sweet and dense.")),
    ("genmaicha", "green-tea", same("Genmaicha"), "JP", 75, "7.80", "#8f9a4c",
     Words("Grüner Tee mit geröstetem Reis.", "Green tea with toasted rice.")),
    ("matcha", "green-tea", Words("Matcha für jeden Tag", "Everyday matcha"), "JP", 75, "19.90", "#7aa33f",
     Words("Fein gemahlen, zum Schlagen und für Milch.", "Finely ground, for whisking and for milk.")),
    ("hojicha", "green-tea", same("Hojicha"), "JP", 90, "8.40", "#8b6a45",
     Words("Geröstet, nussig und mild, mit wenig Koffein.", "Roasted, nutty and mild, low in caffeine.")),
    ("gunpowder", "green-tea", same("Gunpowder"), "CN", 75, "6.40", "#5b6f58",
     Words("Zu Kugeln gerollt, kräftig, gut mit Minze.", "Rolled into pearls, strong, good with mint.")),
    ("jasmin", "green-tea", Words("Jasminperlen", "Jasmine pearls"), "CN", 75, "14.90", "#a9b77c",
     Words("Von Hand gerollt und fünf Nächte mit Blüten beduftet.", "Rolled by hand and scented with blossom for five nights.")),
    ("tieguanyin", "oolong-white", same("Tie Guan Yin"), "CN", 90, "13.90", "#6f9a83",
     Words("Orchidee und Butter, für fünf Aufgüsse.", "Orchid and butter, for five infusions.")),
    ("dongding", "oolong-white", same("Dong Ding Oolong"), "TW", 95, "15.90", "#a2793f",
     Words("Geröstet und rund, mit gebackenem Obst.", "Roasted and round, with baked fruit.")),
    ("milky", "oolong-white", Words("Hochland-Oolong Alishan", "Alishan high-mountain oolong"), "TW", 90, "18.90", "#88a98c",
     Words("Cremig und kühl, aus den Bergen Taiwans.", "Creamy and cool, from the mountains of Taiwan.")),
    ("pai-mu-tan", "oolong-white", same("Pai Mu Tan"), "CN", 80, "11.40", "#b9bfa4",
     Words("Weißer Tee: Heu, Honig, Melone.", "White tea: hay, honey, melon.")),
    ("silbernadel", "oolong-white", Words("Silbernadel", "Silver needle"), "CN", 75, "22.90", "#a7b0b5",
     Words("Nur ungeöffnete Knospen, zart und süßlich.", "Unopened buds only, delicate and sweet.")),
    ("kamille", "herbs-fruit", Words("Kamillenblüten", "Camomile blossom"), "DE", 100, "5.40", "#d8b648",
     Words("Ganze Blüten aus Thüringen.", "Whole blossoms from Thuringia.")),
    ("pfefferminze", "herbs-fruit", Words("Pfefferminze", "Peppermint"), "DE", 100, "4.90", "#4f9a7a",
     Words("Ganze Blätter, kühl und klar.", "Whole leaves, cool and clear.")),
    ("rooibos", "herbs-fruit", same("Rooibos"), "ZA", 100, "5.20", "#b5502d",
     Words("Sonnengetrocknet, vanillig und mild.", "Sun-dried, mild, with vanilla notes.")),
    ("bergkraeuter", "herbs-fruit", Words("Bergkräuter", "Mountain herbs"), "DE", 100, "6.20", "#6f8c5a",
     Words("Salbei, Thymian, Verbene und Ringelblume.", "Sage, thyme, verbena and marigold.")),
    ("gartenfruechte", "herbs-fruit", Words("Gartenfrüchte", "Garden fruit"), "MIX", 100, "5.90", "#b83f5e",
     Words("Apfel, Hagebutte, Hibiskus und Himbeere.", "Apple, rosehip, hibiscus and raspberry.")),
    ("ingwer", "herbs-fruit", Words("Ingwer und Zitrone", "Ginger and lemon"), "MIX", 100, "5.80", "#d9953a",
     Words("Wärmt im Winter, erfrischt auf Eis.", "Warms in winter, refreshes on ice.")),
    ("fenchel", "herbs-fruit", Words("Fenchel, Anis, Kümmel", "Fennel, aniseed, caraway"), "DE", 100, "4.80", "#9aa257",
     Words("Der Klassiker nach dem Essen.", "The classic after a meal.")),
    ("winterabend", "herbs-fruit", Words("Winterabend", "Winter evening"), "MIX", 100, "6.40", "#7d3b4a",
     Words("Apfel, Zimt, Nelke und Orangenschale.", "Apple, cinnamon, clove and orange peel.")),
)  # fmt: skip


def _teas() -> list[Good]:
    goods = []
    for key, category, title, origin, celsius, price, colour, text in _TEAS:
        base = Decimal(price)
        variants = tuple(
            Variant(same(f"{grams}{NBSP}g"), euros(base * Decimal(factor)), {"weight": grams})
            for grams, factor in ((100, "1.00"), (250, "2.30"))
        )
        goods.append(
            Good(
                key=key,
                kind="tea",
                category=category,
                title=title,
                description=Words(
                    f"{text.de} Lose Blätter; ein gehäufter Teelöffel je Tasse, Wasser bei {celsius} °C.",
                    f"{text.en} Loose leaf; one heaped teaspoon per cup, water at {celsius} °C.",
                ),
                price=base,
                shape="tin",
                colour=colour,
                attributes={"origin": origin, "temperature": celsius},
                variants=variants,
                goes_with=("honey-sugar", "sweets", "cups"),
                uses_up=True,
            )
        )
    return goods


# Kitchenware with colours: key, category, title, material, ml, price, shape, colours, text

_COLOURED = (
    ("becher-elbe", "cups", Words("Becher Elbe", "Mug Elbe"), "stoneware", 320, "16.90", "mug",
     ("sand", "sea", "moss", "brick", "night"),
     Words("Von Hand gedreht, innen glatt, außen matt. Liegt gut in kalten Händen.",
           "Thrown by hand, smooth inside, matt outside. Sits well in cold hands.")),
    ("tasse-alster", "cups", Words("Espressotasse Alster mit Untertasse", "Espresso cup Alster with saucer"),
     "porcelain", 80, "14.50", "cup", ("snow", "sea", "brick", "sun"),
     Words("Dickwandig, damit der Espresso heiß bleibt.", "Thick-walled, so that espresso stays hot.")),
    ("tasse-spree", "cups", Words("Milchkaffeetasse Spree", "Café au lait cup Spree"), "porcelain", 280, "15.90",
     "cup", ("snow", "moss", "night"),
     Words("Weit geöffnet, für Milchschaum mit Platz.", "Wide open, with room for milk foam.")),
    ("kanne-havel", "pots", Words("Teekanne Havel", "Teapot Havel"), "stoneware", 1100, "49.00", "teapot",
     ("sand", "moss", "night"),
     Words("Tropft nicht, hält warm und hat ein Sieb, in dem Blätter Platz finden.",
           "Does not drip, keeps warm, and its strainer gives leaves room.")),
    ("dose-mulde", "storage", Words("Vorratsdose Mulde", "Storage tin Mulde"), "tinplate", 900, "12.90", "caddy",
     ("sand", "sea", "brick", "night"),
     Words("Innendeckel mit Dichtung; fasst 250 g Bohnen.", "Inner lid with a seal; holds 250 g of beans.")),
    ("filter-oker", "makers", Words("Handfilter Oker", "Dripper Oker"), "porcelain", 500, "24.90", "dripper",
     ("snow", "brick", "night"),
     Words("Steile Rippen, ein großer Auslauf: klarer Kaffee in drei Minuten.",
           "Steep ribs and one large opening: clear coffee in three minutes.")),
)  # fmt: skip


def _coloured() -> list[Good]:
    goods = []
    for key, category, title, material, capacity, price, shape, colours, text in _COLOURED:
        variants = tuple(
            Variant(OPTIONS["colour"][code], Decimal(price), {"colour": code}, COLOURS[code])
            for code in colours
        )
        goods.append(
            Good(
                key=key,
                kind="kitchenware",
                category=category,
                title=title,
                description=text,
                price=Decimal(price),
                shape=shape,
                colour=COLOURS[colours[0]],
                attributes={"material": material, "capacity": capacity},
                variants=variants,
                goes_with=_companions(category),
            )
        )
    return goods


def _companions(category: str) -> tuple[str, ...]:
    return {
        "makers": ("accessories", "filter"),
        "grinders": ("espresso", "filter"),
        "pots": ("green-tea", "black-tea"),
        "accessories": ("filter", "makers"),
        "storage": ("filter", "black-tea"),
    }.get(category, ("sweets", "filter"))


# Single kitchenware: key, category, title, material, ml (0: none), price, shape, colour, text

_SINGLE = (
    ("presse-06", "makers", Words("Pressstempelkanne Weser 0,6 l", "Coffee press Weser 0.6 l"), "glass", 600, "32.90", "press", "#8a5a3a",
     Words("Doppeltes Sieb, kein Satz in der Tasse.", "Double strainer, no grounds in the cup.")),
    ("presse-10", "makers", Words("Pressstempelkanne Weser 1,0 l", "Coffee press Weser 1.0 l"), "glass", 1000, "39.90", "press", "#33363b",
     Words("Für den Frühstückstisch mit Gästen.", "For a breakfast table with guests.")),
    ("herd-3", "makers", Words("Herdkanne Isar, 3 Tassen", "Stovetop pot Isar, 3 cups"), "aluminium", 150, "26.90", "moka", "#9aa3a8",
     Words("Acht Kanten, ein Ventil, seit Generationen bewährt.", "Eight edges, one valve, proven for generations.")),
    ("herd-6", "makers", Words("Herdkanne Isar, 6 Tassen", "Stovetop pot Isar, 6 cups"), "steel", 300, "44.90", "moka", "#b5533c",
     Words("Edelstahl, auch für Induktion.", "Stainless steel, also for induction.")),
    ("karaffe", "makers", Words("Glaskaraffe Lahn mit Holzkragen", "Glass carafe Lahn with wooden collar"), "glass", 800, "38.50", "carafe", "#c08a54",
     Words("Filter und Kanne in einem Stück, mit Kragen aus Esche.", "Filter and jug in one piece, with a collar of ash.")),
    ("servierer", "makers", Words("Servierkanne Lahn 0,6 l", "Server Lahn 0.6 l"), "glass", 600, "19.90", "carafe", "#6d8058",
     Words("Mit Skala, passt unter jeden Handfilter.", "With a scale; fits under any dripper.")),
    ("cold-brew", "makers", Words("Kaltbrüher Sommer 1,2 l", "Cold brewer Sommer 1.2 l"), "glass", 1200, "34.90", "carafe", "#3f6f8f",
     Words("Abends füllen, morgens trinken.", "Fill in the evening, drink in the morning.")),
    ("muehle-hand", "grinders", Words("Handmühle Harz", "Hand grinder Harz"), "steel", 0, "89.00", "grinder", "#6b4a33",
     Words("Kegelmahlwerk aus Stahl, 36 Stufen, 30 g in einer Minute.", "Conical steel burrs, 36 steps, 30 g in a minute.")),
    ("muehle-reise", "grinders", Words("Reisemühle Harz mini", "Travel grinder Harz mini"), "steel", 0, "64.00", "grinder", "#33363b",
     Words("Passt in den Becher und in den Rucksack.", "Fits inside a mug and a rucksack.")),
    ("muehle-holz", "grinders", Words("Kastenmühle Eifel", "Box mill Eifel"), "wood", 0, "74.90", "boxmill", "#a2703f",
     Words("Buche, mit Schublade für das Mehl, wie bei den Großeltern.", "Beech, with a drawer for the grounds, as at the grandparents'.")),
    ("muehle-elektrisch", "grinders", Words("Elektrische Mühle Brocken", "Electric grinder Brocken"), "steel", 0, "189.00", "electric", "#4b5058",
     Words("Leise, 40 Stufen, von Filter bis Espresso.", "Quiet, 40 steps, from filter to espresso.")),
    ("muehle-espresso", "grinders", Words("Espressomühle Brocken stufenlos", "Stepless espresso grinder Brocken"), "steel", 0, "329.00", "electric", "#b5533c",
     Words("Stufenlos verstellbar, mahlt direkt in den Siebträger.", "Stepless, grinds straight into the portafilter.")),
    ("wasserkessel", "pots", Words("Schwanenhalskessel Ruhr", "Gooseneck kettle Ruhr"), "steel", 1000, "69.00", "kettle", "#33363b",
     Words("Gießt so langsam und genau, wie die Hand es will.", "Pours as slowly and precisely as the hand wants.")),
    ("wasserkocher", "pots", Words("Wasserkocher Ruhr mit Temperaturwahl", "Electric kettle Ruhr with temperature control"), "steel", 900, "119.00", "kettle", "#9aa3a8",
     Words("Von 40 bis 100 °C, hält eine halbe Stunde warm.", "From 40 to 100 °C, keeps warm for half an hour.")),
    ("floetenkessel", "pots", Words("Flötenkessel Jade", "Whistling kettle Jade"), "steel", 1800, "54.90", "kettle", "#6d8058",
     Words("Emailliert, pfeift freundlich.", "Enamelled, with a friendly whistle.")),
    ("gusskanne", "pots", Words("Gusskanne Saale 0,8 l", "Cast-iron teapot Saale 0.8 l"), "cast-iron", 800, "62.00", "teapot", "#3d4f63",
     Words("Hält eine Stunde warm, innen emailliert.", "Stays warm for an hour, enamelled inside.")),
    ("glaskanne", "pots", Words("Glaskanne Nahe 1,2 l", "Glass teapot Nahe 1.2 l"), "glass", 1200, "36.90", "teapot", "#c9a15a",
     Words("Man sieht, wann der Tee gut ist.", "You can see when the tea is ready.")),
    ("kyusu", "pots", Words("Seitengriffkanne Kyusu", "Side-handle pot Kyusu"), "stoneware", 300, "45.00", "teapot", "#8f3b2c",
     Words("Für grünen Tee, mit feinem Keramiksieb.", "For green tea, with a fine ceramic strainer.")),
    ("isolierkanne", "pots", Words("Isolierkanne Ems 1,0 l", "Vacuum jug Ems 1.0 l"), "steel", 1000, "42.90", "jug", "#b9bfc2",
     Words("Zwölf Stunden heiß, mit einer Hand zu öffnen.", "Hot for twelve hours, opens with one hand.")),
    ("papier-2", "accessories", Words("Filterpapier Größe 2, 100 Stück", "Filter papers size 2, pack of 100"), "paper", 0, "3.90", "paper", "#d9bf94",
     Words("Ungebleicht, reißfest, ohne Eigengeschmack.", "Unbleached, strong, without a taste of its own.")),
    ("papier-4", "accessories", Words("Filterpapier Größe 4, 100 Stück", "Filter papers size 4, pack of 100"), "paper", 0, "4.40", "paper", "#e3a83b",
     Words("Für die große Kanne.", "For the large jug.")),
    ("papier-rund", "accessories", Words("Filterpapier rund, 200 Stück", "Round filter papers, pack of 200"), "paper", 0, "7.90", "paper", "#f2efe8",
     Words("Für Kaltbrüher und Druckfilter.", "For cold brewers and pressure filters.")),
    ("teefilter", "accessories", Words("Teefilter Papier, 100 Stück", "Paper tea filters, pack of 100"), "paper", 0, "3.60", "paper", "#6d8058",
     Words("Mit hohem Rand zum Einhängen.", "With a tall edge to hang over the pot.")),
    ("dauerfilter", "accessories", Words("Dauerfilter aus Baumwolle", "Reusable cotton filter"), "cotton", 0, "9.90", "paper", "#c9b79b",
     Words("Waschbar, ersetzt hunderte Papiere.", "Washable, replaces hundreds of papers.")),
    ("teesieb", "accessories", Words("Teesieb mit Ablage", "Tea strainer with rest"), "steel", 0, "12.50", "spoon", "#9aa3a8",
     Words("Feines Gewebe, großer Korb.", "Fine mesh, large basket.")),
    ("waage", "accessories", Words("Kaffeewaage mit Uhr", "Coffee scale with timer"), "steel", 0, "48.00", "scale", "#33363b",
     Words("Auf ein Zehntelgramm genau, mit Stoppuhr.", "Accurate to a tenth of a gram, with a timer.")),
    ("messloeffel", "accessories", Words("Messlöffel aus Olivenholz", "Olive wood measuring spoon"), "wood", 0, "9.50", "spoon", "#a2703f",
     Words("Fasst 10 g gemahlenen Kaffee.", "Holds 10 g of ground coffee.")),
    ("matchabesen", "accessories", Words("Matchabesen aus Bambus", "Bamboo matcha whisk"), "wood", 0, "18.90", "whisk", "#c9a15a",
     Words("Achtzig feine Borsten, von Hand geschnitten.", "Eighty fine bristles, cut by hand.")),
    ("tamper", "accessories", Words("Tamper 58 mm", "Tamper 58 mm"), "steel", 0, "34.00", "tamper", "#6b4a33",
     Words("Griff aus Nussbaum, Boden aus Edelstahl.", "Walnut handle, stainless base.")),
    ("milchkanne", "accessories", Words("Milchkännchen 0,35 l", "Milk jug 0.35 l"), "steel", 350, "16.50", "jug", "#9aa3a8",
     Words("Spitzer Ausguss für Schaumbilder.", "Pointed spout for latte art.")),
    ("reiniger", "accessories", Words("Reinigungspulver für Mühlen und Maschinen", "Cleaning powder for grinders and machines"), "paper", 0, "11.90", "box", "#3f6f8f",
     Words("Löst Kaffeefett, ohne Duftstoffe.", "Removes coffee oils, unscented.")),
    ("entkalker", "accessories", Words("Entkalker mit Zitronensäure", "Descaler with citric acid"), "paper", 0, "6.90", "box", "#e3a83b",
     Words("Für Kessel, Kocher und Maschinen.", "For kettles, boilers and machines.")),
    ("glas-doppel", "cups", Words("Doppelwandgläser, 2 Stück", "Double-walled glasses, set of 2"), "glass", 250, "21.90", "glass", "#b9693f",
     Words("Außen kühl, innen heiß.", "Cool outside, hot inside.")),
    ("glas-tee", "cups", Words("Teeglas mit Henkel", "Tea glass with handle"), "glass", 400, "9.90", "glass", "#a9b77c",
     Words("Dünnwandig und leicht.", "Thin-walled and light.")),
    ("reisebecher", "cups", Words("Reisebecher Fulda", "Travel mug Fulda"), "steel", 350, "29.90", "travel", "#3f6f8f",
     Words("Dicht, auch auf dem Fahrrad.", "Leak-proof, even on a bicycle.")),
    ("reisebecher-klein", "cups", Words("Reisebecher Fulda klein", "Small travel mug Fulda"), "steel", 240, "26.90", "travel", "#b5533c",
     Words("Passt unter die Siebträgermaschine.", "Fits under the espresso machine.")),
    ("matchaschale", "cups", Words("Matchaschale", "Matcha bowl"), "stoneware", 450, "28.00", "bowl", "#6f9a83",
     Words("Weit und schwer, damit sie beim Schlagen steht.", "Wide and heavy, so that it stands while you whisk.")),
    ("teeschalen", "cups", Words("Teeschalen, 4 Stück", "Tea bowls, set of 4"), "porcelain", 60, "32.00", "bowl", "#d9bf94",
     Words("Für kleine Schlucke und viele Aufgüsse.", "For small sips and many infusions.")),
    ("vorratsglas-s", "storage", Words("Vorratsglas 0,5 l", "Storage jar 0.5 l"), "glass", 500, "8.90", "jar", "#c9a15a",
     Words("Mit Bügel und Gummiring.", "With clip and rubber ring.")),
    ("vorratsglas-l", "storage", Words("Vorratsglas 1,5 l", "Storage jar 1.5 l"), "glass", 1500, "12.90", "jar", "#8a5a3a",
     Words("Für den Kilobeutel.", "For the kilo bag.")),
    ("vakuumdose", "storage", Words("Vakuumdose für Bohnen", "Vacuum canister for beans"), "steel", 1200, "36.00", "caddy", "#4b5058",
     Words("Ein Dreh am Deckel zieht die Luft heraus.", "One turn of the lid draws the air out.")),
    ("teedosen", "storage", Words("Teedosen mit Washi-Papier, 3 Stück", "Washi paper tea tins, set of 3"), "tinplate", 400, "27.00", "caddy", "#a8486b",
     Words("Doppelter Deckel, dreimal verschieden.", "Double lid, three patterns.")),
)  # fmt: skip


def _singles() -> list[Good]:
    return [
        Good(
            key=key,
            kind="kitchenware",
            category=category,
            title=title,
            description=text,
            price=Decimal(price),
            shape=shape,
            colour=colour,
            attributes={"material": material, **({"capacity": capacity} if capacity else {})},
            goes_with=_companions(category),
            uses_up=shape in {"paper", "box"} and key != "dauerfilter",
        )
        for key, category, title, material, capacity, price, shape, colour, text in _SINGLE
    ]


# Pantry: key, category, title, grams, organic, price, shape, colour, text

_PANTRY = (
    ("cantuccini", "sweets", Words("Mandelkekse zum Tunken", "Almond biscuits for dipping"), 200, False, "4.90", "box", "#c98b2f",
     Words("Zweimal gebacken, mit ganzen Mandeln.", "Baked twice, with whole almonds.")),
    ("haferkekse", "sweets", Words("Haferkekse mit Meersalz", "Oat biscuits with sea salt"), 180, True, "4.40", "box", "#a2703f",
     Words("Grob, buttrig und nicht zu süß.", "Coarse, buttery and not too sweet.")),
    ("spekulatius", "sweets", Words("Gewürzspekulatius", "Spiced speculoos"), 250, False, "3.90", "box", "#8a4b22",
     Words("Knusprig, das ganze Jahr.", "Crisp, all year round.")),
    ("shortbread", "sweets", Words("Buttergebäck", "Butter shortbread"), 160, False, "4.60", "box", "#d3a24c",
     Words("Nur Mehl, Butter, Zucker und Salz.", "Just flour, butter, sugar and salt.")),
    ("schoko-70", "sweets", Words("Zartbitterschokolade 70 %", "Dark chocolate 70%"), 100, True, "4.20", "bar", "#4a2f28",
     Words("Kakao aus Peru, mild geröstet.", "Cocoa from Peru, gently roasted.")),
    ("schoko-85", "sweets", Words("Zartbitterschokolade 85 %", "Dark chocolate 85%"), 100, True, "4.40", "bar", "#2f2624",
     Words("Herb, mit Johannisbeere im Nachklang.", "Bitter, with a finish of currant.")),
    ("schoko-milch", "sweets", Words("Milchschokolade mit Kaffeesplittern", "Milk chocolate with coffee nibs"), 100, False, "4.50", "bar", "#8a5a3a",
     Words("Mit unserer Hausmischung, fein zerstoßen.", "With our house blend, finely crushed.")),
    ("schoko-weiss", "sweets", Words("Weiße Schokolade mit Matcha", "White chocolate with matcha"), 100, False, "4.80", "bar", "#7aa33f",
     Words("Grün, cremig, ein wenig herb.", "Green, creamy, a little bitter.")),
    ("bohnen-schoko", "sweets", Words("Kaffeebohnen in Schokolade", "Chocolate-covered coffee beans"), 150, False, "5.90", "bag", "#5c3b2e",
     Words("Eine Handvoll ersetzt den Nachmittagskaffee.", "A handful replaces the afternoon coffee.")),
    ("marzipan", "sweets", Words("Marzipankartoffeln", "Marzipan bites"), 125, False, "3.80", "bag", "#7a4a36",
     Words("Mit sechzig Prozent Mandeln.", "Sixty per cent almonds.")),
    ("honig-linde", "honey-sugar", Words("Lindenhonig", "Lime blossom honey"), 500, True, "8.90", "honey", "#e3a83b",
     Words("Von einem Imker aus der Uckermark.", "From a beekeeper in the Uckermark.")),
    ("honig-raps", "honey-sugar", Words("Rapshonig, cremig", "Creamed rapeseed honey"), 500, False, "6.90", "honey", "#ecd28a",
     Words("Mild und streichzart.", "Mild and spreadable.")),
    ("honig-wald", "honey-sugar", Words("Waldhonig", "Forest honey"), 250, True, "7.40", "honey", "#7a4a1f",
     Words("Dunkel und würzig.", "Dark and spicy.")),
    ("kluntje", "honey-sugar", Words("Weißer Kandis", "White rock sugar"), 500, False, "3.20", "bag", "#b9c4cc",
     Words("Knistert in der Tasse, wie es sich gehört.", "Crackles in the cup, as it should.")),
    ("kandis-braun", "honey-sugar", Words("Brauner Kandis", "Brown rock sugar"), 500, False, "3.40", "bag", "#a2703f",
     Words("Mit Karamellnote.", "With a note of caramel.")),
    ("rohrzucker", "honey-sugar", Words("Rohrohrzucker", "Raw cane sugar"), 500, True, "2.90", "bag", "#c9a15a",
     Words("Fein, löst sich schnell.", "Fine, dissolves quickly.")),
    ("sirup-vanille", "honey-sugar", Words("Vanillesirup", "Vanilla syrup"), 330, False, "7.90", "bottle", "#d9bf94",
     Words("Mit echter Vanille und ohne Farbstoff.", "With real vanilla and no colouring.")),
    ("sirup-karamell", "honey-sugar", Words("Karamellsirup mit Salz", "Salted caramel syrup"), 330, False, "7.90", "bottle", "#b9693f",
     Words("Für Milchkaffee und Eis.", "For latte and ice cream.")),
    ("sirup-holunder", "honey-sugar", Words("Holunderblütensirup", "Elderflower syrup"), 500, True, "6.80", "bottle", "#a9b77c",
     Words("Mit Sprudel oder kaltem Tee.", "With sparkling water or cold tea.")),
    ("hafermilch", "pantry", Words("Haferdrink für Schaum", "Oat drink for foam"), 1000, True, "2.60", "carton", "#7fa3b5",
     Words("Schäumt dicht und flockt nicht.", "Foams densely and does not curdle.")),
)  # fmt: skip


def _pantry() -> list[Good]:
    return [
        Good(
            key=key,
            kind="pantry",
            category=category,
            title=title,
            description=text,
            price=Decimal(price),
            shape=shape,
            colour=colour,
            attributes={"weight": grams, "organic": organic},
            goes_with=("filter", "black-tea"),
            uses_up=True,
        )
        for key, category, title, grams, organic, price, shape, colour, text in _PANTRY
    ]


GOODS: tuple[Good, ...] = (*_coffees(), *_teas(), *_coloured(), *_singles(), *_pantry())
