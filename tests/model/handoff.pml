/* SPDX-License-Identifier: MIT */
/*
 * The hand-off as a model: both ends, their rescuer, listeners and journals, the connection between
 * them, and a person who follows the printed advice, with everything that may go wrong: any process
 * killed at any point, the connection lost with what was under way, either host without power, a
 * limit that passes at any moment, a guest that ends there or moves on.
 *
 * What is decided is not written here: machine.pml is made from cmd/handoff/machine.c, and a step
 * does what that says, action by action. It begins with READY's memory in place: the guest
 * suspended here, its copy built there.
 *
 * Shown: never two copies run; old memory never runs after newer has; nothing that a caller reports
 * is impossible; a source that still has its peer is not in doubt; and when all is quiet, both hosts
 * being back, the guest runs (or has ended, or its host lost power), no copy is left suspended, and no
 * record is open here.
 *
 * MUTANT=1..4 puts the defects back that were seen once: it must be found then.
 */
#include "machine.pml"

#ifndef FAULTS
#define FAULTS 2
#endif
#ifndef MUTANT
#define MUTANT 0
#endif

/* Copies of the guest. */
#define NO_COPY 0
#define STANDS  1
#define RUNNING 2

/* Who holds a journal's lock. */
#define FREE       0
#define SUPERVISOR 1
#define RESCUER    2
#define LISTENER   3
#define PERSON     4

#define DEAD     0
#define DISARMED 1
#define ARMED    2

byte here = STANDS, there = STANDS;
bool elsewhere = false; /* it runs on a third host */
bool newer = false;     /* it has run there */
bool has_ended = false, lost = false;

byte record_here = live, record_there = incoming; /* 0: none */
bool other_boot = false;                          /* there, since the record was written */
byte lock_here = SUPERVISOR, lock_there = SUPERVISOR;

bool supervisor = true, receiver = true; /* they live */
bool over = false, there_over = false;   /* they ended by themselves */
byte rescuer = (MUTANT == 4 -> DISARMED : ARMED);
bool listener = true;
bool interrupted = false; /* who was to bring the guest back was killed, too */
bool here_up = true, there_up = true;

bool conn = true;
chan to_there = [3] of { byte };
chan to_here = [3] of { byte };
chan word = [0] of { bit };

bool begun = false;
bool advised = false; /* a person was told what can be done */
byte faults;

/* What a process at either end has of its own. */
#define PROCESS_HERE byte s, event, d; int acts, dacts; bool bad, asked, dbad, may_run
#define RESET_HERE   d_step { s = 0; event = 0; d = 0; bad = false; asked = false; dbad = false }
#define PROCESS_THERE byte d; int dacts; bool dbad, may_run
#define RESET_THERE   d_step { d = 0; dbad = false; may_run = false }

inline run_here()
{
    assert(!newer && there != RUNNING && !elsewhere);
    here = RUNNING
}

inline run_there()
{
    assert(here != RUNNING);
    newer = true;
    there = RUNNING
}

/* --- what the machine may ask for, here, one action after the other --- */

#define LOWEST(a) (a & (0 - a))
hidden int act; /* within an atomic step only */

inline here_step(event)
{
    atomic {
#if MUTANT == 1
        if :: s == given && event == resume_asked -> s = back; acts = resume | forget
           :: else -> handoff_next(s, event, acts)
        fi;
#else
        handoff_next(s, event, acts);
#endif
        bad = false
    };
    do :: acts == 0 -> break
       :: acts != 0 -> atomic {
            act = LOWEST(acts);
            acts = acts - act;
            if :: act == rename_away -> skip /* names decide nothing, and none is waited for */
               :: act == disarm ->
#if MUTANT == 4
                    skip
#else
                    if :: word ! 1
                       :: rescuer != ARMED
                    fi
#endif
               :: act == record -> record_here = s
               :: act == check_limit ->
#if MUTANT != 2
                    if :: true :: bad = true fi /* a limit passes when it likes */
#else
                    skip
#endif
               :: act == send_go ->
                    assert(record_here == given && rescuer != ARMED);
                    if :: conn -> to_there ! GO
                       :: !conn -> bad = true
                       :: !conn /* it goes nowhere */
                    fi
               :: act == take_back -> record_here = live
               :: act == resume ->
                    if :: here == STANDS -> run_here()
                       :: else
                    fi
               :: act == pass_on -> skip /* of its own arrival here, which this model does not have */
               :: act == send_heard -> say_heard()
               :: act == destroy -> assert(here != RUNNING); here = NO_COPY
               :: act == forget -> record_here = 0
               :: act == advise ->
                    /* A supervisor is in doubt only when it has lost the other end. */
                    assert(lock_here != SUPERVISOR || !conn);
                    advised = true
            fi;
            if :: bad -> acts = 0 /* what fails ends the step */
               :: else
            fi
        }
    od
}

