# SPDX-License-Identifier: MIT
"""What people and programs read: from results alone."""
import csv
import html
import io
import json
from statistics import median

import web

from . import goals
from .figures import as_entry, disturbed, ratios


def as_json(results):
    return json.dumps([as_entry(r) for r in results], indent=1) + "\n"


def as_csv(results):
    """Every turn, so that anybody can do other sums."""
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(["case", "who", "turn", "GBps", "cpu_s_per_GB", "wire_bytes", "total_s",
                   "others_cores"])
    for r in results:
        for i, t in enumerate(r.turns, 1):
            if t:
                rows.writerow([r.case, r.who, i, f"{t.gb_per_s:.4f}", f"{t.cpu_s_per_gb:.4f}",
                               t.wire_bytes, f"{t.total_s:.3f}", f"{t.others:.2f}"])
    return out.getvalue()


def beside(ratio, *of):
    """A star marks one that others disturbed."""
    if not ratio:
        return ""
    return f"{ratio[0]:.2f} / {ratio[1]:.2f}{' *' if disturbed(*of) else ''}"


def ours_for(result, results):
    """Our result in the same case, to compare a peer with."""
    if result.who in ("xmigrate", "floor"):
        return None
    return next((r for r in results if r.case == result.case and r.who == "xmigrate"), None)


COLUMNS = ("case", "who", "GB/s", "CPU-s/GB", "wire MB", "turns", "others", "to the floor",
           "xmigrate to it")


def table_rows(results):
    rows = []
    for r in results:
        ours = ours_for(r, results)
        rows.append((
            r.case, r.who, f"{r.gb_per_s():.2f}", f"{r.cpu_s_per_gb():.2f}",
            f"{r.wire_bytes() / 1e6:.0f}" if r.wire_bytes() else "", str(len(r.done)),
            f"{r.others():.1f}",
            beside(ratios(r.turns, r.floor), r) if r.who != "floor" else "",
            beside(ratios(ours.turns, r.turns), ours, r) if ours else ""))
    return rows


def as_table(rows, columns=COLUMNS, left=2):
    """Text in columns: the first ones to the left, figures to the right."""
    widths = [max(len(row[i]) for row in [columns, *rows]) for i in range(len(columns))]
    lines = []
    for row in [columns, *rows]:
        cells = [c.ljust(w) if i < left else c.rjust(w)
                 for i, (c, w) in enumerate(zip(row, widths))]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines) + "\n"


LEGEND = (
    "GB are 10^9 bytes of guest memory; CPU is of both ends. Pairs are GB/s / CPU: the medians of "
    "the turns' ratios. Others: cores that they used meanwhile; * more than one, so the pair says "
    "little."
)

PLAYERS = {"floor": "floor (this machine's own)", "xmigrate": "xmigrate",
           "stock": "stock helper", "stock-openssl": "stock helper through openssl", "qemu": "QEMU",
           "mappings": "xensim's mappings alone"}

STYLE = """
.bars { display: grid; grid-template-columns: minmax(6rem, max-content) 1fr 3rem; gap: .25rem .7rem;
        align-items: center; font-size: 13px; margin: .3rem 0 .8rem; }
.bars > :nth-child(3n) { text-align: right; }
.track { position: relative; height: 16px; background: var(--raised); border-radius: 3px; }
.track * { position: absolute; } .track b { left: 0; top: 0; bottom: 0; border-radius: 3px; opacity: .8; }
.track u { top: 7px; height: 2px; background: var(--ink); }
.track i { top: 4.5px; width: 7px; height: 7px; margin-left: -3.5px; border-radius: 50%;
           background: var(--ink); border: 1px solid var(--ground); }
@media (max-width: 36rem) { .bars { grid-template-columns: 1fr 3rem; } .bars > :nth-child(3n+1) {
           grid-column: 1 / -1; margin-bottom: -.25rem; } }
"""


def chart(bars):
    """(label, who, the turns' values): a bar to their median, a dot each, a line from least to most."""
    top = max((max(values) for _, _, values in bars), default=0) or 1

    def place(value):
        return f"{value / top * 100:.2f}%"

    parts = ['<div class="bars">']
    for label, who, values in bars:
        low, high = min(values), max(values)
        dots = "".join(f'<i style="left:{place(v)}" title="{v:.2f}"></i>' for v in values)
        parts.append(
            f'<span>{html.escape(label)}</span><div class="track">'
            f'<b style="width:{place(median(values))};background:{web.colour(who)}"></b>'
            f'<u style="left:{place(low)};width:{place(high - low)}"></u>{dots}</div>'
            f"<span>{median(values):.2f}</span>")
    return "".join(parts) + "</div>"


CHARTS = (("GB/s (more is better)", lambda t: t.gb_per_s),
          ("CPU-seconds per GB (less is better)", lambda t: t.cpu_s_per_gb))


def as_html(results, machine, command, more=(), goal_rows=()):
    """One page with everything in it; more are (title, columns, rows)."""
    seen = [(who, name) for who, name in PLAYERS.items() if any(r.who == who for r in results)]
    parts = [f"<p>{html.escape(LEGEND)}</p>"]
    if goal_rows:
        parts.append("<h2>Goals</h2>" + web.goals(goals.COLUMNS, goal_rows))
    parts.append("<h2>What was measured</h2>" + web.key(seen)
                 + "<p>A bar ends at the median of the turns. Each turn is a dot, and a line leads "
                   "from the least to the most.</p>")
    for bout in bouts_of(results):
        parts.append(f"<h3>{html.escape(bout[0].case)}</h3>")
        for name, value in CHARTS:
            parts.append(f'<p class="soft">{name}</p>' + chart(
                [(label_in(r, bout), r.who, [value(t) for t in r.done]) for r in bout]))
    parts.append("<h2>All figures</h2>" + web.table(COLUMNS, table_rows(results), left=2))
    for title, columns, rows in more:
        parts.append(f"<h2>{html.escape(title)}</h2>" + web.table(columns, rows))
    return web.page("Benchmark", "\n".join(parts), f"{command}\n\n{machine}", STYLE)


def bouts_of(results):
    """Results of one bout stand together and begin with its floor."""
    bouts = []
    for r in results:
        if r.who == "floor" or not bouts:
            bouts.append([])
        bouts[-1].append(r)
    return bouts


def label_in(result, bout):
    codec = result.case.split("/")[5:6]
    return f"{result.who} {codec[0]}" if codec and result.case != bout[0].case else result.who
