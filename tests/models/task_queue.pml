/*
 * The task queue with a death before every shared step: nothing lost, doubled, hung or leaked.
 *
 * What is modelled, and where it is:
 *   index_ring.hpp   a ring with a cursor `head`: an entry is settled, then head is moved by compare-and-swap; a producer overwrites
 *                    a cell of the lap before once position - head < R; `tail` is a hint that is stored and may jump back
 *   task_table.hpp   free, filling(p), queued, running(p), done | failed, filling(p), free with the next generation
 *   scheduler.cpp    steal_from: claim the first, copy the next into the own ring, then move the victim's head over both;
 *                    the bits that say whose ring may hold work, cleared by whoever finds a ring empty and then looks again
 *   recovery.cpp     the launcher (which does not die here: its death ends the session) sweeps every record, puts all queued tasks
 *                    of a dead origin again, fails what the dead one ran, and renews the bits of all rings. With ATTEMPTS > 1
 *                    what the dead one ran is queued again, up to so many times, unless the dead one had marked that it writes
 *                    its result, which takes the place of the arguments
 *
 * The origin (slot 0) spawns NT tasks, fetches the last D of them or drops their handles (of the others it keeps none), and
 * runs none. Workers (1 and 2) steal from every
 * ring; a dead one is replaced by a new process in its slot, which inherits the ring. A cell says which position it was filled
 * for, which is what the lap in the real one says. Each STEP touches one shared word once, and the process may die before it.
 * The order of memory is sequentially consistent here.
 *
 * Checked: every task that was committed ends exactly once, none runs more often than ATTEMPTS, by two at once or without its
 * arguments, in the end every record is free, and somebody can always go on (an end state in which a process waits is an error). The macros MUTATE_... put the mistakes in that must be
 * found; run_models.py lists them.
 */
#ifndef R
#define R 2 /* cells of a ring */
#endif
#ifndef D
#define D 2 /* records: 1 or 2 */
#endif
#ifndef NT
#define NT 2 /* tasks */
#endif
#ifndef NW
#define NW 2 /* workers: 1 or 2 */
#endif
#ifndef MAXC
#define MAXC 1 /* deaths */
#endif
#ifndef ATTEMPTS
#define ATTEMPTS 1 /* workers that may die over a task; 1: nothing is repeated */
#endif

#define NOBODY 255
#define ORIGIN 0
#define LAUNCHER 3
#define IMMORTAL 9 /* a caller of `put` that does not die */

mtype = { FREE, FILL, QUEUED, RUN, DONE, FAILED };

/* records */
mtype state[D];
byte owner[D];
byte generation[D];
bool held[D];
byte task[D];
#if ATTEMPTS > 1
byte tried[D];  /* in the state word: workers that have died over it */
bool marked[D]; /* its result is being written */
bool spoilt[D]; /* its arguments are overwritten */
byte runner[NT] = NOBODY;
#endif

/* rings, one for each slot: ring r has the cells r * R to r * R + R - 1 */
byte head[4];
byte tail[4];
byte filled_for[4 * R]; /* position + 1; 0: never */
byte entry_index[4 * R];
byte entry_generation[4 * R];
bool ready[4];

/* the environment, and what is checked */
byte deaths;
bool dead[3];
bool origin_gone;
bool stop;
bool committed[NT];
byte ended[NT];
byte ran[NT];

#define STEP(...) if :: atomic { deaths < MAXC -> deaths++; dead[me] = true; FORGET; goto died } :: atomic { __VA_ARGS__ } fi
#define CELL(ring, position) ((ring) * R + (position) % R)
#define FILLED(ring, position) (filled_for[CELL(ring, position)] == (position) + 1)
#define ROOM_AT(ring, position) \
    (filled_for[CELL(ring, position)] + R == (position) + 1 || (filled_for[CELL(ring, position)] == 0 && (position) < R))
#ifdef MUTATE_IGNORE_HEAD
#define FULL(position, seen) false
#define ROOM(ring, position) (!FILLED(ring, position))
#else
#define FULL(position, seen) ((position) - (seen) >= R)
#define ROOM(ring, position) ROOM_AT(ring, position)
#endif

