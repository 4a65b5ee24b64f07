# SPDX-License-Identifier: MIT
"""What pages of results have in common: one file each, for narrow and wide screens, light and dark."""
import html

# A series has one colour on light ground and a lighter one on dark.
SERIES = {
    "floor": ("#7b8794", "#8b98a6"), "xmigrate": ("#1f6feb", "#6ea8ff"),
    "stock": ("#b45f22", "#e0955a"), "stock-openssl": ("#97356a", "#d97fb0"),
    "qemu": ("#4d7a1f", "#93c464"), "mappings": ("#777", "#aaa"), "xmigrate-throttle": ("#0a7f8c", "#4fc3d0"),
    "xen": ("#c0392b", "#ff8577"), "qemu-autoconverge": ("#7b3fc4", "#b994f0"),
    "kubevirt": ("#a86b00", "#e0b050"), "clairvoyant": ("#555", "#bbb"), "real": ("#c2188b", "#ff7ccb"),
}

STYLE = """
:root { color-scheme: light dark; --ground: #fff; --raised: #f4f6f8; --ink: #1c2430; --soft: #5b6673;
        --line: #d5dce4; --good: #1a7f37; --bad: #c0392b; LIGHT }
@media (prefers-color-scheme: dark) {
  :root { --ground: #12161c; --raised: #1b222b; --ink: #e2e8f0; --soft: #94a1b0; --line: #313b47;
          --good: #56d37a; --bad: #ff8577; DARK }
}
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 0 auto; padding: 1rem 1rem 4rem;
       background: var(--ground); color: var(--ink); }
h1 { font-size: 1.6rem; margin: .6rem 0; } h2 { font-size: 1.2rem; margin: 2.2rem 0 .4rem;
     border-top: 1px solid var(--line); padding-top: 1rem; overflow-wrap: anywhere; }
h3 { font-size: 1rem; margin: 1rem 0 .3rem; font-weight: 600; }
p, li { max-width: 46rem; } .soft { color: var(--soft); }
pre { background: var(--raised); padding: .8rem; border-radius: 6px; white-space: pre-wrap;
      overflow-wrap: anywhere; font-size: 13px; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: 13px; }
td, th { padding: .25rem .7rem; text-align: right; border-bottom: 1px solid var(--line);
         white-space: nowrap; }
th { color: var(--soft); font-weight: 600; } .left { text-align: left; }
td.long { white-space: normal; min-width: 13rem; }
.met { color: var(--good); } .missed { color: var(--bad); font-weight: 600; }
.key { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; margin: .5rem 0; font-size: 13px; }
.key i { display: inline-block; width: .8em; height: .8em; border-radius: 2px; margin-right: .45em; }
select { font: inherit; max-width: 100%; }
svg { display: block; width: 100%; height: auto; margin: .6rem 0; background: var(--raised); border-radius: 6px; }
svg text { font: 11px system-ui, sans-serif; fill: var(--soft); }
@media (max-width: 36rem) { svg text { font-size: 19px; } svg .minor { display: none; }
                            td, th { padding: .25rem .35rem; } td.long { min-width: 8rem; } }
"""


def style():
    def colours(which):
        return " ".join(f"--{name}: {pair[which]};" for name, pair in SERIES.items())

    return STYLE.replace("LIGHT", colours(0)).replace("DARK", colours(1))


def colour(who):
    return f"var(--{who if who in SERIES else 'xmigrate'})"


def key(series):
    """Which colour is whose: (name, what it is called)."""
    return ('<p class="key">' + "".join(
        f'<span><i style="background:{colour(who)}"></i>{html.escape(name)}</span>'
        for who, name in series) + "</p>")


def goals(columns, rows):
    """The last column is the verdict: "met", "NOT MET", or "". It stands first, where a narrow screen
    shows it."""
    return table(("", *columns[:-1]), [(row[-1], *row[:-1]) for row in rows], left=2)


VERDICTS = {"met": "met", "NOT MET": "missed"}


def table(columns, rows, left=1):
    """The first columns to the left."""
    def cell(tag, i, text, extra=""):
        kinds = " ".join(k for k in ("left" if i < left else "", extra) if k)
        return f'<{tag}{f" class={chr(34)}{kinds}{chr(34)}" if kinds else ""}>{html.escape(text)}</{tag}>'

    def line(row):
        return "".join(cell("td", i, text, "long" if i < left and len(text) > 30 else
                            VERDICTS.get(text, "")) for i, text in enumerate(row))

    head = "".join(cell("th", i, text) for i, text in enumerate(columns))
    return ('<div class="wide"><table><tr>' + head + "</tr>"
            + "".join(f"<tr>{line(row)}</tr>" for row in rows) + "</table></div>")


def page(title, body, about, more_style=""):
    """about: how and on what it was measured, in lines."""
    return (f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            f'<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>xmigrate: {html.escape(title)}</title><style>{style()}{more_style}</style></head>\n"
            f"<body><h1>{html.escape(title)}</h1><pre>{html.escape(about)}</pre>\n{body}\n</body></html>\n")
