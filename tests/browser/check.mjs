// Opens a page of `trivote compare` in Chromium, without a network, and checks that it draws, answers and reads.
//
//     node check.mjs REPORT.html [SCREENSHOT_DIR]
//
// Prints a line per check; ends with 1 if any failed. CHROMIUM names the browser, /usr/bin/chromium otherwise.

import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { chromium } from 'playwright-core';

const [report, screenshots] = process.argv.slice(2);
if (!report) {
  console.error('usage: node check.mjs REPORT.html [SCREENSHOT_DIR]');
  process.exit(2);
}
const address = pathToFileURL(resolve(report)).href;
if (screenshots) mkdirSync(screenshots, { recursive: true });

let failures = 0;
function check(isRight, what, detail = '') {
  if (!isRight) failures += 1;
  console.log(`${isRight ? 'ok  ' : 'FAIL'} ${what}${isRight || detail === '' ? '' : `: ${detail}`}`);
}

const profile = mkdtempSync(join(tmpdir(), 'trivote-browser-'));
const context = await chromium.launchPersistentContext(profile, {
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  headless: true,
  offline: true,
  args: [
    '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync',
  ],
});

/** Opens the page; whatever it logs, throws or asks for is a failure. */
async function open(width, theme) {
  const page = await context.newPage();
  const complaints = [];
  page.on('console', (message) => complaints.push(`${message.type()}: ${message.text()}`));
  page.on('pageerror', (error) => complaints.push(`error: ${error.message}`));
  page.on('dialog', (dialog) => { complaints.push(`dialog: ${dialog.message()}`); dialog.dismiss(); });
  page.on('request', (request) => {
    if (request.url() !== address && !request.url().startsWith('data:')) complaints.push(`request: ${request.url()}`);
  });
  await page.setViewportSize({ width, height: 900 });
  await page.emulateMedia({ colorScheme: theme });
  const began = Date.now();
  await page.goto(address, { waitUntil: 'load' });
  await settle(page);
  return { page, complaints, took: Date.now() - began };
}

/** Waits for two frames, so that what was asked for is painted. */
const settle = (page) => page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));

const shoot = async (page, name) => {
  if (screenshots) await page.screenshot({ path: join(screenshots, `${name}.png`), fullPage: true });
};

/** What is drawn, and how wide the page is. */
const look = (page) => page.evaluate(() => ({
  wide: document.documentElement.scrollWidth - document.documentElement.clientWidth,
  charts: [...document.querySelectorAll('.canvas')].map((box) => ({
    kind: box.closest('figure').dataset.kind,
    paths: box.querySelectorAll('svg path').length,
    texts: box.querySelectorAll('svg text').length,
    fits: box.querySelector('svg')?.clientWidth === box.clientWidth,
    label: box.getAttribute('aria-label')?.length ?? 0,
  })),
  maps: [...document.querySelectorAll('.map-canvas')].map((canvas) => {
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    return new Set(new Uint32Array(data.buffer)).size;
  }),
  unlabeled: [...document.querySelectorAll('button, input, select, summary, canvas, .scroll')]
    .filter((each) => each.tabIndex < 0 || !(each.getAttribute('aria-label') || each.textContent.trim() || each.labels?.length)).length,
  tables: [...document.querySelectorAll('table')].filter((table) => !table.caption || !table.querySelector('th[scope=col]')).length,
  dark: getComputedStyle(document.body).backgroundColor,
}));

/** Rise and address of a bit, straight from the page's data. */
const truth = (page, system, register, row) => page.evaluate(([system, register, row]) => {
  const { label, metric, map } = JSON.parse(document.getElementById('page-data').textContent).systems[system];
  const bytes = Uint8Array.from(atob(map.rises), (sign) => sign.charCodeAt(0));
  let [first, bit] = [0, 0];
  for (const { layer, tensor, registers, width } of map.arrays) {
    if (register < first + registers) {
      if (row >= width) return null;
      const rise = new DataView(bytes.buffer).getFloat32(4 * (bit + (register - first) * width + row), true);
      return { label, metric, address: `${layer}.${tensor}[${register - first}].bit[${row}]`, rise: Number.isNaN(rise) ? null : rise };
    }
    first += registers;
    bit += registers * width;
  }
  return null;
}, [system, register, row]);

