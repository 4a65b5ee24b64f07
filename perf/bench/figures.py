# SPDX-License-Identifier: MIT
"""Turns and what becomes of them. Nothing here measures or prints.

A ratio is the median of the turns' ratios, not the ratio of medians: what swings on a shared
machine swings for neighbours in time alike.
"""
from dataclasses import dataclass
from statistics import median

GB = 1e9
MOST_OTHERS = 1.0  # cores that others may use before ratios say little


@dataclass(frozen=True)
class Turn:
    gb_per_s: float
    cpu_s_per_gb: float
    wire_bytes: int = 0
    total_s: float = 0.0  # of the whole command, where there is one
    others: float = 0.0  # cores that others used meanwhile


def turn_of(guest_bytes, seconds, cpu_s, wire_bytes=0, total_s=0.0):
    gb = guest_bytes / GB
    return Turn(gb / seconds, cpu_s / gb, wire_bytes, total_s)


def ratios(ours, theirs):
    """(GB/s, CPU) of ours to theirs, by turns that both took; None without one."""
    pairs = [(a, b) for a, b in zip(ours, theirs) if a and b]
    if not pairs:
        return None
    return (
        median(a.gb_per_s / b.gb_per_s for a, b in pairs),
        median(a.cpu_s_per_gb / b.cpu_s_per_gb for a, b in pairs),
    )


def disturbed(*results):
    """Did others use more than a core while most turns of one of these were taken?"""
    return any(r.others() > MOST_OTHERS for r in results)


@dataclass(frozen=True)
class Result:
    """One player's turns in one bout; a turn that failed is None."""

    case: str
    who: str
    turns: tuple
    floor: tuple = ()

    @property
    def done(self):
        return [t for t in self.turns if t]

    def gb_per_s(self):
        return median(t.gb_per_s for t in self.done)

    def cpu_s_per_gb(self):
        return median(t.cpu_s_per_gb for t in self.done)

    def others(self):
        return median(t.others for t in self.done)

    def wire_bytes(self):
        return int(median(t.wire_bytes for t in self.done))


def as_entry(result):
    """An object of bench.json; exactly these fields."""
    entry = {
        "case": result.case,
        "who": result.who,
        "GBps": round(result.gb_per_s(), 4),
        "cpu_s_per_GB": round(result.cpu_s_per_gb(), 4),
        "turns": len(result.done),
    }
    to_floor = ratios(result.turns, result.floor) if result.who == "xmigrate" else None
    if to_floor:
        entry["ratio_GBps"] = round(to_floor[0], 4)
        entry["ratio_cpu"] = round(to_floor[1], 4)
    return entry
