// What both pages show with: elements, shapes, screens, the countdown, and marks of what is not fresh.

/** The shapes of the choices, with their names; the colours are in the style. */
export const SHAPES = ['Circle', 'Triangle', 'Square', 'Star'];
const PATHS = [
  'M16 3a13 13 0 1 0 0 26a13 13 0 0 0 0-26z',
  'M16 3 30 28H2z',
  'M4 4h24v24H4z',
  'm16 2 4.2 9.3 10.1 1.1-7.6 6.8 2.2 10L16 24l-8.9 5.2 2.2-10-7.6-6.8 10.1-1.1z',
];

export const $ = (id) => document.getElementById(id);

/** An element with attributes and children. */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== false) made.setAttribute(key, value === true ? '' : value);
  }
  made.append(...children);
  return made;
}

/** The shape of a choice, as a picture that is read out by what stands beside it. */
export function shape(choice) {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  svg.setAttribute('viewBox', '0 0 32 32');
  svg.setAttribute('aria-hidden', 'true');
  svg.classList.add('shape');
  const path = document.createElementNS(svg.namespaceURI, 'path');
  path.setAttribute('d', PATHS[choice % PATHS.length]);
  svg.append(path);
  return svg;
}

/** Shows one screen. Whoever reads by ear is taken to its heading, unless they are in the middle of something. */
export function show(screen, { focus = true } = {}) {
  if (document.body.dataset.screen === screen) return false;
  document.body.dataset.screen = screen;
  for (const section of document.querySelectorAll('[data-of]')) {
    section.hidden = !section.dataset.of.split(' ').includes(screen);
  }
  if (focus) document.querySelector(`[data-of~="${screen}"] [tabindex="-1"]`)?.focus({ preventScroll: true });
  return true;
}

/** Says something to those who do not see it. */
export function announce(text) {
  if ($('live').textContent !== text) $('live').textContent = text;
}

/** Says what went wrong, until something else is said. */
export function notice(text) {
  $('notice').textContent = text;
}

/** Marks what is shown as not there yet, as it is, or as it was. */
export function mark(freshness) {
  const isEnded = freshness.reason === 'ended';
  const isStale = freshness.name === 'stale' && !isEnded;
  document.body.dataset.freshness = isEnded ? 'ended' : freshness.name;
  document.querySelector('main').setAttribute('aria-busy', String(freshness.name === 'loading'));
  $('stale').hidden = !isStale;
  const since = isStale && new Date(freshness.sinceMs).toLocaleTimeString();
  $('stale').textContent = isStale ? `Reconnecting. This is how it was at ${since}.` : '';
}

/** Keeps a countdown true: a number and a bar, by the server's clock. */
export class Countdown {
  #clock;
  #seconds;
  #bar;
  #timer;

  constructor(clock, seconds, bar) {
    [this.#clock, this.#seconds, this.#bar] = [clock, seconds, bar];
  }

  /** Counts down to a deadline. */
  run({ opened, deadline }) {
    clearInterval(this.#timer);
    const tick = () => {
      const left = Math.max(0, deadline - this.#clock.now());
      const seconds = String(Math.ceil(left / 1000));
      if (this.#seconds.textContent !== seconds) this.#seconds.textContent = seconds;
      this.#seconds.parentElement.dataset.soon = String(left < 5500);
      this.#bar.style.setProperty('--left', String(Math.min(1, left / (deadline - opened))));
      if (left === 0) clearInterval(this.#timer);
    };
    this.#timer = setInterval(tick, 200);
    tick();
  }

  stop() {
    clearInterval(this.#timer);
  }
}