/** Whether a readout names a bit and its rise. */
function says(text, bit) {
  if (!text.startsWith(`${bit.address}: `)) return false;
  const value = text.slice(bit.address.length + 2);
  if (bit.rise === null) return value === 'not flipped';
  const shown = Number(value.match(/^rise ([-+]?[\d.e+-]+)/)?.[1]);
  return Math.abs(shown - bit.rise) <= 0.0006 * Math.abs(bit.rise);
}

async function checkLooks() {
  for (const width of [1400, 400]) {
    for (const theme of ['light', 'dark']) {
      const { page, complaints, took } = await open(width, theme);
      const name = `${width} px, ${theme}`;
      const seen = await look(page);
      check(seen.wide <= 0, `${name}: no horizontal scroll`, `${seen.wide} px too wide`);
      const empty = seen.charts.filter((chart) => chart.paths < 8 || chart.texts < 4 || !chart.fits || chart.label < 40);
      check(empty.length === 0, `${name}: ${seen.charts.length} charts drawn to their width`, JSON.stringify(empty));
      check(seen.maps.every((colors) => colors > 30), `${name}: ${seen.maps.length} maps painted`, seen.maps.join());
      check(seen.unlabeled === 0 && seen.tables === 0, `${name}: controls and tables are labeled`);
      const [red] = seen.dark.match(/\d+/g).map(Number);
      check(theme === 'dark' ? red < 60 : red > 200, `${name}: follows the scheme`, seen.dark);
      check(complaints.length === 0, `${name}: no console output, error or request; ready after ${took} ms`, complaints.join(' | '));
      await shoot(page, `${width}-${theme}`);
      await page.close();
    }
  }
}

/** Hovers points until one answers; its numbers are those of the data. */
async function checkHover(page) {
  const boxes = await page.$$('figure[data-kind="tradeoff"] .canvas');
  for (const [number, box] of boxes.entries()) {
    await box.scrollIntoViewIfNeeded();
    const points = await box.$$eval('svg path', (paths) => paths
      .map((path) => ({ box: path.getBoundingClientRect(), fill: path.getAttribute('fill') }))
      .filter(({ box, fill }) => fill && fill !== 'none' && fill !== 'transparent' && box.width > 5 && box.width < 14 && box.height > 5 && box.height < 14)
      .map(({ box }) => [box.x + box.width / 2, box.y + box.height / 2]));
    let text = '';
    for (const [x, y] of points) {
      await page.mouse.move(x, y);
      await settle(page);
      text = await box.$$eval('.tip', (tips) => tips.filter((each) => each.checkVisibility({ visibilityProperty: true, opacityProperty: true })).map((each) => each.innerText).join('\n'));
      if (text.includes('bits protected')) break;
    }
    const isTrue = await box.evaluate((element, shown) => {
      const { system, part } = element.closest('figure').dataset;
      const all = JSON.parse(document.getElementById('page-data').textContent);
      const lines = all.systems[system].tradeoffs[part].lines;
      return lines.some((line) => shown.includes(all.lines[line.line].label) && line.points.some((point) => (
        shown.includes(point.budget) && shown.includes(Math.round(point.bits_protected).toLocaleString('en-US'))
        && shown.includes(Math.round(point.area_added).toLocaleString('en-US')))));
    }, text);
    check(isTrue, `trade-off ${number + 1}: hovering one of ${points.length} points shows its numbers`, text || 'no text');
    if (screenshots && number === 0) await page.screenshot({ path: join(screenshots, 'hover-tradeoff.png') });
  }
  for (const kind of ['curves', 'positions', 'missions']) {
    for (const box of await page.$$(`figure[data-kind="${kind}"] .canvas`)) {
      await box.scrollIntoViewIfNeeded();
      const { x, y, width, height } = await box.boundingBox();
      await page.mouse.move(x + width * 0.4, y + height * 0.5);
      await page.mouse.move(x + width * 0.42, y + height * 0.5);
      await settle(page);
      const text = await box.$$eval('.tip', (tips) => tips.map((each) => each.innerText).join('\n'));
      check(/\d/.test(text) && text.split('\n').length > 2, `${kind}: hovering shows numbers`, text || 'no text');
      if (screenshots && kind !== 'positions') await page.screenshot({ path: join(screenshots, `hover-${kind}.png`) });
    }
  }
}

