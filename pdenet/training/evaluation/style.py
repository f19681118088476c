"""The style of the page: quiet, readable on a phone, light or dark as the reader has it."""

STYLE = """
:root { color-scheme: light dark; --ink: #1a1a1a; --soft: #676767; --line: #e4e1da;
  --paper: #fdfcfa; --panel: #f5f2ec; --hit: #2b6ca3; --miss: #c2452d; --on: #fff;
  --c0: #2b6ca3; --c1: #cf6a1b; --c2: #2f7f55; --c3: #a03c8f; --c4: #7566c9; --c5: #86752a; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8e6e1; --soft: #a09d96; --line: #3a3936;
  --paper: #191918; --panel: #242422; --hit: #4f97d3; --miss: #e0674c; --on: #0e0e0e;
  --c0: #68aee6; --c1: #ee9550; --c2: #62bd8e; --c3: #d57fc6; --c4: #a69bf0; --c5: #c4b160; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); -webkit-text-size-adjust: 100%;
  font: 17px/1.55 Charter, "Bitstream Charter", "Iowan Old Style", Georgia, serif; }
main, header, footer { max-width: 1040px; margin: 0 auto; padding: 0 32px; }
header { padding-top: 56px; }
h1 { font-size: 36px; line-height: 1.15; font-weight: 600; margin: 0 0 12px;
  overflow-wrap: anywhere; }
h2 { font-size: 24px; font-weight: 600; margin: 0 0 6px; }
h3 { font-size: 15px; font-weight: 600; margin: 0 0 4px; }
p { max-width: 44em; margin: 0 0 16px; overflow-wrap: anywhere; }
.soft { color: var(--soft); font-size: 15px; }
section { border-top: 1px solid var(--line); margin-top: 40px; padding-top: 28px; }
.scroll { overflow-x: auto; }
.equation { margin: 20px 0 24px; }
.equation svg { display: block; height: auto; max-width: 100%; min-width: 290px; }
pre { font: 13.5px/1.55 "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; margin: 0 0 8px;
  padding: 12px 16px; background: var(--panel); border-radius: 4px; overflow-x: auto; }
dl.numbers { display: flex; flex-wrap: wrap; gap: 18px 44px; margin: 24px 0 8px; }
dl.numbers div { min-width: 100px; }
dt { color: var(--soft); font-size: 14px; }
dd { margin: 0; font-size: 25px; line-height: 1.3; font-variant-numeric: tabular-nums; }
dd small { font-size: 15px; color: var(--soft); }
svg text { font: 13px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif;
  fill: var(--ink); font-variant-numeric: tabular-nums; }
svg text.axis, .chart text { fill: var(--soft); }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 420px), 1fr));
  gap: 30px 40px; margin-top: 18px; }
figure { margin: 0; min-width: 0; }
svg.chart { display: block; width: 100%; max-width: 560px; height: auto; }
.grid { stroke: var(--line); fill: none; }
.line { fill: none; stroke-width: 1.7; stroke-linejoin: round; stroke-linecap: round; }
.trip { stroke: var(--miss); stroke-width: 1.3; stroke-dasharray: 2 3; fill: none; }
.c0 { stroke: var(--c0); } .c1 { stroke: var(--c1); } .c2 { stroke: var(--c2); }
.c3 { stroke: var(--c3); } .c4 { stroke: var(--c4); } .c5 { stroke: var(--c5); }
.keys { font-size: 14px; color: var(--soft); display: flex; flex-wrap: wrap; gap: 2px 16px; }
.keys svg { width: 20px; height: 10px; margin-right: 6px; vertical-align: baseline; }
svg.matrix { display: block; height: auto; max-width: 100%; margin-top: 12px; }
.cell { fill: var(--panel); } .hit { fill: var(--hit); } .miss { fill: var(--miss); }
.matrix text.strong { fill: var(--on); }
img { image-rendering: pixelated; display: block; width: 100%; height: auto; }
img.large { width: min(100%, 620px); border: 1px solid var(--line); }
.gallery { display: grid; grid-template-columns: repeat(auto-fill, minmax(104px, 1fr));
  gap: 20px 16px; margin-top: 18px; }
.gallery img { border: 1px solid var(--line); }
figcaption { font-size: 14px; line-height: 1.35; margin-top: 5px; overflow-wrap: anywhere; }
figcaption span { display: block; color: var(--soft); }
.maps { display: grid; grid-template-columns: repeat(8, 1fr); gap: 8px; margin: 6px 0 20px; }
.maps img { outline: 1px solid var(--line); }
.maps figcaption { font-size: 12px; color: var(--soft); margin-top: 2px; }
.input { width: 112px; margin: 14px 0 20px; }
.input img { border: 1px solid var(--line); }
table { border-collapse: collapse; font-size: 15.5px; margin: 12px 0 16px;
  min-width: min(100%, 540px); }
th { text-align: left; font-weight: 400; color: var(--soft); font-size: 14px; }
th, td { padding: 5px 20px 5px 0; border-bottom: 1px solid var(--line); vertical-align: baseline;
  overflow-wrap: anywhere; }
th.number, td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
th:last-child, td:last-child { padding-right: 0; }
summary { cursor: pointer; color: var(--soft); }
footer { color: var(--soft); font-size: 14px; padding-top: 36px; padding-bottom: 56px;
  overflow-wrap: anywhere; }
@media (max-width: 620px) { body { font-size: 16px; } h1 { font-size: 28px; }
  main, header, footer { padding-left: 18px; padding-right: 18px; } header { padding-top: 36px; }
  th, td { padding-right: 12px; } dl.numbers { gap: 14px 32px; } dd { font-size: 22px; }
  .maps { grid-template-columns: repeat(4, 1fr); }
  .gallery { grid-template-columns: repeat(3, minmax(0, 1fr)); gap: 16px 12px; } }
"""
