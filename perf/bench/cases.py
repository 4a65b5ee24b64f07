# SPDX-License-Identifier: MIT
"""What is measured, in one table.

A bout is one guest and one kind of connection; its players take turns. A player is who it is and
what it compresses with. Bouts that are compared with each other take turns, too.
"""
from dataclasses import dataclass, replace
from itertools import groupby

CONTENTS = {
    "zero": "zero=100",
    "random": "random=100",
    "text": "text=100",
    "mixed": "zero=25,text=50,random=25",
}
HEADLINE = ("pvh", "2G", "off")
US = "xmigrate"


@dataclass(frozen=True)
class Bout:
    """Players are "who" or "who+codec"; place is where the guest's memory lies."""

    part: str
    content: str
    tls: bool
    lanes: int
    players: tuple
    type: str = "pvh"
    size: str = "2G"
    place: str = ""  # "fragmented": frames scattered; "fresh": destination never touched
    link: str = ""  # --bandwidth
    quick: tuple = ()  # the players that --quick has time for
    group: str = ""  # bouts of one name take turns; they stand side by side in the table

    def case(self, codec="off"):
        name = f"{self.content}/{'tls' if self.tls else 'plain'}/{self.lanes}"
        more = [x for x in (self.place, self.link) if x]
        if (self.type, self.size, codec) != HEADLINE or more:
            name = "/".join([name, self.type, self.size, codec] + more)
        return name


def split_player(player):
    who, _, codec = player.partition("+")
    return who, codec or "off"


def memory_needed(bouts):
    """Two hosts with a guest each, QEMU's guest at both ends, and room for programs."""
    return max((size_bytes(b.size) for b in bouts), default=0) * 17 // 4 + (1 << 30)


SIZE_SUFFIX = {"M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def size_bytes(text):
    return int(text[:-1]) * SIZE_SUFFIX[text[-1]]


def small(bout, size):
    """The same with a smaller guest: to see that it works, not how fast."""
    return replace(bout, size=size)


def grouped(bouts):
    """Lists of those that take turns."""
    return [list(g) for _, g in groupby(bouts, key=lambda b: b.group or b.case())]


def quickly(bout):
    return replace(bout, players=bout.quick)


ALL_CODECS = (US, US + "+lz4", US + "+zstd", US + "+auto")

TABLE = (
    # The headline: what xmigrate is for, beside everybody.
    Bout("headline", "random", True, 2, ALL_CODECS + ("stock-openssl", "qemu"),
         quick=(US, "stock-openssl", "qemu"), group="tls"),
    Bout("headline", "mixed", True, 2, ALL_CODECS + ("stock-openssl", "qemu", "qemu+zstd"),
         quick=(US, US + "+auto", "qemu"), group="tls"),
    Bout("headline", "random", False, 2, (US, "stock", "qemu"), quick=(US, "stock")),
    Bout("headline", "mixed", False, 2, (US, "stock", "qemu")),
    Bout("headline", "zero", True, 2, (US, "stock-openssl", "qemu"), quick=(US, "qemu")),
    Bout("headline", "zero", False, 2, (US, "stock", "qemu")),
    Bout("headline", "text", True, 2, ALL_CODECS + ("qemu",)),
    # More and fewer lanes than cores.
    Bout("lanes", "random", True, 1, (US,)),
    Bout("lanes", "random", True, 4, (US,)),
    Bout("lanes", "random", True, 8, (US,)),
    Bout("lanes", "random", False, 1, (US, "qemu")),
    Bout("lanes", "random", False, 4, (US,)),
    Bout("lanes", "random", False, 8, (US,)),
    Bout("lanes", "mixed", True, 8, ALL_CODECS),
    # Guests with page tables of their own.
    Bout("types", "random", True, 2, (US, "stock-openssl"), type="pv"),
    Bout("types", "mixed", True, 2, ALL_CODECS, type="pv"),
    # A device model is started in the pause, but pages go as those of PVH guests do.
    Bout("types", "random", True, 2, (US,), size="1G", group="hvm"),
    Bout("types", "random", True, 2, (US,), type="hvm", size="1G", group="hvm"),
    # Memory that is not as kind.
    Bout("memory", "random", True, 2, (US, "stock-openssl", "mappings"), place="fragmented"),
    Bout("memory", "random", True, 2, (US, "stock-openssl"), place="fresh"),
    # Links that are slower than the cores.
    Bout("links", "mixed", True, 2, ALL_CODECS, size="128M", link="100M"),
    Bout("links", "mixed", True, 2, ALL_CODECS, size="512M", link="1G", group="1G"),
    Bout("links", "random", True, 2, (US,), size="512M", link="1G", group="1G"),
    Bout("links", "mixed", True, 2, ALL_CODECS, link="5G"),
)

PARTS = ("floors", "headline", "lanes", "types", "memory", "links", "rounds")
