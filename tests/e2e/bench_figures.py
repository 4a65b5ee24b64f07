# SPDX-License-Identifier: MIT
"""The benchmark's pure parts: turns, ratios, names, goals and what is printed of them."""
import csv
import io
import json
import os
import sys
import unittest

sys.dont_write_bytecode = True
PERF = os.path.join(os.environ["TOP"], "perf")
sys.path[:0] = [PERF, os.path.join(PERF, "converge")]

import page as convergence  # noqa: E402
from bench import goals, report  # noqa: E402
from bench.cases import (TABLE, Bout, grouped, memory_needed, size_bytes, small,  # noqa: E402
                         split_player)
from bench.figures import Result, Turn, as_entry, ratios, turn_of  # noqa: E402
from bench import many, pause  # noqa: E402
from bench.players import PLAYERS  # noqa: E402
from bench.wan import Case, all_met, last_line, missed, rate_mbit  # noqa: E402
from bench.wan import Turn as WanTurn  # noqa: E402

FLOOR = (Turn(2.0, 1.0), Turn(4.0, 1.0), Turn(1.0, 2.0))


def result(case="random/tls/2", who="xmigrate", turns=FLOOR, floor=FLOOR):
    return Result(case, who, turns, floor)


class LongLinks(unittest.TestCase):
    def test_a_rate_is_of_what_arrives_between_the_first_and_the_last_hundredth(self):
        # A second before anything comes, 99 MB in a second, a second without.
        samples = [(0, 0), (10**9, 1_000_000), (2 * 10**9, 100_000_000), (3 * 10**9, 100_000_001)]
        self.assertEqual(rate_mbit(samples, 100_000_000), 792.0)

    def test_what_did_not_all_come_has_no_rate(self):
        self.assertIsNone(rate_mbit([(0, 0), (10**9, 90_000_000)], 100_000_000))
        self.assertIsNone(rate_mbit([], 100_000_000))

    def test_the_last_line_names_every_goal(self):
        near, far = Case(200, 20, 0.1, 1, 64), Case(200, 100, 0, 4, 64)
        good, bad = WanTurn(95, 100, 8, 2, 0.2), WanTurn(94, 100, 8, 2, -0.2)
        found = [(near, [good]), (far, [good, bad, bad]), (far, None)]
        self.assertEqual(last_line(found),
                         "goals 0.95 of plain TCP, <= 8 round trips before the first page, <= 2 in "
                         "the pause, said within 20%: 200 Mb/s, 20 ms, 0.1 % loss, 1 lane: met; 200 Mb/s, 100 ms, "
                         "4 lanes: NOT MET: speed; 200 Mb/s, 100 ms, 4 lanes: FAILED")
        self.assertTrue(all_met(found[:1]))
        self.assertFalse(all_met(found[:2]) or all_met([(far, None)]) or all_met([]))

    def test_what_is_said_counts_once_a_host_has_moved_the_guest_before(self):
        far = Case(200, 100, 0, 4, 64)
        first, later = WanTurn(100, 100, 8, 2, 0.9), WanTurn(100, 100, 8, 2, -0.1)
        self.assertEqual(missed(far, [first, first, later]), [])
        self.assertEqual(missed(far, [first]), ["pause as said"])

    def test_round_trips_are_goals_where_the_link_is_long(self):
        near, far = Case(1000, 1, 0, 1, 64), Case(200, 100, 0, 4, 64)
        slow = [WanTurn(100, 100, 8.1, 2.1, 0.21)]
        self.assertEqual(missed(far, slow),
                         ["round trips before", "round trips in the pause", "pause as said"])
        self.assertEqual(missed(near, slow), [])