async function checkMaps(page) {
  for (const [number, canvas] of (await page.$$('.map-canvas')).entries()) {
    const figure = await canvas.evaluateHandle((element) => element.closest('figure'));
    const system = Number(await figure.evaluate((element) => element.dataset.system));
    const view = async () => {
      await settle(page);
      return JSON.parse(await canvas.evaluate((element) => element.dataset.view));
    };
    const readout = () => figure.evaluate((element) => element.querySelector('.readout').innerText);
    const name = `map ${number + 1}`;
    await canvas.scrollIntoViewIfNeeded();
    const whole = await view();
    const box = await canvas.boundingBox();

    await page.mouse.move(box.x + box.width * 0.6, box.y + whole.top + whole.row * 1.5);
    const before = await page.evaluate(() => scrollY);
    await page.mouse.wheel(0, 40);
    check((await view()).scale === whole.scale, `${name}: the wheel alone leaves it as it is`);
    await page.evaluate((top) => scrollTo({ top, behavior: 'instant' }), before);
    await settle(page);
    await page.mouse.move(box.x + box.width * 0.6 + 1, box.y + whole.top + whole.row * 1.5);
    await page.keyboard.down('Control');
    for (let turn = 0; turn < 40; turn += 1) await page.mouse.wheel(0, -120);
    await page.keyboard.up('Control');
    const close = await view();
    check(close.scale >= 20 && close.scale > whole.scale, `${name}: wheel with Ctrl zooms to ${close.scale.toFixed(1)} px per register`);

    let [right, looked] = [0, 0];
    const now = await canvas.boundingBox();
    const columns = (now.width - close.left) / close.scale;
    for (let step = 0; step < 25; step += 1) {
      const register = Math.ceil(close.start) + Math.floor(((step * 7) % 25) * ((columns - 2) / 25));
      const row = (step * 3) % 9;
      const bit = await truth(page, system, register, row);
      if (bit === null) continue;
      await page.mouse.move(now.x + close.left + (register + 0.5 - close.start) * close.scale, now.y + close.top + (row + 0.5) * close.row);
      await settle(page);
      looked += 1;
      if (says(await readout(), bit)) right += 1;
    }
    check(looked > 5 && right === looked, `${name}: readout under the mouse is right for ${right} of ${looked} bits`, await readout());
    if (screenshots) await figure.asElement().screenshot({ path: join(screenshots, `map-${number + 1}-zoomed.png`) });

    await canvas.focus();
    await page.keyboard.press('0');
    await page.keyboard.press('Home');
    for (const key of ['ArrowRight', 'ArrowRight', 'ArrowDown', 'ArrowRight', 'ArrowLeft']) await page.keyboard.press(key);
    const bit = await truth(page, system, 2, 1);
    check(says(await readout(), bit), `${name}: arrow keys reach ${bit.address}`, await readout());
    check((await view()).scale === whole.scale, `${name}: 0 shows the whole map`);
    await page.keyboard.press('+');
    await page.keyboard.press('+');
    check((await view()).scale > whole.scale * 3.9 || (await view()).scale > 40, `${name}: plus zooms`);
    await page.keyboard.press('-');
    check((await view()).scale < whole.scale * 2.1 || (await view()).scale > 20, `${name}: minus zooms`);
    await page.keyboard.press('End');
    check(!(await readout()).startsWith(bit.address), `${name}: End goes to the last register`);

    const select = await figure.evaluateHandle((element) => element.querySelector('select'));
    const last = await select.evaluate((element) => element.options[element.options.length - 1].value);
    await select.asElement().selectOption(last);
    const array = await view();
    check(array.scale > whole.scale, `${name}: the list goes to an array`, JSON.stringify(array));
    await figure.evaluate((element) => element.querySelector('button[aria-label="Show the whole map"]').click());
    check((await view()).scale === whole.scale, `${name}: a button shows the whole map`);
  }
}

