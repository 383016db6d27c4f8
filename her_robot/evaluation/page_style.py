"""The look of a report's page."""

STYLE = """
:root {
  color-scheme: light dark;
  --paper: #faf9f6; --card: #ffffff; --ink: #1c1e21; --soft: #62666d; --line: #e3e0d9;
  --reached: #14796a; --missed: #c23b22; --accent: #31608f; --band: #14796a14;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #131519; --card: #1a1d22; --ink: #e9e7e2; --soft: #9a9fa8; --line: #2b2f36;
    --reached: #45bfa9; --missed: #ff7c66; --accent: #82b4e6; --band: #45bfa91c;
  }
}
* { box-sizing: border-box }
body {
  margin: 0 auto; max-width: 62rem; padding: 3rem 1.5rem 5rem; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Noto Sans", sans-serif;
  font-variant-numeric: tabular-nums; -webkit-font-smoothing: antialiased;
}
h1, h2, .figure b {
  font-family: "Iowan Old Style", "Palatino Linotype", Palatino, "Book Antiqua", Georgia, serif; font-weight: 600;
}
h1 { font-size: 2.5rem; line-height: 1.15; letter-spacing: -.015em; margin: .2rem 0 .5rem; text-wrap: balance }
h2 { font-size: 1.65rem; line-height: 1.2; margin: 3.5rem 0 .3rem; padding-top: 1.2rem }
h2 { border-top: 1px solid var(--line) }
h3 { font-size: 1rem; margin: 2.2rem 0 .2rem }
p { margin: .3rem 0 1rem; max-width: 44rem; text-wrap: pretty }
a { color: var(--accent); text-underline-offset: .15em }
code { font: .9em ui-monospace, "SF Mono", Menlo, Consolas, monospace; overflow-wrap: anywhere }
.eyebrow { color: var(--soft); font-size: .78rem; letter-spacing: .09em; text-transform: uppercase; margin: 0 }
.lead { font-size: 1.15rem; margin-bottom: .1rem }
.lead b { font-size: 1.5rem; font-weight: 600; letter-spacing: -.01em }
.hint { color: var(--soft); font-size: .86rem }
.facts { display: flex; flex-wrap: wrap; gap: .2rem 1.6rem; color: var(--soft); font-size: .9rem; margin: .4rem 0 0 }
.facts b { color: var(--ink); font-weight: 500 }
.verdict { display: inline-block; padding: .15rem .7rem; border-radius: 99px; font-weight: 600; color: var(--paper) }
.verdict.above { background: var(--reached) }
.verdict.below { background: var(--missed) }
.verdict.undecided { background: var(--soft) }
.failure { border-left: 3px solid var(--missed); padding: .2rem 0 .2rem 1rem; white-space: pre-wrap }
.figures { display: grid; grid-template-columns: repeat(auto-fill, minmax(11.5rem, 1fr)); gap: .7rem; margin: 1.4rem 0 }
.figure { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: .8rem 1rem .75rem }
.figure b { display: block; font-size: 1.55rem; line-height: 1.25 }
.figure b small { font: 500 .9rem system-ui, sans-serif; color: var(--soft) }
.figure span { display: block; font-size: .82rem; color: var(--soft); line-height: 1.4 }
.figure span:first-child { color: var(--ink); font-weight: 500 }
.interval { position: relative; height: 1.1rem; min-width: 8rem }
.interval::before { content: ""; position: absolute; inset: 50% 0 auto; border-top: 1px solid var(--line) }
.interval b { position: absolute }
.interval .range { top: .38rem; height: .34rem; min-width: 2px; border-radius: 99px; opacity: .35 }
.interval .rate { top: .2rem; width: .7rem; height: .7rem; margin-left: -.35rem; border-radius: 50% }
.interval .range, .interval .rate { background: var(--reached) }
.interval .asked { top: 0; height: 1.1rem; border-left: 2px solid var(--ink) }
.hero { margin-top: 1.6rem }
.hero .interval { max-width: 44rem; margin: .6rem 0 .1rem }
.scale { display: flex; justify-content: space-between; max-width: 44rem }
.outcomes { display: flex; flex-wrap: wrap; gap: 3px; margin: .5rem 0 1rem }
.outcomes i { width: 11px; height: 11px; border-radius: 2.5px; background: var(--reached) }
.outcomes i.missed { background: none; border: 2.5px solid var(--missed) }
table { border-collapse: collapse; width: 100%; font-size: .9rem }
th { font-weight: 500; text-align: left; color: var(--soft) }
thead th { font-size: .8rem; border-bottom: 1px solid var(--line); vertical-align: bottom }
th, td { padding: .32rem .7rem .32rem 0 }
tbody tr + tr > * { border-top: 1px solid var(--line) }
td.reached { color: var(--reached) }
td.missed { color: var(--missed); font-weight: 600 }
.numbers td, .numbers thead th, .distributions td, .distributions thead th { text-align: right; white-space: nowrap }
.numbers td.text, .numbers thead th.text { text-align: left; white-space: normal }
.scroll { overflow: auto; max-height: 34rem }
.scroll thead th { position: sticky; top: 0; background: var(--paper) }
.matrix { width: auto; border-collapse: separate; border-spacing: 4px; font-size: .95rem }
.matrix thead th, .matrix tbody tr + tr > * { border: 0 }
.matrix td {
  text-align: center; min-width: 7rem; padding: .55rem .8rem; border-radius: .4rem; line-height: 1.3;
  --hue: color-mix(in oklab, var(--reached) calc(var(--rate) * 1%), var(--missed));
  background: color-mix(in oklab, var(--hue) 34%, var(--card));
}
.matrix td.none { background: none; color: var(--soft) }
.matrix td small { display: block; color: var(--soft) }
.distributions { table-layout: fixed }
.distributions th:first-child { width: 9.5rem }
.distributions .wide { width: 52%; padding-right: 1.4rem; text-align: left }
.distributions tbody tr > * { border-top: 0; padding-block: .12rem }
.distributions tbody th { color: var(--ink); white-space: nowrap }
svg { display: block; width: 100% }
svg text { font-size: 10px; fill: var(--soft) }
svg .grid { stroke: var(--line); stroke-width: 1; vector-effect: non-scaling-stroke }
svg .limit { stroke: var(--ink); stroke-width: 1.2; stroke-dasharray: 4 3; vector-effect: non-scaling-stroke }
.distances polyline { fill: none; stroke-width: 1.1; stroke-linejoin: round; opacity: .4 }
.distances polyline:hover { opacity: 1; stroke-width: 2.5 }
.distances .reached { stroke: var(--reached) }
.distances .missed { stroke: var(--missed); opacity: .9; stroke-width: 1.4 }
.distances .median { stroke: var(--ink); opacity: 1; stroke-width: 2; pointer-events: none }
.distances .band { fill: var(--band) }
.histogram { height: 1.7rem }
.histogram rect { fill: var(--accent) }
.ticks { position: relative; height: 1.2rem; font-size: .75rem; color: var(--soft) }
.ticks span { position: absolute; transform: translateX(-50%) }
.film { display: grid; grid-template-columns: minmax(0, 25rem) 1fr; gap: 1.4rem; align-items: center }
video, .pictures img { display: block; width: 100%; border-radius: .5rem; background: var(--line) }
.pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(11rem, 1fr)); gap: 1rem; margin-top: .8rem }
figure { margin: 0 }
figcaption { font-size: .82rem; color: var(--soft); line-height: 1.4; padding-top: .35rem }
figcaption b { font-weight: 600 }
figcaption b.reached { color: var(--reached) }
figcaption b.missed { color: var(--missed) }
details { margin-top: 1.6rem }
summary { cursor: pointer; color: var(--accent) }
pre { overflow: auto; font: .8rem/1.5 ui-monospace, "SF Mono", Menlo, Consolas, monospace }
@media (max-width: 40rem) {
  .film { grid-template-columns: 1fr }
  h1 { font-size: 1.9rem }
  .distributions .wide { width: 34% }
  .distributions th:first-child { width: 7rem }
}
@media print { body { max-width: none; padding: 0 } .scroll { max-height: none } }
"""
