# ruff: noqa: E501 (a row of a table reads best on one line)

"""What customers say about goods: short reviews by product class and score."""

from random import Random

# Product class -> score -> (title, body)
_GERMAN = {
    "coffee": {
        5: (
            ("Unser neuer Alltagskaffee", "Rund, kein bisschen bitter, auch mit Milch noch da. Wird nachbestellt."),
            ("Endlich wieder Crema", "Frisch geröstet, das merkt man schon beim Öffnen der Tüte."),
            ("Duftet durch die ganze Wohnung", "Im Handfilter ein Gedicht. Zwei Tage nach der Bestellung war er da."),
            ("Begeistert", "Wir haben viele probiert und bleiben jetzt bei diesem."),
        ),
        4: (
            ("Sehr gut, etwas hell für uns", "Feine Frucht. Als Espresso nehme ich lieber einen dunkleren."),
            ("Guter Kaffee, Tüte fummelig", "Geschmacklich prima, der Verschluss könnte besser halten."),
        ),
        3: (("Ordentlich", "Solider Kaffee, für den Preis hatte ich mir mehr Tiefe erhofft."),),
        2: (("Nicht mein Geschmack", "Mir zu säuerlich, auch mit anderem Mahlgrad."),),
    },
    "tea": {
        5: (
            ("Wie in den Ferien", "Große Blätter, drei Aufgüsse und jedes Mal anders."),
            ("Sehr feiner Tee", "Mit weichem Wasser und einer Uhr wird er perfekt."),
            ("Jeden Abend eine Kanne", "Schmeckt nach dem, was draufsteht, und nach nichts anderem."),
        ),
        4: (
            ("Schöner Tee", "Duftet herrlich. Die Dose könnte etwas größer sein."),
            ("Gern wieder", "Etwas kräftiger als erwartet, also kürzer ziehen lassen."),
        ),
        3: (("Geht so", "Angenehm, aber nicht besonders."),),
        2: (("Zu bitter", "Trotz achtzig Grad wurde er mir zu herb."),),
    },
    "kitchenware": {
        5: (
            ("Liegt toll in der Hand", "Sauber verarbeitet und schöner als auf dem Bild."),
            ("Hält, was es verspricht", "Seit drei Monaten jeden Tag im Einsatz, wie neu."),
            ("Geschenk kam sehr gut an", "Gut verpackt und schnell geliefert."),
        ),
        4: (
            ("Schön, aber etwas schwer", "Gefällt mir sehr, nur voll wird es gewichtig."),
            ("Fast perfekt", "Die Farbe ist etwas dunkler als gedacht, sonst alles gut."),
        ),
        3: (("In Ordnung", "Tut, was es soll. Die Anleitung ist dürftig."),),
        2: (("Kleiner Kratzer", "Kam mit einem Kratzer an, wurde aber sofort ersetzt."),),
    },
    "pantry": {
        5: (
            ("Gefährlich gut", "Die Packung war am selben Abend leer."),
            ("Passt genau zum Espresso", "Nicht zu süß, kommt wieder in den Korb."),
        ),
        4: (("Lecker", "Guter Geschmack, gern als größere Packung."),),
        3: (("Ganz nett", "Schmeckt, ist aber kein Muss."),),
        2: (("Bruch", "Beim Transport einiges zerbrochen, geschmeckt hat es trotzdem."),),
    },
}  # fmt: skip

_ENGLISH = {
    "coffee": {
        5: (("Our new daily coffee", "Round and never bitter, and it still comes through in milk."),),
        4: (("Very good", "Lovely fruit. I would go darker for espresso."),),
        3: (("Decent", "Solid, though I had hoped for more depth."),),
        2: (("Too sharp for me", "Tried several grinds, still a bit sour."),),
    },
    "tea": {
        5: (("Wonderful leaves", "Three infusions, and each one different."),),
        4: (("Lovely tea", "Beautiful scent. Steep it a little shorter."),),
        3: (("Fine", "Pleasant, nothing special."),),
        2: (("Rather bitter", "Even at eighty degrees it was too harsh for me."),),
    },
    "kitchenware": {
        5: (("Beautifully made", "In use every day for three months and still like new."),),
        4: (("Nearly perfect", "A touch darker than in the picture, otherwise great."),),
        3: (("Does the job", "Works well, the instructions are thin."),),
        2: (("Arrived scratched", "Replaced at once, but still a nuisance."),),
    },
    "pantry": {
        5: (("Dangerously good", "The pack did not survive the evening."),),
        4: (("Tasty", "Would buy a bigger pack."),),
        3: (("Nice enough", "Good, but not a must."),),
        2: (("Broken bits", "Some broke on the way. Tasted fine."),),
    },
}


def invent_opinion(random: Random, kind: str) -> tuple[int, str, str]:
    """Score, title and text of a review of something of this product class."""
    score = random.choices([5, 4, 3, 2], [58, 28, 10, 4])[0]
    words = _ENGLISH if random.random() < 0.15 else _GERMAN
    title, body = random.choice(words[kind][score])
    return score, title, body
