# SPDX-License-Identifier: MIT
"""The results as one HTML page that needs nothing else: charts are SVG, drawn here."""
import html
import json

import real

COLOURS = {'xmigrate': '#0b6', 'xmigrate-throttle': '#7c0', 'xen': '#c30', 'qemu': '#06c',
           'qemu-autoconverge': '#90c', 'kubevirt': '#c80', 'clairvoyant': '#555'}
STYLE = '''body{font:15px/1.5 system-ui,sans-serif;max-width:62em;margin:2em auto;padding:0 1em;color:#222}
table{border-collapse:collapse}td,th{padding:.2em .8em;text-align:left;border-bottom:1px solid #ddd}
.miss{color:#c30;font-weight:bold}svg{background:#fafafa;border:1px solid #ddd;max-width:100%}
svg text{font:11px system-ui,sans-serif;fill:#444}.key span{margin-right:1.2em}
li{margin:.3em 0}select{font:inherit}'''
WIDTH, HEIGHT, LEFT, BOTTOM = 760, 300, 60, 30


class Scale:
    """Maps a value to a place, in proportion or by its logarithm."""

    def __init__(self, low, high, at, to, log=False):
        import math
        self.f = (lambda v: math.log10(max(v, low))) if log else float
        self.low, self.high = self.f(low), self.f(high)
        self.at, self.to = at, to

    def __call__(self, v):
        return self.at + (self.f(v) - self.low) / ((self.high - self.low) or 1) * (self.to - self.at)


def axes(x_label, y_label, x_ticks, y_ticks, x, y):
    out = [f'<line x1="{LEFT}" y1="{HEIGHT - BOTTOM}" x2="{WIDTH}" y2="{HEIGHT - BOTTOM}" stroke="#888"/>',
           f'<line x1="{LEFT}" y1="5" x2="{LEFT}" y2="{HEIGHT - BOTTOM}" stroke="#888"/>',
           f'<text x="{WIDTH - 5}" y="{HEIGHT - 4}" text-anchor="end">{x_label}</text>',
           f'<text x="{LEFT + 6}" y="14">{y_label}</text>']
    out += [f'<text x="{x(t):.0f}" y="{HEIGHT - 14}" text-anchor="middle">{t:g}</text>' for t in x_ticks]
    out += [f'<text x="{LEFT - 5}" y="{y(t) + 4:.0f}" text-anchor="end">{t:g}</text>' for t in y_ticks]
    return ''.join(out)


def svg(body):
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}">{body}</svg>'


def ticks(top):
    return [round(top * i / 4, 2) for i in range(5)]


def left_over_time(cell):
    """Pages left after each round, for each policy. Cut where the longest of the rest ends, or a
    policy that never ends would leave no room for them."""
    ends = [r['seconds'] for r in cell.values() if r['outcome'] != 'timeout']
    until = max(ends) * 1.05
    most = max(n for r in cell.values() for _, n in r['points'])
    x, y = Scale(0, until, LEFT, WIDTH - 10), Scale(0, most, HEIGHT - BOTTOM, 15)
    body = axes('seconds', 'pages left', ticks(until), ticks(most), x, y)
    for policy, r in cell.items():
        points = ' '.join(f'{x(t):.1f},{y(n):.1f}' for t, n in [(0, most)] + r['points'] if t <= until)
        body += f'<polyline points="{points}" fill="none" stroke="{COLOURS[policy]}" stroke-width="2"/>'
    return svg(body)


def scatter(pairs, x_label, y_label, low, high, limit=None):
    """Pairs (x, y, title, colour) on logarithmic axes, with the diagonal."""
    x = Scale(low, high, LEFT, WIDTH - 10, True)
    y = Scale(low, high, HEIGHT - BOTTOM, 15, True)
    marks = [m for m in (0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3000, 10000, 100000) if low <= m <= high]
    body = axes(x_label, y_label, marks, marks, x, y)
    body += (f'<line x1="{x(low)}" y1="{y(low)}" x2="{x(high)}" y2="{y(high)}" stroke="#bbb"/>')
    for factor in limit or ():
        body += (f'<line x1="{x(low)}" y1="{y(low * factor)}" x2="{x(high)}" y2="{y(high * factor)}" '
                 f'stroke="#ddd" stroke-dasharray="4"/>')
    for a, b, title, colour in pairs:
        body += (f'<circle cx="{x(a):.1f}" cy="{y(b):.1f}" r="3" fill="{colour}" fill-opacity=".5">'
                 f'<title>{html.escape(title)}</title></circle>')
    return svg(body)