async function checkKeyboard(page) {
  const theme = () => page.evaluate(() => document.documentElement.dataset.theme);
  const first = await theme();
  await page.focus('#theme');
  await page.keyboard.press('Enter');
  check(await theme() !== first && await page.getAttribute('#theme', 'aria-pressed') === 'true', 'theme: Enter turns it');
  if (await page.$('.canvas svg text')) {
    const fill = await page.$eval('.canvas svg text', (text) => getComputedStyle(text).fill);
    await page.keyboard.press(' ');
    await settle(page);
    check(await page.$eval('.canvas svg text', (text) => getComputedStyle(text).fill) !== fill, 'theme: charts follow');
  }
  check(await theme() === first, 'theme: Space turns it back');

  const texts = (kind) => page.$$eval(`figure[data-kind="${kind}"] svg text`, (all) => all.map((text) => text.textContent).join('|'));
  for (const [kind, group] of [['tradeoff', 'tradeoff-x'], ['tradeoff', 'tradeoff-y'], ['curves', 'curves-x'], ['missions', 'missions-y'], ['missions', 'missions-scale']]) {
    if (!await page.$(`input[name="${group}"]`)) continue;
    const before = await texts(kind);
    await page.focus(`input[name="${group}"]`);
    await page.keyboard.press('ArrowRight');
    await settle(page);
    check(await texts(kind) !== before, `${group}: an arrow key chooses, charts follow`);
    if (screenshots) await page.locator(`#${kind}`).screenshot({ path: join(screenshots, `choice-${group}.png`) });
    await page.keyboard.press('ArrowLeft');
    await settle(page);
  }
  for (const kind of ['tradeoff', 'curves', 'missions']) {
    const button = await page.$(kind === 'missions' ? '#missions .legend button' : `#${kind}-legend button`);
    if (!button) continue;
    const count = () => page.$$eval(`figure[data-kind="${kind}"] svg path`, (paths) => paths.length);
    const before = await count();
    await button.focus();
    await page.keyboard.press(' ');
    await settle(page);
    check(await button.getAttribute('aria-pressed') === 'false' && await count() < before, `${kind} legend: Space hides a line`);
    await page.keyboard.press(' ');
    await settle(page);
    check(await count() === before, `${kind} legend: Space shows it again`);
  }
  const fold = await page.$('details summary');
  if (fold) {
    await fold.focus();
    await page.keyboard.press('Enter');
    check(await page.$eval('details', (each) => each.open), 'long table: Enter unfolds it');
    check((await look(page)).wide <= 0, 'long table: scrolls in its own box');
    await page.keyboard.press('Enter');
  }
}

