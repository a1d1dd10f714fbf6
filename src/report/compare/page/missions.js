// Risk over the time of a mission: a line and a band per scenario.

const TIMES = [[86400 * 365.25, 'years'], [86400, 'days'], [3600, 'h'], [60, 'min'], [1, 's']];

/** The unit in which a mission of this length is shown. */
const timeUnit = (seconds) => TIMES.find(([size]) => seconds >= 2 * size) ?? [1e-3, 'ms'];

const MISSION_VALUES = {
  error_rise: { name: (metric) => `rise of the mean error, ${metric}`, axis: short, text: significant },
  wrong_share: { name: () => 'share of wrong outputs', axis: shortPercent, text: (share) => (share > 0 && share < 1e-4 ? `${significant(share * 100)} %` : percent(share)) },
};

/** Lines and bands of a scenario; a band is an invisible line with its area stacked upon it. */
function scenarioSeries(scenario, style, values, y, unit) {
  if (values.length === 0) return [];
  const place = (value) => y.place(value);
  const times = [0, ...scenario.times_s.map((time) => time / unit)];
  // Each value is a mean over the part that ends at its time.
  const stepped = (of) => times.map((time, number) => [time, of(values[Math.max(number - 1, 0)])]);
  const marks = (points) => points.map((value, number) => ({ value, symbol: number > 0 && number % 4 === 2 ? undefined : 'none' }));
  const series = [lineSeries(scenario.label, style, marks(stepped((entry) => place(entry.mean))), { step: 'start', symbolSize: 7 })];
  if (!values.some((entry) => entry.interval !== null)) return series;
  const low = (entry) => place(entry.interval?.[0] ?? entry.mean);
  const high = (entry) => place(entry.interval?.[1] ?? entry.mean);
  const edge = { type: 'line', step: 'start', symbol: 'none', silent: true, stack: scenario.label, lineStyle: { opacity: 0 }, z: 2 };
  // Linear ends may lie on both sides of zero, where stacks part ways unless told not to.
  series.push({ ...edge, stackStrategy: 'all', data: stepped(low) });
  const area = { color: style.color, opacity: 0.18 };
  series.push({ ...edge, stackStrategy: 'all', data: stepped((entry) => Math.max(high(entry) - low(entry), 0)), areaStyle: area });
  return series;
}

function missionOption(system, part, hidden) {
  const { scenarios, mission_s: length } = system.missions[part];
  const field = chosen('missions-y');
  const { name, axis: axisText, text } = MISSION_VALUES[field];
  const [unit, unitName] = timeUnit(length);
  const all = scenarios.flatMap((scenario) => scenario[field]);
  const values = all.flatMap((entry) => [entry.mean, ...(entry.interval ?? [])]);
  const y = valueAxis(name(system.metric), chosen('missions-scale'), values, axisText);
  const shown = scenarios.map((scenario, number) => [scenario, numberedStyle(number)]).filter((_, number) => !hidden.has(number));
  const series = shown.flatMap(([scenario, style]) => scenarioSeries(scenario, style, scenario[field], y, unit));
  const list = (items) => {
    const time = items[0].axisValue * unit;
    const pairs = shown.map(([scenario]) => {
      const part_ = Math.max(scenario.times_s.findIndex((end) => end >= time * (1 - 1e-9)), 0);
      const { mean, interval } = scenario[field][part_] ?? { mean: NaN, interval: null };
      return [scenario.label, interval === null ? text(mean) : `${text(mean)} (${text(interval[0])} to ${text(interval[1])})`];
    });
    return tip(`part that ends at ${short(items[0].axisValue)} ${unitName}`, pairs);
  };
  const option = baseOption();
  Object.assign(option.tooltip, { trigger: 'axis', formatter: list, axisPointer: { lineStyle: { color: color('muted') } } });
  return {
    ...option,
    xAxis: xAxis(`time, ${unitName}`, { type: 'value', min: 0, max: length / unit, axisLabel: { formatter: short } }),
    yAxis: y.axis,
    series: [bandSeries(y.band), ...series],
  };
}

function missionCharts() {
  const figures = inSection('missions');
  for (const figure of figures) {
    const hidden = new Set();
    const legend = element('div', { class: 'legend', role: 'group', 'aria-label': 'Scenarios shown' });
    figure.querySelector('.plot').before(legend);
    const entry = addChart(figure, (system, part) => missionOption(system, part, hidden));
    const { scenarios } = data.systems[Number(figure.dataset.system)].missions[Number(figure.dataset.part)];
    const keys = scenarios.map((_, number) => number);
    const label = (key) => scenarios[key].label;
    drawn.push({ draw: () => fillLegend(legend, keys, label, numberedStyle, hidden, entry.draw), resize() {}, print() {} });
    onChoice(['missions-y', 'missions-scale'], entry.draw);
  }
}