class Many(unittest.TestCase):
    CASE = many.Case(8, 20000, "1G")

    @staticmethod
    def turn(*guests):
        return many.Turn(2.0, tuple(many.Guest(*g) for g in guests), 90, 0)

    def test_a_pause_may_be_a_fifth_beyond_what_was_said(self):
        alone = self.turn((50, 100, 10**8, 0.5, 3))
        good = self.turn((120, 100, 10**8, 1, 3), (10, 300, 2 * 10**8, 2, 4))
        late = self.turn((121, 100, 10**8, 1, 3), (200, 300, 10**8, 2, 4))
        self.assertEqual(many.verdict(good, alone), "met")
        self.assertEqual(many.verdict(late, alone), "NOT MET: pause as said")
        self.assertEqual(late.worst().pause_ms, 200)
        self.assertEqual(late.fairness(), 0.5)

    def test_bytes_are_held_against_one_alone(self):
        alone = self.turn((50, 100, 10**8, 0.5, 3))
        dear = self.turn((50, 100, 10**8, 1, 3), (50, 100, 21 * 10**7, 1, 3))
        self.assertEqual(many.verdict(dear, alone), "NOT MET: bytes")
        self.assertEqual(many.verdict(dear, None), "met")
        found = [(self.CASE, dear, alone), (self.CASE, None, alone)]
        self.assertTrue(many.last_line(found).endswith(
            "8, 20,000 pages/s, 1 Gb/s: NOT MET: bytes; 8, 20,000 pages/s, 1 Gb/s: FAILED"))
        self.assertTrue(many.all_met([(self.CASE, alone, alone)]))
        self.assertFalse(many.all_met(found[1:]) or many.all_met([]))


class Pause(unittest.TestCase):
    FAR, NEAR = pause.Case("pv", 1000, True, 1), pause.Case("pvh", 1000, False, 4)

    @staticmethod
    def turn(whole_ms, replay_ms=0):
        return pause.Turn(1006, (0,) * len(pause.PARTS), whole_ms, replay_ms)

    def test_scattered_pages_may_take_what_their_mappings_take_alone(self):
        self.assertEqual(pause.verdict(self.FAR, [self.turn(29, 20)]), "met")
        self.assertEqual(pause.verdict(self.FAR, [self.turn(31, 20)]), "NOT MET")
        # Each turn beside its own replay: 1 over, 1 over, 5 below.
        turns = [self.turn(41, 30), self.turn(31, 20), self.turn(15, 10)]
        self.assertEqual(pause.verdict(self.FAR, turns), "NOT MET")

    def test_only_a_thousand_pages_have_a_goal(self):
        self.assertEqual(pause.verdict(pause.Case("pv", 100, False, 1), [self.turn(99)]), "")

    def test_the_last_line_names_every_goal(self):
        found = [(self.FAR, [self.turn(29, 20)]), (self.NEAR, [self.turn(10.1)]),
                 (pause.Case("pv", 0, False, 8), []), (pause.Case("pv", 0, False, 1),
                                                       [self.turn(1)])]
        self.assertEqual(pause.last_line(found).split(": ", 1)[1],
                         "10 ms, and the replay beside where they are scattered: pv 1,000 pages "
                         "scattered 1 lane: met; pvh 1,000 pages contiguous 4 lanes: NOT MET; "
                         "pv 0 pages 8 lanes: FAILED")
        self.assertTrue(pause.all_met([found[0], found[3]]))
        self.assertFalse(pause.all_met(found[:2]) or pause.all_met(found[2:]) or
                         pause.all_met([]))

    def test_parts_are_read_from_events(self):
        parts = {f"{p}_ns": (i + 1) * 10**6 for i, p in enumerate(pause.PARTS)}
        events = [{"event": "round", "last": False, "pages": 7},
                  {"event": "round", "last": True, "pages": 5},
                  {"event": "done", "downtime": parts, "downtime_ns": 28 * 10**6}]
        turn = pause.turn_of(events, 3.5)
        self.assertEqual((turn.pages, turn.whole_ms, turn.replay_ms), (5, 28, 3.5))
        self.assertEqual(turn.parts_ms, (1, 2, 3, 4, 5, 6, 7))


