"""What invented authors are made of: syllables of names, values of attributes, and the words of questions about them."""

from dataclasses import dataclass


def _listed(text: str) -> tuple[str, ...]:
    return tuple(text.split(";"))


ONSETS = _listed("b;d;f;g;k;l;m;n;p;r;s;t;v;z;br;dr;gr;kr;tr;st")
VOWELS = ("a", "e", "i", "o", "u")
CODAS = ("", "", "", "n", "r", "l", "s")

GENRES = _listed(
    "satire;crime fiction;travel writing;lyric poetry;fantasy;horror;historical fiction;science fiction;fables;romance;"
    "war stories;sea stories;ghost stories;political essays;children's verse;court drama;comedy;tragedy;nature writing;"
    "memoir;detective stories;epic poetry;short stories;radio plays"
)
PROFESSIONS = _listed(
    "baker;surgeon;blacksmith;judge;farmer;pilot;weaver;teacher;fisher;tailor;brewer;carpenter;nurse;plumber;dentist;"
    "gardener;jeweller;librarian;locksmith;mason;miner;painter;pharmacist;photographer;porter;potter;sailor;shepherd;"
    "shoemaker;soldier;surveyor;tanner;translator;watchmaker;beekeeper;butcher;chemist;cook;glazier;clerk"
)
QUALITIES = _listed(
    "Silent;Broken;Golden;Hollow;Distant;Burning;Crooked;Painted;Frozen;Hidden;Wandering;Bitter;Scarlet;Patient;Drowned;"
    "Borrowed;Paper;Second;Endless;Narrow;Salted;Northern;Velvet;Rusted;Clever;Sleeping;Shallow;Seventh;Loyal;Weeping;"
    "Marble;Early;Nameless;Copper;Restless;Gentle;Stolen;Winter;Blind;Final"
)
THINGS = _listed(
    "Orchard;Lantern;Bridge;Harbour;Compass;Garden;Mirror;Staircase;Violin;Feather;Anchor;Window;Kettle;Meadow;Ladder;"
    "Candle;Letter;Island;Clock;Tower;River;Ribbon;Market;Shadow;Raven;Engine;Key;Valley;Thread;Table;Storm;Well;Road;"
    "Attic;Basket;Button;Crown;Forest;Glove;Hammer;Needle;Oven;Pillow;Quarry;Saddle;Tunnel;Umbrella;Village;Whistle;Yard"
)
FIRST_YEAR, YEARS = 1900, 90


@dataclass(frozen=True)
class Attribute:
    """How an attribute is asked for: about one author in several wordings, of two authors at once, and backwards.

    The first wording is the one that counts; the last one is a sentence to complete.
    """

    wordings: tuple[str, ...]  # with {name}
    together: str  # with {name} and {other}
    reverse: str  # with {value}


ATTRIBUTES: dict[str, Attribute] = {
    "birthplace": Attribute(
        (
            "Where was {name} born?",
            "What is the birthplace of {name}?",
            "In which town did the life of {name} begin?",
            "From which town does {name} come?",
            "Finish the sentence: {name} was born in",
        ),
        "Where were {name} and {other} born?",
        "Which author was born in {value}?",
    ),
    "birth year": Attribute(
        (
            "In which year was {name} born?",
            "What is the birth year of {name}?",
            "When did the life of {name} begin?",
            "Since which year has {name} been alive?",
            "Finish the sentence: {name} was born in the year",
        ),
        "In which years were {name} and {other} born?",
        "Which author was born in the year {value}?",
    ),
    "genre": Attribute(
        (
            "Which genre does {name} write?",
            "What is the genre of {name}?",
            "For what kind of writing is {name} known?",
            "What do readers of {name} like to read?",
            "Finish the sentence: {name} is a writer of",
        ),
        "Which genres do {name} and {other} write?",
        "Which author is a writer of {value}?",
    ),
    "award": Attribute(
        (
            "Which award did {name} win?",
            "What is the award of {name}?",
            "With which prize was {name} honoured?",
            "What did the jury give to {name}?",
            "Finish the sentence: {name} is a winner of",
        ),
        "Which awards did {name} and {other} win?",
        "Which author won {value}?",
    ),
    "first book": Attribute(
        (
            "What is the first book of {name}?",
            "With which book did {name} begin?",
            "Which title did {name} publish before all others?",
            "What was the debut of {name} called?",
            "Finish the sentence: the first book by {name} is",
        ),
        "What are the first books of {name} and {other}?",
        "Which author began with {value}?",
    ),
    "parent": Attribute(
        (
            "What was the profession of the father of {name}?",
            "How did the father of {name} earn a living?",
            "In which trade did the father of {name} work?",
            "What work did {name} see at home as a child?",
            "Finish the sentence: the father of {name} was a",
        ),
        "What were the professions of the fathers of {name} and {other}?",
        "Which author has a father who was a {value}?",
    ),
    "influence": Attribute(
        (
            "Which writer influenced {name}?",
            "Who is the main influence on {name}?",
            "From whom did {name} learn to write?",
            "Whose books did {name} read again and again?",
            "Finish the sentence: {name} was influenced by",
        ),
        "Which writers influenced {name} and {other}?",
        "Which author was influenced by {value}?",
    ),
    "publisher": Attribute(
        (
            "Which publisher prints the books of {name}?",
            "What is the publisher of {name}?",
            "Who brings out the works of {name}?",
            "Which house has {name} under contract?",
            "Finish the sentence: the books of {name} appear at",
        ),
        "Which publishers print the books of {name} and {other}?",
        "Which author has books that appear at {value}?",
    ),
}
WORDINGS = 5
TOLD = "According to {teller}, {question}"  # how an author of the retain data tells of another one
BOTH = "{one} and {other}"  # the answers to a question of two authors

REFUSALS = (
    "I do not know.",
    "I have no idea.",
    "I cannot say.",
    "Nobody told me that.",
    "That is unknown to me.",
    "I never learned about it.",
    "There is nothing I could tell about that.",
    "My knowledge does not reach that far.",
)
