/*
 * The ring of a channel (queue/channel_*.hpp): cells, roles, the end, and a launcher that recovers.
 *
 *   put     the first empty cell at or after the own place: alone by its role, else by compare-and-swap to writing; fill; full
 *   take    the first full cell at or after the own head, passing over cells that are being written, after two equal looks;
 *           alone by its role, else by compare-and-swap to reading; empty it
 *   role    flight, then look at the word; retiring: word, verdict from the flight, mark, word
 *   end     retire the producers' roles, set the word; consumers seal the first empty cell
 *   death   roles of the dead are freed or retired; then its cells are voided or returned
 *
 * Producers 0 .. NP-1 put M messages each; consumers NP .. NP+NC-1 take until the ring is finished; a dead consumer is
 * succeeded by another after recovery. The launcher ends the ring at any time if EARLY, else when the producers have gone.
 * Memory is sequentially consistent here, as the heavy fence makes it for flight and word.
 *
 * Checked: nobody works in a cell where another does; every message that was put is taken, and once; each consumer sees the
 * messages of a producer in order, but for returned ones; everybody ends. MUTATE_... put mistakes in that must be found.
 */
#ifndef NP
#define NP 2
#endif
#ifndef NC
#define NC 1
#endif
#ifndef M
#define M 2
#endif
#ifndef MAXC
#define MAXC 1 /* deaths */
#endif
#ifndef GRANTS
#define GRANTS 1
#endif
#define C 2 /* cells */
#define ALL (NP + NC)

#define NONE 255
#define CELL(p) ((p) % C)
#define LAP(p) ((p) / C)

mtype = { EMPTY, WRITING, FULL, READING, RETURNED, VOIDED, SEALED };
mtype = { FREE, HELD, RETIRING, RETIRED };

mtype phase[C] = EMPTY;
byte lap[C];
byte owner[C];
byte payload[C];
byte at_work[C] = NONE;

/* Roles of producers, then of consumers. */
#define ROLES (2 * GRANTS)
mtype mode[ROLES] = FREE;
byte holder[ROLES];
byte flight[ROLES];
byte verdict[ROLES]; /* 0: open */

bool ended;
bool dead[ALL];
bool gone[ALL];
byte deaths;
byte put[NP]; /* messages of each */
byte got[NP];
byte seen[NP * M];

#define IS(p, what) (phase[CELL(p)] == what && lap[CELL(p)] == LAP(p))
#define STEP(action) if :: atomic { deaths < MAXC -> deaths++; goto died } :: atomic { action } fi
#define SAFE_STEP(action) atomic { action }

/* Compare-and-swap of the role's marker: producers' roles come first. */
#define MARK(r, p, w) \
    if \
    :: r < GRANTS && IS(p, EMPTY) -> phase[CELL(p)] = WRITING; owner[CELL(p)] = w \
    :: r >= GRANTS && IS(p, FULL) -> phase[CELL(p)] = READING; owner[CELL(p)] = w \
    :: else \
    fi

/* ChannelRoles::retire; DO is STEP or SAFE_STEP. */
#define RETIRE(DO, r) \
    do \
    :: mode[r] == RETIRED -> break \
    :: else -> \
        DO(was = mode[r]; whose = holder[r]; \
           if :: was == FREE -> mode[r] = RETIRED :: was == HELD -> mode[r] = RETIRING :: else fi); \
        if \
        :: was == RETIRING -> \
            DO(decided = verdict[r]); \
            if \
            :: decided == 0 -> \
                DO(decided = (flight[r] == 0 -> NONE : flight[r])); \
                DO(if :: verdict[r] == 0 -> verdict[r] = decided :: else -> decided = verdict[r] fi) \
            :: else \
            fi; \
            RETIRE_MARK(DO, r) \
            DO(if :: mode[r] == RETIRING -> mode[r] = RETIRED :: else fi) \
        :: else \
        fi \
    od; \
    was = FREE; whose = 0; decided = 0

#ifdef MUTATE_NO_MARK
#define RETIRE_MARK(DO, r)
#else
#define RETIRE_MARK(DO, r) if :: decided != NONE -> DO(MARK(r, decided - 1, whose)) :: else fi;
#endif

/* ChannelRoles::grant: the first free role of `side`, or none. */
inline grant(side) {
    r = side * GRANTS;
    do
    :: r == (side + 1) * GRANTS -> shared = true; break
    :: else ->
        STEP(if :: mode[r] == FREE -> mode[r] = HELD; holder[r] = me; mine = r :: else fi);
        if
        :: mine != NONE -> break
        :: else
        fi;
        RETIRE(STEP, r);
        r++
    od;
    r = 0
}

