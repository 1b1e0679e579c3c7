"""A person asks models a question in a real Chromium, and real processes answer."""

from pathlib import Path
from typing import Any

from sqlalchemy import text

from db import reads, session
from tests.asking import trained_study
from tests.in_browser import IDLE, MILLISECONDS, NEEDS_BROWSER, expect, expecting, open_at, wait_for
from tests.test_browser import stop_workers

pytestmark = NEEDS_BROWSER


def test_a_question_is_answered_marked_and_kept(serve: Any, page: Any, tmp_path: Path) -> None:
    address = serve()
    engine = session.require_database()
    trained_study(engine, tmp_path)
    open_at(page, f"{address}/Playground?pick=MaxEnt+(steps+20)", "Playground")
    page.get_by_role("button", name="Ask 3 models", exact=True).click()
    expect(page.get_by_text("No worker is running, so nobody answers.")).to_be_visible()
    try:
        page.get_by_role("button", name="Start a worker").click()
        page.set_default_timeout(2 * MILLISECONDS)
        page.get_by_role("heading", name="Answers").wait_for()
        page.set_default_timeout(MILLISECONDS)
        look_at_the_answers(page)
        ask_for_several(page)
        keep_the_case(page, engine)
        leaves_no_orphan(page, engine)
    finally:
        stop_workers(engine)


def look_at_the_answers(page: Any) -> None:
    expect(page.locator("article")).to_have_count(3)
    expect(page.locator("article").first.locator("mark")).to_be_visible()
    expect(page.locator("article").first).to_contain_text("exactly right")
    expect(page.get_by_role("heading", name="How likely is the answer")).to_be_visible()
    page.locator("[data-testid=stVegaLiteChart] svg").first.wait_for()
    page.reload()  # the same question is answered from what is stored
    expect(page.locator("article")).to_have_count(3)
    assert "pick=MaxEnt" in page.url


def ask_for_several(page: Any) -> None:
    page.get_by_role("button", name="Ask 3 models all of it").click()
    told = page.get_by_text("items. ⚑ says the answer")
    expecting()(told).to_be_visible(timeout=240_000)
    page.get_by_text("Only where models differ", exact=True).click()
    expect(page.get_by_text("items. ⚑ says the answer")).to_be_visible()
    page.wait_for_selector(IDLE)


def keep_the_case(page: Any, engine: Any) -> None:
    page.get_by_role("button", name="Add to report").first.click()
    page.get_by_role("button", name="Add", exact=True).click()
    wait_for(lambda: len(reads.reports(engine)) == 1, 300)
    report = reads.report(engine, int(reads.reports(engine)["id"].iloc[0]))
    case = report["blocks"][0]
    assert case["kind"] == "case" and len(case["content"]["answers"]) == 3
    assert case["content"]["answers"][0]["leaks"]


def leaves_no_orphan(page: Any, engine: Any) -> None:
    """A question whose tab is closed is answered all the same, and then nothing is open."""
    page.keyboard.press("Escape")
    page.get_by_text("My own", exact=True).click()
    page.get_by_role("textbox", name="Your prompt").fill("2 × 3 =")
    page.get_by_role("textbox", name="Your prompt").press("Control+Enter")
    before = asked(engine)
    page.get_by_role("button", name="Ask 3 models", exact=True).click()
    wait_for(lambda: asked(engine) > before, 300)
    page.close()
    wait_for(lambda: reads.prompts_open(engine) == 0, 300)


def asked(engine: Any) -> int:
    with engine.connect() as c:
        return int(c.execute(text("SELECT count(*) FROM prompt_request")).scalar())
