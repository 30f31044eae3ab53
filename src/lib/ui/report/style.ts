/** The page's own style: no network, dark where the reader's system is dark, black on white on paper. */
export const style = `
:root{color-scheme:light dark;--page:#fff;--ink:#1b1f24;--soft:#59636e;--rule:#d8dee4;--card:#f6f8fa;--blue:#0969da;
--red:#cf222e;--green:#1a7f37;--amber:#9a6700;--denied:#cf222e22}
@media (prefers-color-scheme:dark){:root{--page:#0d1117;--ink:#e6edf3;--soft:#9198a1;--rule:#30363d;--card:#151b23;
--blue:#4493f8;--red:#f85149;--green:#3fb950;--amber:#d29922;--denied:#f8514933}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:64rem;padding:2rem 1.5rem 4rem;background:var(--page);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif}
h1{font-size:1.5rem;line-height:1.25;margin:0 0 .25rem}
h2{font-size:1.05rem;margin:2.2rem 0 .6rem;padding-bottom:.25rem;border-bottom:1px solid var(--rule)}
h3{font-size:.95rem;margin:1.2rem 0 .3rem}
p{margin:.4rem 0}
.soft,caption{color:var(--soft)}
.outcome{border-left:6px solid var(--green);padding-left:1rem}
.outcome.bad{border-color:var(--red)}.outcome.bad h1{color:var(--red)}
.failure{border:1px solid var(--red);border-radius:6px;padding:.6rem 1rem;margin:1rem 0}
code,pre{font:13px/1.45 ui-monospace,"SF Mono",Consolas,"DejaVu Sans Mono",monospace;overflow-wrap:anywhere}
pre{white-space:pre-wrap;background:var(--card);border:1px solid var(--rule);border-radius:6px;padding:.6rem .8rem;margin:.5rem 0}
.figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(11rem,1fr));gap:.75rem;margin:1.2rem 0}
.figures div{background:var(--card);border:1px solid var(--rule);border-radius:6px;padding:.6rem .8rem}
.figures b{display:block;font-size:1.25rem;font-weight:600;font-variant-numeric:tabular-nums}
table{border-collapse:collapse;width:100%;font-size:14px}
th,td{text-align:left;vertical-align:top;padding:.3rem .6rem .3rem 0;border-bottom:1px solid var(--rule);overflow-wrap:break-word}
td:first-child,td.short{white-space:nowrap}td:last-child{overflow-wrap:anywhere}
th{color:var(--soft);font-weight:500}
td.number,th.number{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.tag{font-weight:600;white-space:nowrap}.tag.error{color:var(--red)}.tag.warning{color:var(--amber)}
.tag.confirm{color:var(--amber)}.tag.ok{color:var(--green)}.tag.skipped{color:var(--soft)}
ol,ul{margin:.3rem 0;padding-left:1.6rem}li{overflow-wrap:anywhere}
details summary{cursor:pointer;color:var(--soft)}
svg{display:block;width:100%;height:auto;font:12px system-ui,sans-serif;margin:.3rem 0}
svg text{fill:var(--ink)}svg .tick{fill:var(--soft);font-size:11px}svg .figure{fill:var(--soft)}svg .small{font-size:10px}
svg .grid{stroke:var(--rule);stroke-width:1}svg .bar{fill:var(--blue)}svg .bar.failed{fill:var(--red)}
svg .bar.running{fill:var(--amber)}svg .bar.window{fill:var(--red);opacity:.75}
svg .denied{fill:var(--denied)}svg .denied-text{fill:var(--red)}
svg .line{fill:none;stroke:var(--blue);stroke-width:1.75;stroke-linejoin:round}svg .area{fill:var(--blue);opacity:.14}
svg .mark{stroke:var(--soft);stroke-dasharray:3 3}svg .mark-text{fill:var(--soft);font-size:11px}
@media print{:root{--page:#fff;--ink:#000;--soft:#444;--rule:#bbb;--card:#fff;--blue:#0550ae;--red:#a40e26;--green:#116329;
--amber:#7d4e00;--denied:#a40e2622;color-scheme:light}
body{max-width:none;padding:0;font-size:11pt}h2{break-after:avoid}svg,tr,.figures div,.failure{break-inside:avoid}
svg{print-color-adjust:exact;-webkit-print-color-adjust:exact}details:not([open])>*{display:block}}
`