#if ATTEMPTS > 1
#define AS_NEW(d) tried[d] = 0; marked[d] = false; spoilt[d] = false
#define BEGIN(d) assert(runner[task[d]] == NOBODY && !spoilt[d]); runner[task[d]] = me
#define END(d) runner[task[d]] = NOBODY
#define FORGET \
    if :: runner[0] == me -> runner[0] = NOBODY :: runner[NT - 1] == me -> runner[NT - 1] = NOBODY :: else fi
#ifdef MUTATE_MARK_AFTER_WRITE
#define WRITE_RESULT(d) STEP(spoilt[d] = true); STEP(marked[d] = true)
#else
#define WRITE_RESULT(d) STEP(marked[d] = true); STEP(spoilt[d] = true)
#endif
#ifdef MUTATE_REPEAT_FOR_EVER
#define MAY_REPEAT(d) (!marked[d])
#else
#define MAY_REPEAT(d) (!marked[d] && tried[d] + 1 < ATTEMPTS)
#endif
#define REPEAT(d) state[d] = QUEUED; owner[d] = 0; tried[d]++
#else
#define AS_NEW(d) skip
#define BEGIN(d) skip
#define END(d) skip
#define FORGET skip
#define WRITE_RESULT(d) skip
#define MAY_REPEAT(d) false
#define REPEAT(d) skip
#endif

/* IndexRing::put: outcome 1 when the entry is in, 0 when the ring is full. The hint `tail` is read together with the first
 * look at head: an older one would only make the walk longer. */
inline put(ring, d, g) {
    atomic {
        position = tail[ring];
        if :: position < head[ring] -> position = head[ring] :: else fi;
        outcome = (FULL(position, head[ring]) -> 0 : 2)
    };
    do
    :: outcome != 2 -> break
    :: else ->
        if
        :: atomic { me != LAUNCHER && deaths < MAXC -> deaths++; dead[me] = true; goto died }
        :: atomic {
            ROOM(ring, position) ->
                filled_for[CELL(ring, position)] = position + 1;
                entry_index[CELL(ring, position)] = d;
                entry_generation[CELL(ring, position)] = g;
                outcome = 1
           }
        :: atomic {
            !ROOM(ring, position) -> /* filled by another, or of a later lap: go on, with a new look at head */
                position++;
                if :: position < head[ring] -> position = head[ring] :: else fi;
                outcome = (FULL(position, head[ring]) -> 0 : 2)
           }
        fi
    od;
    if
    :: atomic { outcome == 0 -> position = 0 }
    :: atomic { outcome == 1 && me != LAUNCHER && deaths < MAXC -> deaths++; dead[me] = true; goto died }
    :: atomic { outcome == 1 -> tail[ring] = position + 1; position = 0 }
    fi
}

#define ENDED(d, g) ((state[d] == DONE || state[d] == FAILED) && generation[d] == (g))

/* TaskTable::free_finished, by a mortal process and by the launcher. */
inline free_finished(d, g) {
    STEP(if :: ENDED(d, g) -> state[d] = FILL; owner[d] = me; freeing = true :: else fi);
    if
    :: freeing -> STEP(state[d] = FREE; owner[d] = 0; generation[d] = g + 1; freeing = false)
    :: else
    fi
}
inline free_finished_by_launcher(d, g) {
    atomic { if :: ENDED(d, g) -> state[d] = FILL; owner[d] = LAUNCHER; freeing = true :: else fi };
    if
    :: freeing -> atomic { state[d] = FREE; owner[d] = 0; generation[d] = g + 1; freeing = false }
    :: else
    fi
}

