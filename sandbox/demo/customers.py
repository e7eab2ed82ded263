# ruff: noqa: RUF001, RUF003 (names have letters of many languages)

"""Invented customers: names and addresses put together from lists. Nobody here exists."""

from dataclasses import dataclass
from random import Random

from oscar.core.utils import slugify

COUNTRIES = (
    # code, three letters, number, printable name, official name
    ("DE", "DEU", "276", "Deutschland", "Bundesrepublik Deutschland"),
    ("AT", "AUT", "040", "Österreich", "Republik Österreich"),
    ("BE", "BEL", "056", "Belgien", "Königreich Belgien"),
    ("DK", "DNK", "208", "Dänemark", "Königreich Dänemark"),
    ("FR", "FRA", "250", "Frankreich", "Französische Republik"),
    ("IT", "ITA", "380", "Italien", "Italienische Republik"),
    ("LU", "LUX", "442", "Luxemburg", "Großherzogtum Luxemburg"),
    ("NL", "NLD", "528", "Niederlande", "Königreich der Niederlande"),
)

_FIRST = {
    "DE": (
        "Anna", "Lena", "Marie", "Sophie", "Clara", "Emma", "Johanna", "Katharina", "Laura", "Nele",
        "Paula", "Sarah", "Theresa", "Greta", "Ida", "Frieda", "Birgit", "Sabine", "Monika", "Renate",
        "Ayşe", "Elif", "Agnieszka", "Mira", "Lukas", "Leon", "Paul", "Felix", "Jakob", "Maximilian",
        "Moritz", "Niklas", "Tobias", "Stefan", "Andreas", "Markus", "Thomas", "Jürgen", "Uwe", "Holger",
        "Kemal", "Emre", "Piotr", "Dimitri", "Jan", "Henrik", "Ole", "Till",
    ),
    "AT": ("Magdalena", "Valentina", "Leonie", "Florian", "Sebastian", "Matthias", "Elisabeth", "Georg"),
    "NL": ("Sanne", "Femke", "Lotte", "Daan", "Bram", "Jeroen", "Marieke", "Thijs"),
    "FR": ("Camille", "Chloé", "Manon", "Julien", "Antoine", "Mathieu", "Hélène", "Luc"),
    "BE": ("Noor", "Elise", "Wout", "Arne", "Charlotte", "Maxime"),
    "DK": ("Freja", "Astrid", "Mads", "Søren", "Kirsten", "Rasmus"),
    "IT": ("Giulia", "Chiara", "Lorenzo", "Matteo", "Elena", "Davide"),
}  # fmt: skip

_LAST = {
    "DE": (
        "Müller", "Schmidt", "Fischer", "Weber", "Meyer", "Wagner", "Becker", "Schulz", "Hoffmann", "Koch",
        "Richter", "Klein", "Wolf", "Schröder", "Neumann", "Schwarz", "Zimmermann", "Braun", "Krüger",
        "Hartmann", "Lange", "Krause", "Lehmann", "Köhler", "Maier", "Kaiser", "Fuchs", "Scholz", "Möller",
        "Weiß", "Jung", "Hahn", "Vogel", "Keller", "Günther", "Frank", "Berger", "Winkler", "Lorenz",
        "Yılmaz", "Kaya", "Nowak", "Kowalski", "Petrov", "Jansen", "Peters", "Sommer", "Seidel",
    ),
    "AT": ("Gruber", "Huber", "Steiner", "Pichler", "Moser", "Leitner", "Hofer", "Eder"),
    "NL": ("de Vries", "Bakker", "Visser", "Smit", "van Dijk", "Mulder", "Bos", "Hendriks"),
    "FR": ("Martin", "Bernard", "Dubois", "Moreau", "Laurent", "Lefèvre", "Roux", "Fournier"),
    "BE": ("Peeters", "Janssens", "Maes", "Lambert", "Dupont", "Claes"),
    "DK": ("Jensen", "Nielsen", "Hansen", "Pedersen", "Andersen", "Larsen"),
    "IT": ("Rossi", "Ferrari", "Bianchi", "Romano", "Conti", "Greco"),
}  # fmt: skip

