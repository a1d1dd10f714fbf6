// Charts of sweeps, rankings and bit positions.

const inSection = (kind) => [...document.querySelectorAll(`figure[data-kind="${kind}"]`)];

/** Makes a chart in a figure; `build(system, part)` gives what it shows. */
function addChart(figure, build) {
  const plot = figure.querySelector('.plot');
  const box = element('div', { class: 'canvas', role: 'img', 'aria-label': plot.dataset.description });
  plot.append(box);
  const chart = echarts.init(box, null, { renderer: 'svg' });
  const system = data.systems[Number(figure.dataset.system)];
  const entry = {
    draw: () => {
      const option = build(system, Number(figure.dataset.part));
      for (const each of [option.xAxis, option.yAxis]) each.nameTruncate = { maxWidth: box.clientWidth - 30 };
      chart.setOption(option, { notMerge: true });
    },
    resize: () => {
      const isOther = box.clientWidth !== chart.getWidth() || box.clientHeight !== chart.getHeight();
      if (box.clientWidth > 0 && isOther) chart.resize();
    },
    print: () => chart.dispatchAction({ type: 'hideTip' }),
  };
  new ResizeObserver(entry.resize).observe(box);
  drawn.push(entry);
  return entry;
}

/** What all charts have in common. */
function baseOption() {
  return {
    animation: false,
    backgroundColor: 'transparent',
    textStyle: { fontFamily: FONT, color: color('ink') },
    grid: { left: 62, right: 20, top: 34, bottom: 50 },
    tooltip: {
      confine: true,
      backgroundColor: color('paper'),
      borderColor: color('rule'),
      borderWidth: 1,
      padding: [8, 11],
      textStyle: { color: color('ink'), fontFamily: FONT, fontSize: 13 },
      extraCssText: 'white-space: normal; box-shadow: 0 2px 10px rgba(0, 0, 0, .18); border-radius: 5px;',
      transitionDuration: 0,
    },
  };
}

function axis(name, more) {
  return {
    name,
    nameTextStyle: { color: color('muted'), fontSize: 12, fontFamily: FONT },
    axisLine: { show: true, lineStyle: { color: color('muted') } },
    axisTick: { show: true, lineStyle: { color: color('muted') } },
    splitLine: { show: true, lineStyle: { color: color('grid') } },
    ...more,
    axisLabel: { color: color('muted'), fontSize: 12, hideOverlap: true, ...more.axisLabel },
  };
}

const xAxis = (name, more) => axis(name, { nameLocation: 'middle', nameGap: 30, ...more });

function yAxis(name, more) {
  const made = axis(name, { nameLocation: 'end', nameGap: 14, ...more });
  // Above the axis, from the left edge of the chart on.
  made.nameTextStyle = { ...made.nameTextStyle, align: 'left', padding: [0, 0, 0, -56] };
  return made;
}

/**
 * A y axis for these values: linear, or logarithmic with a band at its foot for what has no logarithm. `place` says where a
 * value is drawn, `band` is what an invisible series shades.
 */
function valueAxis(name, scale, values, text) {
  const positive = values.filter((value) => value > 0);
  if (scale !== 'log' || positive.length === 0) {
    // Negative values too small to be seen do not get an interval of the axis for themselves.
    const isSigned = Math.min(...values) < -0.01 * Math.max(...values);
    const made = yAxis(name, { type: 'value', min: isSigned ? undefined : 0, axisLabel: { formatter: (value) => text(value) } });
    return { axis: made, place: (value) => (isSigned ? value : Math.max(value, 0)), band: [] };
  }
  const most = Math.max(...positive);
  // A whole decade at the top, unless little of it would be used.
  const top = Math.ceil(Math.log10(most) - 0.3);
  const lowest = Math.max(Math.floor(Math.log10(Math.min(...positive)) + 1e-9), top - 7);
  const foot = Math.min(lowest, top - 1);
  const cut = 10 ** foot;
  const isCut = (value) => value < cut * (1 - 1e-9);
  const hasBand = values.some(isCut);
  const min = hasBand ? 10 ** (foot - 1) : cut;
  const footText = positive.some(isCut) ? `< ${text(cut)}` : '≤ 0';
  const isOdd = (value) => Math.abs(Math.log10(value) - Math.round(Math.log10(value))) > 1e-6;
  const label = (value) => (isOdd(value) ? '' : text(value));
  const axisLabel = { formatter: (value) => (hasBand && value < cut / 2 ? footText : label(value)), showMinLabel: true };
  const band = hasBand ? [[{ yAxis: min }, { yAxis: cut }]] : [];
  return {
    axis: yAxis(name, { type: 'log', logBase: 10, min, max: Math.max(10 ** top, most * 1.1), axisLabel }),
    place: (value) => (isCut(value) ? cut / Math.sqrt(10) : value),
    band,
  };
}

