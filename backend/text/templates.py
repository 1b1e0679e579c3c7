"""How a question is put to a model: plainly, or as the turn of a user in its chat template."""

from functools import partial
from pathlib import Path
from typing import Any, Literal

from backend.chat import render, special_tokens, template_of
from backend.stage import UserError
from backend.text.absent import Absent, replaceable
from backend.text.questions import Template, plain

Form = Literal["plain", "chat"]
FILES = ["tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja"]


def template_for(form: Form, spec: dict[str, Any]) -> Template:
    """The template in which a task's model is asked; that of a chat comes with a released model.

    Raises:
        UserError: the model is new, or has no chat template, or that cannot be fetched
    """
    if form == "plain":
        return plain
    if "pretrained" not in spec:
        raise UserError("template = 'chat' takes a released model that has one; ask a new model with template = 'plain'.")  # fmt: skip
    try:
        folder = _folder(spec["pretrained"], spec.get("revision", ""))
    except Absent as problem:
        replaceable(problem)
        return plain
    return partial(_asked, template_of(folder), special_tokens(folder))


def _asked(template: str, special: dict[str, str], question: str) -> str:
    return render(template, [{"role": "user", "content": question}], True, special)


def _folder(name: str, revision: str) -> Path:
    if Path(name).is_dir():
        return Path(name)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return Path(snapshot_download(name, revision=revision or None, allow_patterns=FILES))
    except (OSError, ValueError, HfHubHTTPError) as problem:
        raise Absent(f"The chat template of {name} cannot be fetched ({type(problem).__name__}); download the model and give its folder.") from problem  # fmt: skip