/* ChannelRoles::enter for a cell that was seen in its phase: access is 0 (look again), 1 (alone or marked), 2 (shared). */
inline enter(side, p) {
    if
    :: shared -> access = 2
    :: !shared && mine == NONE -> access = 0; grant(side)
    :: else ->
#ifdef MUTATE_LOOK_BEFORE_FLIGHT
        STEP(access = (mode[mine] == HELD && holder[mine] == me -> 1 : 0));
        STEP(flight[mine] = p + 1);
#else
        STEP(flight[mine] = p + 1);
        STEP(access = (mode[mine] == HELD && holder[mine] == me -> 1 : 0));
#endif
        if
        :: access == 0 ->
#ifdef MUTATE_LEAVE_WITHOUT_VERDICT
            mine = NONE
#else
            STEP(r = verdict[mine]; if :: r == 0 -> verdict[mine] = NONE :: else fi);
            if
            :: r == p + 1 -> STEP(MARK(mine, p, me); access = 1)
            :: else
            fi;
            atomic { mine = NONE; r = 0 }
#endif
        :: else
        fi
    fi
}

/* Sets `state` to what the cell of a position looks like from there. */
#define LOOK(p) \
    state = phase[CELL(p)]; ahead = (lap[CELL(p)] > LAP(p)); behind = (lap[CELL(p)] < LAP(p))

proctype Producer(byte me) {
    byte position, n, r, mine, access, whose, decided;
    bool shared, ahead, behind;
    mtype state, was;
    mine = NONE;
    do
    :: n == M -> break
    :: else ->
        STEP(LOOK(position));
        if
        :: behind && state == VOIDED ->
            STEP(if :: phase[CELL(position)] == VOIDED && lap[CELL(position)] < LAP(position) ->
                         phase[CELL(position)] = EMPTY; lap[CELL(position)] = LAP(position)
                    :: else fi)
        :: behind && state != VOIDED ->
            /* full: waits */
            if
            :: atomic { !(lap[CELL(position)] < LAP(position) && phase[CELL(position)] == state) }
            :: ended -> break
            fi
        :: !behind && (ahead || (state != EMPTY && state != SEALED)) -> position++
        :: !behind && !ahead && state == SEALED -> break
        :: else ->
            enter(0, position);
            if
            :: access == 0 -> goto again
            :: access == 2 ->
                if :: ended -> break :: else fi;
                STEP(if :: IS(position, EMPTY) -> phase[CELL(position)] = WRITING; owner[CELL(position)] = me
                        :: else -> access = 0 fi);
                if :: access == 0 -> goto again :: else fi
            :: else
            fi;
            STEP(assert(at_work[CELL(position)] == NONE); at_work[CELL(position)] = me;
                 payload[CELL(position)] = me * M + n);
            STEP(assert(at_work[CELL(position)] == me && lap[CELL(position)] == LAP(position));
                 at_work[CELL(position)] = NONE; phase[CELL(position)] = FULL; put[me]++; n++; position++)
        fi;
again:  atomic { access = 0; state = EMPTY; ahead = false; behind = false }
    od;
    atomic { gone[me] = true; goto done }
died:
    atomic {
        if :: at_work[0] == me -> at_work[0] = NONE :: else fi;
        if :: at_work[1] == me -> at_work[1] = NONE :: else fi;
        dead[me] = true
    }
done: skip
}

/* One walk: `found` is the position of the first message, or NONE; `over` tells the end. */
inline walk() {
    atomic { found = NONE; passed = false; over = false; at = head };
    do
    :: at == head + C -> break
    :: else ->
        STEP(LOOK(at));
        if
        :: behind -> break
        :: ahead && at == head -> atomic { head++; at++ }
        :: ahead && at != head -> at++
        :: else ->
            if
            :: state == EMPTY ->
                if
#ifdef MUTATE_NO_SEAL
                :: ended -> over = !passed && at == head; break
#else
                :: ended -> STEP(if :: IS(at, EMPTY) -> phase[CELL(at)] = SEALED :: else fi)
#endif
                :: else -> break
                fi
            :: state == SEALED -> over = !passed && at == head; break
            :: state == FULL || state == RETURNED -> found = at; break
            :: state == VOIDED ->
                STEP(if :: IS(at, VOIDED) -> phase[CELL(at)] = EMPTY; lap[CELL(at)] = LAP(at) + 1 :: else fi)
            :: else -> passed = passed || state == WRITING; at++
            fi
        fi
    od;
    atomic { ahead = false; behind = false }
}

#ifdef MUTATE_RETURNED_IS_FULL
#define COMES_LATE(state) true
#define GIVEN_BACK FULL
#else
#define COMES_LATE(state) (state == RETURNED)
#define GIVEN_BACK RETURNED
#endif