/** A series that only shades the band. */
function bandSeries(band) {
  const markArea = { silent: true, data: band, itemStyle: { color: color('band') } };
  return { type: 'line', data: [], silent: true, z: 0, markArea };
}

/** A line with markers. */
function lineSeries(name, style, points, more = {}) {
  return {
    name,
    type: 'line',
    data: points,
    symbol: `path://${style.shape}`,
    symbolSize: 9,
    showAllSymbol: true,
    lineStyle: { color: style.color, width: 2, type: style.dash },
    itemStyle: { color: style.color },
    emphasis: { disabled: true },
    z: 3,
    ...more,
  };
}

const AREAS = {
  share_of_accelerator: { text: shortPercent, name: () => 'area added, % of the accelerator' },
  share_of_registers: { text: shortPercent, name: () => 'area added, % of all registers' },
  area_added: { text: short, name: (unit) => `area added, ${unit}` },
};

const known = (value) => value !== null && value !== undefined;

/** Interval of the share that missions say is left, if they say one. */
function intervalLeft({ removed_low: low, removed_high: high }) {
  return known(low) && known(high) ? [1 - high, 1 - low] : null;
}

/** Everything that is known of a point of a sweep. */
function pointTip(line, point, unit, metric) {
  const mission = point.verified?.mission;
  const pairs = [
    ['budget', point.budget],
    ['bits protected', whole(point.bits_protected)],
    ['area added', `${whole(point.area_added)} ${unit}`],
    ['of the accelerator', percent(point.share_of_accelerator, 3)],
    ['of all registers', percent(point.share_of_registers)],
    ['remaining share', point.share_removed === null ? '–' : percent(1 - point.share_removed, 3)],
    ['summed rise left', `${significant(point.rise_remaining)} ${metric}`],
    ['sensitive bits left', whole(point.sensitive_remaining)],
    ['rise per upset', `${significant(point.mean_rise_per_upset)} ${metric}`],
    ['protection', point.protection],
  ];
  if (point.price !== null) pairs.push(['behind the best choice of bits', percent(point.price)]);
  if (point.is_on_front) pairs.push(['Pareto front', 'yes']);
  if (point.plan !== null) pairs.push(['plan', point.plan]);
  if (point.verified) pairs.push(['exhaustive flips agree', point.verified.exhaustive_equal ? 'yes' : 'no']);
  if (mission && known(mission.removed)) {
    const interval = intervalLeft(mission);
    pairs.push(['left, observed', percent(1 - mission.removed, 3)]);
    if (interval) pairs.push(['its interval', interval.map((share) => percent(share, 3)).join(' to ')]);
    if (known(mission.removed_inside)) pairs.push(['prediction inside', mission.removed_inside ? 'yes' : 'no']);
  }
  return tip(data.lines[line.line].label, pairs);
}

const hiddenRankings = new Set();

