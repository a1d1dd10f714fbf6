// Error map: a column per register, a row per bit; zooms in width down to single registers.

const STEPS = 120;
const DECADES = 5;
// Codes of cells, in the order of their rises, so that the largest code of some cells is that of the largest rise.
const NO_BIT = 0;
const NOT_FLIPPED = 1;
const ZERO = NOT_FLIPPED + STEPS + 1;
const CODES = ZERO + STEPS + 1;

/** Binary32 numbers from Base64, little-endian whatever the machine. */
function numbers(base64) {
  const bytes = Uint8Array.from(atob(base64), (sign) => sign.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  return Float32Array.from({ length: bytes.length / 4 }, (_, place) => view.getFloat32(4 * place, true));
}

const rgb = (hex) => [1, 3, 5].map((place) => parseInt(hex.slice(place, place + 2), 16));

/** Colors by code, as canvas pixels. */
function palette() {
  const colors = new Uint8ClampedArray(4 * CODES);
  const put = (code, parts, alpha = 255) => colors.set([...parts, alpha], 4 * code);
  const ramp = (name, place) => {
    const stops = [0, 1, 2, 3, 4].map((stop) => rgb(color(`${name}${stop}`)));
    const gap = Math.min(Math.floor(place * 4), 3);
    return stops[gap].map((part, channel) => part + (stops[gap + 1][channel] - part) * (place * 4 - gap));
  };
  put(NO_BIT, [0, 0, 0], 0);
  put(NOT_FLIPPED, rgb(color('none')));
  put(ZERO, rgb(color('zero')));
  for (let step = 0; step < STEPS; step += 1) {
    put(ZERO + 1 + step, ramp('up', step / (STEPS - 1)));
    put(ZERO - 1 - step, ramp('down', step / (STEPS - 1)));
  }
  return new Uint32Array(colors.buffer);
}

/** Where the bits of a map are, and the codes of their colors. */
class MapCells {
  constructor(map) {
    this.rises = numbers(map.rises);
    let [register, bit] = [0, 0];
    this.arrays = map.arrays.map((array) => {
      const placed = { ...array, name: `${array.layer}.${array.tensor}`, register, bit };
      register += array.registers;
      bit += array.registers * array.width;
      return placed;
    });
    this.registers = register;
    this.rows = Math.max(...map.arrays.map((array) => array.width));
    const largest = this.rises.reduce((known, rise) => (Math.abs(rise) > known ? Math.abs(rise) : known), 0);
    this.strong = largest > 0 ? largest : 1;
    this.faint = 10 ** (Math.floor(Math.log10(this.strong)) + 1 - DECADES);
    this.hasUnflipped = this.rises.some(Number.isNaN);
    this.codes = new Uint8Array(this.rows * this.registers);
    for (const array of this.arrays) {
      for (let index = 0; index < array.registers; index += 1) {
        for (let row = 0; row < array.width; row += 1) {
          this.codes[row * this.registers + array.register + index] = this.code(this.rises[array.bit + index * array.width + row]);
        }
      }
    }
  }

  code(rise) {
    if (Number.isNaN(rise)) return NOT_FLIPPED;
    if (rise === 0) return ZERO;
    const share = Math.log10(Math.abs(rise) / this.faint) / Math.log10(this.strong / this.faint);
    const step = Math.min(Math.max(Math.floor(share * STEPS), 0), STEPS - 1);
    return rise > 0 ? ZERO + 1 + step : ZERO - 1 - step;
  }

  arrayAt(register) {
    return this.arrays.findLast((array) => array.register <= register && register < array.register + array.registers);
  }

  /** Address and rise of a bit in words; nothing where there is no such bit. */
  words(register, row, metric) {
    const array = this.arrayAt(register);
    if (!array || row < 0 || row >= array.width) return null;
    const index = register - array.register;
    const rise = this.rises[array.bit + index * array.width + row];
    const value = Number.isNaN(rise) ? 'not flipped' : `rise ${rise > 0 ? '+' : ''}${significant(rise)} ${metric}`;
    return `${array.name}[${index}].bit[${row}]: ${value}`;
  }
}

class ErrorMap {
  constructor(figure) {
    const plot = figure.querySelector('.plot');
    const system = data.systems[Number(figure.dataset.system)];
    this.metric = system.metric;
    this.cells = new MapCells(system.map);
    this.start = 0;
    this.span = this.cells.registers;
    this.cursor = null;
    this.density = null;
    this.pointers = new Map();
    this.bar = element('div', { class: 'map-bar' });
    const description = plot.dataset.description;
    this.canvas = element('canvas', { class: 'map-canvas', tabindex: '0', role: 'application', 'aria-roledescription': 'map', 'aria-label': description });
    this.readout = element('p', { class: 'readout', 'aria-live': 'off' });
    plot.append(this.bar, this.canvas, this.readout);
    this.fillBar();
    this.listen();
    new ResizeObserver(() => this.draw()).observe(this.canvas);
    this.say();
  }

  fillBar() {
    const button = (text, name, act) => {
      const made = element('button', { type: 'button', 'aria-label': name }, text);
      made.addEventListener('click', act);
      return made;
    };
    this.select = element('select', {}, element('option', { value: '' }, 'whole map'));
    this.cells.arrays.forEach((array, number) => {
      const last = array.registers - 1;
      this.select.append(element('option', { value: String(number) }, `${array.name}[0..${last}], ${array.width} bits`));
    });
    this.select.addEventListener('change', () => {
      const array = this.cells.arrays[Number(this.select.value)];
      if (this.select.value === '') this.show(0, this.cells.registers);
      else this.show(array.register, array.registers);
    });
    this.scaleBox = element('div', { class: 'scale', role: 'img' });
    this.bar.append(
      button('+', 'Zoom in', () => this.zoom(0.5)),
      button('−', 'Zoom out', () => this.zoom(2)),
      button('Whole map', 'Show the whole map', () => this.show(0, this.cells.registers)),
      element('label', {}, 'Show ', this.select),
      this.scaleBox,
    );
  }

  // Geometry, in CSS pixels.

  get left() { return 58; }
  get top() { return 24; }
  get row() { return Math.max(18, Math.min(30, Math.floor(220 / this.cells.rows))); }
  get width() { return Math.max(this.canvas.clientWidth - this.left - 1, 1); }
  get scale() { return this.width / this.span; }
  get height() { return this.top + this.row * this.cells.rows + 30; }
  /** Fewest registers shown. */
  get least() { return Math.min(this.cells.registers, Math.max(this.width / 44, 4)); }

  place(x, y) {
    const register = Math.floor(this.start + (x - this.left) / this.scale);
    const row = Math.floor((y - this.top) / this.row);
    const isInside = x >= this.left && register >= 0 && register < this.cells.registers && row >= 0 && row < this.cells.rows;
    return isInside ? { register, row } : null;
  }

  /** Shows `span` registers from `start` on, as far as there are any. */
  show(start, span) {
    this.span = Math.min(Math.max(span, this.least), this.cells.registers);
    this.start = Math.min(Math.max(start, 0), this.cells.registers - this.span);
    this.redraw();
  }

  /** Makes what is shown `factor` times as wide, around a pixel, the cursor or the middle. */
  zoom(factor, x = null) {
    let along = x === null ? 0.5 : (x - this.left) / this.width;
    if (x === null && this.cursor) along = (this.cursor.register + 0.5 - this.start) / this.span;
    along = along >= 0 && along <= 1 ? along : 0.5;
    const fixed = this.start + along * this.span;
    const span = Math.min(Math.max(this.span * factor, this.least), this.cells.registers);
    this.show(fixed - along * span, span);
  }

  listen() {
    const at = (event) => {
      const box = this.canvas.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    };
    this.canvas.addEventListener('wheel', (event) => {
      const isSideways = Math.abs(event.deltaX) > Math.abs(event.deltaY) || event.shiftKey;
      if (!event.ctrlKey && !event.metaKey && document.activeElement !== this.canvas && !isSideways) return;
      event.preventDefault();
      const move = event.deltaMode === 1 ? 16 : 1;
      if (isSideways) this.show(this.start + ((event.deltaX || event.deltaY) * move) / this.scale, this.span);
      else this.zoom(Math.exp(Math.max(-60, Math.min(60, event.deltaY * move)) * 0.006), at(event)[0]);
    }, { passive: false });
    this.canvas.addEventListener('pointerdown', (event) => {
      this.canvas.setPointerCapture(event.pointerId);
      this.pointers.set(event.pointerId, at(event));
      this.hasMoved = false;
    });
    this.canvas.addEventListener('pointermove', (event) => this.move(event, at(event)));
    const release = (event) => {
      if (event.type === 'pointerup' && !this.hasMoved && this.pointers.has(event.pointerId)) this.point(this.place(...at(event)));
      this.pointers.delete(event.pointerId);
    };
    this.canvas.addEventListener('pointerup', release);
    this.canvas.addEventListener('pointercancel', release);
    this.canvas.addEventListener('keydown', (event) => this.key(event));
  }

  move(event, [x, y]) {
    const known = this.pointers.get(event.pointerId);
    // Whoever points sees the readout; only keys have it read aloud.
    this.readout.setAttribute('aria-live', 'off');
    if (!known) {
      if (event.pointerType !== 'touch') this.point(this.place(x, y));
      return;
    }
    if (!this.hasMoved && Math.hypot(x - known[0], y - known[1]) < 4) return;
    this.hasMoved = true;
    const other = [...this.pointers].find(([id]) => id !== event.pointerId)?.[1];
    if (other) {
      const [before, after] = [Math.max(Math.abs(known[0] - other[0]), 8), Math.max(Math.abs(x - other[0]), 8)];
      this.zoom(before / after, (x + other[0]) / 2);
    } else {
      this.show(this.start - (x - known[0]) / this.scale, this.span);
    }
    this.pointers.set(event.pointerId, [x, y]);
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    this.readout.setAttribute('aria-live', 'polite');
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1], Home: [-Infinity, 0], End: [Infinity, 0] };
    if (steps[event.key]) this.step(...steps[event.key]);
    else if (event.key === 'PageUp') this.step(-Math.ceil(this.span / 2), 0);
    else if (event.key === 'PageDown') this.step(Math.ceil(this.span / 2), 0);
    else if (event.key === '+' || event.key === '=') this.zoom(0.5);
    else if (event.key === '-') this.zoom(2);
    else if (event.key === '0') this.show(0, this.cells.registers);
    else return;
    event.preventDefault();
  }

  /** Moves the cursor and keeps it in sight. */
  step(registers, rows) {
    const within = (value, most) => Math.min(Math.max(value, 0), most);
    const from = this.cursor ?? { register: Math.max(Math.round(this.start), 0) - Math.min(registers, 1), row: -Math.min(rows, 1) };
    const register = within(from.register + registers, this.cells.registers - 1);
    const row = within(from.row + rows, this.cells.arrayAt(register).width - 1);
    if (register < this.start) this.show(register, this.span);
    if (register + 1 > this.start + this.span) this.show(register + 1 - this.span, this.span);
    this.point({ register, row });
  }

  point(cursor) {
    const isSame = cursor?.register === this.cursor?.register && cursor?.row === this.cursor?.row;
    if (cursor === null || isSame) return;
    this.cursor = cursor;
    this.say();
    this.redraw();
  }

  say() {
    const words = this.cursor && this.cells.words(this.cursor.register, this.cursor.row, this.metric);
    this.readout.textContent = words ?? 'Point at a bit, tap it, or move with the arrow keys.';
  }

  // For `drawn`.

  resize() {}

  print(isOn) {
    if (isOn) {
      this.kept = { start: this.start, span: this.span, cursor: this.cursor };
      Object.assign(this, { start: 0, span: this.cells.registers, cursor: null, density: 3 });
    } else {
      Object.assign(this, this.kept, { density: null });
    }
  }

  redraw() {
    if (this.isWaiting) return;
    this.isWaiting = true;
    requestAnimationFrame(() => {
      this.isWaiting = false;
      this.paint();
    });
  }

  draw() {
    this.colors = palette();
    this.fillScale();
    this.paint();
  }

  paint() {
    if (this.canvas.clientWidth === 0) return;
    // Room for the rows at this width; what was shown may be too narrow for it.
    this.span = Math.min(Math.max(this.span, this.least), this.cells.registers);
    this.start = Math.min(this.start, this.cells.registers - this.span);
    const density = this.density ?? Math.max(devicePixelRatio, 1);
    const [width, height] = [this.left + this.width + 1, this.height];
    if (this.canvas.style.height !== `${height}px`) this.canvas.style.height = `${height}px`;
    this.canvas.width = Math.round(width * density);
    this.canvas.height = Math.round(height * density);
    const context = this.canvas.getContext('2d');
    context.scale(density, density);
    this.paintCells(context, density);
    this.paintNames(context);
    this.paintArrays(context);
    this.paintCursor(context);
    this.paintWindow(context);
    const { left, top, row, start, scale } = this;
    this.canvas.dataset.view = JSON.stringify({ left, top, row, start, scale });
  }

  /** A pixel in height for every row, in its color; where pixels are wider than registers, the largest rise below them. */
  layer(columns) {
    const { codes, registers, rows } = this.cells;
    const key = [columns, this.start, this.span].join();
    if (this.painted?.key === key && this.painted.colors === this.colors) return this.painted.layer;
    const image = new ImageData(columns, rows);
    const pixels = new Uint32Array(image.data.buffer);
    const perPixel = this.span / columns;
    for (let column = 0; column < columns; column += 1) {
      const from = perPixel < 1 ? Math.floor(this.start + (column + 0.5) * perPixel) : Math.floor(this.start + column * perPixel);
      const to = perPixel < 1 ? from + 1 : Math.min(Math.max(Math.floor(this.start + (column + 1) * perPixel), from + 1), registers);
      for (let row = 0; row < rows; row += 1) {
        let largest = NO_BIT;
        for (let cell = row * registers + from; cell < row * registers + to; cell += 1) {
          if (codes[cell] > largest) largest = codes[cell];
        }
        pixels[row * columns + column] = this.colors[largest];
      }
    }
    const layer = element('canvas');
    layer.width = columns;
    layer.height = rows;
    layer.getContext('2d').putImageData(image, 0, 0);
    this.painted = { key, colors: this.colors, layer };
    return layer;
  }

  paintCells(context, density) {
    const { rows } = this.cells;
    context.imageSmoothingEnabled = false;
    context.drawImage(this.layer(Math.max(Math.round(this.width * density), 1)), this.left, this.top, this.width, this.row * rows);
    context.fillStyle = color('paper');
    for (let row = 1; row < rows; row += 1) context.fillRect(this.left, this.top + row * this.row - 0.5, this.width, 1);
    if (this.scale >= 7) {
      for (let register = Math.ceil(this.start); register <= this.start + this.span; register += 1) {
        context.fillRect(this.left + (register - this.start) * this.scale - 0.5, this.top, 1, this.row * rows);
      }
    }
    context.strokeStyle = color('rule');
    context.lineWidth = 1;
    context.strokeRect(this.left - 0.5, this.top - 0.5, this.width + 1, this.row * rows + 1);
  }

  paintNames(context) {
    context.font = `12px ${FONT}`;
    context.fillStyle = color('muted');
    context.textBaseline = 'middle';
    context.textAlign = 'right';
    for (let row = 0; row < this.cells.rows; row += 1) {
      context.fillText(row === 0 ? 'MSB 0' : String(row), this.left - 7, this.top + (row + 0.5) * this.row);
    }
    context.fillText('bit', this.left - 7, this.top - 12);
  }

  /** Names of arrays above the map, their ends, and indices of registers below. */
  paintArrays(context) {
    const bottom = this.top + this.row * this.cells.rows;
    const step = [1, 2, 5].flatMap((digit) => [0, 1, 2, 3, 4, 5, 6].map((power) => digit * 10 ** power))
      .sort((a, b) => a - b).find((each) => each * this.scale >= 64) ?? 1e7;
    context.textBaseline = 'middle';
    for (const array of this.cells.arrays) {
      const at = (index) => this.left + (array.register + index - this.start) * this.scale;
      const [from, to] = [Math.max(at(0), this.left), Math.min(at(array.registers), this.left + this.width)];
      if (to - from < 1) continue;
      context.fillStyle = color('ink');
      if (at(0) > this.left + 1) context.fillRect(at(0) - 0.75, this.top - 20, 1.5, bottom - this.top + 26);
      context.textAlign = 'left';
      context.font = `600 12px ${FONT}`;
      const room = to - from - 12;
      let name = array.name;
      while (name.length > 1 && context.measureText(name === array.name ? name : `${name}…`).width > room) name = name.slice(0, -1);
      const isWhole = name === array.name;
      if (isWhole || name.length > 3) context.fillText(isWhole ? name : `${name}…`, from + 5, this.top - 12);
      context.font = `11.5px ${FONT}`;
      context.fillStyle = color('muted');
      const first = Math.max(Math.ceil((this.start - array.register) / step) * step, 0);
      for (let index = first; index < array.registers && at(index + 1) <= this.left + this.width + 1; index += step) {
        const middle = at(index + 0.5);
        const text = `[${index}]`;
        const half = context.measureText(text).width / 2;
        if (middle - half < from - (from === this.left ? 12 : 0) || middle + half > to) continue;
        context.fillRect(middle - 0.5, bottom + 1, 1, 4);
        context.textAlign = 'center';
        context.fillText(text, middle, bottom + 13);
      }
    }
  }

  paintCursor(context) {
    if (!this.cursor) return;
    const { register, row } = this.cursor;
    const x = this.left + (register - this.start) * this.scale;
    if (x + this.scale < this.left || x > this.left + this.width) return;
    const [wide, y] = [Math.max(this.scale, 3), this.top + row * this.row];
    context.lineWidth = 4;
    context.strokeStyle = color('paper');
    context.strokeRect(x + this.scale / 2 - wide / 2, y, wide, this.row);
    context.lineWidth = 2;
    context.strokeStyle = color('accent');
    context.strokeRect(x + this.scale / 2 - wide / 2, y, wide, this.row);
  }

  /** Which part of the map is shown. */
  paintWindow(context) {
    if (this.span >= this.cells.registers) return;
    const y = this.height - 5;
    context.fillStyle = color('band');
    context.fillRect(this.left, y, this.width, 4);
    context.fillStyle = color('muted');
    const part = this.width / this.cells.registers;
    context.fillRect(this.left + this.start * part, y, Math.max(this.span * part, 4), 4);
  }

  /** What colors mean. */
  fillScale() {
    const { strong, faint, hasUnflipped } = this.cells;
    const ramp = (name, side) => {
      const stops = [0, 1, 2, 3, 4].map((stop) => color(`${name}${stop}`));
      const part = element('div');
      part.style.cssText = `flex: 44 0 0; background: linear-gradient(to ${side}, ${stops.join(', ')})`;
      return part;
    };
    const plain = (name, share) => {
      const part = element('div');
      part.style.cssText = `flex: ${share} 0 0; background: ${color(name)}; outline: 1px solid ${color('rule')}; outline-offset: -1px`;
      return part;
    };
    const row = element('div', { class: 'scale-row' }, ramp('down', 'left'), plain('zero', 8), ramp('up', 'right'));
    const ticks = element('div', { class: 'scale-ticks' });
    const all = hasUnflipped ? 122 : 96;
    const tick = (at, text) => {
      const made = element('span', {}, text);
      made.style.left = `${(at / all) * 100}%`;
      ticks.append(made);
      return made;
    };
    tick(0, `−${short(Number(strong.toPrecision(2)))}`).style.transform = 'none';
    tick(36, `−${short(faint)}`);
    tick(48, '0');
    tick(60, short(faint));
    const last = tick(96, `${short(Number(strong.toPrecision(2)))} ${this.metric}`);
    last.style.transform = 'translateX(-100%)';
    if (hasUnflipped) {
      const space = element('div');
      space.style.cssText = 'flex: 6 0 0';
      row.append(space, plain('none', 20));
      tick(112, 'not flipped');
    }
    this.scaleBox.setAttribute('aria-label', `Colors: from ${short(-strong)} over 0 to ${short(strong)} ${this.metric}, logarithmic`);
    this.scaleBox.replaceChildren(row, ticks);
  }
}

function errorMaps() {
  for (const figure of inSection('map')) drawn.push(new ErrorMap(figure));
}