/* To the process that has received the guest, or to the one that has just answered. */
inline say_heard()
{
    if :: asked && lock_there == LISTENER ->
            d = record_there;
            handoff_next(d, heard_came, dacts);
            assert(dacts & forget);
            record_there = 0;
            lock_there = FREE;
            dacts = 0
       :: !asked && conn -> to_there ! HEARD
       :: else
    fi
}

/* --- and there; who holds the lock: without it nothing is done any more --- */

inline there_step(who, event)
{
    atomic {
        handoff_next(d, event, dacts);
        dbad = false
    };
    do :: dacts == 0 -> break
       :: dacts != 0 -> atomic {
            act = LOWEST(dacts);
            dacts = dacts - act;
            if :: lock_there != who -> dbad = true
               :: else ->
                if :: act == hold -> dbad = (there == RUNNING)
                   :: act == record -> record_there = d; other_boot = false
                   :: act == note -> record_there = d
                   :: act == unbuild -> assert(there != RUNNING); there = NO_COPY
                   :: act == rename_own -> skip
                   :: act == check_limit -> if :: true :: dbad = true fi
                   :: act == send_ready -> if :: conn -> to_here ! READY :: else fi
                   :: act == unpause ->
                        if :: run_there()
                           :: dbad = true                 /* it failed, is held, and has not run */
                           :: dbad = true; may_run = true /* nobody knows */
                           :: run_there(); dbad = true; may_run = true
                        fi
                   :: act == send_started ->
                        if :: conn -> to_here ! STARTED :: else fi;
#if MUTANT == 3
                        record_there = 0
#else
                        skip
#endif
                   :: act == monitor -> skip
                   :: act == forget -> record_there = 0
                   :: act == send_failed -> if :: conn -> to_here ! FAILED :: else fi
                   :: act == advise -> skip
                fi
            fi;
            if :: dbad -> dacts = 0
               :: else
            fi
        }
    od
}

/* READY is only noted: with the power a note may go. */
inline load_there()
{
    d = record_there;
    if :: d == incoming && other_boot -> d = ready
       :: else
    fi
}

/* By what Xen says. A copy that has run does not stand. */
inline settle_there(who)
{
    if :: there == NO_COPY -> there_step(who, found_none)
       :: there == STANDS -> there_step(who, found_stopped)
       :: there == RUNNING -> there_step(who, found_running)
    fi
}

/* --- settling what nobody is in charge of, here --- */

inline look_here()
{
    if :: here == NO_COPY -> event = found_none
       :: here == STANDS -> event = found_stopped
       :: here == RUNNING -> event = found_running
    fi
}

inline recover_here(me)
{
    atomic { lock_here == FREE -> lock_here = me };
    s = record_here;
    if :: s == 0
       :: else -> look_here(); here_step(event)
    fi;
    atomic { RESET_HERE; lock_here = FREE }
}

/* ASK: not before the listener there runs; while a process there has the record, again. */
inline ask()
{
    event = no_answer;
    if :: atomic { there_up && lock_there == FREE -> lock_there = LISTENER };
            asked = true;
            load_there();
            if :: d == 0 ->
#if MUTANT == 3
                    event = failed_came;
#else
                    assert(false);
#endif
                    lock_there = FREE
               :: else ->
                    if :: d == incoming -> there_step(LISTENER, peer_asks)
                       :: else
                    fi;
                    settle_there(LISTENER);
                    if :: !dbad && d == taken -> there_step(LISTENER, peer_asks)
                       :: else
                    fi;
                    /* ANSWER: what is said is on disk. */
                    atomic {
                        if :: dbad || lock_there != LISTENER
                           :: else ->
                                assert(record_there == d);
                                if :: d == started || d == ended || d == moved_on -> event = started_came
                                   :: d == gone -> event = failed_came
                                fi
                        fi
                    }
            fi
       :: atomic { faults > 0 -> faults-- } /* the connection fails */
    fi
}

inline resolve_here(me)
{
    atomic { lock_here == FREE -> lock_here = me };
    s = record_here;
    asked = false;
    if :: s == 0
       :: else ->
            look_here();
            if :: s == given && event == found_stopped -> ask()
               :: else
            fi;
            here_step(event)
    fi;
    atomic {
        if :: asked && lock_there == LISTENER -> lock_there = FREE
           :: else
        fi;
        RESET_HERE;
        lock_here = FREE
    }
}

