# SPDX-License-Identifier: MIT
"""What the figures are meant to reach, and whether they do. From results alone.

All for two cores, and two lanes unless they say one. A goal says which results it needs; what was not measured is said.
"""
from .figures import disturbed, ratios

COLUMNS = ("goal", "wanted", "measured", "")
NOT_MEASURED = "not measured"

LINKS = (("100M", "128M"), ("1G", "512M"), ("5G", "2G"))
FIXED = ("off", "lz4", "zstd")
# GB/s, and CPU where it is a goal.
TO_QEMU = (
    ("random TLS to QEMU", "random/tls/2", 2.0, 0.5),
    ("mixed TLS to QEMU", "mixed/tls/2", 1.8, None),
    ("random plain to QEMU", "random/plain/2", 1.4, None),
    ("mixed plain to QEMU", "mixed/plain/2", 1.2, None),
    ("zero TLS to QEMU", "zero/tls/2", 1.3, None),
    ("zero plain to QEMU", "zero/plain/2", 1.3, None),
    ("one lane plain to QEMU", "random/plain/1", 1.1, None),
)


def find(results, case, who="xmigrate"):
    return next((r for r in results if r.case == case and r.who == who), None)


def judged(text, wanted, values, fine, noisy=False):
    """A row; values is None when something is missing."""
    if values is None:
        return (text, wanted, NOT_MEASURED, "")
    return (text, wanted, " / ".join(f"{v:.2f}" for v in values) + (" *" if noisy else ""),
            "met" if fine else "NOT MET")


def at_least(text, ratio, rate, cpu=None):
    wanted = f">= {rate:.2f}" + (f" / <= {cpu:.2f}" if cpu else "")
    if not ratio:
        return judged(text, wanted, None, False)
    values = ratio[:2] if cpu else ratio[:1]
    return judged(text, wanted, values, ratio[0] >= rate and (not cpu or ratio[1] <= cpu),
                  noisy=any(ratio[2:]))


def to_floor(results, case):
    """(GB/s, CPU, did others disturb it?)"""
    ours = find(results, case)
    found = ratios(ours.turns, ours.floor) if ours else None
    return found and (*found, disturbed(ours))


def to_other(results, case, who, other_case=None):
    ours, theirs = find(results, case), find(results, other_case or case, who)
    found = ratios(ours.turns, theirs.turns) if ours and theirs else None
    return found and (*found, disturbed(ours, theirs))


def rate(results, case):
    ours = find(results, case)
    return (ours.gb_per_s(),) if ours else None


def auto_to_best(results, case_of):
    auto, fixed = find(results, case_of("auto")), [find(results, case_of(c)) for c in FIXED]
    if not auto or not all(fixed):
        return None
    found = [ratios(auto.turns, f.turns) for f in fixed]
    return (min(f[0] for f in found),) if all(found) else None


def link_case(link, size):
    return lambda codec: f"mixed/tls/2/pvh/{size}/{codec}/{link}"


def unlimited_case(codec):
    return "mixed/tls/2" if codec == "off" else f"mixed/tls/2/pvh/2G/{codec}"


def rows(results):
    found = [
        at_least("random TLS to the floor", to_floor(results, "random/tls/2"), 1.15, 0.85),
        at_least("random plain to the floor", to_floor(results, "random/plain/2"), 0.80, 1.25),
        at_least("mixed TLS auto to random TLS at 1 Gb/s",
                 to_other(results, link_case("1G", "512M")("auto"), "xmigrate",
                          "random/tls/2/pvh/512M/off/1G"), 1.7),
        at_least("zero, GB/s", rate(results, "zero/tls/2"), 6.0),
    ]
    found.append(at_least("random TLS, HVM to PVH",
                          to_other(results, "random/tls/2/hvm/1G/off", "xmigrate",
                                   "random/tls/2/pvh/1G/off"), 0.95, 1.05))
    for text, case, rate_wanted, cpu_wanted in TO_QEMU:
        found.append(at_least(text, to_other(results, case, "qemu"), rate_wanted, cpu_wanted))
    for content in ("random", "mixed"):
        found.append(at_least(f"{content} plain to the stock helper",
                              to_other(results, f"{content}/plain/2", "stock"), 1.0))
        found.append(at_least(f"{content} TLS to the stock helper through openssl",
                              to_other(results, f"{content}/tls/2", "stock-openssl"), 3.0))
    for link, size in LINKS:
        found.append(at_least(f"auto to the best fixed codec at {link}",
                              auto_to_best(results, link_case(link, size)), 0.90))
    found.append(at_least("auto to the best fixed codec, no cap",
                          auto_to_best(results, unlimited_case), 0.90))
    return found