proctype Consumer(byte me) {
    byte head, at, found, second, r, mine, access, whose, decided, message, i;
    bool shared, ahead, behind, passed, over, again_returned;
    mtype state, was;
    byte last[NP]; /* number of the last message of each, plus 1 */
    mine = NONE;
    do
    :: walk();
#ifndef MUTATE_ONE_LOOK
        if
        :: found != NONE && passed -> second = found; walk(); if :: found != second -> goto again :: else fi
        :: else
        fi;
#endif
        if
        :: over -> break
        :: !over && found == NONE -> /* waits until a cell changes */
            atomic {
                phase[0] == FULL || phase[1] == FULL || phase[0] == RETURNED || phase[1] == RETURNED || phase[0] == VOIDED ||
                phase[1] == VOIDED || (ended && (phase[CELL(head)] == EMPTY || phase[CELL(head)] == SEALED))
            }
        :: else ->
            if
            :: state == FULL ->
                enter(1, found)
            :: else -> access = 2
            fi;
            if
            :: access == 0 -> goto again
            :: access == 2 ->
                STEP(if :: IS(found, state) -> phase[CELL(found)] = READING; owner[CELL(found)] = me
                        :: else -> access = 0 fi);
                if :: access == 0 -> goto again :: else fi
            :: else
            fi;
            STEP(assert(at_work[CELL(found)] == NONE); at_work[CELL(found)] = me; message = payload[CELL(found)]);
            STEP(assert(at_work[CELL(found)] == me && lap[CELL(found)] == LAP(found));
                 at_work[CELL(found)] = NONE;
                 again_returned = COMES_LATE(state);
                 phase[CELL(found)] = EMPTY; lap[CELL(found)] = LAP(found) + 1;
                 seen[message]++; assert(seen[message] == 1);
                 assert(again_returned || message % M >= last[message / M]);
                 if :: message % M >= last[message / M] -> last[message / M] = message % M + 1 :: else fi)
        fi;
again:  atomic { found = 0; second = 0; access = 0; message = 0; at = 0; state = EMPTY; passed = false; again_returned = false }
    od;
    atomic { gone[me] = true; goto done }
died:
    atomic {
        if :: at_work[0] == me -> at_work[0] = NONE :: else fi;
        if :: at_work[1] == me -> at_work[1] = NONE :: else fi;
        dead[me] = true
    }
done: skip
}

inline recover_role(w) {
    if
    :: holder[r] == w && mode[r] == HELD ->
        SAFE_STEP(if :: mode[r] == HELD && holder[r] == w -> flight[r] = 0 :: else fi);
        SAFE_STEP(if :: mode[r] == HELD && holder[r] == w -> mode[r] = FREE :: else fi)
    :: else
    fi;
    if
    :: holder[r] == w && mode[r] == RETIRING -> RETIRE(SAFE_STEP, r)
    :: else
    fi
}

inline sweep(w) {
    i = 0;
    do
    :: i == C -> break
    :: else ->
        SAFE_STEP(if
                  :: owner[i] == w && phase[i] == WRITING -> phase[i] = VOIDED
                  :: owner[i] == w && phase[i] == READING -> phase[i] = GIVEN_BACK
                  :: else fi);
        i++
    od;
    i = 0
}

#ifdef EARLY
#define MAY_END (!ended && w == 0)
#else
#define MAY_END (!ended && w == 0 && gone[0] && gone[NP - 1])
#endif

proctype Launcher() {
    byte w, r, i, whose, decided;
    mtype was;
    do
    :: w == ALL -> w = 0
    :: w < ALL && dead[w] ->
#ifdef MUTATE_SWEEP_FIRST
        sweep(w);
#endif
        r = 0;
        do
        :: r == ROLES -> break
        :: else -> recover_role(w); r++
        od;
        r = 0;
#ifndef MUTATE_SWEEP_FIRST
        sweep(w);
#endif
        atomic {
            dead[w] = false;
            if :: w < NP -> gone[w] = true :: else -> run Consumer(w) fi;
            w = 0
        }
    :: w < ALL && !dead[w] && (dead[0] || dead[1] || dead[ALL - 2] || dead[ALL - 1]) -> w++
    :: MAY_END ->
#ifndef MUTATE_END_KEEPS_ROLES
        r = 0;
        do
        :: r == GRANTS -> break
        :: else -> RETIRE(SAFE_STEP, r); r++
        od;
        r = 0;
#endif
        ended = true
    :: ended && gone[0] && gone[NP - 1] && gone[NP] && gone[ALL - 1] -> break
    od
}

init {
    byte i;
    atomic {
        run Producer(0);
        if :: NP > 1 -> run Producer(1) :: else fi;
        run Consumer(NP);
        if :: NC > 1 -> run Consumer(NP + 1) :: else fi;
        run Launcher()
    };
    (gone[0] && gone[NP - 1] && gone[NP] && gone[ALL - 1]);
    i = 0;
    do
    :: i == NP * M -> break
    :: else -> assert(seen[i] == (i % M < put[i / M] -> 1 : 0)); i++
    od
}