/* --- the source --- */

inline say_abort()
{
    atomic { if :: conn -> to_there ! ABORT :: else fi }
}

active proctype source()
{
    PROCESS_HERE;
    s = live;
    begun;
    {
        /* All is sent, and it is told ahead; or not before READY. */
        if :: true
           :: MUTANT != 4 ->
                if :: word ! 1
                   :: rescuer == DEAD
                fi
        fi;
        if :: to_here ? READY ->
                here_step(ready_came);
                if :: bad -> say_abort(); here_step(go_unsent); goto done
                   :: else
                fi
           :: to_here ? FAILED -> here_step(failed_came); goto done
           :: !conn && empty(to_here) -> here_step(trouble); goto done
           :: true -> say_abort(); here_step(trouble); goto done /* the limit passes */
        fi;
        if :: to_here ? STARTED -> here_step(started_came)
           :: to_here ? FAILED -> here_step(failed_came)
           :: !conn && empty(to_here) -> here_step(no_answer)
#if MUTANT == 2
           :: true -> here_step(no_answer) /* the limit passes */
#endif
        fi;
done:
        atomic { over = true; lock_here = FREE; conn = false; RESET_HERE }
    } unless { atomic { !supervisor -> RESET_HERE; acts = 0 } }
}

active proctype rescuing()
{
    PROCESS_HERE;
    {
#if MUTANT != 4
        if :: atomic { word ? _ -> rescuer = DISARMED }
           :: !supervisor -> recover_here(RESCUER); goto done
        fi;
        !supervisor;
        resolve_here(RESCUER);
done:
#endif
        skip
    } unless { atomic { rescuer == DEAD -> RESET_HERE; acts = 0; dacts = 0 } }
}

/* The listener at its start, or a person who runs what was printed. For a guest that was not given away
 * they are needed only when its rescuer, or who came after it, was killed as well. */
active proctype listening()
{
    PROCESS_HERE;
again:
    {
        do :: !here_up -> here_up = true; resolve_here(LISTENER)
           :: here_up && (over || !supervisor) && lock_here == FREE &&
                    (record_here == given || record_here == moved) -> resolve_here(LISTENER)
           :: here_up && (over || !supervisor) && lock_here == FREE && interrupted &&
                    record_here == live -> recover_here(LISTENER)
        od
    } unless { atomic { !listener -> listener = true; RESET_HERE; acts = 0; dacts = 0 } };
    goto again
}

/* Follows the advice, or tries what it warns of. */
active proctype person()
{
    PROCESS_HERE;
    advised && here_up;
    if :: true
       :: there == RUNNING || record_there == started || record_there == ended ||
                record_there == moved_on ->
            atomic { if :: here == STANDS -> here = NO_COPY :: else fi } /* xl destroy */
#if MUTANT == 1
       :: there != RUNNING && here == STANDS -> /* "if it does not run there" */
#else
       :: here == STANDS ->
#endif
            atomic { lock_here == FREE -> lock_here = PERSON };
            s = record_here;
            if :: s != 0 && here == STANDS -> here_step(resume_asked)
               :: else
            fi;
            atomic { RESET_HERE; lock_here = FREE }
       :: record_there == gone && there == NO_COPY && here == STANDS ->
            atomic { lock_here == FREE -> lock_here = PERSON };
            s = record_here;
            if :: s != 0 && here == STANDS -> here_step(resume_forced)
               :: else
            fi;
            atomic { RESET_HERE; lock_here = FREE }
    fi
}

/* --- the destination --- */

active proctype destination()
{
    PROCESS_THERE;
    d = incoming;
    begun;
    {
        there_step(SUPERVISOR, built);
        if :: to_there ? GO ->
                there_step(SUPERVISOR, go_came);
                if :: may_run -> there_step(SUPERVISOR, unsure); goto done
                   :: dbad && !may_run -> there_step(SUPERVISOR, trouble)
                   :: !dbad -> there_step(SUPERVISOR, runs)
                fi
           :: to_there ? ABORT -> there_step(SUPERVISOR, trouble)
           :: !conn && empty(to_there) -> there_step(SUPERVISOR, trouble)
           :: true -> there_step(SUPERVISOR, trouble) /* no GO in time */
        fi;
        do :: to_there ? HEARD -> there_step(SUPERVISOR, heard_came); break
           :: to_there ? GO    /* it crossed FAILED */
           :: to_there ? ABORT
           :: !conn && empty(to_there) -> there_step(SUPERVISOR, unheard); break
        od;
done:
        atomic { there_over = true; lock_there = FREE; conn = false; RESET_THERE }
    } unless { atomic { !receiver -> RESET_THERE; dacts = 0 } }
}

