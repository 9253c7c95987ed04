"""The page of the server in a real browser: its numbers, that it goes on by itself, and that everyone can use it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest
from httpx import Client
from playwright.sync_api import Browser, Page, Route, expect

from semcache import OptimizedRerankerPipeline
from semcache.server import Recorder, create_app
from semcache.settings import Settings
from tests.fakes import CountingReranker, WordEmbedder
from tests.scripted import PATIENCE_S
from tests.server.running import running

KEY = "operator-0123456789"
POLL_MS = 2500
"""Longer than the page waits between two looks."""
CONTRAST = """() => {
  const channel = (value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
  const luminance = (colour) => {
    const [red, green, blue] = colour.match(/[\\d.]+/g).map((value) => channel(value / 255));
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const ground = luminance(getComputedStyle(document.querySelector(".card")).backgroundColor);
  const texts = [...document.querySelectorAll("main *")].filter((node) => node.checkVisibility()
    && [...node.childNodes].some((child) => child.nodeType === 3 && child.textContent.trim()));
  return texts.map((node) => {
    const style = getComputedStyle(node);
    const text = luminance(node instanceof SVGElement ? style.fill : style.color);
    return [(Math.max(text, ground) + 0.05) / (Math.min(text, ground) + 0.05), node.outerHTML.slice(0, 80)];
  }).sort(([one], [other]) => one - other)[0];
}"""
"""The text of the least contrast (WCAG 2.2) to the ground of a card."""


@dataclass
class Seen:
    """The requests and the complaints of a browser."""

    hosts: set[str] = field(default_factory=set)
    complaints: list[str] = field(default_factory=list)


@pytest.fixture(autouse=True)
def _always_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("semcache.server.live.view._FRESH_S", 0.0)
    monkeypatch.setattr("semcache.server.live.view._ENTRIES_FRESH_S", 0.0)


@pytest.fixture
def settings(redis_url: str, namespace: str) -> Settings:
    return Settings(redis={"url": redis_url}, cache={"namespace": namespace}, reuse={"audit_rate": 0})


@pytest.fixture
def pipeline(settings: Settings) -> Iterator[OptimizedRerankerPipeline]:
    with OptimizedRerankerPipeline(
        CountingReranker(), None, embedding_model=WordEmbedder(), settings=settings, observers=[Recorder()]
    ) as pipeline:
        yield pipeline


@pytest.fixture
def client(pipeline: OptimizedRerankerPipeline, settings: Settings) -> Iterator[Client]:
    with running(create_app(pipeline, settings=settings)) as url, Client(base_url=url, timeout=PATIENCE_S) as client:
        yield client


@pytest.fixture
def seen() -> Seen:
    return Seen()


@pytest.fixture
def page(browser: Browser, seen: Seen) -> Iterator[Page]:
    """A page whose timers go on when the test says so; what it complains about fails the test."""
    with browser.new_context() as context:
        page = context.new_page()
        page.set_default_timeout(1000 * PATIENCE_S)
        page.on("request", lambda request: seen.hosts.add(urlsplit(request.url).netloc))
        page.on("pageerror", lambda error: seen.complaints.append(str(error)))
        page.on(
            "console", lambda said: seen.complaints.append(said.text) if said.type in ("error", "warning") else None
        )
        page.clock.install()
        yield page
        assert seen.complaints == []
        assert len(seen.hosts) <= 1


def ask(client: Client, query: str = "red apples", documents: int = 4) -> None:
    texts = [f"text {number} of {query if number else 'a car'}" for number in range(documents)]
    client.post("/v2/rerank", json={"query": query, "documents": texts}).raise_for_status()


def opened(page: Page, client: Client) -> Page:
    page.goto(str(client.base_url))
    expect(page.locator("#figures")).to_be_visible()
    return page


def figure(page: Page, name: str) -> str:
    return page.locator(f'[data-figure="{name}"]').inner_text()


def test_its_numbers_are_those_of_stats(page: Page, client: Client) -> None:
    for query in ("red apples", "red apples", "blue cars", "green pears of a tree", "red apples"):
        ask(client, query)
    stats = client.get("/stats").json()["cache"]
    opened(page, client)
    assert figure(page, "requests") == f"{stats['requests']} since the start" == "5 since the start"
    reused, asked = stats["pairs_reused"] + stats["pairs_skipped"], stats["pairs_asked"]
    assert figure(page, "avoided-total") == f"{reused} of {reused + asked} in all"
    assert figure(page, "avoided") == f"{100 * reused / (reused + asked):.0f} %"
    rows = [row.split("\t") for row in page.locator("#latency tbody").inner_text().splitlines()]
    by_status = {status: count for status, count in stats["by_status"].items() if count}
    assert {status: int(count) for status, count, *_ in rows} == by_status | {"all": 5}
    assert f"Up, with {client.get('/live').json()['redis']['entries']} entries" in page.locator("#redis").inner_text()
    assert page.locator("#health").get_attribute("data-state") == "good"


def test_it_goes_on_by_itself_and_keeps_no_more_than_before(page: Page, client: Client) -> None:
    ask(client)
    opened(page, client)
    page.get_by_text("As a table").first.click()
    counts = []
    for number in range(3):
        ask(client)
        page.clock.fast_forward(POLL_MS)
        expect(page.locator('[data-figure="requests"]')).to_have_text(f"{number + 2} since the start")
        counts.append(page.evaluate("document.querySelectorAll('*').length"))
    # A row of the table is of a time, and there may be one more by now.
    assert max(counts) - min(counts) <= 20


def test_a_page_that_is_not_seen_asks_nothing(page: Page, client: Client) -> None:
    page.add_init_script("Object.defineProperty(document, 'hidden', { get: () => window.isUnseen === true })")
    opened(page, client)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    turn = "(isUnseen) => { window.isUnseen = isUnseen; document.dispatchEvent(new Event('visibilitychange')); }"
    page.evaluate(turn, True)
    page.clock.fast_forward(60_000)
    assert page.evaluate("1") == 1  # what was asked before this is known
    assert asked == []
    ask(client)
    page.evaluate(turn, False)
    expect(page.locator('[data-figure="requests"]')).to_have_text("1 since the start")
    assert len(asked) == 1


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_nothing_has_to_be_scrolled_sideways(page: Page, client: Client, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 844})
    ask(client)
    opened(page, client)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.locator('[popovertarget="why-trust"]').first.click()
    box = page.locator("#why-trust").bounding_box()
    assert box is not None and box["x"] >= 0 and box["x"] + box["width"] <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_light_or_dark_as_the_browser_is_and_all_can_be_read(page: Page, client: Client, scheme: str) -> None:
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    ask(client)
    opened(page, client)
    least, text = page.evaluate(CONTRAST)
    assert least >= 4.5, text
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == {"light": "rgb(246, 246, 243)", "dark": "rgb(19, 22, 25)"}[scheme]


def test_the_theme_can_be_chosen_and_is_kept(page: Page, client: Client) -> None:
    opened(page, client)
    for theme in ("light", "dark"):
        page.locator("#theme").click()
        expect(page.locator("#theme")).to_have_text(f"Theme: {theme}")
    page.reload()
    expect(page.locator("#theme")).to_have_text("Theme: dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(19, 22, 25)"


def test_it_can_be_used_by_keyboard_and_without_seeing_it(page: Page, client: Client) -> None:
    ask(client)
    opened(page, client)
    for chart in page.locator(".chart svg").all():
        assert chart.get_attribute("aria-label")
    assert all(button.get_attribute("aria-label") or button.inner_text() for button in page.locator("button").all())
    chart = page.locator('[data-chart="statuses"] svg')
    expect(chart).to_have_attribute(
        "aria-label",
        "Share of requests by where their answers came from, over time. "
        f"Latest, {chart_time(chart.get_attribute('aria-label'))}: exact 0 (0 %), semantic 0 (0 %), "
        "verified 0 (0 %), partial 0 (0 %), pruned 0 (0 %), fresh 1 (100 %), degraded 0 (0 %)",
    )
    chart.focus()
    page.keyboard.press("End")
    expect(page.locator('[data-chart="statuses"] .tip')).to_be_visible()
    assert "fresh" in page.locator("#said").inner_text()
    page.keyboard.press("Escape")
    expect(page.locator('[data-chart="statuses"] .tip')).to_be_hidden()
    why = page.locator('[popovertarget="why-drift"]')
    why.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#why-drift")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#why-drift")).to_be_hidden()


def chart_time(label: str | None) -> str:
    assert label is not None
    return label.partition("Latest, ")[2][:8]


def test_a_chart_is_a_table_too(page: Page, client: Client) -> None:
    ask(client)
    ask(client)
    opened(page, client)
    page.locator('[data-chart="pairs"] summary').click()
    rows = page.locator('[data-chart="pairs"] tbody tr').all_inner_texts()
    # Both requests are in one row, unless a new slot began between them.
    assert sum(int(row.split("\t")[1]) for row in rows) == 4
    assert sum(int(row.split("\t")[2]) for row in rows) == 4


def test_the_last_day_can_be_shown(page: Page, client: Client) -> None:
    ask(client)
    opened(page, client)
    with page.expect_response(lambda response: "window=24h" in response.url):
        page.locator('[data-window="24h"]').click()
    expect(page.locator('[data-window="24h"]')).to_have_attribute("aria-pressed", "true")
    expect(page.locator('[data-figure="requests"]')).to_have_text("1 since the start")


def test_a_redis_that_is_away_is_said_at_the_top_with_what_to_do(page: Page) -> None:
    settings = Settings(redis={"url": "redis://127.0.0.1:9"})
    pipeline = OptimizedRerankerPipeline(
        CountingReranker(), None, embedding_model=WordEmbedder(), settings=settings, observers=[Recorder()]
    )
    with pipeline, running(create_app(pipeline)) as url, Client(base_url=url, timeout=PATIENCE_S) as client:
        ask(client)
        opened(page, client)
        health = page.locator("#health")
        assert health.get_attribute("data-state") == "bad"
        assert "Redis does not answer." in health.inner_text() and "semcache doctor" in health.inner_text()
        assert health.locator("code").all_inner_texts() == ["semcache doctor"]
        assert "Redis is away" in page.locator("#happened").inner_text()
        assert re.match(r"Away\. 1 outage since the start\. Store\w+Error: ", page.locator("#redis").inner_text())


def test_lines_of_a_chart_have_labels_of_their_own_however_small_its_values(page: Page, client: Client) -> None:
    def small(route: Route) -> None:
        told = client.get("/live").json()
        told["window"]["drift"][-3:] = [0.001, 0.0032, 0.002]
        route.fulfill(json=told)

    page.route("**/live?*", small)
    opened(page, client)
    labels = [text for text in page.locator('[data-chart="drift"] text[text-anchor="end"]').all_text_contents() if text]
    assert len(labels) >= 4 and len(set(labels)) == len(labels)


def test_it_outlives_a_restart_of_the_server(
    page: Page, pipeline: OptimizedRerankerPipeline, settings: Settings, seen: Seen
) -> None:
    with running(create_app(pipeline, settings=settings)) as url, Client(base_url=url, timeout=PATIENCE_S) as client:
        ask(client)
        opened(page, client)
    page.clock.fast_forward(POLL_MS)
    expect(page.locator("#link")).to_have_attribute("data-state", "lost")
    # What was known stays, and is marked as old.
    assert figure(page, "requests") == "1 since the start"
    expect(page.locator("#figures")).to_have_class("stale")
    port = urlsplit(url).port or 0
    with running(create_app(pipeline, settings=settings), port) as url, Client(base_url=url) as client:
        ask(client)
        page.clock.fast_forward(60_000)
        expect(page.locator("#link")).to_have_attribute("data-state", "live")
        expect(page.locator('[data-figure="requests"]')).to_have_text("2 since the start")
    # A browser says itself that a server does not answer.
    assert all("ERR_CONNECTION_REFUSED" in complaint for complaint in seen.complaints)
    seen.complaints.clear()


@pytest.mark.parametrize("answer", ["null", "[]", '{"now": 1}', None], ids=str)
def test_an_answer_that_cannot_be_shown_is_said_and_does_not_stop_it(
    page: Page, client: Client, seen: Seen, answer: str | None
) -> None:
    ask(client)
    opened(page, client)

    def spoil(route: Route) -> None:
        whole = client.get("/live").json()
        # None: that of a server of another version, in which only the last part that is shown is missing.
        route.fulfill(json={**whole, "happened": None}) if answer is None else route.fulfill(body=answer)

    page.route("**/live?*", spoil)
    page.clock.fast_forward(POLL_MS)
    link = page.locator("#link")
    expect(link).to_contain_text("the answer cannot be shown")
    expect(link).to_have_attribute("data-state", "lost")
    expect(page.locator("#figures")).to_have_class("stale")
    page.unroute("**/live?*")
    ask(client)
    page.clock.fast_forward(POLL_MS)
    expect(page.locator('[data-figure="requests"]')).to_have_text("2 since the start")
    expect(link).to_have_attribute("data-state", "live")
    # For those who look into the browser's console.
    assert len(seen.complaints) >= 1 and all("Error" in complaint for complaint in seen.complaints)
    seen.complaints.clear()


def test_with_keys_it_asks_for_one_and_keeps_it_in_its_tab(
    page: Page, pipeline: OptimizedRerankerPipeline, seen: Seen
) -> None:
    settings = Settings(server={"api_keys": f"{KEY} shop-a:shop-a-0123456789"})
    with running(create_app(pipeline, settings=settings)) as url:
        page.goto(url)
        expect(page.locator("#access")).to_be_visible()
        for key, said in (("wrong", "does not know this key"), ("shop-a-0123456789", "bound to a tenant")):
            page.get_by_label("API key").fill(key)
            page.get_by_role("button", name="Show the figures").click()
            expect(page.locator("#refused")).to_contain_text(said)
        page.get_by_label("API key").fill(KEY)
        page.keyboard.press("Enter")
        expect(page.locator("#figures")).to_be_visible()
        assert KEY not in page.content() and KEY not in page.url
        page.reload()
        expect(page.locator("#figures")).to_be_visible()
        assert page.evaluate("Object.values(localStorage)") == []
    # A browser says itself that it was refused.
    assert all("status of 40" in complaint for complaint in seen.complaints)
    seen.complaints.clear()


def test_without_a_recorder_it_says_what_is_missing(page: Page, settings: Settings) -> None:
    pipeline = OptimizedRerankerPipeline(CountingReranker(), None, embedding_model=WordEmbedder(), settings=settings)
    with pipeline, running(create_app(pipeline, settings=settings)) as url, Client(base_url=url) as client:
        ask(client)
        opened(page, client)
        assert "give the pipeline a Recorder" in page.locator('[data-chart="latency"]').inner_text()
