"""Chat templates, free of torch: a conversation as the one text that a chat model was trained to read.

Templates come with checkpoints, so they are rendered in jinja's sandbox, and from plain values alone.
"""

import datetime
import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NoReturn

import jinja2
import jinja2.ext
import jinja2.nodes
import jinja2.parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from backend.stage import UserError

# What a template reads as today's date: the same on every day, so that a study's texts never change.
TODAY = datetime.datetime(2024, 7, 26)
SPECIAL = ("bos_token", "eos_token", "pad_token", "unk_token")

Message = Mapping[str, Any]  # {"role": "user", "content": "…"}


def render(
    folder_or_template: str | Path,
    messages: Sequence[Message],
    add_generation_prompt: bool,
    special: Mapping[str, str] | None = None,
) -> str:
    """The conversation as text, special tokens written out; with the generation prompt it ends where an answer starts.

    Given is a checkpoint's folder, or a template itself with the `special` tokens that it names.

    Raises:
        UserError: there is no template, or it refuses these messages
    """
    text = str(folder_or_template)
    if "{{" in text or "{%" in text:
        template, tokens = text, dict(special or {})
    else:
        template, tokens = template_of(folder_or_template), special_tokens(folder_or_template)
    try:
        return _compiled(template).render(
            messages=[dict(message) for message in messages],
            add_generation_prompt=add_generation_prompt,
            tools=None,
            documents=None,
            **tokens,
        )
    except (jinja2.TemplateError, TypeError, ValueError) as problem:
        raise UserError(f"The chat template does not take these messages: {problem}.") from problem


def question(folder_or_template: str | Path, asked: str, system: str = "") -> str:
    """A question as a user puts it, up to where the answer starts."""
    before = [{"role": "system", "content": system}] if system else []
    return render(folder_or_template, [*before, {"role": "user", "content": asked}], True)


def has_template(folder: str | Path) -> bool:
    """Whether a checkpoint's folder has a chat template."""
    return _template(Path(folder)) is not None


def template_of(folder: str | Path) -> str:
    """The chat template of a checkpoint's folder; of several the one named `default`.

    Raises:
        UserError: the folder has none
    """
    found = _template(Path(folder))
    if found is None:
        raise UserError(f"{folder} has no chat template; the model is no chat model, so ask it plainly.")  # fmt: skip
    return found


def _template(folder: Path) -> str | None:
    alone = folder / "chat_template.jinja"
    if alone.is_file():
        return alone.read_text(encoding="utf-8")
    named = _read(folder / "tokenizer_config.json").get("chat_template")
    if isinstance(named, list):
        several = {one["name"]: one["template"] for one in named}
        named = several.get("default", next(iter(several.values()), None))
    return named if isinstance(named, str) else None


def special_tokens(folder: str | Path) -> dict[str, str]:
    """The texts of the special tokens that a checkpoint's folder names."""
    place = Path(folder)
    told = {**_read(place / "special_tokens_map.json"), **_read(place / "tokenizer_config.json")}
    found = {name: told[name] for name in SPECIAL if told.get(name)}
    return {n: str(t["content"] if isinstance(t, dict) else t) for n, t in found.items()}


def _read(path: Path) -> dict[str, Any]:
    """A JSON file's object; empty where there is no such file."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as problem:
        raise UserError(f"{path} is no JSON: {problem}.") from problem
    return found if isinstance(found, dict) else {}


class _Generation(jinja2.ext.Extension):
    """`{% generation %} … {% endgeneration %}` marks answers for training; what stands inside is plain text here."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: jinja2.parser.Parser) -> list[jinja2.nodes.Node]:
        """The statements between the two tags."""
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


@lru_cache(maxsize=16)
def _compiled(template: str) -> jinja2.Template:
    # The same whitespace rules, filters and functions that transformers gives to templates.
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=[_Generation, jinja2.ext.loopcontrols],
    )
    environment.filters["tojson"] = _as_json
    environment.globals["raise_exception"] = _refuse
    environment.globals["strftime_now"] = TODAY.strftime
    return environment.from_string(template)


def _as_json(value: Any, ensure_ascii: bool = False, **options: Any) -> str:
    """Unlike jinja's own filter it leaves <, > and & as they are."""
    return json.dumps(value, ensure_ascii=ensure_ascii, **options)


def _refuse(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)
