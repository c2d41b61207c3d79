"""The pages in a real browser: what people see, reach by the keyboard, and what a stranger's markup does."""

from __future__ import annotations

from typing import Any

import pytest

PATHS = [
    "/",
    "/cases",
    "/cases/G-000001",
    "/cases/G-000002",
    "/defects",
    "/defects/D-000001",
    "/tracker",
    "/tracker/SET-1",
    "/notices",
    "/mail",
    "/releases",
    "/releases/10.4.3",
    "/rollouts",
    "/rollouts/R-000001",
    "/rollouts/R-000001/stores/k-tverskaya",
    "/fleet",
    "/fleet/k-tverskaya",
]
#: Controls that no label names.
_NAMELESS = """[...document.querySelectorAll('select, input:not([type=hidden]), progress, iframe')]
    .filter(e => !(e.labels && e.labels.length) && !e.getAttribute('aria-label') && !e.title)
    .map(e => e.outerHTML)"""
#: Ids that stand twice, and labels or headings that name nothing.
_ASTRAY = """[...document.querySelectorAll('[id]')].map(e => e.id)
    .filter((id, at, all) => all.indexOf(id) !== at).concat(
    [...document.querySelectorAll('[aria-labelledby]')].map(e => e.getAttribute('aria-labelledby'))
    .filter(id => !document.getElementById(id)))"""


@pytest.mark.parametrize("language", ["ru", "en"])
@pytest.mark.parametrize("path", PATHS)
def test_a_page_is_whole(visit: Any, path: str, language: str) -> None:
    """No complaint of the browser, one heading, named controls, nothing wider than a telephone."""
    visit.open(path, language=language)

    assert visit.complaints() == []
    assert visit.ask("document.documentElement.lang") == language
    assert visit.ask("document.querySelectorAll('h1').length") == 1
    assert visit.ask(_NAMELESS) == []
    assert visit.ask(_ASTRAY) == []
    assert visit.ask("getComputedStyle(document.querySelector('.top')).backgroundColor") != "rgba(0, 0, 0, 0)"
    visit.picture(f"{language}{path.replace('/', '_')}")
    visit.open(path, language=language, width=500)
    assert visit.ask("document.documentElement.scrollWidth <= window.innerWidth")


def test_a_long_word_in_a_history_is_broken(visit: Any) -> None:
    """A key's fingerprint has no place to break but by chance; the page stays as narrow as a telephone."""
    visit.open("/releases/10.4.3", width=500)
    visit.ask("document.querySelectorAll('.history li > *').forEach(e => { e.textContent = 'W'.repeat(90) })")

    assert visit.ask("document.documentElement.scrollWidth <= window.innerWidth")


@pytest.mark.parametrize("path", ["/", "/cases", "/cases/G-000002", "/fleet/n-main"])
def test_a_strangers_markup_is_shown_and_does_nothing(visit: Any, path: str) -> None:
    """Its brackets can be read; no script ran, no element came of it, also after the live part was sent."""
    visit.open(path)
    visit.wait_for("<script>document.title='owned'</script>")

    assert "owned" not in visit.browser.title
    assert visit.ask("document.querySelectorAll('main script, main img').length") == 0
    assert visit.complaints() == []


def test_a_script_that_got_in_would_not_run(visit: Any) -> None:
    """The second wall: were markup let through, the content policy would still refuse what is inline."""
    visit.open("/fleet")
    visit.ask(
        "document.querySelector('main').insertAdjacentHTML('beforeend',"
        " '<img src=/static/favicon.svg onload=\"document.title=`owned`\">')"
    )
    visit.ask(
        "(() => { const s = document.createElement('script'); s.textContent = 'document.title = `owned`';"
        " document.body.append(s) })()"
    )

    assert "owned" not in visit.browser.title
    assert any("Content Security Policy" in complaint for complaint in visit.complaints())


def test_an_open_case_follows_what_happens(filled: Any, visit: Any) -> None:
    """The class shows up without a reload."""
    case = filled.open_case("norden", "n-main", "Register 2 prints nothing", "Since this morning")
    visit.open(f"/cases/{case}")
    visit.wait_for("not classified yet")
    visit.ask("window.stayed = true")

    filled.classify(case)

    visit.wait_for("usual register operations do not work properly")
    assert visit.ask("window.stayed") is True


