# SPDX-License-Identifier: MIT
"""The results as one HTML page that needs nothing else: charts are SVG, drawn here."""
import html
import json

import real
import web

POLICIES = ('xmigrate', 'xmigrate-throttle', 'xen', 'qemu', 'qemu-autoconverge', 'kubevirt', 'clairvoyant')
STYLE = 'td.who i{display:inline-block;width:.8em;height:.8em;border-radius:2px;margin-right:.5em}'
FIRST = 'uniform x2 on 1G'  # of the runs shown one by one
WIDTH, HEIGHT, LEFT, RIGHT, BOTTOM = 760, 320, 84, 34, 42
# Ticks on a logarithmic axis; narrow screens leave out the second of each pair.
MARKS = [(mark, i % 2) for i, mark in enumerate((0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3000, 10000, 30000,
                                                100000))]


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
    """Ticks are (value, whether a narrow screen leaves it out)."""
    out = [f'<line x1="{LEFT}" y1="{HEIGHT - BOTTOM}" x2="{WIDTH - RIGHT}" y2="{HEIGHT - BOTTOM}" stroke="var(--soft)"/>',
           f'<line x1="{LEFT}" y1="5" x2="{LEFT}" y2="{HEIGHT - BOTTOM}" stroke="var(--soft)"/>',
           f'<text x="{WIDTH - 5}" y="{HEIGHT - 5}" text-anchor="end">{x_label}</text>',
           f'<text x="{LEFT + 8}" y="19">{y_label}</text>']
    out += [f'<text x="{x(t):.0f}" y="{HEIGHT - BOTTOM + 17}" text-anchor="middle"{" class=minor" * minor}>'
            f'{t:g}</text>' for t, minor in x_ticks]
    out += [f'<text x="{LEFT - 6}" y="{y(t) + 4:.0f}" text-anchor="end"{" class=minor" * minor}>{t:g}</text>'
            for t, minor in y_ticks]
    return ''.join(out)


def svg(name, body):
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{html.escape(name)}">{body}</svg>'


def ticks(top):
    """Four round steps or so."""
    step = next(m * 10 ** e for e in range(-3, 9) for m in (1, 2, 5) if m * 10 ** e * 5 >= top)
    return [(round(i * step, 3), i % 2) for i in range(int(top / step) + 1)]


def left_over_time(cell):
    """Pages left after each round, for each policy: a dot where a round ends, or a guest that is watched
    was looked at. Cut where the longest of the rest ends, or a policy that never ends would leave no
    room for them."""
    ends = [r['seconds'] for r in cell.values() if r['outcome'] != 'timeout']
    until = max(ends) * 1.05
    most = max(n for r in cell.values() for _, n in r['points'])
    x, y = Scale(0, until, LEFT, WIDTH - RIGHT), Scale(0, most, HEIGHT - BOTTOM, 30)
    body = axes('seconds', 'pages left', ticks(until), ticks(most), x, y)
    # Ours last, so that it lies above the others.
    for policy in reversed([p for p in POLICIES if p in cell]):
        points = [(x(t), y(n)) for t, n in [(0, most)] + cell[policy]['points'] if t <= until]
        line = ' '.join(f'{a:.1f},{b:.1f}' for a, b in points)
        body += (f'<polyline points="{line}" fill="none" stroke="{web.colour(policy)}" stroke-width="2"/>'
                 + ''.join(f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3" fill="{web.colour(policy)}"/>'
                           for a, b in points[1:]))
    # The rounds of ours, on the axis.
    for i, (t, _) in enumerate(cell['xmigrate']['points'], 1):
        if t <= until:
            body += (f'<line x1="{x(t):.1f}" x2="{x(t):.1f}" y1="{HEIGHT - BOTTOM}" y2="{HEIGHT - BOTTOM + 6}" '
                     f'stroke="{web.colour("xmigrate")}" stroke-width="2"><title>{i}</title></line>')
    return svg('pages left over time', body)


def scatter(pairs, x_label, y_label, low, high, limit=None):
    """Pairs (x, y, title, colour) on logarithmic axes, with the diagonal."""
    x = Scale(low, high, LEFT, WIDTH - RIGHT, True)
    y = Scale(low, high, HEIGHT - BOTTOM, 15, True)
    marks = [m for m in MARKS if low <= m[0] <= high]
    body = axes(x_label, y_label, marks, marks, x, y)
    body += (f'<line x1="{x(low)}" y1="{y(low)}" x2="{x(high)}" y2="{y(high)}" stroke="var(--soft)"/>')
    for factor in limit or ():
        body += (f'<line x1="{x(low)}" y1="{y(low * factor)}" x2="{x(high)}" y2="{y(high * factor)}" '
                 f'stroke="var(--soft)" stroke-dasharray="4"/>')
    for a, b, title, colour in pairs:
        body += (f'<circle cx="{x(a):.1f}" cy="{y(b):.1f}" r="3" fill="{colour}" fill-opacity=".5">'
                 f'<title>{html.escape(title)}</title></circle>')
    return svg(f'{y_label} over {x_label}', body)