class Figures(unittest.TestCase):
    def test_a_turn_is_per_gb_of_guest_memory(self):
        turn = turn_of(2_000_000_000, 4.0, 3.0)
        self.assertEqual((turn.gb_per_s, turn.cpu_s_per_gb), (0.5, 1.5))

    def test_a_ratio_is_the_median_of_the_turns_ratios(self):
        ours = (Turn(1.0, 2.0), Turn(4.0, 3.0), Turn(0.9, 2.0))
        # By turn 0.5, 1.0, 0.9; the ratio of the medians would be 0.5.
        self.assertEqual(ratios(ours, FLOOR), (0.9, 2.0))

    def test_a_turn_that_one_did_not_take_is_in_no_ratio(self):
        self.assertEqual(ratios((None, Turn(2.0, 4.0), None), FLOOR), (0.5, 4.0))
        self.assertIsNone(ratios((None, None, None), FLOOR))

    def test_an_entry_has_exactly_the_fields_that_are_promised(self):
        fields = {"case", "who", "GBps", "cpu_s_per_GB", "turns"}
        self.assertEqual(set(as_entry(result(who="qemu"))), fields)
        self.assertEqual(set(as_entry(result(who="floor"))), fields)
        entry = as_entry(result(turns=(Turn(1.0, 2.0), None, Turn(3.0, 4.0))))
        self.assertEqual(set(entry), fields | {"ratio_GBps", "ratio_cpu"})
        self.assertEqual((entry["GBps"], entry["cpu_s_per_GB"], entry["turns"]), (2.0, 3.0, 2))


