/** Colours keep their distance for readers who see few of them, on paper white and on black. */
export const reportStyle = `
:root {
  color-scheme: light dark;
  --page: #f9f9f7; --card: #fcfcfb; --ink: #0b0b0b; --soft: #52514e; --faint: #898781;
  --grid: #e1e0d9; --edge: rgba(11, 11, 11, 0.1);
  --c0: #2a78d6; --c1: #eb6834; --c2: #1baf7a; --c3: #eda100; --c4: #4a3aa7; --c5: #e87ba4;
  --c6: #008300; --c7: #e34948;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #0d0d0d; --card: #1a1a19; --ink: #ffffff; --soft: #c3c2b7; --faint: #898781;
    --grid: #2c2c2a; --edge: rgba(255, 255, 255, 0.1);
    --c0: #3987e5; --c1: #d95926; --c2: #199e70; --c3: #c98500; --c4: #9085e9; --c5: #d55181;
    --c6: #2f9e2f; --c7: #e66767;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.45 system-ui, -apple-system, "Segoe UI", sans-serif;
}
main { max-width: 1280px; margin: 0 auto; padding: 28px 20px 60px; }
h1 { font-size: 26px; margin: 0 0 4px; overflow-wrap: anywhere; }
h2 { font-size: 16px; margin: 0 0 10px; }
h3 { font-size: 13px; font-weight: 600; margin: 8px 0 2px; color: var(--soft); }
.summary { margin: 0 0 20px; color: var(--soft); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(130px, 1fr)); gap: 12px; }
.tile, section {
  background: var(--card); border: 1px solid var(--edge); border-radius: 8px; padding: 14px 16px;
}
.tile b { display: block; font-size: 20px; font-weight: 600; white-space: nowrap; }
.tile span { color: var(--soft); font-size: 13px; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 540px), 1fr));
  gap: 12px; margin: 12px 0; }
section { margin-bottom: 12px; min-width: 0; }
.plots section { margin: 0; }
.small { display: grid; gap: 12px;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 360px), 1fr)); }
svg { display: block; width: 100%; height: auto; }
.grid { stroke: var(--grid); stroke-width: 1; }
.base { stroke: var(--faint); stroke-width: 1; }
.tick, .label { fill: var(--soft); font-size: 12px; font-variant-numeric: tabular-nums; }
.label { fill: var(--faint); }
.end { text-anchor: end; }
.middle { text-anchor: middle; }
.line { fill: none; stroke-width: 2; stroke-linejoin: round; stroke-linecap: round; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 16px; list-style: none; margin: 0 0 8px;
  padding: 0; font-size: 13px; color: var(--soft); }
.swatch { display: inline-block; width: 10px; height: 10px; border-radius: 2px;
  margin-right: 6px; }
.stroke0 { stroke: var(--c0); } .fill0 { fill: var(--c0); background: var(--c0); }
.stroke1 { stroke: var(--c1); } .fill1 { fill: var(--c1); background: var(--c1); }
.stroke2 { stroke: var(--c2); } .fill2 { fill: var(--c2); background: var(--c2); }
.stroke3 { stroke: var(--c3); } .fill3 { fill: var(--c3); background: var(--c3); }
.stroke4 { stroke: var(--c4); } .fill4 { fill: var(--c4); background: var(--c4); }
.stroke5 { stroke: var(--c5); } .fill5 { fill: var(--c5); background: var(--c5); }
.stroke6 { stroke: var(--c6); } .fill6 { fill: var(--c6); background: var(--c6); }
.stroke7 { stroke: var(--c7); } .fill7 { fill: var(--c7); background: var(--c7); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; }
th, td { padding: 5px 16px 5px 0; text-align: right; white-space: nowrap;
  border-bottom: 1px solid var(--grid); }
th { color: var(--soft); font-weight: 500; }
th:first-child, td:first-child, .facts th, .facts td { text-align: left; }
.facts td { white-space: normal; overflow-wrap: anywhere; }
tr:last-child > * { border-bottom: 0; }
`;