inline recover_there()
{
    atomic { lock_there == FREE -> lock_there = PERSON };
    load_there();
    if :: d == 0
       :: else -> settle_there(PERSON)
    fi;
    atomic {
        RESET_THERE;
        if :: lock_there == PERSON -> lock_there = FREE
           :: else
        fi
    }
}

/* The listener there, when the power is back; and --recover once, by anybody, at any time. */
active proctype listening_there()
{
    PROCESS_THERE;
    bool once = true;
    do :: !there_up -> there_up = true; recover_there()
       :: there_up && once && (!receiver || there_over) -> once = false; recover_there()
       /* --dismiss: the source has settled it, and only that was not heard here. */
       :: atomic { there_up && lock_there == FREE && record_here == 0 &&
                   (record_there == started || record_there == ended || record_there == moved_on ||
                    record_there == gone) -> lock_there = PERSON };
            d = record_there;
            there_step(PERSON, dismissed);
            atomic { RESET_THERE; if :: lock_there == PERSON -> lock_there = FREE :: else fi }
    od
}

/* It runs on, ends, or is given to a third host. */
active proctype life_there()
{
    PROCESS_THERE;
    there == RUNNING;
    if :: true
       :: atomic { there == RUNNING -> there = NO_COPY; has_ended = true }
       :: atomic { there == RUNNING -> there = NO_COPY; elsewhere = true };
            if :: atomic { lock_there == FREE && record_there != 0 -> lock_there = PERSON };
                    d = record_there;
                    if :: d == taken || d == started -> there_step(PERSON, passed_on)
                       :: else
                    fi;
                    atomic { if :: lock_there == PERSON -> lock_there = FREE :: else fi }
               :: true
            fi
    fi
}

/* --- what goes wrong --- */

inline lose_connection()
{
    conn = false;
    if :: true
       :: do :: to_there ? _ :: empty(to_there) -> break od
       :: do :: to_here ? _ :: empty(to_here) -> break od
       :: do :: to_there ? _ :: to_here ? _ :: empty(to_there) && empty(to_here) -> break od
    fi
}

inline let_go(lock, who)
{
    if :: lock == who -> lock = FREE
       :: else
    fi
}

active proctype failing()
{
    atomic {
        if :: faults = 0
           :: faults = FAULTS
        fi;
        begun = true
    };
    do :: atomic { faults > 0 && supervisor && !over ->
            faults--; supervisor = false; let_go(lock_here, SUPERVISOR); lose_connection() }
       :: atomic { faults > 0 && rescuer != DEAD && !over && MUTANT != 4 ->
            faults--; rescuer = DEAD; interrupted = true;
            if :: lock_here == RESCUER -> lock_here = FREE; let_go(lock_there, LISTENER)
               :: else
            fi }
       :: atomic { faults > 0 && lock_here == LISTENER ->
            faults--; listener = false; interrupted = true; lock_here = FREE; let_go(lock_there, LISTENER) }
       :: atomic { faults > 0 && receiver && !there_over ->
            faults--; receiver = false; let_go(lock_there, SUPERVISOR); lose_connection() }
       :: atomic { faults > 0 && lock_there == LISTENER -> faults--; lock_there = FREE }
       :: atomic { faults > 0 && conn -> faults--; lose_connection() }
       :: atomic { faults > 0 && here_up -> /* power */
            faults--; here_up = false; supervisor = false; rescuer = DEAD; listener = false;
            if :: lock_here == PERSON -> skip :: else -> lock_here = FREE fi;
            let_go(lock_there, LISTENER);
            lost = lost || here == RUNNING || (here == STANDS && !newer);
            here = NO_COPY;
            lose_connection() }
       :: atomic { faults > 0 && there_up ->
            faults--; there_up = false; receiver = false; lock_there = FREE; other_boot = true;
            if :: record_there == ready -> record_there = incoming
               :: true
            fi;
            has_ended = has_ended || there == RUNNING || record_there == taken; /* it counts as ran */
            there = NO_COPY;
            lose_connection() }
    od
}

/* --- what is shown --- */

active proctype all_is_quiet()
{
    timeout;
    assert(here == RUNNING || there == RUNNING || elsewhere || has_ended || lost);
    assert(here != STANDS);
    assert(record_here == 0)
}