class Cases(unittest.TestCase):
    def test_a_headline_has_a_short_name_and_others_say_what_differs(self):
        bout = Bout("headline", "mixed", True, 2, ())
        self.assertEqual(bout.case(), "mixed/tls/2")
        self.assertEqual(bout.case("auto"), "mixed/tls/2/pvh/2G/auto")
        self.assertEqual(small(bout, "64M").case(), "mixed/tls/2/pvh/64M/off")
        plain = Bout("x", "zero", False, 8, (), type="pv", place="fresh", link="1G")
        self.assertEqual(plain.case(), "zero/plain/8/pv/2G/off/fresh/1G")

    def test_bouts_that_a_goal_compares_take_turns(self):
        groups = [[b.case() for b in g] for g in grouped(TABLE)]
        self.assertIn(["random/tls/2", "mixed/tls/2"], groups)
        self.assertIn([f"{c}/tls/2/pvh/512M/off/1G" for c in ("mixed", "random")], groups)
        self.assertEqual([b for g in grouped(TABLE) for b in g], list(TABLE))

    def test_no_case_is_measured_twice(self):
        names = [(b.case(split_player(p)[1]), split_player(p)[0]) for b in TABLE
                 for p in b.players]
        self.assertEqual(len(names), len(set(names)))

    def test_every_player_of_the_table_exists(self):
        self.assertLessEqual({split_player(p)[0] for b in TABLE for p in b.players}, set(PLAYERS))

    def test_quick_takes_players_of_the_bout(self):
        for bout in TABLE:
            self.assertLessEqual(set(bout.quick), set(bout.players))
        self.assertTrue(any(bout.quick for bout in TABLE))

    def test_memory_is_asked_for_by_the_largest_guest(self):
        sizes = [Bout("x", "zero", True, 1, (), size=size) for size in ("128M", "2G", "512M")]
        self.assertEqual(memory_needed(sizes), (17 << 31) // 4 + (1 << 30))
        self.assertEqual(memory_needed([]), 1 << 30)

    def test_sizes(self):
        self.assertEqual(size_bytes("512M"), 512 << 20)
        self.assertEqual(size_bytes("1T"), 1 << 40)


class Goals(unittest.TestCase):
    def verdict(self, results, text):
        return next(row for row in goals.rows(results) if row[0] == text)[2:]

    def test_both_figures_have_to_be_good(self):
        text = "random TLS to the floor"
        good = result(turns=tuple(Turn(t.gb_per_s * 1.2, t.cpu_s_per_gb * 0.8) for t in FLOOR))
        dear = result(turns=tuple(Turn(t.gb_per_s * 1.2, t.cpu_s_per_gb * 0.9) for t in FLOOR))
        self.assertEqual(self.verdict([good], text), ("1.20 / 0.80", "met"))
        self.assertEqual(self.verdict([dear], text), ("1.20 / 0.90", "NOT MET"))

    def test_what_others_disturbed_has_a_star(self):
        quiet = result(turns=(Turn(2.4, 1.0, others=1.0),) * 3)
        loud = result(turns=(Turn(2.4, 1.0, others=1.1),) * 3)
        theirs = result(who="qemu", turns=(Turn(1.0, 4.0),) * 3)
        text = "random TLS to QEMU"
        self.assertEqual(self.verdict([quiet, theirs], text), ("2.40 / 0.25", "met"))
        self.assertEqual(self.verdict([loud, theirs], text), ("2.40 / 0.25 *", "met"))
        self.assertEqual(report.table_rows([loud, theirs])[1][-1], "2.40 / 0.25 *")

    def test_what_is_missing_is_neither(self):
        for row in goals.rows([]):
            self.assertEqual(row[2:], (goals.NOT_MEASURED, ""))

    def test_auto_is_held_against_the_best_of_all_fixed_ones(self):
        case = goals.link_case("1G", "512M")
        rates = {"off": 1.0, "lz4": 2.0, "zstd": 1.5, "auto": 1.9}
        results = [result(case(c), turns=(Turn(v, 1.0),)) for c, v in rates.items()]
        text = "auto to the best fixed codec at 1G"
        self.assertEqual(self.verdict(results, text), ("0.95", "met"))
        self.assertEqual(self.verdict(results[1:], text), (goals.NOT_MEASURED, ""))

    def test_goals_are_about_cases_that_the_table_has(self):
        have = {b.case() for b in TABLE}
        for case in ("random/tls/2", "random/plain/2", "zero/tls/2", "mixed/tls/2",
                     "random/tls/2/pvh/512M/off/1G", "mixed/plain/2"):
            self.assertIn(case, have)
        for link, size in goals.LINKS:
            self.assertIn(goals.link_case(link, size)("off"), have)


class Reports(unittest.TestCase):
    def setUp(self):
        self.results = [result(who="floor"), result(turns=(Turn(1.0, 1.0, 5_000_000),) * 3),
                        result(who="qemu", turns=(Turn(0.5, 2.0), None, None)),
                        result("random/tls/2/pvh/2G/lz4")]

    def test_json_is_a_list_of_entries(self):
        self.assertEqual(json.loads(report.as_json(self.results)),
                         [as_entry(r) for r in self.results])

    def test_csv_has_every_turn_that_was_taken(self):
        rows = list(csv.DictReader(io.StringIO(report.as_csv(self.results))))
        self.assertEqual([r["who"] for r in rows],
                         ["floor"] * 3 + ["xmigrate"] * 3 + ["qemu"] + ["xmigrate"] * 3)
        self.assertEqual(rows[6]["turn"], "1")

    def test_the_table_puts_us_beside_a_peer(self):
        rows = report.table_rows(self.results)
        self.assertEqual(rows[2][-1], "2.00 / 0.50")
        self.assertEqual(rows[1][4], "5")
        lines = report.as_table(rows).splitlines()
        self.assertEqual(len(lines), 5)
        self.assertTrue(all(len(line) <= 110 for line in lines))

    def test_html_needs_nothing_from_elsewhere_and_escapes(self):
        page = report.as_html(self.results, "a <machine>\ncommit 1234567", "make bench")
        for word in ("http:", "https:", "src=", "<machine>"):
            self.assertNotIn(word, page)
        for word in ("xmigrate lz4", 'name="viewport"', "prefers-color-scheme: dark", "commit 1234567"):
            self.assertIn(word, page)

    def test_html_shows_every_turn_and_whether_goals_are_met(self):
        page = report.as_html(self.results, "", "", goal_rows=[("a", ">= 1", "2", "met"),
                                                               ("b", ">= 1", "0", "NOT MET")])
        # Of both charts: of the floor, of ours twice, and the one that QEMU took.
        self.assertEqual(page.count("<i style=\"left:"), 2 * (3 + 3 + 1 + 3))
        self.assertIn(' met">met<', page)
        self.assertIn(' missed">NOT MET<', page)


class Convergence(unittest.TestCase):
    def test_a_chart_has_a_tick_for_each_round_of_ours(self):
        run = {"outcome": "met", "downtime_ms": 90.0, "bytes": 5e8, "seconds": 4.0, "rounds": 2,
               "predicted_ms": 95.0, "words": ["<words>"], "points": [[2.5, 4000], [4.0, 0]]}
        never = dict(run, outcome="timeout", seconds=60.0, points=[[2.5, 9000], [60.0, 8000]])
        shown = convergence.one_run({"xmigrate": run, "qemu": never})
        self.assertEqual(shown.count("<title>"), 2)
        self.assertEqual(shown.count("<circle"), 3)  # what is beyond the end of the others is cut off
        self.assertIn("&lt;words&gt;", shown)
        self.assertIn("<td>-</td>", shown)


unittest.main()