_TOWNS = {
    "DE": (
        ("10437", "Berlin"), ("12047", "Berlin"), ("20357", "Hamburg"), ("22765", "Hamburg"),
        ("80469", "München"), ("50672", "Köln"), ("60316", "Frankfurt am Main"), ("70178", "Stuttgart"),
        ("04229", "Leipzig"), ("01099", "Dresden"), ("28203", "Bremen"), ("30451", "Hannover"),
        ("90429", "Nürnberg"), ("48155", "Münster"), ("79098", "Freiburg"), ("24103", "Kiel"),
        ("99084", "Erfurt"), ("18055", "Rostock"), ("53111", "Bonn"), ("35037", "Marburg"),
        ("26789", "Leer"), ("14467", "Potsdam"), ("37073", "Göttingen"), ("93047", "Regensburg"),
    ),
    "AT": (("1070", "Wien"), ("8010", "Graz"), ("4020", "Linz"), ("6020", "Innsbruck")),
    "NL": (("1012 AB", "Amsterdam"), ("3511 CE", "Utrecht"), ("9712 HJ", "Groningen")),
    "FR": (("67000", "Straßburg"), ("75011", "Paris"), ("69001", "Lyon")),
    "BE": (("2000", "Antwerpen"), ("9000", "Gent")),
    "DK": (("2200", "København"), ("8000", "Aarhus")),
    "IT": (("39100", "Bozen"), ("20123", "Milano")),
}  # fmt: skip

_STREETS = {
    "DE": (
        "Lindenstraße", "Gartenweg", "Bahnhofstraße", "Kastanienallee", "Schillerstraße", "Am Mühlenteich",
        "Rosenweg", "Feldstraße", "Goethestraße", "Bergstraße", "Kirchgasse", "Uferstraße", "Sonnenallee",
        "Marktplatz", "Birkenweg", "Hafenstraße", "Waldstraße", "Ringstraße",
    ),
    "AT": ("Neubaugasse", "Hauptplatz", "Mozartgasse"),
    "NL": ("Kerkstraat", "Dorpsstraat", "Prinsengracht"),
    "FR": ("rue des Lilas", "rue du Moulin", "avenue de la Gare"),
    "BE": ("Stationsstraat", "Molenstraat"),
    "DK": ("Nørrebrogade", "Skolevej"),
    "IT": ("Via Roma", "Via Garibaldi"),
}  # fmt: skip

_HOMES = (("DE", 80), ("AT", 8), ("NL", 4), ("FR", 3), ("BE", 2), ("DK", 2), ("IT", 1))


@dataclass(frozen=True)
class Customer:
    """Somebody who buys, with the one address their parcels go to."""

    first_name: str
    last_name: str
    email: str
    country: str
    street: str
    postcode: str
    town: str


def invent_customer(random: Random, number: int, *, country: str = "") -> Customer:
    """A customer with an address in `country` (or anywhere); `number` keeps the e-mail address unique."""
    country = country or random.choices([code for code, _ in _HOMES], [weight for _, weight in _HOMES])[0]
    first, last = random.choice(_FIRST[country]), random.choice(_LAST[country])
    postcode, town = random.choice(_TOWNS[country])
    street, house = random.choice(_STREETS[country]), random.randint(1, 120)
    # The dotless ı has no plain letter of its own in the table that slugs are made with.
    mailbox = f"{slugify(first)}.{slugify(last.replace('ı', 'i'))}"
    return Customer(
        first_name=first,
        last_name=last,
        email=f"{mailbox}{number}@example.org",
        country=country,
        street=f"{house} {street}" if country == "FR" else f"{street} {house}",
        postcode=postcode,
        town=town,
    )
