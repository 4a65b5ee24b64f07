# SPDX-License-Identifier: MIT
"""What people and programs read: from results alone."""
import csv
import html
import io
import json

from .figures import as_entry, ratios


def as_json(results):
    return json.dumps([as_entry(r) for r in results], indent=1) + "\n"


def as_csv(results):
    """Every turn, so that anybody can do other sums."""
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(["case", "who", "turn", "GBps", "cpu_s_per_GB", "wire_bytes", "total_s"])
    for r in results:
        for i, t in enumerate(r.turns, 1):
            if t:
                rows.writerow([r.case, r.who, i, f"{t.gb_per_s:.4f}", f"{t.cpu_s_per_gb:.4f}",
                               t.wire_bytes, f"{t.total_s:.3f}"])
    return out.getvalue()


def beside(ratio):
    return f"{ratio[0]:.2f} / {ratio[1]:.2f}" if ratio else ""


def ours_for(result, results):
    """Our result in the same case, to compare a peer with."""
    if result.who in ("xmigrate", "floor"):
        return None
    return next((r for r in results if r.case == result.case and r.who == "xmigrate"), None)


COLUMNS = ("case", "who", "GB/s", "CPU-s/GB", "wire MB", "turns", "to the floor",
           "xmigrate to it")


def table_rows(results):
    rows = []
    for r in results:
        ours = ours_for(r, results)
        rows.append((
            r.case, r.who, f"{r.gb_per_s():.2f}", f"{r.cpu_s_per_gb():.2f}",
            f"{r.wire_bytes() / 1e6:.0f}" if r.wire_bytes() else "", str(len(r.done)),
            beside(ratios(r.turns, r.floor)) if r.who != "floor" else "",
            beside(ratios(ours.turns, r.turns)) if ours else ""))
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
    "the turns' ratios."
)

COLOURS = {"floor": "#9aa5b1", "xmigrate": "#1f6feb", "stock": "#c2703d",
           "stock-openssl": "#a04a6f", "qemu": "#6a8f3c"}

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em;
       color: #1c2430; }
table { border-collapse: collapse; font-size: 13px; }
td, th { padding: .2em .7em; text-align: right; border-bottom: 1px solid #dde3ea; }
td:nth-child(-n+2), th:nth-child(-n+2) { text-align: left; }
pre { background: #f4f6f8; padding: .8em; overflow-x: auto; }
svg { display: block; margin: .3em 0; }
"""


def chart(title, bars):
    """Bars of (label, who, value), in SVG."""
    height, label_px, width = 20, 250, 760
    top = max((value for _, _, value in bars), default=0) or 1
    parts = [f'<svg width="{width}" height="{height * len(bars) + 4}" role="img" '
             f'aria-label="{html.escape(title)}" font-size="12">']
    for i, (label, who, value) in enumerate(bars):
        y = i * height
        px = value / top * (width - label_px - 50)
        parts.append(
            f'<text x="{label_px - 8}" y="{y + 14}" text-anchor="end">{html.escape(label)}</text>'
            f'<rect x="{label_px}" y="{y + 3}" width="{px:.1f}" height="{height - 6}" '
            f'fill="{COLOURS.get(who, "#1f6feb")}"/>'
            f'<text x="{label_px + px + 6:.1f}" y="{y + 14}">{value:.2f}</text>')
    return "".join(parts) + "</svg>"


def html_table(rows, columns):
    def line(cells, tag):
        return "<tr>" + "".join(f"<{tag}>{html.escape(c)}</{tag}>" for c in cells) + "</tr>"

    return "<table>" + line(columns, "th") + "".join(line(r, "td") for r in rows) + "</table>"


def as_html(results, machine, command, more=()):
    """One page with everything in it; more are (title, columns, rows)."""
    parts = ["<!doctype html><html lang=en><meta charset=utf-8><title>xmigrate benchmark</title>",
             f"<style>{STYLE}</style><h1>xmigrate benchmark</h1>",
             f"<pre>{html.escape(command)}\n\n{html.escape(machine)}</pre>",
             f"<p>{html.escape(LEGEND)}</p>"]
    for bout in bouts_of(results):
        title = bout[0].case
        parts.append(f"<h2>{html.escape(title)}</h2>")
        for name, value in (("GB/s (more is better)", lambda r: r.gb_per_s()),
                            ("CPU-seconds per GB (less is better)", lambda r: r.cpu_s_per_gb())):
            parts.append(f"<p>{name}</p>")
            parts.append(chart(f"{title}: {name}",
                               [(label_in(r, bout), r.who, value(r)) for r in bout]))
    parts.append("<h2>All figures</h2>" + html_table(table_rows(results), COLUMNS))
    for title, columns, rows in more:
        parts.append(f"<h2>{html.escape(title)}</h2>" + html_table(rows, columns))
    return "\n".join(parts) + "\n"


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
