// Draws everything, and again when theme, width or medium change.

const themeButton = document.getElementById('theme');

function setTheme(theme) {
  root.dataset.theme = theme;
  themeButton.setAttribute('aria-pressed', String(theme === 'dark'));
}

/** Draws for paper: light, at its width, everything unfolded; or for the screen again. */
let beforePrint = null;
function setPrinting(isOn) {
  if (isOn === (beforePrint !== null)) return;
  if (isOn) {
    beforePrint = { theme: root.dataset.theme, closed: [...document.querySelectorAll('details:not([open])')] };
    beforePrint.closed.forEach((each) => { each.open = true; });
    root.dataset.theme = 'light';
  } else {
    beforePrint.closed.forEach((each) => { each.open = false; });
    root.dataset.theme = beforePrint.theme;
    beforePrint = null;
  }
  root.classList.toggle('printing', isOn);
  drawn.forEach((each) => each.print(isOn));
  drawn.forEach((each) => each.resize());
  drawAll();
}

sweepCharts();
errorMaps();
positionCharts();
missionCharts();
setTheme(root.dataset.theme);
drawAll();

themeButton.addEventListener('click', () => {
  setTheme(root.dataset.theme === 'dark' ? 'light' : 'dark');
  drawAll();
});
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', (change) => {
  if (beforePrint) return;
  setTheme(change.matches ? 'dark' : 'light');
  drawAll();
});
addEventListener('beforeprint', () => setPrinting(true));
addEventListener('afterprint', () => setPrinting(false));
matchMedia('print').addEventListener('change', (change) => setPrinting(change.matches));
