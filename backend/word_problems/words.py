"""Who and what the stories are about. All things form their plural with a bare s."""

_NAMES = """
Ada Ali Amara Anton Aziz Bela Benno Carla Celine Chidi Clara Dario Dina Edith Ekon Elif Elsa Emre Enzo Esme
Farid Finn Flora Frida Gina Greta Hana Haruto Hugo Ida Ikram Ilse Imani Ines Ivo Jana Jonas Joris Juno Kaito
Karim Katja Kenji Kofi Lale Lars Leila Leon Lina Liv Luca Lucia Maja Malik Marek Marta Mei Mila Milan Mina
Musa Nadia Nils Nina Noor Nora Olga Omar Otto Paula Petra Pia Rafa Rania Remy Rosa Ruben Salma Samir Sara
Sofia Sven Tarek Tessa Theo Tilda Tomas Uma Vera Viktor Wanda Yara Yuki Yusuf Zara Zeno
"""

_THINGS = """
acorn apple apron arrow badge ball banana basin bead bean bell belt blanket bolt bone book boot bottle bow
brick bulb button cake candle cap card carrot chain chair chestnut clip clock coat coin cork cup curtain
doll drum egg fan feather flag flower flute fork gem hammer hat hook kettle key kite ladder lamp leaflet
lemon lid magnet map marble mask melon mirror mug nail napkin needle nut olive onion oven paddle parcel pear
pen pencil pillow pin pipe plate plum poster puzzle ribbon ring rope saw seed shell shirt shovel
skirt spoon stamp sticker stone stool ticket tile towel toy tulip vase wheel whistle
"""

_BOXES = """
bag barrel basket bin bowl bucket carton case chest crate drawer hamper jar locker pot sack tin tray trunk tub
"""

_PLACES = """
bakery bridge camp castle factory fair farm garden harbour hotel library market mill museum office park school
station theatre workshop
"""
_PEOPLE = """
actor baker cook cousin dancer driver farmer friend gardener guest helper neighbour painter pupil runner sailor
singer teacher tourist worker
"""

_COUNTED = "day guest heap hour lap minute page point row seat seed set step team trip visitor week"

NAMES, THINGS, BOXES, PEOPLE = (tuple(text.split()) for text in (_NAMES, _THINGS, _BOXES, _PEOPLE))
PLACES = tuple(f"the {place}" for place in _PLACES.split())
COUNTED = tuple(_COUNTED.split())  # what some stories count instead of things

# Sentences that say nothing to the point, which stand in every second training story, so that numbers are not found by their
# distance alone.
ASIDES = (
    "The sun is shining.",
    "It is a cold day.",
    "Nobody else is there.",
    "A dog barks.",
    "The wind is calm.",
    "Time goes by.",
    "Everybody is glad.",
    "That takes a while.",
    "That is hard work.",
    "Soon it will rain.",
    "All goes well.",
    "There is no hurry.",
)


def plural(noun: str) -> str:
    """Of any of these nouns."""
    return f"{noun}s"