def name_of(r):
    return f'{r["trace"]["name"]} on {r["link"]}'


def goals_table(goals):
    rows = ''.join(f'<tr><td>{html.escape(n)}</td><td class="{"" if ok else "miss"}">{html.escape(m)}</td>'
                   f'<td>{html.escape(w)}</td></tr>' for n, m, w, ok in goals)
    return f'<table><tr><th>goal</th><th>measured</th><th>wanted</th></tr>{rows}</table>'


def pairs_table(pairs):
    rows = ''.join(f'<tr><td>{html.escape(name_of(r))}</td><td>{r["predicted_ms"]:.1f} ms</td>'
                   f'<td>{r["downtime_ms"]:.1f} ms</td><td>{r["simulated_ms"]:.1f} ms</td></tr>'
                   for r in pairs)
    if not pairs:
        return ''
    return (f'<h2>Real runs beside the simulation of the same</h2><table><tr><th>trace</th>'
            f'<th>predicted</th><th>downtime</th><th>simulated</th></tr>{rows}</table>')


def one_run(cell):
    r = cell['xmigrate']
    words = ''.join(f'<li>{html.escape(w)}</li>' for w in r['words'])
    ends = ''.join(f'<tr><td style="color:{COLOURS[p]}">{p}</td><td>{c["outcome"]}</td>'
                   f'<td>{c["downtime_ms"]:.0f} ms</td><td>{c["bytes"] / 1e6:.0f} MB</td>'
                   f'<td>{c["seconds"]:.1f} s</td><td>{c["rounds"]}</td></tr>' for p, c in cell.items())
    return (left_over_time(cell)
            + f'<table><tr><th>policy</th><th>target</th><th>downtime</th><th>sent</th><th>time</th>'
              f'<th>rounds</th></tr>{ends}</table><p>What xmigrate said after each round:</p><ol>{words}</ol>'
              f'<p>Predicted {r["predicted_ms"]:.0f} ms, then it was {r["downtime_ms"]:.0f} ms.</p>')


def choose(cells):
    """The runs that the page shows one by one: every workload and rate on one link."""
    return {f'{t} on {l}': one_run(c) for (t, l), c in sorted(cells.items()) if l in ('1G', '10G-1ms')}


def render(rows, goals, cells):
    ours = [r for r in rows if r['policy'] == 'xmigrate' and r['outcome'] in ('met', 'missed')]
    predicted = [(r['predicted_ms'], r['downtime_ms'], name_of(r), '#c0c' if r['real'] else '#0b6')
                 for r in ours]
    both = [(c['clairvoyant'], c['xmigrate']) for c in cells.values()]
    size = [(v['bytes'] / 1e6, x['bytes'] / 1e6, name_of(x), '#0b6') for v, x in both]
    time = [(v['seconds'], x['seconds'], name_of(x), '#0b6') for v, x in both]
    runs = choose(cells)
    key = ''.join(f'<span style="color:{c}">&#9632; {p}</span>' for p, c in COLOURS.items())
    options = ''.join(f'<option>{html.escape(n)}</option>' for n in runs)
    first = 'uniform x2 on 1G'
    return f'''<!doctype html><html lang="en"><meta charset="utf-8"><title>xmigrate: convergence</title>
<style>{STYLE}</style><h1>How migrations converge</h1>
<p>{len(rows)} runs: workloads at 0.1 to 4 times the link, links of 1, 10 and 25 Gb/s, policies on the same
traces in simulated time; {sum(r["real"] for r in rows)} of them for real on xensim. The pause asked for is
{rows[0]["target_ms"]:.0f} ms.</p>{goals_table(goals)}
<h2>One run, and why it went as it did</h2><p><select id="run">{options}</select></p><p class="key">{key}</p>
<div id="shown"></div>
<h2>The downtime that was said, and what it was</h2><p>Each point is a run of xmigrate; magenta ones are real.
Dashed: 20 % off.</p>{scatter(predicted, "predicted ms", "downtime ms", 30, 30000, (0.8, 1.2))}
{pairs_table(real.pairs_of(rows))}<h2>Bytes and time beside a policy that knows the future</h2>
{scatter(size, "clairvoyant MB", "xmigrate MB", 100, 100000)}
{scatter(time, "clairvoyant s", "xmigrate s", 0.1, 300)}
<script>const runs={json.dumps(runs).replace("</", "<" + chr(92) + "/")};
const pick=document.getElementById("run"),shown=document.getElementById("shown");
pick.onchange=()=>shown.innerHTML=runs[pick.value];
if("{first}" in runs)pick.value="{first}";pick.onchange();</script></html>
'''