proctype Origin() {
    byte position, outcome, d, g, i;
    byte mine[NT];
    byte mine_generation[NT];
    bool freeing;
    byte me = ORIGIN;

    do
    :: i < NT ->
        if /* waits for a record, as a full table makes a spawn wait */
        :: atomic { deaths < MAXC -> deaths++; dead[ORIGIN] = true; goto died }
        :: atomic { state[0] == FREE -> state[0] = FILL; owner[0] = ORIGIN; d = 0 }
        :: atomic { D > 1 && state[0] != FREE && state[D - 1] == FREE -> state[D - 1] = FILL; owner[D - 1] = ORIGIN; d = D - 1 }
        fi;
        STEP(task[d] = i; held[d] = (i + D >= NT); g = generation[d]; AS_NEW(d));
        STEP(state[d] = QUEUED; owner[d] = 0; committed[i] = true);
        do
        :: put(ORIGIN, d, g);
            if :: outcome == 1 -> break :: else -> (!FILLED(ORIGIN, head[ORIGIN] + R - 1)) fi
        od;
        if :: ready[ORIGIN] :: else -> STEP(ready[ORIGIN] = true) fi;
        atomic { mine[i] = d; mine_generation[i] = g; i++; d = 0; g = 0; outcome = 0 }
    :: else -> break
    od;
    i = NT - D;
    do
    :: i < NT ->
        if /* a fetch, or a handle that is dropped while the task is under way */
        :: atomic { ENDED(mine[i], mine_generation[i]) -> assert(task[mine[i]] == i) }
        :: !ENDED(mine[i], mine_generation[i]) -> STEP(held[mine[i]] = false)
        fi;
        free_finished(mine[i], mine_generation[i]);
        i++
    :: else -> break
    od;
    origin_gone = true;
    goto done;
died: skip;
done: skip
}

proctype Worker(byte me) {
    byte position, outcome, victim, at, d, g, d2, g2;
    bool won, freeing, found;

    do
    :: stop -> break
    :: else ->
        if
        :: atomic { ready[0] -> victim = 0; at = head[0] }
        :: atomic { ready[1] -> victim = 1; at = head[1] }
        :: atomic { NW > 1 && ready[2] -> victim = 2; at = head[2] }
        :: atomic { ready[3] -> victim = 3; at = head[3] }
        :: stop -> goto done
        fi;
        /* peek: head was read before, so the cell may be of a later lap by now */
        STEP(found = FILLED(victim, at);
             if :: found -> d = entry_index[CELL(victim, at)]; g = entry_generation[CELL(victim, at)]
                :: !found && head[victim] != at -> goto again
                :: else fi);
        if
        :: !found ->
            STEP(ready[victim] = false);
#ifndef MUTATE_NO_SECOND_PEEK
            STEP(at = head[victim]; found = FILLED(victim, at));
            if :: found -> STEP(ready[victim] = true) :: else fi
#endif
        :: else ->
#ifdef MUTATE_ADVANCE_BEFORE_CLAIM
            STEP(if :: head[victim] == at -> head[victim] = at + 1 :: else -> goto again fi);
#endif
            STEP(won = (state[d] == QUEUED && generation[d] == g);
                 if :: won -> state[d] = RUN; owner[d] = me :: else fi);
#ifndef MUTATE_ADVANCE_BEFORE_CLAIM
            found = false;
            if /* a batch of two, if there is a second entry and room for it; or only one */
            :: victim != me ->
                STEP(found = FILLED(victim, at + 1);
                     if :: found -> d2 = entry_index[CELL(victim, at + 1)]; g2 = entry_generation[CELL(victim, at + 1)]
                        :: else fi);
#ifdef MUTATE_ADVANCE_BEFORE_COPY
                STEP(if :: head[victim] == at -> head[victim] = at + 1 + found :: else -> found = false fi);
                if :: found -> put(me, d2, g2) :: else fi
#else
                if :: found -> put(me, d2, g2); found = (outcome == 1) :: else fi
#endif
            :: true
            fi;
#ifndef MUTATE_ADVANCE_BEFORE_COPY
            STEP(if :: head[victim] == at -> head[victim] = at + 1 + found :: else fi);
#else
            STEP(if :: head[victim] == at && !found -> head[victim] = at + 1 :: else fi);
#endif
            if :: found && !ready[me] -> STEP(ready[me] = true) :: else fi;
#endif
            if
            :: won ->
                STEP(ran[task[d]]++; assert(ran[task[d]] <= ATTEMPTS); BEGIN(d));
                WRITE_RESULT(d);
                STEP(assert(state[d] == RUN && owner[d] == me && generation[d] == g); state[d] = DONE; owner[d] = 0; ended[task[d]]++; END(d));
                if :: !held[d] -> free_finished(d, g) :: else fi
            :: else
            fi
        fi;
again:  atomic { at = 0; d = 0; g = 0; d2 = 0; g2 = 0; victim = 0; outcome = 0; won = false; found = false }
    od;
    goto done;
died: skip;
done: skip
}

