// What charts and maps share: data, elements, numbers as text, how lines look.
// Text from data goes into the page as text nodes only.

const root = document.documentElement;
const data = JSON.parse(document.getElementById('page-data').textContent);

/** Value of a custom property of the style sheet, in the theme that is on. */
const color = (name) => getComputedStyle(root).getPropertyValue(`--${name}`).trim();
const FONT = color('font');

/** An element with attributes; children are elements or text. */
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function svg(tag, attributes, ...children) {
  const made = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/** Four significant digits. */
function significant(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return '–';
  const size = Math.abs(value);
  if (size === 0) return '0';
  if (size < 1e-4 || size >= 1e6) return value.toExponential(3);
  return value.toFixed([1000, 100, 10, 1, 0.1, 0.01, 0.001].filter((power) => size < power).length);
}

const whole = (value) => Math.round(value).toLocaleString('en-US');

function percent(share, digits = 2) {
  return share === null || share === undefined ? '–' : `${(share * 100).toFixed(digits).replace(/^-(0\.?0*)$/, '$1')} %`;
}

/** A share as an axis shows it: no digits that say nothing. */
const shortPercent = (share) => `${Number((share * 100).toPrecision(6))} %`;

/** A number as an axis shows it. */
function short(value) {
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e7)) return Number(value.toPrecision(3)).toExponential();
  return Number(value.toPrecision(6)).toLocaleString('en-US', { maximumFractionDigits: 6 });
}

/** A title and pairs of name and text, for a tooltip. */
function tip(title, pairs) {
  const list = element('dl');
  for (const [name, text] of pairs) list.append(element('dt', {}, name), element('dd', {}, text));
  return element('div', { class: 'tip' }, element('strong', {}, title), list);
}

// Markers in a box of ten by ten.
const SHAPES = {
  disc: 'M5,0A5,5,0,1,1,5,10A5,5,0,1,1,5,0Z',
  square: 'M0.6,0.6L9.4,0.6L9.4,9.4L0.6,9.4Z',
  cross: 'M0,2L2,0L5,3L8,0L10,2L7,5L10,8L8,10L5,7L2,10L0,8L3,5Z',
  diamond: 'M5,0L10,5L5,10L0,5Z',
  up: 'M5,0L10,9.4L0,9.4Z',
  down: 'M0,0.6L10,0.6L5,10Z',
  plus: 'M3.5,0L6.5,0L6.5,3.5L10,3.5L10,6.5L6.5,6.5L6.5,10L3.5,10L3.5,6.5L0,6.5L0,3.5L3.5,3.5Z',
  bow: 'M0,0.5L5,4L10,0.5L10,9.5L5,6L0,9.5Z',
  wedge: 'M0,0L10,5L0,10Z',
};
const OTHERS = ['diamond', 'up', 'down', 'plus', 'bow', 'wedge'];
const DASHES = ['solid', [8, 4], [2, 3], [10, 3, 2, 3]];
const BASELINES = {
  oracle: { color: 'ink', shape: 'disc', dash: 0 },
  msb: { color: 'muted', shape: 'square', dash: 1 },
  random: { color: 'muted', shape: 'cross', dash: 2 },
};

/** How the `place`th of some lines looks; after six they come dashed. */
function numberedStyle(place, variant = 0) {
  const dash = DASHES[(Math.floor(place / 6) + variant) % DASHES.length];
  return { color: color(`c${place % 6}`), shape: SHAPES[OTHERS[place % 6]], dash };
}

const others = [...new Set(data.lines.map((line) => line.ranking))].filter((ranking) => !Object.hasOwn(BASELINES, ranking));

/** How a line of `data.lines` looks, in every chart. */
function lineStyle(number) {
  const { ranking, variant } = data.lines[number];
  if (!Object.hasOwn(BASELINES, ranking)) return numberedStyle(others.indexOf(ranking), variant);
  const base = BASELINES[ranking];
  return { color: color(base.color), shape: SHAPES[base.shape], dash: DASHES[(base.dash + variant) % DASHES.length] };
}

/** A stroke with its marker, as legends show it. */
function swatch(style) {
  const dash = style.dash === 'solid' ? {} : { 'stroke-dasharray': style.dash.join(' ') };
  const line = svg('path', { d: 'M0,7L34,7', stroke: style.color, 'stroke-width': 2, fill: 'none', ...dash });
  const marker = svg('path', { d: style.shape, fill: style.color, transform: 'translate(12 2)' });
  return svg('svg', { width: 34, height: 14, 'aria-hidden': 'true' }, line, ...(style.shape ? [marker] : []));
}

/** Fills a legend with buttons that hide and show lines; done anew whenever the theme changes. */
function fillLegend(box, keys, label, style, hidden, redraw) {
  const focused = [...box.children].indexOf(document.activeElement);
  box.replaceChildren(...keys.map((key) => {
    const button = element('button', { type: 'button', 'aria-pressed': String(!hidden.has(key)) }, swatch(style(key)), element('span', {}, label(key)));
    button.addEventListener('click', () => {
      if (!hidden.delete(key)) hidden.add(key);
      button.setAttribute('aria-pressed', String(!hidden.has(key)));
      redraw();
    });
    return button;
  }));
  if (focused >= 0) box.children[focused].focus();
}

/** The value of a group of radio buttons. */
const chosen = (name) => document.querySelector(`input[name="${name}"]:checked`).value;

function onChoice(names, redraw) {
  for (const input of document.querySelectorAll('.choice input')) {
    if (names.includes(input.name)) input.addEventListener('change', redraw);
  }
}

// Everything drawn: { draw(), resize(), print(isOn) }.
const drawn = [];
const drawAll = () => drawn.forEach((each) => each.draw());