/** Two fingers move apart on a narrow screen. */
async function checkPinch() {
  const { page, complaints } = await open(400, 'light');
  const canvas = await page.$('.map-canvas');
  if (canvas) {
    const session = await context.newCDPSession(page);
    await session.send('Emulation.setTouchEmulationEnabled', { enabled: true, maxTouchPoints: 2 });
    await canvas.scrollIntoViewIfNeeded();
    const { x, y, width } = await canvas.boundingBox();
    const scale = () => canvas.evaluate((element) => JSON.parse(element.dataset.view).scale);
    const before = await scale();
    const touch = (type, apart) => session.send('Input.dispatchTouchEvent', {
      type,
      touchPoints: type === 'touchEnd' ? [] : [{ x: x + width / 2 - apart, y: y + 60, id: 1 }, { x: x + width / 2 + apart, y: y + 60, id: 2 }],
    });
    await touch('touchStart', 20);
    for (const apart of [30, 45, 60, 80, 100]) await touch('touchMove', apart);
    await touch('touchEnd', 0);
    await settle(page);
    check(await scale() > 3 * before, `pinch zooms the map ${(await scale() / before).toFixed(1)} times`);
    const view = JSON.parse(await canvas.evaluate((element) => element.dataset.view));
    const at = { x: x + view.left + 30, y: y + view.top + view.row / 2 };
    await session.send('Input.dispatchTouchEvent', { type: 'touchStart', touchPoints: [at] });
    await session.send('Input.dispatchTouchEvent', { type: 'touchEnd', touchPoints: [] });
    await settle(page);
    const register = Math.floor(view.start + 30 / view.scale);
    const system = Number(await canvas.evaluate((element) => element.closest('figure').dataset.system));
    const text = await canvas.evaluate((element) => element.closest('figure').querySelector('.readout').innerText);
    check(says(text, await truth(page, system, register, 0)), 'a tap reads out a bit', text);
  }
  check(complaints.length === 0, 'touch: no console output, error or request', complaints.join(' | '));
  await page.close();
}

/** On paper: light, unfolded, drawn to its width; afterwards as before. */
async function checkPrint() {
  const { page, complaints } = await open(1400, 'dark');
  await page.evaluate(() => {
    addEventListener('beforeprint', () => setTimeout(() => {}, 0));
    addEventListener('afterprint', () => { document.body.dataset.printed = 'yes'; });
  });
  const path = screenshots ? join(screenshots, 'print.pdf') : undefined;
  const pdf = await page.pdf({ path, preferCSSPageSize: true, printBackground: true });
  check(pdf.length > 20_000, `print: a PDF of ${Math.round(pdf.length / 1024)} KiB`);
  await page.waitForFunction(() => document.documentElement.dataset.theme === 'dark' && !document.documentElement.classList.contains('printing'))
    .then(() => check(true, 'print: the screen is as before'), () => check(false, 'print: the screen is as before'));
  await page.setViewportSize({ width: 690, height: 900 });
  await page.emulateMedia({ media: 'print', colorScheme: 'dark' });
  await settle(page);
  const seen = await page.evaluate(() => ({
    paper: getComputedStyle(document.body).backgroundColor,
    shown: [...document.querySelectorAll('.controls, nav, #theme, .map-bar button')].filter((each) => each.checkVisibility()).length,
    folded: document.querySelectorAll('details:not([open])').length,
    over: [...document.querySelectorAll('.canvas svg')].filter((svg) => svg.getBoundingClientRect().right > document.body.getBoundingClientRect().right + 1).length,
    wide: [...document.querySelectorAll('table')].filter((table) => table.getBoundingClientRect().width > document.body.clientWidth + 1)
      .map((table) => `${table.caption.innerText}: ${table.getBoundingClientRect().width}`),
  }));
  check(/255, 255, 255/.test(seen.paper), 'print: light', seen.paper);
  check(seen.shown === 0, 'print: no controls', String(seen.shown));
  check(seen.folded === 0, 'print: everything unfolded');
  check(seen.over === 0, 'print: charts fit the paper', String(seen.over));
  check(seen.wide.length === 0, 'print: tables fit the paper', seen.wide.join(' | '));
  check(complaints.length === 0, 'print: no console output, error or request', complaints.join(' | '));
  await shoot(page, 'print');
  await page.close();
}

try {
  await checkLooks();
  const { page, complaints } = await open(1400, 'light');
  await checkHover(page);
  await checkMaps(page);
  await checkKeyboard(page);
  check(complaints.length === 0, 'in use: no console output, error or request', complaints.join(' | '));
  await page.close();
  await checkPinch();
  await checkPrint();
} finally {
  await context.close();
  rmSync(profile, { recursive: true, force: true });
}
console.log(failures === 0 ? 'all checks passed' : `${failures} checks failed`);
process.exit(failures === 0 ? 0 : 1);
