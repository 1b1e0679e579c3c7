"""Chat templates give the very text that transformers gives, without it."""

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from backend.chat import has_template, question, render
from backend.stage import UserError
from tests.families import tokenizer

PLAIN = (
    "{{ bos_token }}{% for message in messages %}\n"
    "    {%- if message.role == 'system' %}\n"
    "        {%- continue %}\n"
    "    {%- endif %}\n"
    "<|{{ message['role'] }}|>{{ message['content'] | trim }}{{ eos_token }}\n"
    "{% endfor %}\n"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
MARKED = (
    "{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ m.content }}!"
    "{% endgeneration %}{% else %}{{ m | tojson }}{% endif %}{% endfor %}"
)
DATED = (
    "{% if strftime_now is defined %}{% set day = strftime_now('%d %b %Y') %}{% else %}"
    "{% set day = '26 Jul 2024' %}{% endif %}Today: {{ day }}.{% set ns = namespace(n=0) %}"
    "{% for m in messages %}{% set ns.n = ns.n + 1 %}{{ ns.n }}{{ m.content }}{% endfor %}"
)
TALK = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": " Who wrote <it> & 'that'? "},
    {"role": "assistant", "content": "Ñandú"},
]


def folder_with(template: Any, folder: Path) -> Path:
    made = tokenizer()
    made.chat_template = template
    made.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("template", [PLAIN, MARKED])
@pytest.mark.parametrize("prompted", [True, False])
def test_text_is_that_of_transformers(tmp_path: Path, template: str, prompted: bool) -> None:
    folder = folder_with(template, tmp_path)
    theirs = AutoTokenizer.from_pretrained(folder).apply_chat_template(
        TALK, tokenize=False, add_generation_prompt=prompted
    )
    assert render(folder, TALK, prompted) == theirs
    special = {"bos_token": "<s>", "eos_token": "</s>"}
    assert render(template, TALK, prompted, special) == theirs


def test_a_question_ends_where_its_answer_starts(tmp_path: Path) -> None:
    folder = folder_with(PLAIN, tmp_path)
    assert question(folder, "Who?") == "<s><|user|>Who?</s>\n<|assistant|>"
    assert question(folder, "Who?", "Be brief.") == question(folder, "Who?")


def test_the_template_of_an_older_checkpoint_stands_in_its_tokenizers_configuration(
    tmp_path: Path,
) -> None:
    several = [{"name": "tool_use", "template": "no"}, {"name": "default", "template": PLAIN}]
    told = {"chat_template": several, "bos_token": {"content": "<B>"}, "eos_token": None}
    (tmp_path / "special_tokens_map.json").write_text(json.dumps({"eos_token": "<E>"}))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(told))
    assert render(tmp_path, TALK[1:2], False).startswith("<B><|user|>Who wrote")


def test_the_date_is_the_same_on_every_day() -> None:
    assert render(DATED, TALK[1:2], False).startswith("Today: 26 Jul 2024.1 Who")


@pytest.mark.parametrize(
    "template",
    [
        "{{ raise_exception('System role not supported') }}",
        "{{ messages.__class__.__mro__ }}",
        "{{ messages.append(1) }}",
        "{{ ''.format.__globals__['sys'] }}",
        "{% for %}",
        "{{ nothing.there }}",
    ],
)
def test_what_a_template_must_not_do_is_a_sentence(template: str) -> None:
    with pytest.raises(UserError, match=r"does not take these messages: .*\.$"):
        render(template, TALK, True)


def test_a_model_without_a_template_is_no_chat_model(tmp_path: Path) -> None:
    tokenizer().save_pretrained(tmp_path)
    assert not has_template(tmp_path)
    with pytest.raises(UserError, match="no chat template"):
        render(tmp_path, TALK, True)
    assert has_template(folder_with(PLAIN, tmp_path))
