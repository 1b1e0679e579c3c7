"""Every page for readers with other eyes and hands: axe finds nothing serious, light, dark and in strong contrast."""

import re
from pathlib import Path
from typing import Any

import pytest

from db import session
from tests.in_browser import IDLE, NEEDS_BROWSER, ROOT, expect, open_at
from tests.seed_database import seed_study

axe = pytest.importorskip(
    "axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed"
)
PAGES = [
    path.stem.partition("_")[2]
    for path in sorted((ROOT / "pages").glob("[0-9]*.py"), key=lambda p: int(p.stem.split("_")[0]))
]
SMALL = (
    'recipes=[{suppress="max_ent"}, {suppress="max_ent", robustify={name="undo", alpha=[0.2, 0.8]}}]',
    "attacks.0.learning_rate=[1e-3, 3e-3]",
    "seeds=[0, 1]",
)
# Vega draws the frame of a drag as an image without a name; nobody reads it.
DRAG_FRAMES = ("brush_brush", "box_brush")
# What a fragment draws anew fades while the server takes long; a reader sees that for a moment only.
AT_REST = (
    '[data-testid="stElementContainer"] { opacity: 1 !important; transition: none !important }'
)

pytestmark = NEEDS_BROWSER


def serious(page: Any) -> list[str]:
    """What axe calls serious or critical, the frames of drags apart."""
    found = []
    for violation in axe.Axe().run(page).response["violations"]:
        if violation["impact"] not in ("serious", "critical"):
            continue
        for node in violation["nodes"]:
            if not any(name in node["html"] for name in DRAG_FRAMES):
                found.append(f"{violation['id']}: {node['target']} {node['html'][:160]}")
    return found


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_on_any_page(serve: Any, page: Any, scheme: str) -> None:
    address = serve()
    seed_study(session.require_database(), overrides=SMALL)
    page.emulate_media(color_scheme=scheme)
    told = {}
    for name in PAGES:
        place = "" if name == "Frontier" else name
        open_at(page, f"{address}/{place}?study=quick&pick=MaxEnt", name)
        page.wait_for_timeout(1500)
        page.wait_for_selector(IDLE)
        page.add_style_tag(content=AT_REST)
        told[name] = serious(page)
        if told[name]:  # what is just being drawn, as a status that fades in, is not looked at
            page.wait_for_selector(IDLE)
            page.wait_for_timeout(3000)
            told[name] = serious(page)
    assert not {name: found for name, found in told.items() if found}


def test_strong_contrast_is_a_switch_that_stays(serve: Any, page: Any, tmp_path: Path) -> None:
    address = serve()
    seed_study(session.require_database(), overrides=SMALL)
    open_at(page, f"{address}/?study=quick", "Frontier")
    page.get_by_text("High contrast").click()
    main = page.get_by_test_id("stMain")
    expect(main).to_have_css("filter", re.compile("contrast"))
    page.get_by_test_id("stSidebarNavLink").filter(has_text="Jobs").click()
    page.get_by_role("heading", name="Jobs", level=1).wait_for()
    expect(main).to_have_css("filter", re.compile("contrast"))