def test_the_overview_shows_a_case_that_comes(filled: Any, visit: Any) -> None:
    """Opened by somebody else, it is there a moment later."""
    visit.open("/")
    case = filled.open_case("kupets", "k-tverskaya", "Не печатает касса 3", "С утра")

    visit.wait_for(case)
    visit.wait_for("Не печатает касса 3")


def test_a_filter_acts_as_soon_as_it_is_chosen(visit: Any) -> None:
    """Only the list changes, and the address, so that it can be passed on; the page stays."""
    from selenium.webdriver.support.ui import Select

    visit.open("/cases")
    visit.ask("window.stayed = true")

    Select(visit.find("#client")).select_by_value("kupets")

    visit.wait_until(lambda: "client=kupets" in visit.browser.current_url)
    visit.wait_until(lambda: "Norden" not in visit.find("#results").text)
    assert visit.ask("window.stayed") is True


def test_all_can_be_reached_by_the_keyboard(visit: Any) -> None:
    """First the way past the navigation, visible once it has the focus; wide tables can be scrolled."""
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    visit.open("/cases")
    ActionChains(visit.browser).send_keys(Keys.TAB).perform()
    assert visit.ask("document.activeElement.className") == "skip"
    assert visit.ask("document.activeElement.getBoundingClientRect().left") >= 0

    ActionChains(visit.browser).send_keys(Keys.ENTER).perform()
    visit.wait_until(lambda: visit.ask("document.activeElement.id") == "main")
    assert visit.ask("[...document.querySelectorAll('.wide')].every(e => e.tabIndex === 0)")


def test_without_javascript_everything_is_there(scriptless: Any) -> None:
    """Pages are whole, the filter has its button, the language its link."""
    scriptless.browser.get(f"{scriptless.address}/language/en")
    scriptless.browser.get(f"{scriptless.address}/cases")
    scriptless.find("#client option[value=norden]").click()
    scriptless.find("form.filter button").click()
    scriptless.wait_until(lambda: "client=norden" in scriptless.browser.current_url)
    scriptless.wait_until(lambda: "Купец" not in scriptless.find("#results").text)

    scriptless.find(".languages a[lang=ru]").click()
    scriptless.wait_for("Обращения")
    assert "client=norden" in scriptless.browser.current_url

    scriptless.browser.get(f"{scriptless.address}/rollouts/R-000001")
    assert "k-tverskaya-r4" in scriptless.text()


def test_a_notice_is_framed_as_its_reader_sees_it(visit: Any) -> None:
    """The letter is in the frame, and the frame can reach neither us nor the network."""
    visit.open("/notices?state=accepted")
    visit.find("#results tbody a").click()
    visit.wait_for("As the reader sees it")
    frame = visit.find("iframe")
    assert frame.get_attribute("sandbox") == ""
    assert visit.ask("document.querySelector('iframe').contentDocument") is None

    visit.browser.switch_to.frame(frame)
    assert len(visit.text()) > 40
    visit.browser.switch_to.default_content()


def test_the_token_does_not_stay_in_the_address(visit: Any) -> None:
    """Neither there, nor where scripts could read it; without the cookie the door is closed."""
    assert "token" not in visit.browser.current_url
    assert visit.ask("document.cookie") == ""
    cookie = visit.browser.get_cookie("garant_access")
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")

    visit.browser.delete_all_cookies()
    visit.browser.get(f"{visit.address}/cases")
    assert visit.find("#token").get_attribute("type") == "password"


def test_the_door_opens_by_hand(visit: Any) -> None:
    """The token typed in leads on to the page that was asked for."""
    from serving import TOKEN

    visit.browser.delete_all_cookies()
    visit.browser.get(f"{visit.address}/rollouts")
    visit.find("#token").send_keys(TOKEN)
    visit.find("main button").click()

    visit.wait_for("R-000001")
    assert visit.browser.current_url.endswith("/rollouts")


def test_utc_is_told_when_pointed_at(visit: Any) -> None:
    """Every time on the page names its zone and has UTC as its title."""
    visit.open("/rollouts/R-000001")
    times = visit.ask("[...document.querySelectorAll('main time')].map(e => [e.title, e.innerText])")

    assert len(times) > 5
    assert all(title.endswith(" UTC") for title, _ in times)
    assert {text.rpartition(" ")[2] for _, text in times} <= {
        "Moscow",
        "Berlin",
        "Kamchatka",
        "Petropavlovsk-Kamchatsky",
    }