function tradeoffOption(system, part) {
  const { unit, lines } = system.tradeoffs[part];
  const field = chosen('tradeoff-x');
  const all = lines.flatMap((line) => line.points);
  const isRelative = all.some((point) => point.share_removed !== null);
  const left = (point) => (isRelative ? 1 - point.share_removed : point.rise_remaining);
  const observed = (point) => (isRelative && known(point.verified?.mission?.removed) ? point.verified.mission : null);
  const values = all.map(left);
  for (const found of all.map(observed).filter(Boolean)) values.push(1 - found.removed, ...(intervalLeft(found) ?? []));
  if (isRelative) values.push(1);
  const name = isRelative ? 'remaining share of the summed rise' : `summed rise left, ${system.metric}`;
  const y = valueAxis(name, chosen('tradeoff-y'), values.filter(Number.isFinite), isRelative ? shortPercent : short);
  const start = isRelative ? [{ value: [0, y.place(1)], symbol: 'none', tooltip: { show: false } }] : [];
  const at = (point) => [point[field], y.place(left(point))];
  const front = all.filter((point) => point.is_on_front).sort((a, b) => a.area_added - b.area_added).map(at);
  const series = [bandSeries(y.band), {
    name: 'Pareto front',
    type: 'line',
    step: 'end',
    silent: true,
    symbol: 'none',
    data: [...start, ...front],
    lineStyle: { color: color('front'), width: 9, opacity: 0.75 },
    z: 1,
  }];
  for (const line of lines.filter((each) => !hiddenRankings.has(each.line))) {
    const style = lineStyle(line.line);
    const label = data.lines[line.line].label;
    const points = line.points.map((point) => ({ value: at(point), shown: () => pointTip(line, point, unit, system.metric) }));
    series.push(lineSeries(label, style, [...start, ...points]));
    const found = line.points.filter(observed);
    if (found.length === 0) continue;
    const bars = found.flatMap((point) => {
      const ends = intervalLeft(observed(point)) ?? [null, null];
      return [...ends.map((end) => [point[field], end === null ? null : y.place(end)]), [point[field], null]];
    });
    const diamonds = found.map((point) => ({
      value: [point[field], y.place(1 - observed(point).removed)],
      shown: () => pointTip(line, point, unit, system.metric),
    }));
    const bar = { color: style.color, width: 1.5, type: 'solid' };
    series.push(lineSeries(label, style, bars, { symbol: 'rect', symbolSize: [11, 1.5], lineStyle: bar, silent: true, z: 4 }));
    const outline = { color: color('paper'), borderColor: style.color, borderWidth: 1.5 };
    series.push({ type: 'scatter', symbol: 'diamond', symbolSize: 11, data: diamonds, itemStyle: outline, emphasis: { disabled: true }, z: 5 });
  }
  const option = baseOption();
  Object.assign(option.tooltip, { trigger: 'item', formatter: (item) => item.data?.shown?.() });
  const axisLabel = { formatter: (value) => AREAS[field].text(value) };
  return { ...option, xAxis: xAxis(AREAS[field].name(unit), { type: 'value', min: 0, axisLabel }), yAxis: y.axis, series };
}

/** A curve at `x`, straight between its points. */
function between(curve, x) {
  const after = curve.bits.findIndex((known) => known >= x);
  if (after <= 0) return curve.rise[Math.max(after, 0)];
  const [low, high] = [curve.bits[after - 1], curve.bits[after]];
  return curve.rise[after - 1] + ((x - low) / (high - low)) * (curve.rise[after] - curve.rise[after - 1]);
}

const hiddenCurves = new Set();

function curvesOption(system) {
  const scale = chosen('curves-x');
  const shown = system.curves.filter((curve) => !hiddenCurves.has(curve.line));
  const first = Math.min(...system.curves.map((curve) => curve.bits.find((bits) => bits > 0) ?? 1));
  const low = 10 ** Math.floor(Math.log10(first) + 1e-9);
  const series = shown.map((curve, place) => {
    const style = lineStyle(curve.line);
    // A marker at every so many, at other places in every line.
    const marks = new Set();
    for (let mark = 1; mark <= 7; mark += 1) {
      const along = (mark + place / shown.length) / 8;
      const x = scale === 'log' ? low ** (1 - along) : along;
      marks.add(curve.bits.findIndex((bits) => bits >= x));
    }
    const points = curve.bits.map((bits, number) => ({ value: [bits, curve.rise[number]], symbol: marks.has(number) ? undefined : 'none' }));
    const data_ = scale === 'log' ? points.filter((point) => point.value[0] > 0) : points;
    return lineSeries(data.lines[curve.line].label, style, data_, { symbolSize: 8 });
  });
  const option = baseOption();
  const list = (items) => {
    const x = items[0].axisValue;
    const pairs = shown.map((curve) => [data.lines[curve.line].label, between(curve, x)]).sort((a, b) => b[1] - a[1]);
    return tip(`first ${percent(x)} of the bits`, pairs.map(([label, rise]) => [label, percent(rise, 1)]));
  };
  Object.assign(option.tooltip, { trigger: 'axis', formatter: list, axisPointer: { lineStyle: { color: color('muted') } } });
  const limits = scale === 'log' ? { type: 'log', min: low, max: 1 } : { type: 'value', min: 0, max: 1 };
  const axisLabel = { formatter: shortPercent };
  return {
    ...option,
    xAxis: xAxis('share of the bits', { ...limits, axisLabel }),
    yAxis: yAxis('share of the summed rise', { type: 'value', axisLabel }),
    series,
  };
}