/* Recovery::put into the launcher's own ring; what does not fit is tried again. */
inline put_again(d, g) {
    put(LAUNCHER, d, g);
    atomic {
        if
        :: outcome == 1 -> ready[LAUNCHER] = true; unput[d] = false
        :: else -> unput[d] = true
        fi;
        outcome = 0
    }
}

/* Recovery::sweep_task */
inline sweep(d, w) {
    atomic {
        g = generation[d];
        if
        :: state[d] == FILL && owner[d] == w -> state[d] = FREE; owner[d] = 0; generation[d] = g + 1; held[d] = false
        :: else
        fi
    };
    if
    :: atomic { generation[d] == g && state[d] == RUN && owner[d] == w && !MAY_REPEAT(d) ->
            state[d] = FAILED; owner[d] = 0; ended[task[d]]++ }
#if ATTEMPTS > 1
    :: generation[d] == g && state[d] == RUN && owner[d] == w && MAY_REPEAT(d) ->
#ifdef MUTATE_PUT_BEFORE_QUEUED
        put_again(d, g);
        atomic { REPEAT(d) }
#else
        atomic { REPEAT(d) };
#ifndef MUTATE_NO_PUT_OF_REPEATED
        put_again(d, g)
#else
        skip
#endif
#endif
#endif
#ifndef MUTATE_NO_REPUT
    :: generation[d] == g && state[d] == QUEUED && w == ORIGIN -> put_again(d, g)
#endif
    :: else
    fi;
    if
    :: generation[d] != g || state[d] == FREE || state[d] == FILL
    :: else ->
        if
        :: w == ORIGIN -> held[d] = false
        :: else
        fi;
        if
        :: !held[d] -> free_finished_by_launcher(d, g)
        :: else
        fi
    fi
}

/* What lies in a ring can be stolen, should somebody have died before saying so, or after clearing the bit in error. */
inline renew(ring) {
    atomic { if :: FILLED(ring, head[ring]) -> ready[ring] = true :: else fi }
}

inline retry(d) {
    if
    :: state[d] == QUEUED -> g = generation[d]; put_again(d, g)
    :: else -> unput[d] = false
    fi;
    g = 0
}

proctype Launcher() {
    byte position, outcome, d, g, w;
    bool freeing;
    bool unput[D];
    byte me = LAUNCHER;

    do
    :: atomic { dead[0] || dead[1] || dead[2] -> if :: dead[0] -> w = 0 :: dead[1] -> w = 1 :: dead[2] -> w = 2 fi };
        d = 0;
        do
        :: d < D -> sweep(d, w); d++
        :: else -> break
        od;
#ifdef MUTATE_RENEW_OWN_BIT_ONLY
        renew(w);
#else
        renew(0); renew(1); renew(2); renew(3);
#endif
        atomic {
            dead[w] = false;
            if :: w == ORIGIN -> origin_gone = true :: else -> run Worker(w) fi;
            d = 0; g = 0; w = 0
        }
    :: unput[0] && (state[0] != QUEUED || !FILLED(LAUNCHER, head[LAUNCHER] + R - 1)) -> retry(0)
    :: D > 1 && unput[D - 1] && (state[D - 1] != QUEUED || !FILLED(LAUNCHER, head[LAUNCHER] + R - 1)) -> retry(D - 1)
    :: origin_gone && !dead[0] && !dead[1] && !dead[2] && state[0] == FREE && state[D - 1] == FREE -> stop = true; break
    od;
    goto done;
died: assert(false);
done: skip
}

init {
    byte i;
    atomic {
        for (i : 0 .. D - 1) { state[i] = FREE }
        run Origin();
        run Worker(1);
        if :: NW > 1 -> run Worker(2) :: else fi;
        run Launcher()
    };
    (stop);
    for (i : 0 .. NT - 1) { assert(ended[i] == (committed[i] -> 1 : 0)) }
}
