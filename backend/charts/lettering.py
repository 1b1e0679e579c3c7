"""How wide a text is in the font of exports, and how a long name is broken into lines."""

from collections.abc import Iterable, Sequence

# Advance widths of Liberation Sans in thousandths of the font's size, from space to tilde.
ASCII = (
    278, 278, 355, 556, 556, 889, 667, 191, 333, 333, 389, 584, 278, 333, 278, 278, 556, 556, 556, 556, 556, 556, 556,
    556, 556, 556, 278, 278, 584, 584, 584, 556, 1015, 667, 667, 722, 722, 667, 611, 778, 722, 278, 500, 667, 556, 833,
    722, 778, 667, 778, 722, 667, 611, 722, 667, 944, 667, 667, 611, 278, 278, 278, 469, 556, 333, 556, 556, 500, 556,
    556, 278, 556, 556, 222, 222, 500, 222, 833, 556, 556, 556, 556, 333, 500, 278, 556, 500, 722, 500, 500, 500, 334,
    260, 334, 584,
)  # fmt: skip
OTHERS = {"→": 1000, "←": 1000, "↑": 500, "↓": 500, "α": 578, "β": 575, "×": 584, "÷": 549, "−": 584, "±": 549, "…": 1000, "—": 1000, "○": 604, "●": 604}  # fmt: skip
UNKNOWN = 700  # rather too wide than too narrow
BOLD = 1.1  # about; rather too wide
LEADING = 1.2  # a line's height over its font's size


def width(text: str, size: float, bold: bool = False) -> float:
    """The width of one line of text, in the unit of its size; letters that are not known count as wide."""
    thousandths = sum(
        ASCII[ord(sign) - 32] if " " <= sign <= "~" else OTHERS.get(sign, UNKNOWN) for sign in text
    )
    return thousandths / 1000 * size * (BOLD if bold else 1)


def widest(lines: Iterable[str], size: float, bold: bool = False) -> float:
    """The width of the widest of some lines; 0 for none."""
    return max((width(line, size, bold) for line in lines), default=0.0)


def wrapped(text: str, size: float, limit: float) -> list[str]:
    """The text in lines of at most that width, broken at spaces only; a single longer word stands alone."""
    lines: list[str] = []
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and width(longer, size) <= limit:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def balanced(text: str, size: float, limit: float) -> list[str]:
    """The text in as few lines as `wrapped` needs, of about the same width."""
    lines = wrapped(text, size, limit)
    step = size / 2
    while len(lines) > 1 and limit > step and len(wrapped(text, size, limit - step)) == len(lines):
        limit -= step
        lines = wrapped(text, size, limit)
    return lines


def columns_of(labels: Sequence[Sequence[str]], size: float, beside: float, room: float) -> int:
    """How many equally wide columns of these labels fit side by side, `beside` what every entry takes besides."""
    entry = max((widest(lines, size) for lines in labels), default=0.0) + beside
    most = max(1, min(len(labels), int(room // max(entry, 1.0))))
    rows = -(-len(labels) // most)
    return max(1, -(-len(labels) // max(rows, 1)))
