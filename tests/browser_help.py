"""What the tests that look at a page in a browser share: the browser, and a page with what it said and asked for."""
import shutil

import pytest

SIDEWAYS = 'document.documentElement.scrollWidth > innerWidth'


@pytest.fixture(scope='module')
def browser():
    play = pytest.importorskip('playwright.sync_api')
    path = shutil.which('chromium') or shutil.which('chromium-browser')
    if path is None: pytest.skip('needs chromium')
    with play.sync_playwright() as p:
        opened = p.chromium.launch(executable_path=path, args=['--no-sandbox'])
        yield opened
        opened.close()


class Seen:
    "A page in the browser, and what it said and asked for."
    def __init__(self, browser, file, width=1300, scheme='light', **kw):
        self.context = browser.new_context(viewport=dict(width=width, height=900), color_scheme=scheme, **kw)
        self.page, self.said, self.asked = self.context.new_page(), [], []
        self.page.on('console', lambda m: self.said.append(m.text))
        self.page.on('pageerror', lambda e: self.said.append(str(e)))
        self.page.on('request', lambda r: self.asked.append(r.url))
        self.page.goto(f'file://{file}')

    def ask(self, script): return self.page.evaluate(script)

    @property
    def outside(self): return [u for u in self.asked if not u.startswith(('data:', 'file:'))]


def controls(widget):
    "Everything in a box of widgets that is seen or handled, layouts left out."
    for child in getattr(widget, 'children', ()): yield from controls(child)
    if not hasattr(widget, 'children'): yield widget


def nameless(widget):
    """Controls and pictures of a box that say nothing to who cannot see them: no description of their own, or,
    in a slider of ipywidgets, one that its handle does not carry."""
    import ipywidgets as w
    mute = w.IntSlider, w.FloatSlider, w.SelectionSlider, w.SelectionRangeSlider, w.IntRangeSlider, w.FloatRangeSlider
    for c in controls(widget):
        if isinstance(c, (w.HTML, w.Label)): continue
        shown = isinstance(c, (w.Image, w.Video)) # whose tooltip the browser refuses where there is no description
        said = c.tooltip and c.has_trait('description') if shown else c.description
        if not said or isinstance(c, mute): yield c


NAMELESS = """[...new Set([...document.querySelectorAll('.jupyter-widgets, .clip-slider')].flatMap(e =>
  [e, ...e.querySelectorAll('*')]))].filter(e => e.checkVisibility()
  && e.matches('button, input, select, textarea, img, video, [role=slider]')
  && !(e.getAttribute('aria-label') || e.title || e.alt || e.labels?.[0]?.textContent || e.textContent).trim()
  ).map(e => e.outerHTML.slice(0, 200))"""