const KINDS = [['sensitive', 'Sensitive'], ['other', 'Not sensitive']];

function positionsOption(system) {
  const entries = system.positions;
  const bar = (kind, name, value) => ({
    name,
    type: 'bar',
    stack: 'bits',
    barMaxWidth: 46,
    data: entries.map(value),
    itemStyle: { color: color(kind) },
    emphasis: { disabled: true },
  });
  const share = (entry) => (entry.bits > 0 ? entry.sensitive / entry.bits : null);
  const sensitive = bar(KINDS[0][0], KINDS[0][1], (entry) => entry.sensitive);
  const rest = bar(KINDS[1][0], KINDS[1][1], (entry) => entry.bits - entry.sensitive);
  rest.label = {
    show: true,
    position: 'top',
    color: color('ink'),
    fontSize: 12,
    fontFamily: FONT,
    formatter: (item) => percent(share(entries[item.dataIndex]), 0),
  };
  const all = entries.reduce((sum, entry) => sum + entry.rise, 0);
  const option = baseOption();
  const list = ([item]) => {
    const entry = entries[item.dataIndex];
    return tip(`bit ${entry.bit}`, [
      ['bits flipped', whole(entry.bits)],
      ['sensitive', `${whole(entry.sensitive)} (${percent(share(entry), 1)})`],
      ['summed rise', `${significant(entry.rise)} ${system.metric}`],
      ['of the summed rise', all > 0 ? percent(entry.rise / all, 1) : '–'],
    ]);
  };
  Object.assign(option.tooltip, { trigger: 'axis', formatter: list, axisPointer: { type: 'none' } });
  const names = entries.map((entry) => String(entry.bit));
  return {
    ...option,
    xAxis: xAxis('bit position, 0 is the most significant', { type: 'category', data: names, splitLine: { show: false }, axisTick: { show: false }, axisLabel: { interval: 0 } }),
    yAxis: yAxis('bits; above the bars: share of sensitive ones', { type: 'value', axisLabel: { formatter: short } }),
    series: [sensitive, rest],
  };
}

/** Numbers of the lines that systems have, in their order. */
const linesOf = (of) => data.lines.map((_, number) => number).filter((number) => data.systems.some((system) => of(system).includes(number)));

/** Charts of a kind with a legend of rankings above them. */
function rankingCharts(kind, build, of, hidden, choices) {
  const figures = inSection(kind);
  if (figures.length === 0) return;
  const entries = figures.map((figure) => addChart(figure, build));
  const redraw = () => entries.forEach((entry) => entry.draw());
  const keys = linesOf(of);
  const legend = document.getElementById(`${kind}-legend`);
  legend.setAttribute('role', 'group');
  legend.setAttribute('aria-label', 'Rankings shown');
  drawn.push({ draw: () => fillLegend(legend, keys, (key) => data.lines[key].label, lineStyle, hidden, redraw), resize() {}, print() {} });
  onChoice(choices, redraw);
}

function sweepCharts() {
  const swept = (system) => system.tradeoffs.flatMap((tradeoff) => tradeoff.lines.map((line) => line.line));
  rankingCharts('tradeoff', tradeoffOption, swept, hiddenRankings, ['tradeoff-x', 'tradeoff-y']);
  rankingCharts('curves', curvesOption, (system) => system.curves.map((curve) => curve.line), hiddenCurves, ['curves-x']);
}

function positionCharts() {
  const figures = inSection('positions');
  if (figures.length === 0) return;
  figures.forEach((figure) => addChart(figure, positionsOption));
  const key = ([kind, name]) => {
    const patch = svg('rect', { width: 14, height: 14, fill: color(kind) });
    return element('span', { class: 'key' }, svg('svg', { width: 14, height: 14, 'aria-hidden': 'true' }, patch), element('span', {}, name));
  };
  const legend = document.getElementById('positions-legend');
  drawn.push({ draw: () => legend.replaceChildren(...KINDS.map(key)), resize() {}, print() {} });
}