def name_of(r):
    return f'{r["trace"]["name"]} on {r["link"]}'


def goals_table(goals):
    return web.goals(('goal', 'measured', 'wanted', ''),
                     [(n, m, w, 'met' if ok else 'NOT MET') for n, m, w, ok in goals])


def pairs_table(pairs):
    if not pairs:
        return ''
    return ('<h2>Real runs beside the simulation of the same</h2>'
            + web.table(('trace', 'predicted ms', 'downtime ms', 'simulated ms'),
                        [(name_of(r), *(f'{r[k]:.1f}' for k in ('predicted_ms', 'downtime_ms', 'simulated_ms')))
                         for r in pairs]))


def downtime_of(r):
    return '-' if r['outcome'] == 'timeout' else f'{r["downtime_ms"]:.0f}'


def one_run(cell):
    r = cell['xmigrate']
    words = ''.join(f'<li>{html.escape(w)}</li>' for w in r['words'])
    ends = ''.join(f'<tr><td class="left who"><i style="background:{web.colour(p)}"></i>{p}</td>'
                   f'<td class="left">{c["outcome"]}</td><td>{downtime_of(c)}</td>'
                   f'<td>{c["bytes"] / 1e6:.0f}</td><td>{c["seconds"]:.1f}</td><td>{c["rounds"]}</td></tr>'
                   for p, c in sorted(cell.items(), key=lambda pc: POLICIES.index(pc[0])))
    return (left_over_time(cell)
            + '<div class="wide"><table><tr><th class="left">policy</th><th class="left">target</th>'
              '<th>downtime ms</th><th>MB sent</th><th>seconds</th><th>rounds</th></tr>'
            + f'{ends}</table></div><p>What xmigrate said after each round:</p><ol>{words}</ol>'
              f'<p>Predicted {r["predicted_ms"]:.0f} ms, then it was {r["downtime_ms"]:.0f} ms.</p>')


def choose(cells):
    """The runs that the page shows one by one: every workload and rate on one link."""
    return {f'{t} on {l}': one_run(c) for (t, l), c in sorted(cells.items()) if l in ('1G', '10G-1ms')}


def render(rows, goals, cells, about):
    ours = [r for r in rows if r['policy'] == 'xmigrate' and r['outcome'] in ('met', 'missed')]
    predicted = [(r['predicted_ms'], r['downtime_ms'], name_of(r),
                  web.colour('real' if r['real'] else 'xmigrate')) for r in ours]
    both = [(c['clairvoyant'], c['xmigrate']) for c in cells.values()]
    size = [(v['bytes'] / 1e6, x['bytes'] / 1e6, name_of(x), web.colour('xmigrate')) for v, x in both]
    time = [(v['seconds'], x['seconds'], name_of(x), web.colour('xmigrate')) for v, x in both]
    runs = choose(cells)
    options = ''.join(f'<option>{html.escape(n)}</option>' for n in runs)
    real_runs = sum(r['real'] for r in rows)
    kinds = [('xmigrate', 'in simulated time')] + [('real', 'for real, on xensim')] * bool(real_runs)
    body = f'''<p>{len(rows)} runs: workloads at 0.1 to 4 times the link, links of 1, 10 and 25 Gb/s, policies on
the same traces in simulated time; {real_runs} of them for real on xensim. The pause asked for is
{rows[0]["target_ms"]:.0f} ms.</p><h2>Goals</h2>{goals_table(goals)}
<h2>One run, and why it went as it did</h2><p><select id="run" aria-label="run">{options}</select></p>
{web.key([(p, p) for p in POLICIES])}<p class="soft">A dot is the end of a round, or a look at a guest that
is watched; those of xmigrate have ticks on the axis.</p><div id="shown"></div>
<h2>The downtime that was said, and what it was</h2>{web.key(kinds)}<p class="soft">Each point is a run of xmigrate.
Dashed: 20 % off.</p>{scatter(predicted, "predicted ms", "downtime ms", 30, 30000, (0.8, 1.2))}
{pairs_table(real.pairs_of(rows))}<h2>Bytes and time beside a policy that knows the future</h2>
<p class="soft">Each point is a run; on the line they are the same.</p>
{scatter(size, "clairvoyant MB", "xmigrate MB", 100, 100000)}
<p></p>{scatter(time, "clairvoyant s", "xmigrate s", 0.1, 300)}
<script>const runs={json.dumps(runs).replace("</", "<" + chr(92) + "/")};
const pick=document.getElementById("run"),shown=document.getElementById("shown");
pick.onchange=()=>shown.innerHTML=runs[pick.value];
if("{FIRST}" in runs)pick.value="{FIRST}";pick.onchange();</script>'''
    return web.page('How migrations converge', body, about, STYLE)
